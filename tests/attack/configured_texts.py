"""Texts that ``logging.config`` would resolve, import or call, where a text is what is meant."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

import mozlog_py

from .service import Rows, Tally

_MODULE = "a_module_that_marks"
TEXTS = (
    "ext://string.digits", "ext://sys.hexversion", f"ext://{_MODULE}.thing", "cfg://handlers",
    "cfg://root", "cfg://formatters.mozlog", "ext://", "cfg://", f"{_MODULE}.thing",
    "ext://sys.stdout", "() os.system", "%(asctime)s", "$HOME", "{asctime}",
)  # fmt: skip
_FACTORIES: tuple[dict[str, Any], ...] = (
    {"()": f"{_MODULE}.thing"}, {"()": "os.putenv", "key": "A_MARK", "value": "1"},
    {"class": f"{_MODULE}.thing"}, {".": {"a": "ext://string.digits"}},
)  # fmt: skip


def run() -> Rows:
    """Return a row for texts in the configuration, and one for texts in records."""
    with tempfile.TemporaryDirectory() as folder:
        mark = Path(folder, "mark")
        Path(folder, f"{_MODULE}.py").write_text(
            f"open({str(mark)!r}, 'a').close()\ndef thing(*_, **__): return 'called'\n"
        )
        sys.path.append(folder)
        tally = Tally()
        for text in TEXTS:
            for attack, options in (
                ("logger_name", {"logger_name": text}),
                ("hostname", {"hostname": text}),
                ("static_fields", {"static_fields": {"branch": text}}),
                ("static_fields", {"static_fields": {"of": {"a": [text]}}}),
                ("static_fields", {"static_fields": {text: "value"}}),
            ):
                tally.add(_CONFIGURED, _is_as_it_is(mark, text, options, attack))
            for log in (
                lambda one: logging.getLogger("shop").info(one),
                lambda one: logging.getLogger("shop").info("a", extra={"field": one}),
                lambda one: logging.getLogger(one).info("a"),
                lambda one: structlog.get_logger("shop").info("a", field=one, **{one: 1}),
            ):
                tally.add(_LOGGED, _is_as_it_is(mark, text, {}, "a record", log))
        for factory in _FACTORIES:
            given = {"static_fields": {"of": factory, **factory}}
            tally.add(_CONFIGURED, _is_as_it_is(mark, "", given, "static_fields"))
        sys.path.remove(folder)
    return [(attack, tried, held) for attack, (tried, held) in tally.counts.items()]


_CONFIGURED = "a name or a field that reads ext://, cfg:// or (): nothing is resolved or called"
_LOGGED = "the same in a record"


def _is_as_it_is(
    mark: Path,
    text: str,
    options: dict[str, Any],
    where: str,
    log: Callable[[str], object] = lambda _: logging.getLogger("shop").info("a"),
) -> bool:
    stream = io.StringIO()
    why = ""
    try:
        mozlog_py.configure(**{"logger_name": "shop", **options}, format="mozlog", stream=stream)
        log(text)
        line = stream.getvalue()
        parsed = json.loads(line)
        said = json.dumps(parsed, ensure_ascii=False)
        given = json.dumps(options, ensure_ascii=False)
        if text not in said or (options and json.loads(given) == {}):
            why = f"the line is {line.strip()[:300]}"
        elif where == "static_fields":
            fields = parsed["Fields"]
            wrong = {
                name: of for name, of in options["static_fields"].items() if fields.get(name) != of
            }
            why = f"the fields are {fields}" if wrong else ""
    except Exception as error:
        why = f"it raises {error!r}"
    if mark.exists() or _MODULE in sys.modules or "A_MARK" in os.environ:
        why += " and the module was imported"
        mark.unlink(missing_ok=True)
        sys.modules.pop(_MODULE, None)
        os.environ.pop("A_MARK", None)
    if why:
        print(f"{text!r} as {where} {options}: {why}"[:500], file=sys.stderr)
    return not why
