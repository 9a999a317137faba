"""Log the same records on all fronts, in an interpreter that refuses to load some modules.

``python encoder_lines.py orjson,msgspec`` prints the name of the encoder, and then the lines. It
imports nothing else that has a third-party encoder, so it runs where none is installed.
"""

import io
import json
import logging
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Blocker:
    """Finds modules, and refuses to load them as an extension does in a subinterpreter."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.partition(".")[0] in self.names else None

    def create_module(self, spec: ModuleSpec) -> None:
        raise ImportError(f"module {spec.name} does not support loading in subinterpreters")

    def exec_module(self, _: ModuleType) -> None:
        raise AssertionError


def message_for(fields: dict[str, Any], number: int) -> str:
    """Return the message for a record: a short one, JSON, unsafe characters, or a long one."""
    as_json = json.dumps(fields, default=str, skipkeys=True, ensure_ascii=number % 2 == 0)
    texts = ["paid", as_json, "\x7f\u2028 50 % \u20ac\ud800", "secret-password " * 150]
    return texts[number % len(texts)]


def main(blocked: list[str], count: int) -> None:
    """Log on all fronts.

    Args:
        blocked: The modules that are refused.
        count: How many records.
    """
    sys.meta_path.insert(0, Blocker(blocked))
    # The process has a number of as many digits in every run: it decides where a line is cut.
    os.getpid = lambda: 54_321

    import structlog
    from encoder_records import records

    import dockerflow.logging
    import mozlog_py
    from mozlog_py.gcp import CloudFormatter
    from mozlog_py.redaction import Redact
    from mozlog_py.structlog import MozlogRenderer

    redact = Redact(values=["secret-password"], shapes=True)
    static = {"rate": 1e-7, "most": 1e16}
    formatters = [
        mozlog_py.MozlogFormatter(logger_name="shop", hostname="h", static_fields=static),
        mozlog_py.MozlogFormatter(logger_name="shop", hostname="h", strict=True),
        mozlog_py.MozlogFormatter(logger_name="shop", hostname="h", processors=[redact]),
        CloudFormatter(logger_name="shop", hostname="h", project="p"),
        dockerflow.logging.MozlogFormatter(logger_name="shop"),
    ]
    stream = io.StringIO()
    hook = sys.excepthook
    mozlog_py.configure("shop", hostname="h", level="DEBUG", format="json", stream=stream)
    # What this program raises itself belongs on stderr.
    sys.excepthook = hook
    bound = structlog.get_logger("shop.fast").bind(size=1e-5, total=2.5e20)
    chain = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[MozlogRenderer(logger_name="shop", output="text")],
    )
    cutting = mozlog_py.MozlogHandler(stream, max_line_bytes=1024)
    cutting.setFormatter(formatters[0])
    lines: list[str] = []
    for number, fields in enumerate(records(count, seed=3)):
        message = message_for(fields, number)
        made = logging.LogRecord("shop", logging.INFO, __file__, 1, message, (), None)
        vars(made).update(fields)
        lines += (formatter.format(made) for formatter in formatters)
        cutting.handle(made)
        bound.info(message, **fields)
        chain.info(message, **fields)
        logging.getLogger("shop.plain").info(message, extra=fields)
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    print(mozlog_py.config.JSON_ENCODER)
    print(*lines, stream.getvalue(), sep="\n", end="")


if __name__ == "__main__":
    main(sys.argv[1].split(","), int(sys.argv[2]))
