"""Ways by which a secret left a ``Redact``: keys, bound methods, prefixes, interrupts and args."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
import structlog
from conformance import checked, checked_lines

import mozlog_py
from mozlog_py import MozlogFormatter
from mozlog_py._config.options import OptionError
from mozlog_py.processors import CapLengths, Redact
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, SinkLoggerFactory

SECRET = "tulip-7f3a-XYZ"


class User:
    def __init__(self, password: str) -> None:
        self.password = password

    def __repr__(self) -> str:
        return f"User(password={self.password!r})"

    def method(self) -> None:
        pass


def formatted(**extra: Any) -> str:
    made = logging.LogRecord("a", 20, "/x.py", 1, "hi", (), None)
    vars(made).update(extra)
    return MozlogFormatter(logger_name="shop", processors=[Redact()]).format(made)


@pytest.mark.parametrize(
    "value",
    [
        User(SECRET).method,
        [User(SECRET).method],
        {"deep": (User(SECRET).method,)},
        {User(SECRET): 1},
        {"deep": {User(SECRET): {"a": 1}}},
        {(1, User(SECRET)): 1},
        {frozenset([User(SECRET)]): 1},
    ],
)
def test_no_bound_method_and_no_key_shows_the_password_of_its_object(value: Any) -> None:
    line = formatted(value=value)
    assert SECRET not in line
    assert "redacted" in line
    assert checked(line)["Fields"]["msg"] == "hi"


def test_keys_and_methods_without_a_secret_stay_as_they_are() -> None:
    plain = {(1, 2): "a", frozenset([3]): "b", 4: "c", "m": "".join}
    made = logging.LogRecord("a", 20, "/x.py", 1, "hi", (), None)
    made.value = plain
    bare = MozlogFormatter(logger_name="shop").format(made)
    assert json.loads(formatted(value=plain))["Fields"] == json.loads(bare)["Fields"]


class Interrupting:
    def __repr__(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize("options", [{"timestamp": True}, {"prefix": "@cee: "}])
def test_a_line_that_an_interrupt_follows_is_masked_behind_a_formatter_of_ones_own(
    options: dict[str, Any],
) -> None:
    out = io.BytesIO()
    chain = [Redact(values=[SECRET]), MozlogRenderer(formatter=MozlogFormatter(**options))]
    log = FastBoundLogger.at(1)(SinkLoggerFactory(Sink(out))("app"), chain, {})
    with pytest.raises(KeyboardInterrupt):
        log.info(f"hello {SECRET}", note=f"and {SECRET}", value=Interrupting())
    text = out.getvalue().decode()
    assert "hello" in text
    assert SECRET not in text


def test_a_mask_in_front_of_a_formatter_with_a_prefix_leaves_the_envelope_alone() -> None:
    out = io.BytesIO()
    formatter = MozlogFormatter(prefix="@cee: ", logger_name="shop")
    chain = [Redact(value_patterns=[r"\d{6}"]), MozlogRenderer(formatter=formatter)]
    FastBoundLogger.at(1)(SinkLoggerFactory(Sink(out))("app"), chain, {}).info("pin 123456")
    prefix, _, line = out.getvalue().decode().partition(": ")
    assert prefix == "@cee"
    assert checked(line)["Fields"]["msg"] == "pin [redacted]"


def dropping(_: Any, __: str, event_dict: Any) -> Any:
    raise structlog.DropEvent


def test_the_line_of_a_dropped_event_has_its_prefix() -> None:
    formatter = MozlogFormatter(prefix="@cee: ", processors=[dropping])
    made = logging.LogRecord("a", 20, "/x.py", 1, "hi", (), None)
    prefix, _, line = formatter.format(made).partition(": ")
    assert (prefix, checked(line)["Fields"]["msg"]) == ("@cee", "hi")


@pytest.mark.parametrize("processors", [iter([Redact()]), (each for each in [Redact()])])
def test_processors_that_can_be_read_only_once_are_refused(processors: Any) -> None:
    with pytest.raises(OptionError, match="read only once"):
        mozlog_py.dict_config("shop", processors=processors)


def test_a_cut_text_says_so_where_its_ends_were_secrets() -> None:
    redact = Redact(values=["correct-horse-1"], shapes=True)
    text = ("ghp_" + "a" * 36 + " ") * 1000 + "MIDDLE " * 20_000 + "end"
    capped = CapLengths(100)(None, "info", {"event": "x", "text": text})["text"]
    assert f"<cut, {len(text)} characters>" in capped
    assert "ghp_" not in capped
    assert redact.mask is not None


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.mark.parametrize(
    ("processors", "template", "args", "kept"),
    [
        ([Redact(values=[SECRET])], "login of %(user)s", ({"user": "ann", "t": SECRET},), ()),
        ([Redact(values=[SECRET])], "begins with %.5s", (SECRET,), ()),
        ([Redact()], "%d of %s", (3, "seven"), (3, "seven")),
        ([], "login of %(user)s", ({"user": "ann"},), {"user": "ann"}),
    ],
)
def test_other_handlers_get_no_argument_that_holds_a_secret(
    processors: list[Any], template: str, args: Any, kept: Any, untouched_process: None
) -> None:
    out, handler = io.StringIO(), Kept()
    mozlog_py.configure("shop", format="mozlog", stream=out, processors=processors)
    logging.getLogger().addHandler(handler)
    structlog.get_logger("shop").error(template, *args)
    (made,) = handler.records
    assert made.args == kept or made.args == (kept,)
    assert SECRET not in f"{made.msg} {made.args}"
    (line,) = checked_lines(out.getvalue())
    assert made.getMessage() == line["Fields"]["msg"]


def test_a_field_that_is_named_like_the_arguments_is_kept(untouched_process: None) -> None:
    out = io.StringIO()
    mozlog_py.configure("shop", format="mozlog", stream=out, processors=[Redact()])
    log = structlog.get_logger("shop")
    log.info("%d left", "x", positional_args="mine")
    (line,) = checked_lines(out.getvalue())
    assert line["Fields"]["extra.positional_args"] == "mine"
