"""The credentials and hosts in a check's arguments: connection strings, URLs, clients, pools.

Each driver quotes them in its errors in another way: decoded, percent-encoded, in lower case,
or split at the wrong character. So the parts are collected as values here, and ``text_mask``
masks each of them in all these forms. No function here raises for an object of another kind.
"""

from __future__ import annotations

# The codec of host names. Python would import it at its first use, in a check's thread.
import encodings.idna  # noqa: F401
import functools
import re
from collections import deque
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

from mozlog_py._redaction.secret_texts import is_name_of_secret
from mozlog_py._values.class_lookup import comes_from

__all__ = ["Parts", "parts_of", "parts_of_bound"]

#: The number of objects, texts and numbers that are read for one check.
_MAX_VALUES: Final = 200
_MAX_CHARACTERS: Final = 4096

# Separators of a connection string, and characters at which a driver may split a password.
_SEPARATORS: Final = re.compile(r"""[\s!"#$%&'()*+,/:;<=>?@\[\\\]^`{|}~]+""")
_SCHEME: Final = re.compile(r"(?:[A-Za-z][\w+.\-]*:)?//")
# Escapes and doubled quotes within a quoted value of a connection string.
_ESCAPED: Final = re.compile(r"\\(.)|([}'\"])(?=\2)", re.DOTALL)
_SETTING_NAME: Final = re.compile(r"(?:^|(?<=[\s;?&,]))[A-Za-z_][\w .\-]{0,40}?\s?=")

# The attributes in which clients and pools keep their connection's arguments.
_ATTRIBUTES: Final = (
    "url",
    "engine",
    "conninfo",
    "kwargs",
    "_connect_args",
    "_connect_kwargs",
    "connection_pool",
    "connection_kwargs",
    "settings_dict",
    "startup_nodes",
    "sentinels",
    "conn",
    "db",
)
_URL_ATTRIBUTES: Final = ("username", "password", "host", "port", "database", "query")
# The packages of clients whose attributes may be read even if they are bound to another check
# than those of this package.
_PACKAGES: Final = frozenset(
    {
        "asyncpg", "django", "django_redis", "flask_migrate", "flask_sqlalchemy", "psycopg",
        "psycopg_pool", "redis", "sanic_redis", "sqlalchemy",
    }
)  # fmt: skip
# The names of settings whose values are places. The values of all others are secrets.
_PLACES: Final = frozenset(
    {"database", "db", "dbname", "host", "hostaddr", "name", "path", "port", "server"}
)
_NEITHER: Final = frozenset(
    {"charset", "client_encoding", "driver", "drivername", "encoding", "encoding_errors", "engine"}
)
# The modules of this package's checks, which take clients of any class.
_OURS: Final = (
    "dockerflow.checks.",
    "dockerflow.django.",
    "dockerflow.flask.",
    "dockerflow.sanic.",
)
_TEXTS: Final = (str, bytes, bytearray)


class Parts:
    """The credentials and hosts in a check's arguments.

    Attributes:
        secrets: Users, passwords, tokens and the values of parameters.
        places: Hosts, ports, and names of databases.
        pairs: ``user:password``, as clients encode it for a header.
    """

    def __init__(self) -> None:
        self.secrets: dict[str, None] = {}
        self.places: dict[str, None] = {}
        self.pairs: dict[str, None] = {}

    def update(self, other: Parts) -> None:
        """Add the parts of further arguments."""
        self.secrets.update(other.secrets)
        self.places.update(other.places)
        self.pairs.update(other.pairs)

    def add(self, value: Any, *, reads: Callable[[Any], bool]) -> None:
        """Add the parts of a value. Never raises an ``Exception``.

        Args:
            value: A text, a mapping, a sequence, a client, a pool or anything else.
            reads: Returns whether the attributes of an object may be read.
        """
        # Breadth first, because an object may contain any number of others.
        waiting = deque([value])
        for _ in range(_MAX_VALUES):
            if not waiting:
                return
            try:
                self._add_one(waiting.popleft(), waiting, reads)
            except Exception:  # noqa: S112
                # A property has raised, or a mapping cannot be iterated.
                continue

    def _add_one(self, value: Any, waiting: deque[Any], reads: Callable[[Any], bool]) -> None:
        if value is None or type(value) is bool:
            return
        if isinstance(value, _TEXTS):
            self._add_text(_text(value))
        elif isinstance(value, Mapping):
            self._add_settings(value, waiting)
        elif isinstance(value, (list, tuple, set, frozenset)) and not hasattr(value, "password"):
            waiting.extend([*value][:_MAX_VALUES])
        elif reads(value):
            # SQLAlchemy's URL, a tuple, has these attributes as well.
            found = {name: _attribute(value, name) for name in _URL_ATTRIBUTES}
            if found["host"] is not None or found["password"] is not None:
                self._add_settings(found, waiting)
            waiting.extend(_attribute(value, name) for name in _ATTRIBUTES)

    def _add_settings(self, settings: Mapping[Any, Any], waiting: deque[Any]) -> None:
        user = password = ""
        for key, value in [*settings.items()][:_MAX_VALUES]:
            name = _text(key).lower() if isinstance(key, _TEXTS) else ""
            if value is None or type(value) is bool or callable(value) or name in _NEITHER:
                continue
            is_named = name == "password" or name in _PLACES
            if not (isinstance(value, _TEXTS) or _is_number(value) or is_named):
                waiting.append(value)
                continue
            # Drivers call str() on an object that is a password.
            text = _text(value)
            if name in _PLACES:
                self._add_place(text)
            elif "://" in text:
                self._add_text(text)
            elif not _is_number(value) or is_name_of_secret(name):
                # Other numbers are timeouts or sizes.
                self._add_secret(text)
            if name in ("user", "username"):
                user = text
            elif name == "password":
                password = text
        if password:
            self.pairs[f"{user}:{password}"] = None

    def _add_text(self, text: str) -> None:
        """Add the parts of a connection string, of a URL, or of a token."""
        text = text.strip()[:_MAX_CHARACTERS]
        scheme = _SCHEME.match(text)
        if scheme is None and not _SETTING_NAME.search(text) and "@" not in text:
            self._add_secret(text)
            return
        self.secrets[text] = None
        body = text if scheme is None else text[scheme.end() :]
        # The user and the password stand before the last "@", the host behind it.
        user_info, at, rest = body.rpartition("@")
        if scheme is not None and at:
            user, colon, password = user_info.partition(":")
            self._add_secret(user_info)
            self._add_secret(user)
            self._add_secret(password)
            if colon:
                self.pairs[f"{unquote(user)}:{unquote(password)}"] = None
        body = _SETTING_NAME.sub(lambda match: "\0" * len(match[0]), body)
        begin = len(body) - len(rest) if at else 0
        host_end = min((i for i in map(rest.find, "/?#") if i >= 0), default=len(rest))
        for word in re.split("\0+", body[:begin]) + re.split("\0+", body[begin:]):
            self._add_secret(word)
            self._add_secret(_ESCAPED.sub(r"\1\2", word.strip(" \t\r\n;'\"{}")))
        if scheme is not None:
            for host in _SEPARATORS.split(rest[:host_end]):
                self._add_place(host)

    def _add_secret(self, text: str) -> None:
        self._add(self.secrets, text)

    def _add_place(self, text: str) -> None:
        self._add(self.places, text)
        self._add(self.places, _in_idna(text))

    def _add(self, parts: dict[str, None], text: str) -> None:
        for each in (text, unquote(text), unquote_plus(text)):
            whole = each.strip()
            if whole:
                parts[whole] = None
                # Servers cut the names of users and databases to this length.
                parts[whole[:63]] = None
            for fragment in _SEPARATORS.split(each):
                if fragment:
                    parts[fragment] = None


def parts_of(*given: Any) -> Parts:
    """Return the parts of the arguments of a check of this package."""
    parts = Parts()
    for value in given:
        parts.add(value, reads=_always)
    return parts


def parts_of_bound(function: Any) -> Parts:
    """Return the parts of the arguments that are bound to any check.

    Of the arguments of an application's own check, only the attributes of known clients are
    read.
    """
    bound: list[Any] = []
    # By type(), because an object may claim any class.
    while issubclass(type(function), functools.partial):
        bound += (*function.args, *function.keywords.values())
        function = function.func
    is_ours = type(function) is FunctionType and function.__module__.startswith(_OURS)
    parts = Parts()
    for value in bound:
        parts.add(value, reads=_always if is_ours else _is_client)
    return parts


def _always(_: Any) -> bool:
    return True


def _is_client(value: Any) -> bool:
    return comes_from(type(value), _PACKAGES)


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "backslashreplace")
    return str.__str__(value) if isinstance(value, str) else str(value)


def _in_idna(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host
