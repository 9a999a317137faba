"""Template strings for tests: those of the language, or what stands for them before Python 3.14.

An older Python cannot read ``t"..."``. There a source is read as an f-string, and its parts become
an instance of the class that the package has in place of ``string.templatelib.Template``. The
values, their expressions, conversions and formats are those that Python 3.14 gives, on which the
same tests run with its own.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from mozlog_py._fields.template_message import Template

__all__ = ["IS_REAL", "template"]

#: Whether this Python has template strings.
IS_REAL = sys.version_info >= (3, 14)


class _Interpolation(NamedTuple):
    value: Any
    expression: str
    conversion: str | None
    format_spec: str


def template(source: str, **names: Any) -> Any:
    """Return the template string of a source, with the values of some names."""
    if IS_REAL:
        return eval(f"t{source!r}", names)
    made = Template()
    vars(made)["parts"] = [*_parts(ast.parse(f"f{source!r}", mode="eval").body, names)]
    return made


def _parts(read: Any, names: dict[str, Any]) -> Iterator[Any]:
    for part in read.values if isinstance(read, ast.JoinedStr) else [read]:
        if isinstance(part, ast.Constant):
            if part.value:
                yield part.value
            continue
        code = compile(ast.Expression(part.value), "<template>", "eval")
        spec = "" if part.format_spec is None else _text_of(part.format_spec, names)
        conversion = None if part.conversion == -1 else chr(part.conversion)
        yield _Interpolation(eval(code, names), ast.unparse(part.value), conversion, spec)


def _text_of(read: ast.expr, names: dict[str, Any]) -> str:
    text: str = eval(compile(ast.Expression(read), "<template>", "eval"), names)
    return text


if not IS_REAL:

    def _iterate(self: Any) -> Iterator[Any]:
        return iter(vars(self)["parts"])

    def _represent(self: Any) -> str:
        parts = [*self]
        strings = tuple(part for part in parts if type(part) is str)
        values = tuple(part for part in parts if type(part) is not str)
        return f"Template(strings={strings!r}, interpolations={values!r})"

    Template.__iter__ = _iterate  # type: ignore[attr-defined]
    Template.__repr__ = _represent  # type: ignore[method-assign]
