"""Masks credentials and hosts in the texts of drivers' exceptions.

``text_mask`` and ``credential_parts`` are imported when the first check fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dockerflow.checks.messages import MASK
from mozlog_py._process.fork_safe_import import fork_safe_import
from mozlog_py._values.tracebacks import mask_exception, mask_of

if TYPE_CHECKING:
    from .text_mask import TextMask

__all__ = ["mask_for", "mask_raised", "redact"]

_MAX_CHARACTERS: Final = 500
# The number of characters that are read of a text. The result is much shorter.
_MAX_READ: Final = 4096


class _Hidden:
    """Hides all texts of an exception, if masking them fails."""

    def error(self, shown: str, text: str) -> str:  # noqa: ARG002
        """Return the name of the exception's class."""
        return f"{shown.partition('(')[0]}({MASK})"

    def text(self, text: str) -> str:
        """Return the mask in place of a text; a line break at its end stays."""
        return f"{MASK}\n" if text.endswith("\n") else MASK


def mask_for(*given: Any) -> TextMask:
    """Return a mask for the texts of a check.

    Args:
        given: The arguments of the check: connection strings, clients, pools, tokens.
    """
    with fork_safe_import():
        from .credential_parts import parts_of
        from .text_mask import TextMask

    return TextMask(parts_of(*given))


def mask_raised(error: BaseException, function: Any) -> None:
    """Mask the bound arguments of a check in log lines about its exception.

    Secrets in the environment are masked as well, because an application's own check seldom
    has its connection string bound.

    Args:
        error: The exception. A mask that it has already stays in force.
        function: The check.
    """
    try:
        with fork_safe_import():
            from mozlog_py._redaction.secret_values import secrets_in_environment
            from mozlog_py._values.credential_names import is_credential

            from .credential_parts import parts_of_bound
            from .text_mask import TextMask

        parts = parts_of_bound(function)
        former = mask_of(error)
        if isinstance(former, TextMask):
            parts.update(former.parts)
        mask_exception(error, TextMask(parts, *secrets_in_environment(None, is_credential)))
    except Exception:
        # There is no memory left, for example, or no room on the stack.
        mask_exception(error, _Hidden())


def redact(text: object, *given: Any) -> str:
    """Return a text without credentials and hosts, on one line of at most 500 characters.

    Args:
        text: The text, or an object such as an exception, of which ``str`` is the text.
        given: The arguments of the check: connection strings, clients, pools, tokens.
    """
    try:
        whole = str(text)
        if len(whole) > _MAX_READ:
            # Without the last word, which may be the beginning of a URL.
            words = whole[:_MAX_READ].rsplit(None, 1)
            whole = f"{words[0] if len(words) > 1 else ''} ..."
        masked = " ".join(mask_for(*given).text(whole).split())
    except Exception:
        return MASK
    if len(masked) > _MAX_CHARACTERS:
        return f"{masked[: _MAX_CHARACTERS - 3]}..."
    return masked
