"""Masks secrets in the texts of exceptions, by the names and the words in front of them.

Texts of exceptions quote arguments: a connection string, a header, a command line, a statement.
There the value of a credential follows its name: behind ``=`` or ``:``, as a member of JSON, as a
pair in a list, as an option or in a sentence. A URL may lack its scheme. The text does not always
show where a value ends; then more is masked rather than less.

This complements ``values``: it knows no secret, so a form that is not listed here passes. It is
made for the ``str`` of an exception. The ``repr`` of one has escapes within escapes.
"""

from __future__ import annotations

import re
from typing import Final

from mozlog_py._values.credential_names import DIGITS, is_credential, last_word, normal_name

from .secret_shapes import Shapes

__all__ = ["is_name_of_secret", "masked_text"]

# Names of credentials in connection strings and commands. As names of fields they are too common.
_FURTHER_WORDS: Final = frozenset({"psk", "pw", "sas", "session", "sig", "skey"})
_FURTHER_ENDINGS: Final = (
    "accountkey",
    "connectionstring",
    "consumerkey",
    "licensekey",
    "masterkey",
    "sharedkey",
    "storagekey",
)

# A name: one word, or two as in "API key".
_NAME: Final = re.compile(
    r"(?:(?:api|access|account|auth|master|private|secret|shared|signing|storage) (?=key\b))?"
    r"[A-Za-z_][\w.\-]*",
    re.IGNORECASE | re.ASCII,
)
_LONGEST_NAME: Final = 100

_QUOTE: Final = r"\\{0,8}[\"'`]"
_PAIR: Final = re.compile(rf"(?P<quote>{_QUOTE})?\s{{0,3}}(?:=>|:=|[:=])\s{{0,3}}")
_ITEM: Final = re.compile(rf"{_QUOTE}\s{{0,3}},\s{{0,3}}(?=[bBuUrR]{{0,2}}{_QUOTE})")
_BLANKS: Final = re.compile(r"\s{1,3}")
_SAID: Final = re.compile(r"\s{1,3}(?:(?:is|was)\s{1,3})?")
_XML: Final = re.compile(r"\s{0,3}>")

_OPENING: Final = re.compile(r"[bBuUrR]{0,2}(?P<backslashes>\\{0,8})(?P<quote>[\"'`])")
# The characters that may follow the closing quote of a value.
_BEHIND_QUOTE: Final = frozenset(" \t\r\n,;:)]}>&|\\\"'`.")
_WORD: Final = re.compile(r"\S+")
# Characters at the end of a word that may belong to the sentence.
_TRAIL: Final = ",;)]}>\"'`."
_UP_TO_NEXT_PAIR: Final = re.compile(r"[^;=\r\n]{1,200}(?=;\s{0,3}[A-Za-z][\w ]{0,40}=)")
_END_OF_LINE: Final = re.compile(r"\\{1,8}[rn]|[\r\n]|\Z")
_BRACKETS: Final = {"{": "}", "[": "]"}

# Headers whose values hold blanks.
_WHOLE_LINE: Final = ("authorization", "cookie")
# Values that state whether there is a secret.
_NO_SECRETS: Final = frozenset({"", "false", "no", "none", "null", "true", "yes"})
# Names whose value may follow without a sign in between; and words that follow these names in
# sentences without a value.
_SPOKEN: Final = frozenset(
    {
        "accesskey", "accountkey", "apikey", "jwt", "passphrase", "passwd", "password", "pwd",
        "secret", "secretkey", "token",
    }
)  # fmt: skip
_PROSE: Final = frozenset(
    {
        "a", "an", "and", "any", "are", "as", "at", "auth", "authentication", "bad", "be",
        "been", "before", "but", "by", "can", "cannot", "change", "changed", "check", "checks",
        "contains", "could", "credentials", "did", "do", "does", "empty", "encryption",
        "endpoint", "error", "expired", "expires", "failed", "failure", "field", "file", "for",
        "from", "given", "had", "has", "hash", "have", "i", "if", "in", "incorrect", "invalid",
        "is", "it", "key", "length", "manager", "may", "mismatch", "missing", "must", "name",
        "needs", "never", "no", "none", "not", "of", "on", "only", "or", "pair", "policy",
        "prompt", "protected", "provided", "refresh", "rejected", "request", "required",
        "reset", "response", "server", "service", "set", "should", "store", "supplied", "than",
        "that", "the", "this", "to", "too", "type", "unknown", "use", "used", "user", "value",
        "verification", "was", "were", "when", "which", "while", "will", "with", "without",
        "would", "wrong", "yes", "you", "your",
    }
)  # fmt: skip

_STATEMENT: Final = re.compile(
    r"\bIDENTIFIED\s{1,3}(?:WITH\s{1,3}\S{1,64}\s{1,3})?(?:BY|AS)\s{1,3}(?:PASSWORD\s{1,3})?",
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"\b(?:bearer|basic|negotiate|ntlm)\s{1,3}", re.IGNORECASE)
_SHORTEST_TOKEN: Final = 6

_BARE_USER_INFO: Final = re.compile(
    r"""(?<![^\s"'`(\[{<,;=])(?:[^\s:@/"']{0,64}:\S*|[\w.$#-]{1,64}/[^\s@"']{1,128})@(?=[\w\[(])"""
)
# A character that could not be encoded, as an exception quotes it.
_REFUSED: Final = re.compile(r"(?<=encode character )['\"]\S{1,12}['\"](?= in position)")


def is_name_of_secret(name: str) -> bool:
    """Return whether the value behind a name in a text is a secret."""
    if is_credential(name) or last_word(name).lower() in _FURTHER_WORDS:
        return True
    return normal_name(name).rstrip(DIGITS).endswith(_FURTHER_ENDINGS)


def masked_text(text: str, marker: str, *, user_info: bool = True) -> str:
    """Return a text with everything masked that looks like a credential.

    Args:
        text: One or several lines, of limited length.
        marker: Stands in place of a secret.
        user_info: Whether the text in front of an ``@`` is masked as well. In a URL without
            user and password, an ``@`` belongs to the path.
    """
    if user_info and "@" in text and "://" in text:
        text = _WORD.sub(lambda match: _without_user_info(match[0], marker), text)
    text = _named(text, marker)
    text = _behind(_STATEMENT, text, marker, 1)
    text = _behind(_SCHEME, text, marker, _SHORTEST_TOKEN)
    if user_info and "@" in text:
        text = _BARE_USER_INFO.sub(lambda match: _user_info(match[0], marker), text)
    text = _REFUSED.sub(marker, text)
    return Shapes(marker, is_name_of_secret).masked(text)


def _without_user_info(word: str, marker: str) -> str:
    # Up to the last "@" of the word: a password may hold one that is not encoded.
    head, slashes, rest = word.partition("://")
    _, at, host = rest.rpartition("@")
    return f"{head}{slashes}{marker}@{host}" if slashes and at else word


def _user_info(found: str, marker: str) -> str:
    # The user info of a URL is masked already.
    return found if found.endswith(f"//{marker}@") else f"{marker}@"


def _named(text: str, marker: str) -> str:
    out: list[str] = []
    done = at = 0
    while (found := _NAME.search(text, at)) is not None:
        at = found.end()
        name = found[0][-_LONGEST_NAME:].rstrip(".-")
        if not is_name_of_secret(name):
            continue
        value = _value_of(text, found, name, marker)
        if value is not None:
            begin, at = value
            out += (text[done:begin], marker)
            done = at
    return "".join((*out, text[done:])) if out else text


def _value_of(text: str, found: re.Match[str], name: str, marker: str) -> tuple[int, int] | None:
    """Return where the value of a name begins and ends; None if the name has no value."""
    at = found.end()
    between = _PAIR.match(text, at) or _ITEM.match(text, at)
    if between is not None:
        begin = between.end()
        is_line = normal_name(name).endswith(_WHOLE_LINE)
        return _checked(text, begin, _end_of_value(text, begin, is_line=is_line), marker)
    if text[found.start() - 1 : found.start()] == "<" and (tag := _XML.match(text, at)):
        end = text.find("<", tag.end())
        return _checked(text, tag.end(), len(text) if end < 0 else end, marker)
    is_option = text[found.start() - 1 : found.start()] == "-"
    blanks = (_BLANKS if is_option else _SAID).match(text, at)
    if blanks is None or not (is_option or normal_name(name) in _SPOKEN):
        return None
    begin = blanks.end()
    value = _checked(text, begin, _end_of_value(text, begin), marker)
    if value is not None and not is_option and _is_prose(text[begin : value[1]]):
        return None
    return value


def _behind(pattern: re.Pattern[str], text: str, marker: str, least: int) -> str:
    """Return a text with the values masked that follow the matches of a pattern."""
    out: list[str] = []
    done = 0
    while (found := pattern.search(text, done)) is not None:
        begin = found.end()
        value = _checked(text, begin, _end_of_value(text, begin), marker)
        out.append(text[done:begin])
        done = begin
        if (
            value is not None
            and value[1] - begin >= least
            and not _is_prose(text[begin : value[1]])
        ):
            out.append(marker)
            done = value[1]
    return "".join((*out, text[done:])) if out else text


def _is_prose(value: str) -> bool:
    return value.strip(_TRAIL).lower() in _PROSE


def _checked(text: str, begin: int, end: int, marker: str) -> tuple[int, int] | None:
    value = text[begin:end]
    if value.startswith(marker) or value.strip(_TRAIL).lower() in _NO_SECRETS:
        return None
    return begin, end


def _end_of_value(text: str, begin: int, *, is_line: bool = False) -> int:
    opening = _OPENING.match(text, begin)
    if opening is not None:
        return _end_of_quoted(text, opening)
    if is_line:
        end = _END_OF_LINE.search(text, begin)
        return len(text) if end is None else end.start()
    if text[begin : begin + 1] in _BRACKETS:
        return _end_of_brackets(text, begin)
    word = _WORD.match(text, begin)
    end_of_word = begin if word is None else begin + len(word[0].rstrip(_TRAIL))
    further = _UP_TO_NEXT_PAIR.match(text, begin)
    return end_of_word if further is None else max(end_of_word, further.end())


def _end_of_quoted(text: str, opening: re.Match[str]) -> int:
    """Return where a quoted value ends; the end of the line if its quote is not closed."""
    quote, backslashes = opening["quote"], len(opening["backslashes"])
    at = text.find(quote, opening.end())
    while at >= 0:
        before = at
        while text[before - 1] == "\\" and before > opening.end():
            before -= 1
        behind = text[at + 1 : at + 2]
        if at - before == backslashes and behind == quote and backslashes == 0:
            # A doubled quote belongs to the value, unless the value is empty.
            if at == opening.end() and text[at + 2 : at + 3] in _BEHIND_QUOTE:
                return at + 1
            at = text.find(quote, at + 2)
            continue
        if at - before == backslashes and (not behind or behind in _BEHIND_QUOTE):
            return at + 1
        at = text.find(quote, at + 1)
    end = _END_OF_LINE.search(text, opening.end()) if "\n" in text else None
    return len(text) if end is None else end.start()


def _end_of_brackets(text: str, begin: int) -> int:
    """Return where a value in brackets ends. ``}}`` is an escaped brace within it."""
    open_, close = text[begin], _BRACKETS[text[begin]]
    depth = 0
    at = begin
    while at < len(text):
        if text[at] == open_:
            depth += 1
        elif text[at] == close:
            if depth == 1 and text[at + 1 : at + 2] == close:
                at += 1
            else:
                depth -= 1
                if depth == 0:
                    return at + 1
        at += 1
    return len(text)
