"""URLs of repositories and builds without credentials, as the public may see them.

A CI writes into ``version.json`` the URL that it has cloned from, which often has a token in
it. All forms are recognised that git takes. These are URLs of any scheme, also behind the name of a
remote helper, and the short form ``user@host:path`` of ssh with and without brackets. Addresses of
IPv6 and passwords that are not percent-encoded are recognised as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mozlog_py._redaction.secret_texts import masked_text

__all__ = ["MASK", "public_url", "public_version"]

#: The replacement for a secret that is neither a user nor a password.
MASK: Final = "***"

_SCHEME: Final = re.compile(r"(?P<scheme>(?:[\w+.\-]+::)*[\w+.\-]+://)(?P<rest>.*)", re.DOTALL)
_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.]+)?\]|[^\s/?#@:\[\]\"'<>]+)(?::\d*)?"
# What stands behind the "@" of user and password: a host, its port, and a path or nothing.
_PLACE: Final = re.compile(rf"@(?={_HOST}(?:[/?#]|\Z))")
_HOST_AND_PORT: Final = re.compile(r"(?:\[[^\]]*\]|localhost|[\w\-]+(?:\.[\w\-]+)+):\d{1,5}")
# A path is local, and the command of a helper is not an address.
_LOCAL: Final = re.compile(r"(?:[./~]|[A-Za-z]:[\\/])")
_SHORT: Final = re.compile(
    r"(?P<open>\[?)(?P<user_info>.+)@(?P<place>(?:\[[^\]]*\]|[^\s@:/\[\]]+)(?::\d+\])?:.*)",
    re.DOTALL,
)
_WITHOUT_SCHEME: Final = re.compile(r"[^\s/:@]*:.*@", re.DOTALL)
# The users that all repositories of a host have.
_PUBLIC_USERS: Final = ("git", "hg", "svn")
_KEYS: Final = ("source", "build")


def public_url(url: str) -> str:
    """Return the URL of a repository or a build without user, password and tokens.

    Args:
        url: The URL, in any form that git takes. A user of the name ``git`` stays, as does
            all that has no credentials in it.
    """
    found = _SCHEME.fullmatch(url.strip())
    if found is not None:
        url = f"{found['scheme']}{_without_user_info(found['rest'], found['scheme'])}"
    elif _LOCAL.match(url) is None and "@" in url:
        url = _short(url)
    return masked_text(url, MASK, user_info=False)


def public_version(version: Any) -> Any:
    """Return what a version says, with public URLs of its source and its build.

    Args:
        version: The contents of a ``version.json``, or what stands in its place.
    """
    if not isinstance(version, Mapping):
        return version
    changed = {
        key: public
        for key in _KEYS
        if isinstance(url := version.get(key), str) and (public := public_url(url)) != url
    }
    return {**version, **changed} if changed else version


def _without_user_info(rest: str, scheme: str) -> str:
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority = rest[:end]
    head, at, host = authority.rpartition("@")
    has_password = ":" in (head if at else authority)
    if at and not has_password:
        return f"{_kept(head, scheme)}{rest[len(head) + 1 :]}"
    if not has_password or (not at and _is_place(rest, authority)):
        return rest
    # The password may have any of these signs in it: up to the last "@" before a host.
    last = [found.end() for found in _PLACE.finditer(rest)]
    if last:
        return rest[last[-1] :]
    return host + rest[end:] if at else rest


def _is_place(rest: str, authority: str) -> bool:
    """Return whether a port, and no password, stands behind the colon."""
    if "@" not in rest:
        return True
    if _HOST_AND_PORT.fullmatch(authority) is None:
        return False
    # "me.too:12/34@host.example/shop" is no port.
    behind = rest.rpartition("@")[2]
    return re.match(r"[\w\-]+(?:\.[\w\-]+)+(?::\d+)?/", behind) is None


def _short(url: str) -> str:
    found = _SHORT.fullmatch(url.strip())
    if found is not None:
        return f"{found['open']}{_kept(found['user_info'], 'ssh://')}{found['place']}"
    return _WITHOUT_SCHEME.sub("", url)


def _kept(user: str, scheme: str) -> str:
    is_public = user in _PUBLIC_USERS and "http" not in scheme
    return f"{user}@" if is_public else ""
