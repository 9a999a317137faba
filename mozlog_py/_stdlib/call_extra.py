"""Replaces ``logging.Logger.makeRecord`` with one that accepts any ``extra``.

The original raises ``KeyError`` for a name that the record already has, possibly in a request,
on a branch that no test covers. Here such a field is stored beside the attribute, as
``extra.<name>``, in its position in the call. ``docs/design/record-factory.md`` has the reasons.

Patches of other libraries keep working: a ``makeRecord`` from before is called by this one, and
a later one calls this one. The limit is a subclass of ``Logger`` whose own ``makeRecord`` does
not call that of its base class.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from mozlog_py._fields.from_record import (
    EXCLUDED_ATTRIBUTES,
    RECORD_METHODS,
    STANDARD_ATTRIBUTES,
)
from mozlog_py._process.unpatched import unpatched_method
from mozlog_py._values.sanitiser import unique_key

from .patches import bound_member

__all__ = ["OverridingExtra", "install", "make_record"]

_names: Final = vars(logging)
#: The names that no field of ``extra`` keeps, without those that a record factory adds.
#: Formatters set ``message`` and ``asctime``. ``taskName`` is reserved on every Python.
_RESERVED: Final = (EXCLUDED_ATTRIBUTES - {"logger_name"}) | RECORD_METHODS
_is_unreserved: Final = _RESERVED.isdisjoint
_STANDARD_COUNT: Final = len(STANDARD_ATTRIBUTES)
_NOT_IN_DICT: Final = ("asctime", "message", "taskName", *RECORD_METHODS)
# A bound for chains of wrappers that refer to themselves.
_MAX_LAYERS: Final = 100


class OverridingExtra(dict[str, Any]):
    """An ``extra`` whose fields replace the attributes that a record factory has set.

    It is for measured fields, such as those of a request's summary. The standard attributes of
    records are not replaced.
    """


def make_record(
    self: logging.Logger,  # noqa: ARG001 - it is a method
    name: Any,
    level: Any,
    fn: Any,
    lno: Any,
    msg: Any,
    args: Any,
    exc_info: Any,
    func: Any = None,
    extra: Any = None,
    sinfo: Any = None,
) -> logging.LogRecord:
    """Make a record as ``logging.Logger.makeRecord`` does, but accept any ``extra``."""
    record: logging.LogRecord = _names["_logRecordFactory"](
        name, level, fn, lno, msg, args, exc_info, func, sinfo
    )
    if extra is not None:
        attrs = record.__dict__
        try:
            if (
                type(extra) is dict
                and _is_unreserved(extra)
                # The record factory of another library may have set further attributes.
                and (len(attrs) == _STANDARD_COUNT or attrs.keys().isdisjoint(extra))
            ):
                attrs |= extra
                return record
        except Exception:
            # The hash or equality of a key raises: _place_fields() handles it.
            pass
        _place_fields(attrs, extra)
    return record


make_record.takes_any_extra = True  # type: ignore[attr-defined]


def _place_fields(attrs: dict[Any, Any], extra: Any) -> None:
    """Add the fields of an ``extra`` to a record's attributes, under unused names."""
    items = _extra_items(extra)
    replaces = type(extra) is OverridingExtra
    attributes = {*attrs, *_NOT_IN_DICT}
    taken = {*attributes, *(key for key, _ in items if type(key) is str)}
    numbers: dict[str, int] = {}
    for key, value in items:
        name = key
        try:
            if key in attributes and not (replaces and key not in _RESERVED):
                name = unique_key(f"extra.{key}", taken, numbers)
                taken.add(name)
            attrs[name] = value
        except Exception:
            # The hash or equality of the key raises.
            attrs[unique_key("<broken key>", attrs, numbers)] = value


def _extra_items(extra: Any) -> list[tuple[Any, Any]]:
    try:
        if isinstance(extra, Mapping):
            return [*extra.items()]
        return [(key, extra[key]) for key in extra]
    except Exception:
        # The value is not a mapping: it becomes one field.
        return [("extra", extra)]


def _guarded(former: Any) -> Callable[..., logging.LogRecord]:
    """Return a ``makeRecord`` that calls another library's with an ``extra`` that it accepts."""
    if unpatched_method(former) is not None:
        return make_record

    @functools.wraps(make_record)
    def make_guarded(
        self: logging.Logger,
        name: Any,
        level: Any,
        fn: Any,
        lno: Any,
        msg: Any,
        args: Any,
        exc_info: Any,
        func: Any = None,
        extra: Any = None,
        sinfo: Any = None,
    ) -> logging.LogRecord:
        make = bound_member(former, self)
        call = name, level, fn, lno, msg, args, exc_info, func
        fields = None if extra is None else _harmless(extra)
        try:
            return make(*call, fields, sinfo)  # type: ignore[no-any-return]
        except KeyError as error:
            if fields is None or "overwrite" not in str(error):
                raise
        # The record factory has set an attribute of that name.
        record: logging.LogRecord = make(*call, None, sinfo)
        _place_fields(record.__dict__, fields)
        return record

    inner = getattr(former, "__wrapped__", None)
    if callable(inner):
        # A library that removes its own wrapper by this attribute keeps this function.
        make_guarded.__wrapped__ = _guarded(inner)
    else:
        del make_guarded.__wrapped__
    return make_guarded


def _harmless(extra: Any) -> dict[Any, Any]:
    """Return an ``extra`` without names of standard attributes."""
    try:
        if issubclass(type(extra), dict) and _is_unreserved(extra):
            return extra  # type: ignore[no-any-return]
    except Exception:
        # The hash or equality of a key raises, as in make_record().
        pass
    attrs: dict[Any, Any] = dict.fromkeys(_RESERVED)
    _place_fields(attrs, extra)
    fields = [*attrs.items()][len(_RESERVED) :]
    return OverridingExtra(fields) if type(extra) is OverridingExtra else dict(fields)


def _takes_any_extra(method: Any) -> bool:
    """Return whether a ``makeRecord`` is that of this module, or wraps it."""
    for _ in range(_MAX_LAYERS):
        # Compared with True, because a mock has every attribute.
        if getattr(method, "takes_any_extra", None) is True:
            return True
        method = getattr(method, "__wrapped__", None)
        if method is None:
            break
    return False


def install() -> None:
    """Replace ``Logger.makeRecord``. A second call changes nothing."""
    present = vars(logging.Logger).get("makeRecord")
    if present is not None and not _takes_any_extra(present):
        logging.Logger.makeRecord = _guarded(present)  # type: ignore[method-assign]
