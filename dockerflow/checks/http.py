"""Checks of services over HTTP.

::

    checks.register_partial(check_url_answers, "https://search.example.com/health")
"""

from __future__ import annotations

import base64
import http.client
import urllib.error
import urllib.request
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from dockerflow import health
from dockerflow.checks._run.mask_credentials import redact

from .messages import MASK, CheckMessage, Error

__all__ = ["check_url_answers"]

#: Seconds without a byte after which a request fails. This is less than the default deadline of
#: a check, so that the result is this error and not a timeout.
ANSWERS_WITHIN_S: Final = 3.0

_SCHEMES: Final = ("http", "https")


def check_url_answers(url: str, timeout: float = ANSWERS_WITHIN_S) -> list[CheckMessage]:
    """Check that a GET of a URL returns a status below 400, after redirects.

    Messages show only the scheme of the URL, because its path may be a secret too. The name
    of the check identifies the URL.

    Args:
        url: An http or https URL. A user and password in it are sent as Basic authentication.
        timeout: The seconds for each step of the connection.
    """
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        is_usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        text = "The URL to check is no http or https URL with a host and a valid port"
        return [Error(text, id=health.ERROR_URL_MISCONFIGURED)]
    place, shown = _without_credentials(parts), f"{parts.scheme}://{MASK}"
    try:
        request = urllib.request.Request(urlunsplit(place._replace(fragment="")))  # noqa: S310
        if parts.username is not None or parts.password is not None:
            user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
            token = base64.b64encode(user.encode()).decode()
            # Unredirected, so that the target of a redirect does not receive it.
            request.add_unredirected_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=timeout):  # noqa: S310 - only the two schemes
            return []
    except urllib.error.HTTPError as error:
        error.close()
        return [Error(f"{shown} answered with status {error.code}", id=health.ERROR_URL_STATUS)]
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        # The error of an invalid request quotes its path and query.
        text = redact(str(reason) or type(reason).__name__, url)
        return [Error(f"{shown} did not answer: {text}", id=health.ERROR_URL_UNREACHABLE)]


def _without_credentials(parts: SplitResult) -> SplitResult:
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host)
