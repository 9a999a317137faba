"""Texts of other people's exceptions, without what a stranger must not see.

What masks them (``text_mask``, ``credential_parts``) is imported when the first check fails.
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
# What is looked at, of a text of any length: what lies further behind is cut off anyway.
_MAX_READ: Final = 4096


class _Hidden:
    """Hides all texts of an exception, where what masks them fails itself."""

    def error(self, shown: str, text: str) -> str:  # noqa: ARG002
        """Return the name of the class alone."""
        return f"{shown.partition('(')[0]}({MASK})"

    def text(self, text: str) -> str:
        """Return as many lines as there are."""
        return f"{MASK}\n" if text.endswith("\n") else MASK


def mask_for(*given: Any) -> TextMask:
    """Return what masks the texts of a check, by what the check was given."""
    with fork_safe_import():
        from .credential_parts import parts_of
        from .text_mask import TextMask

    return TextMask(parts_of(*given))


def mask_raised(error: BaseException, function: Any) -> None:
    """Have lines about what a check raised masked, by what is bound to the check.

    What the environment has of secrets is masked as well: a check of the application's own
    seldom has its connection string bound to it.

    Args:
        error: What the check raised. If it is masked already, as by a check that knows what it
            was given, that stays masked.
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
        # As where there is no memory left, or no room on the stack.
        mask_exception(error, _Hidden())


def redact(text: object, *given: Any) -> str:
    """Return a text on one line, at most 500 characters long, without credentials and hosts.

    Args:
        text: The text, such as that of an exception; of any object its ``str``.
        given: What the check was given: connection strings, clients, pools, tokens.
    """
    try:
        whole = str(text)
        if len(whole) > _MAX_READ:
            # Without the last word, which may be half of a URL.
            words = whole[:_MAX_READ].rsplit(None, 1)
            whole = f"{words[0] if len(words) > 1 else ''} ..."
        masked = " ".join(mask_for(*given).text(whole).split())
    except Exception:
        return MASK
    if len(masked) > _MAX_CHARACTERS:
        return f"{masked[: _MAX_CHARACTERS - 3]}..."
    return masked
