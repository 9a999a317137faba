"""The names that credentials go by: which fields ``Redact`` hides by default."""

from __future__ import annotations

from typing import Final

from mozlog_py._process.lazy_pattern import lazy_pattern

__all__ = [
    "CREDENTIALS",
    "DIGITS",
    "MARKER",
    "WHOLE_WORDS",
    "is_credential",
    "last_word",
    "normal_name",
]

#: Stands in place of a credential, unless an option names another text.
MARKER: Final = "[redacted]"

#: The names of credentials, in lower case and without separators between words. A name that
#: ends with one of them, or with its plural, counts as well: ``db_password``, ``X-Auth-Token``.
CREDENTIALS: Final = frozenset(
    {
        "accesskey",
        "apikey",
        "assertion",
        "authkey",
        "authorization",
        "bearer",
        "codeverifier",
        "cookie",
        "credential",
        "csrftoken",
        "encryptionkey",
        "jwt",
        "passcode",
        "passphrase",
        "passwd",
        "password",
        "passwordconfirm",
        "passwordconfirmation",
        "passwordrepeat",
        "phpsessid",
        "privatekey",
        "pwd",
        "samlresponse",
        "secret",
        "secretkey",
        "sessionid",
        "sessionkey",
        "signature",
        "signingkey",
        "subscriptionkey",
        "token",
    }
)

#: Names of credentials that count as the last word of a name only, and not as the end of a
#: word: ``DB_PASS`` and ``userPass``, but not ``compass``.
WHOLE_WORDS: Final = frozenset({"auth", "otp", "pass", "sid"})

# Services of language models log counts of tokens more than anything else.
_NO_PLURAL: Final = frozenset({"token"})
_ENDINGS: Final = tuple(
    sorted(CREDENTIALS | {f"{name}s" for name in CREDENTIALS if name not in _NO_PLURAL})
)
_LAST_LETTERS: Final = frozenset(name[-3:] for name in (*_ENDINGS, *WHOLE_WORDS))
_SEPARATORS: Final = lazy_pattern(r"[^a-z0-9]+")
_LETTER: Final = lazy_pattern("[A-Za-z]")
_MOST_READ: Final = 1024
#: Digits at the end of a name count for nothing.
DIGITS: Final = "0123456789"
# A word begins behind a separator, at a capital behind a small letter or a digit, and
# at the last of several capitals where small letters follow: DB|Pass, but OAuth is one word.
_LAST_WORD: Final = lazy_pattern(
    r"(?:^|[^A-Za-z0-9]|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z]{2})(?=[A-Z][a-z]))"
    r"(?P<word>[A-Za-z][a-z]*|[A-Z]+)(?:[^A-Za-z]*)\Z"
)


def normal_name(name: str) -> str:
    """Return a name in lower case, without separators between its words."""
    name = name.lower()
    if name.isascii():
        # The regular expression costs several times as much as these calls.
        name = name.replace("_", "").replace("-", "")
        if name.isalnum():
            return name
    return _SEPARATORS.sub("", name)


def is_credential(name: str) -> bool:
    """Return whether a name is, by default, that of a credential.

    Digits at its end count for nothing: ``new_password2`` is a password.
    """
    if len(name) > _MOST_READ and _LETTER.search(name, len(name) - _MOST_READ):
        # The end of a name decides, and clients may send names of any length.
        name = name[-_MOST_READ:]
    normal = normal_name(name).rstrip(DIGITS)
    # A cheap test for the many names that are not. Other alphabets have separators of their own.
    if normal[-3:] not in _LAST_LETTERS and name.isascii():
        return False
    if normal.endswith(_ENDINGS):
        return True
    return last_word(name).lower() in WHOLE_WORDS


def last_word(name: str) -> str:
    """Return the last word of a name, as it stands there: ``Pass`` of ``dbPass2``."""
    last = _LAST_WORD.search(name)
    return "" if last is None else last["word"]
