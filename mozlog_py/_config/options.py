"""Checks of options: one function for each kind of option, and one error for all.

An error names the option, shows its value, and says what to write instead.
"""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Mapping
from typing import Any, Final

__all__ = [
    "OptionError",
    "check_logger_names",
    "check_mapping",
    "check_names",
    "check_no_positional",
    "check_number",
    "check_stream",
    "check_switch",
    "check_text",
    "check_unresolved",
    "shown",
]

_MAX_SHOWN: Final = 200
# The classes of files that open() returns for reading.
_FILES: Final = (io.TextIOWrapper, io.BufferedReader, io.FileIO)
# The beginnings of texts that logging.config replaces with an object, at any depth.
# Source: logging.config.BaseConfigurator.value_converters.
_RESOLVED: Final = ("cfg://", "ext://")
# Texts that name a standard stream, and not a path. dictConfig resolves the last form.
_STANDARD_STREAMS: Final = {
    f"{prefix}{name}": f"sys.{name}"
    for prefix in ("", "sys.", "ext://sys.")
    for name in ("stdout", "stderr")
}


class OptionError(TypeError, ValueError):
    """An option has an invalid value. The text names the option and says what to write.

    The error is both a ``TypeError`` and a ``ValueError``, so that callers may catch either:
    ``queue=5`` has a wrong type as well as a wrong value.
    """


def shown(value: object) -> str:
    """Return the first 200 characters of a value's ``repr``, for the text of an error."""
    try:
        text = repr(value)
    except Exception:
        return f"of type {type(value).__name__}"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def check_switch(name: str, value: object) -> bool:
    """Return a switch as a bool. Raise ``OptionError`` unless it is a bool, 0 or 1."""
    if value is True or value is False:
        return value
    if type(value) is int and value in (0, 1):
        return value == 1
    hint = ", without quotes: any text would count as true" if isinstance(value, str) else ""
    raise OptionError(f"{name} is {shown(value)}; it must be True or False{hint}")


def check_text(name: str, value: object, meaning: str) -> None:
    """Raise ``OptionError`` for a value that is not text.

    Args:
        name: The option.
        value: Its value.
        meaning: The use of the text, for the error's text.
    """
    if not isinstance(value, str):
        raise OptionError(f"{name} is {shown(value)}; it must be text: {meaning}")


def check_unresolved(name: str, value: object) -> None:
    """Raise ``OptionError`` for a text that ``logging.config`` would replace with an object.

    Args:
        name: The option.
        value: Its value. The contents of dicts, lists and tuples are checked as well.
    """
    # Each container is checked once, because it may contain itself.
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            if each.startswith(_RESOLVED):
                raise OptionError(
                    f"{name} has the text {shown(each)}, which logging.config would import or "
                    "look up in a dictConfig, also if it comes from outside; configure() takes it "
                    "as a text"
                )
        elif isinstance(each, (Mapping, list, tuple)) and id(each) not in seen:
            seen.add(id(each))
            waiting.extend(each.values() if isinstance(each, Mapping) else each)


def check_mapping(name: str, value: object, example: str = "") -> None:
    """Raise ``OptionError`` for a value that is neither None nor a mapping.

    Args:
        name: The option.
        value: Its value.
        example: A valid value, for the error's text.
    """
    if value is not None and not isinstance(value, Mapping):
        such_as = f", such as {example}" if example else ""
        raise OptionError(f"{name} is {shown(value)}; it must be a dict{such_as}")


def check_logger_names(loggers: Any) -> None:
    """Raise ``OptionError`` unless the option ``loggers`` is None or a mapping by names."""
    check_mapping("loggers", loggers, "{'shop.cart': 'DEBUG'}")
    for name in loggers or {}:
        if not isinstance(name, str):
            raise OptionError(
                f"loggers has {shown(name)} in it; a logger's name must be text, as in "
                "{'shop.cart': 'DEBUG'}"
            )


def check_number(name: str, value: object, *, least: float, allowed: str, whole: bool) -> None:
    """Raise ``OptionError`` for a value that is not a number of at least ``least``.

    Args:
        name: The option.
        value: Its value.
        least: The smallest allowed number.
        allowed: The allowed values, for the error's text.
        whole: Whether the number has to be an ``int``.
    """
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not value >= least:
        raise OptionError(f"{name} is {shown(value)}; it must be {allowed}")


def check_names(name: str, given: Mapping[Any, Any], known: Collection[str]) -> None:
    """Raise ``OptionError`` for an unknown key.

    Args:
        name: The option that is a mapping.
        given: Its value.
        known: The keys that it may have.
    """
    unknown = [key for key in given if key not in known]
    if not unknown:
        return
    # Imported here: only this error needs it.
    from difflib import get_close_matches

    near = get_close_matches(str(unknown[0]), known, 1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    raise OptionError(
        f"{name} has {', '.join(map(shown, unknown))} in it{meant}; it takes "
        f"{', '.join(sorted(known))}"
    )


def check_no_positional(function: str, positional: tuple[object, ...], hint: str = "") -> None:
    """Raise ``OptionError`` for positional arguments in place of fields: ``bind({...})``.

    Args:
        function: The name of the function that got them.
        positional: The arguments.
        hint: The call to write instead, for the error's text.
    """
    if not positional:
        return
    first = positional[0]
    instead = hint or f"{function}(user='ann')"
    if isinstance(first, Mapping):
        instead = f"{function}(**fields) for a dict, or {instead}"
    raise OptionError(
        f"{function}() was given {shown(first)} without a name; fields are keyword arguments: "
        f"write {instead}"
    )


def check_stream(name: str, stream: object, named_by: str = "name") -> None:
    """Raise ``OptionError`` for a value that is neither a stream nor clearly a path.

    A text without a separator or a suffix is more often the name of an application or of a
    stream than that of a file.

    Args:
        name: The option.
        stream: Its value; None follows ``sys.stdout``.
        named_by: The option for the application's name.
    """
    if stream is None or isinstance(stream, os.PathLike):
        return
    if isinstance(stream, str):
        _check_path(name, stream, named_by)
    elif not _has_write(stream):
        raise OptionError(
            f"{name} is {shown(stream)}, which has no write(); it must be an open stream such as "
            "sys.stderr, a path, or left out for sys.stdout"
        )
    elif _is_read_only(stream):
        raise OptionError(
            f"{name} is {shown(stream)}, which is open for reading only; open it for writing, as "
            "in open(path, 'ab'), or write the path"
        )


def _check_path(name: str, text: str, named_by: str) -> None:
    standard = _STANDARD_STREAMS.get(text.strip().lower())
    if standard is not None:
        left_out = " or leave it out" if standard == "sys.stdout" else ""
        raise OptionError(
            f"{name} is the text {shown(text)}, which would be the path of a file; for the stream "
            f"write {name}={standard}{left_out}, in a dictConfig 'ext://{standard}'; for a file of "
            f"that name write './{text}'"
        )
    has_directory = any(mark in text for mark in (os.sep, os.altsep) if mark)
    if not has_directory and len(os.path.splitext(text)[1]) < 2:  # noqa: PTH122 - a text
        raise OptionError(
            f"{name} is the text {shown(text)}, which is no stream, and no path with a directory "
            f"or a suffix; for the application's name write {named_by}={text!r}; for a file write "
            f"'./{text}', '{text}.log' or a pathlib.Path"
        )


def _is_read_only(stream: Any) -> bool:
    """Return whether a file is open for reading only.

    Only the files of ``open()`` itself are asked: other classes, such as those that derive from
    ``io.TextIOBase``, inherit answers that do not hold for them.
    """
    if not any(type(stream) is kind for kind in _FILES):
        return False
    try:
        return bool(stream.readable() and not stream.writable())
    except ValueError:
        # It is closed, or its descriptor is detached. The sink counts lines that it cannot write.
        return False


def _has_write(stream: object) -> bool:
    try:
        return hasattr(stream, "write")
    except Exception:
        # A test double may raise any exception. The sink counts lines that it cannot write.
        return True
