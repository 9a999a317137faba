"""Registered secrets, and how they are found in a line in any of their encodings.

A registered secret may stand in a line as it is, with the escapes of JSON (several times over) or
of ``repr``, percent-encoded, or in the base64 of ``user:password``. Each character has a list of
encodings. A ``Needle`` is a sequence of such lists. Both the regular expression that finds it and
the prefilter are made from the same lists, so the prefilter misses no text that the expression
would find.

The prefilter determines what most lines cost. It reads the encoded line as machine words and
compares them with a set. Whatever its offset, a run of 15 bytes contains a whole aligned word of
8 bytes, and a run of 7 bytes one of 4. The set has such a run of each needle, at each of its
offsets. So one ``isdisjoint`` answers for all secrets, in time that does not depend on their
number.
"""

from __future__ import annotations

import base64
import functools
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import unquote, unquote_plus

from mozlog_py._line.json_encoder import dumps

from .patterns import compiled

__all__ = [
    "MIN_CHARACTERS",
    "Needle",
    "WordFilter",
    "checked_patterns",
    "checked_values",
    "needles_of",
    "secrets_in_environment",
]

#: The least number of characters of a registered secret. Shorter texts occur in other words.
MIN_CHARACTERS: Final = 8

# Characters that no common encoder escapes or percent-encodes.
_PLAIN: Final = frozenset("-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
# The backslashes in front of an escape in JSON, in JSON within JSON, and so on.
_BACKSLASHES: Final = (1, 2, 4, 8)
# A quote has one more at each level, and repr doubles those of JSON.
_QUOTE_BACKSLASHES: Final = {'"': range(17), "'": range(17), "/": (0, 1, 2, 4, 8)}
# SQL, shells and connection strings escape these by doubling them.
_DOUBLED: Final = frozenset("\"'`}")
_RUNS: Final = re.compile(r"""\\+|"+|'+|`+|}+|[^\\]""", re.DOTALL)
# Percent-encoded once, twice and three times.
_PERCENTS: Final = ("%", "%25", "%2525")
_LETTERS: Final = {"\t": "t", "\b": "b", "\f": "f"}
_BREAKS: Final = re.compile(r"\\r\\n|\\n|\r\n|\n|\r")
_BOUNDARY_LINE: Final = re.compile(r"-{3,}[^-]*-{3,}")

_LONG, _SHORT = 8, 4
# How many runs one needle may have in the set. With more, its words are short, or it is searched
# for in each line.
_MAX_LONG_RUNS: Final = 64
_MAX_RUNS: Final = 1024
# The bytes of ordinary words. Many lines hold a run of these, so other runs are preferred.
_COMMON: Final = frozenset(b"abcdefghiklmnoprstuwy0123456789_")
# At how many places of a needle a run is tried.
_MAX_STARTS: Final = 16

_BASE64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"
_BASE64_END: Final = re.compile(r"[\w+/\-]*(?:=|%(?:25){0,2}3[Dd]){0,2}", re.ASCII)

#: The encodings of each character of a secret.
Encodings = Sequence[tuple[str, ...]]


# -- what may be registered ---------------------------------------------------


def checked_values(values: Any) -> list[str]:
    """Return secrets in their registered form, without white space around them.

    Raises:
        ValueError: A secret is no text, or too short. The message does not quote it.
    """
    if isinstance(values, (str, bytes)):
        raise ValueError("values is a text; it must be a list of secrets: put it in a list")
    secrets = []
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise ValueError(
                f"values has a {type(value).__name__} at index {index}; a secret must be text"
            )
        secret = str.__str__(value).strip()
        if len(secret) < MIN_CHARACTERS:
            raise ValueError(
                f"values has a secret of {len(secret)} characters at index {index}; it must have "
                f"{MIN_CHARACTERS} or more, because a shorter one stands in other words as well"
            )
        secrets.append(secret)
    return secrets


def checked_patterns(patterns: Any) -> list[re.Pattern[str]]:
    """Return the regular expressions of secrets, compiled.

    Raises:
        ValueError: A pattern is not a regular expression of text, or matches the empty text.
    """
    if isinstance(patterns, (str, bytes, re.Pattern)):
        raise ValueError("value_patterns is one pattern; it must be a list: put it in a list")
    expressions = []
    for pattern in patterns:
        made = compiled("value_patterns", pattern)
        if made.search("") is not None:
            raise ValueError(
                f"value_patterns has {made.pattern!r} in it, which matches the empty text, and so "
                "matches everywhere"
            )
        expressions.append(made)
    return expressions


# -- the environment ----------------------------------------------------------

_USER_INFO: Final = re.compile(r"://[^\s/?#@:]*:([^\s]+)@")
_SETTING: Final = re.compile(r"(?:^|[\s;?&,])([\w .\-]{1,64}?)\s?=\s?(\"[^\"]*\"|'[^']*'|[^\s;&]+)")
_MAX_JSON_DEPTH: Final = 8


def secrets_in_environment(
    environ: Mapping[str, str] | None, is_secret: Callable[[str], bool]
) -> list[str]:
    """Return the secrets in environment variables, of eight characters or more.

    The value of a variable with a secret name is a secret. If it is a JSON object, its members
    with secret names are secrets as well. In every other variable, the password of a URL and
    settings with secret names (``password=...``) are.

    Args:
        environ: The variables; None for those of this process.
        is_secret: Returns whether a name is that of a secret.
    """
    found: dict[str, None] = {}
    for name, value in (os.environ if environ is None else environ).items():
        candidates = [*_passwords(value, is_secret)]
        if is_secret(name) and not _is_existing_path(value):
            candidates.append(value)
            candidates.extend(_members(value, is_secret))
        for candidate in candidates:
            if len(candidate.strip()) >= MIN_CHARACTERS:
                found[candidate.strip()] = None
    return list(found)


def _is_existing_path(value: str) -> bool:
    # GOOGLE_APPLICATION_CREDENTIALS and similar variables hold the path of a secret.
    try:
        return value.startswith("/") and os.path.exists(value)  # noqa: PTH110 - may be any text
    except ValueError:
        return False


def _passwords(value: str, is_secret: Callable[[str], bool]) -> Iterable[str]:
    for match in _USER_INFO.finditer(value):
        yield match[1]
        yield unquote(match[1])
    for name, text in _SETTING.findall(value):
        if is_secret(name.strip()):
            bare = text.strip("\"'")
            yield bare
            yield unquote_plus(bare)


def _members(value: str, is_secret: Callable[[str], bool]) -> list[str]:
    if not value.lstrip().startswith("{"):
        return []
    found: list[str] = []

    def collect(members: Any, depth: int) -> None:
        for name, member in members.items():
            if isinstance(member, str) and is_secret(name):
                found.append(member)
            elif isinstance(member, dict) and depth < _MAX_JSON_DEPTH:
                collect(member, depth + 1)

    try:
        collect(json.loads(value), 0)
    except (ValueError, RecursionError):
        # Not JSON, but a secret that begins with a brace.
        pass
    return found


# -- the encodings of a secret ------------------------------------------------


@functools.lru_cache(maxsize=4096)
def _encodings_of(char: str) -> tuple[str, ...]:
    """Return all encodings of a character in a text, the longest first."""
    if char in _PLAIN:
        return (char,)
    if char == "\n":
        return _longest_first(_line_breaks())
    encodings = {*_percent_encoded(char), *_escaped(char)}
    if char == "\\":
        encodings.update("\\" * count for count in (1, 2, 4, 8, 16))
    else:
        encodings.update("\\" * count + char for count in _QUOTE_BACKSLASHES.get(char, (0,)))
    if char in _DOUBLED:
        # Also with the backslashes of repr or JSON in front.
        encodings.update(2 * ("\\" * count + char) for count in range(4))
    if char == " ":
        # The encoding of forms, and that one percent-encoded.
        encodings |= {"+", *_percent_encoded("+")}
    return _longest_first(encodings)


def _longest_first(encodings: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(encodings, key=lambda encoding: (-len(encoding), encoding)))


def _line_breaks() -> set[str]:
    encodings = {"\n", "\r", "\r\n"}
    for backslashes in _BACKSLASHES:
        run = "\\" * backslashes
        encodings |= {f"{run}n", f"{run}r", f"{run}r{run}n"}
    for percent in _PERCENTS:
        ends = [{f"{percent}{end}", f"{percent}{end.lower()}"} for end in ("0D", "0A")]
        encodings.update(*ends, map("".join, itertools.product(*ends)))
        # Also a backslash and a letter, percent-encoded.
        encodings.update(f"{percent}5{c}{letter}" for c in "Cc" for letter in "nr")
    return encodings


def _percent_encoded(char: str) -> set[str]:
    encoded = _bytes(char)
    return {
        "".join(f"{percent}{byte:02{case}}" for byte in encoded)
        for percent in _PERCENTS
        for case in "Xx"
    }


def _escaped(char: str) -> set[str]:
    code = ord(char)
    names: set[str] = set()
    if code > 0xFFFF:
        high, low = 0xD800 + (code - 0x10000 >> 10), 0xDC00 + (code - 0x10000 & 0x3FF)
        pairs = {(f"u{high:04{case}}", f"u{low:04{case}}") for case in "Xx"}
        names = {f"U{code:08x}"}
    else:
        pairs = set()
        names = {f"u{code:04{case}}" for case in "Xx"}
    if code < 0x20 or 0x7F <= code <= 0xFF:
        names |= {f"x{code:02x}"}
    if char in _LETTERS:
        names.add(_LETTERS[char])
    escaped: set[str] = set()
    for backslashes in _BACKSLASHES:
        run = "\\" * backslashes
        escaped |= {run + name for name in names}
        escaped |= {run + high + run + low for high, low in pairs}
        if code >= 0x80:
            # The escapes in the repr of bytes.
            escaped.add("".join(f"{run}x{byte:02x}" for byte in _bytes(char)))
    return escaped


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


class Needle:
    """One secret in all its encodings, or its base64 at one offset.

    Attributes:
        runs: Runs of bytes in encoded JSON. Each line with the needle holds one of them. Empty
            if there would be too many.
        has_long_runs: Whether the runs suffice for words of 8 bytes; else for words of 4.
        size: How many characters the needle has.
    """

    __slots__ = ("__dict__", "_encodings", "_is_base64", "_marker", "has_long_runs", "runs", "size")

    def __init__(self, encodings: Encodings, marker: str, *, is_base64: bool = False) -> None:
        self._encodings = encodings
        self._marker = marker
        self._is_base64 = is_base64
        self.size = len(encodings)
        self.has_long_runs, self.runs = _runs(encodings)

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        # Compiled at the first match of the prefilter, which most secrets never have.
        return re.compile(_expression(self._encodings))

    def masked(self, text: str) -> str:
        """Return a text with each occurrence masked."""
        if self._is_base64:
            return self._masked_base64(text)
        return self._pattern.sub(lambda _: self._marker, text)

    def _masked_base64(self, text: str) -> str:
        out: list[str] = []
        at = 0
        for match in self._pattern.finditer(text):
            if match.start() < at:
                continue
            # The base64 around it belongs to the same text, and holds bits of the secret.
            out += (text[at : match.start()].rstrip(_BASE64), self._marker)
            end = _BASE64_END.match(text, match.end())
            at = match.end() if end is None else end.end()
        return "".join((*out, text[at:])) if out else text


def _expression(encodings: Encodings) -> str:
    parts = []
    for alternatives in encodings:
        if len(alternatives) == 1:
            parts.append(re.escape(alternatives[0]))
        else:
            parts.append(f"(?:{'|'.join(map(re.escape, alternatives))})")
    return "".join(parts)


@functools.lru_cache(maxsize=512)
def _encoded_alternatives(alternatives: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return the encodings of a character, or of a run of it, as bytes of encoded JSON."""
    return tuple({_encoded(encoding) for encoding in alternatives})


def _encoded(encoding: str) -> bytes:
    """Return an encoding as bytes of encoded JSON."""
    try:
        return dumps(encoding)[1:-1]
    except TypeError:
        # A lone surrogate, of which a line holds the escape.
        return dumps(encoding.encode("utf-8", "backslashreplace").decode())[1:-1]


def _runs(encodings: Encodings) -> tuple[bool, frozenset[bytes]]:
    """Return whether the runs of a needle are long, and the runs."""
    encoded = [*map(_encoded_alternatives, encodings)]
    # How many bytes follow from each character on, at least.
    left = [*itertools.accumulate(reversed([min(map(len, each)) for each in encoded]))][::-1]
    # Base64 and most secrets have one encoding of each character.
    whole = (
        b"".join(each[0] for each in encoded) if all(len(each) == 1 for each in encoded) else b""
    )
    for word_bytes, most in ((_LONG, _MAX_LONG_RUNS), (_SHORT, _MAX_RUNS)):
        size = 2 * word_bytes - 1
        best: frozenset[bytes] = frozenset()
        best_cost = (most, sys.maxsize)
        for start in range(0, len(encoded), 1 + len(encoded) // _MAX_STARTS):
            if left[start] < size:
                break
            runs: frozenset[bytes] | None
            if whole:
                runs = frozenset({whole[-left[start] :][:size]})
            else:
                runs = _expanded(encoded, start, size, best_cost[0])
            if runs is not None:
                cost = (len(runs), max(sum(map(_COMMON.__contains__, run)) for run in runs))
                if cost < best_cost:
                    best, best_cost = runs, cost
        if best:
            return word_bytes == _LONG, best
    return False, frozenset()


def _expanded(
    encoded: Sequence[tuple[bytes, ...]], start: int, size: int, most: int
) -> frozenset[bytes] | None:
    """Return every run of ``size`` bytes that begins at a character.

    Args:
        encoded: The encodings of each character.
        start: The index of the character.
        size: How many bytes a run has.
        most: The largest number of runs.

    Returns:
        The runs; None for more than ``most``, and if the needle may end within a run.
    """
    head = b""
    while len(head) < size and start < len(encoded) and len(encoded[start]) == 1:
        head += encoded[start][0]
        start += 1
    if len(head) >= size:
        return frozenset({head[:size]})
    done: set[bytes] = set()
    growing = {head}
    for alternatives in itertools.islice(encoded, start, None):
        grown = {run + encoding for run in growing for encoding in alternatives}
        growing = set()
        for run in grown:
            if len(run) >= size:
                done.add(run[:size])
            else:
                growing.add(run)
        if len(done) + len(growing) > most:
            return None
        if not growing:
            return frozenset(done)
    return None


def needles_of(
    secrets: Iterable[str], marker: str, *, least_in_base64: int = MIN_CHARACTERS
) -> list[Needle]:
    """Return the needles of secrets, the longest first.

    Args:
        secrets: The registered secrets, as ``checked_values`` returns them, or shorter ones.
        marker: Stands in place of a secret.
        least_in_base64: The least number of characters of a secret that is searched for in
            base64 as well.
    """
    texts: dict[str, None] = {}
    encoded: dict[str, None] = {}
    for secret in secrets:
        # The lines of a secret may be registered and logged with "\n" between them.
        whole = _BREAKS.sub("\n", secret)
        lines = [
            line
            for line in map(str.strip, whole.split("\n"))
            if len(line) >= MIN_CHARACTERS and not _BOUNDARY_LINE.fullmatch(line)
        ]
        texts[whole] = None
        texts.update(dict.fromkeys(lines))
        for text in lines or [whole]:
            if len(text) >= least_in_base64:
                encoded.update(dict.fromkeys(_base64_cores(text)))
    needles = [Needle(_of_text(text), marker) for text in texts]
    needles += [Needle(_of_base64(core), marker, is_base64=True) for core in encoded]
    return sorted(needles, key=lambda needle: -needle.size)


def _of_text(text: str) -> Encodings:
    # A run of a character that may be doubled is one item: single ones would multiply the matches.
    return [_encodings_of_run(part) for part in _RUNS.findall(text)]


def _encodings_of_run(run: str) -> tuple[str, ...]:
    if len(run) == 1:
        return _encodings_of(run)
    if run[0] != "\\":
        return _longest_first({encoding * len(run) for encoding in _encodings_of(run[0])})
    return _longest_first(
        {"\\" * (len(run) * count) for count in (1, 2, 4, 8, 16)}
        | {encoding * len(run) for encoding in _percent_encoded("\\")}
    )


def _of_base64(core: str) -> Encodings:
    url_safe = {"+": "-", "/": "_"}
    return [
        (*_encodings_of(char), url_safe[char]) if char in url_safe else (char,) for char in core
    ]


def _base64_cores(text: str) -> Iterable[str]:
    """Return the characters that are the same in the base64 of every text with this secret.

    There is one result for each offset of the secret in a group of three bytes.
    """
    encodings = [_bytes(text)]
    if not text.isascii():
        try:
            encodings.append(text.encode("latin-1"))
        except UnicodeEncodeError:
            pass
    for encoded in encodings:
        for offset in range(3):
            bits = 8 * (offset + len(encoded))
            code = base64.b64encode(b"\0" * offset + encoded).decode()
            yield code[(8 * offset + 5) // 6 : bits // 6]


# -- the prefilter ------------------------------------------------------------


class WordFilter:
    """Finds the needles that a line may hold.

    Attributes:
        words: The words of the needles. A line without any of them has no needle.
        word_bytes: The size of a word in bytes, 4 or 8.
        format: That size as a format of ``memoryview.cast``.
    """

    __slots__ = ("_by_word", "format", "word_bytes", "words")

    def __init__(self, needles: Sequence[Needle]) -> None:
        # A line has half as many words of 8 bytes, which rarely match by chance. They need
        # secrets of about fifteen characters; a shorter one makes all words short.
        is_long = all(needle.has_long_runs for needle in needles if needle.runs)
        self.word_bytes = _LONG if is_long else _SHORT
        self.format: Literal["Q", "I"] = "Q" if is_long else "I"
        self._by_word: dict[int, list[Needle]] = {}
        for needle in needles:
            for word in {
                int.from_bytes(run[offset : offset + self.word_bytes], sys.byteorder)
                for run in needle.runs
                for offset in range(self.word_bytes)
            }:
                self._by_word.setdefault(word, []).append(needle)
        self.words = frozenset(self._by_word)

    def found(self, line: bytes) -> set[Needle]:
        """Return the needles of which a line holds a word."""
        words = memoryview(line[: len(line) & -self.word_bytes]).cast(self.format)
        if self.words.isdisjoint(words):
            return set()
        return {needle for word in self.words.intersection(words) for needle in self._by_word[word]}
