"""The ids of messages that do not count in a heartbeat, and texts in place of a list of them.

Upstream searches for an id with ``in``, so that ``silenced_checks="shop.E001"`` silences the
message of that id there. Such a service goes on here, with a warning. Parameters that upstream
does not have refuse a text.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any, Final

from mozlog_py._config.options import OptionError, shown
from mozlog_py._process.memo import remember

__all__ = ["check_silenced", "ids_in"]

_TEXTS: Final = (str, bytes, bytearray)
_BETWEEN: Final = re.compile(r"[\s,;]+")
_logger: Final = logging.getLogger("dockerflow.checks.registry")
# The texts that were warned of: configurations have few.
_warned: Final[dict[str, None]] = {}
_MAX_WARNED: Final = 16


def check_silenced(name: str, given: Any) -> None:
    """Raise ``OptionError`` for a text in place of a collection of ids.

    Args:
        name: The parameter.
        given: Its value.
    """
    # An empty one silences nothing, as an environment variable without a value does.
    if isinstance(given, _TEXTS) and given:
        raise OptionError(
            f"{name} is {shown(given)}, a collection of single characters, which silences "
            f"nothing; write a list, {name}={shown(_named(given))}"
        )


def ids_in(given: Iterable[str]) -> set[str]:
    """Return the ids of a collection, or those that a text names. A text is warned of once."""
    if not isinstance(given, _TEXTS) or not given:
        return set(given)
    names = _named(given)
    text = str(given)
    if text not in _warned:
        remember(_warned, text, None, _MAX_WARNED)
        _logger.warning(
            "The silenced checks are the text %s, which is read as ids; write a list, %s",
            shown(given), shown(names),
        )  # fmt: skip
    # An id may have a blank: upstream finds it in the text too.
    return {text, *names}


def _named(given: Any) -> list[str]:
    text = given if isinstance(given, str) else bytes(given).decode("latin-1")
    return [each for each in _BETWEEN.split(text) if each]
