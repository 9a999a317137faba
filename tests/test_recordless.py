"""Fields that are logged without a record say what the record would have said.

Whatever could see the record is heard: then there is one.
"""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conformance import checked_lines
from hypothesis import given
from hypothesis import strategies as st

import dockerflow.logging
from mozlog_py import MozlogFormatter, MozlogHandler, context
from mozlog_py.gcp import CloudFormatter
from mozlog_py.recordless import log_fields

FIELDS: dict[str, Any] = {"errno": 0, "path": "/pay", "rid": "r1", "code": 200, "t": 3}


class Listener(logging.Handler):
    """A handler of another library."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Service:
    """A logger below another one, which has a handler of ours."""

    def __init__(self, formatter: logging.Formatter | None = None) -> None:
        self.stream = io.StringIO()
        self.handler = MozlogHandler(self.stream, "shop")
        if formatter is not None:
            self.handler.setFormatter(formatter)
        self.above = logging.Logger("above", logging.INFO)
        self.above.addHandler(self.handler)
        self.logger = logging.Logger("request.summary", logging.INFO)
        self.logger.parent = self.above

    def lines(self) -> list[dict[str, Any]]:
        return checked_lines(self.stream.getvalue())


@pytest.fixture
def service() -> Service:
    return Service()


def test_a_line_of_fields_has_the_envelope_of_the_logger_and_the_handler(service: Service) -> None:
    assert log_fields(service.logger, logging.INFO, dict(FIELDS))
    (line,) = service.lines()
    assert line["Fields"] == FIELDS
    assert list(line["Fields"]) == list(FIELDS)
    assert (line["Type"], line["Logger"], line["Severity"]) == ("request.summary", "shop", 6)


@given(
    fields=st.dictionaries(
        st.sampled_from(["path", "agent", "uid", "x", "ключ", "a\u2028b"]),
        st.one_of(st.text(), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.floats()),
        min_size=1,
    ),
    bound=st.dictionaries(st.sampled_from(["user", "path"]), st.text()),
    static=st.dictionaries(st.sampled_from(["env", "path"]), st.text()),
    request_id=st.sampled_from([None, "r2"]),
    has_context=st.booleans(),
)
def test_fields_without_a_record_are_those_of_their_record(
    fields: dict[str, Any],
    bound: dict[str, Any],
    static: dict[str, Any],
    request_id: str | None,
    has_context: bool,
) -> None:
    def said(is_record: bool) -> dict[str, Any] | None:
        formatter = MozlogFormatter(static_fields=static, include_context=has_context)
        service = Service(formatter)
        with context.bound(**bound):
            token = context.request_id_context.set(request_id)
            try:
                if is_record:
                    service.logger.info("", extra=dict(fields))
                elif not log_fields(service.logger, logging.INFO, dict(fields)):
                    return None
            finally:
                context.request_id_context.reset(token)
        (line,) = service.lines()
        return {**line, "Timestamp": 0}

    without = said(False)
    assert without is None or without == said(True)


def test_the_formatter_of_upstreams_name_needs_no_record_either() -> None:
    assert log_fields(
        Service(dockerflow.logging.MozlogFormatter()).logger, logging.INFO, dict(FIELDS)
    )


def test_plain_fields_need_no_record_with_a_context_and_static_fields() -> None:
    service = Service(MozlogFormatter(static_fields={"env": "prod"}))
    with context.bound(user="ann", path="/bound"):
        assert log_fields(service.logger, logging.INFO, {"path": "/pay"})
    (line,) = service.lines()
    assert line["Fields"] == {"env": "prod", "user": "ann", "path": "/pay"}


def refuse(record: logging.LogRecord) -> bool:
    return False


def with_a_filter_of_the_logger(service: Service, _: pytest.MonkeyPatch) -> None:
    service.logger.addFilter(refuse)


def with_a_filter_of_the_handler(service: Service, _: pytest.MonkeyPatch) -> None:
    service.handler.addFilter(refuse)


def with_another_handler_on_the_logger(service: Service, _: pytest.MonkeyPatch) -> None:
    service.logger.addHandler(Listener())


def with_another_handler_above(service: Service, _: pytest.MonkeyPatch) -> None:
    service.above.addHandler(Listener())


def with_no_handler_at_all(service: Service, _: pytest.MonkeyPatch) -> None:
    service.logger.propagate = False


def with_a_handler_of_a_higher_level(service: Service, _: pytest.MonkeyPatch) -> None:
    service.handler.setLevel(logging.ERROR)


def with_another_kind_of_handler(service: Service, _: pytest.MonkeyPatch) -> None:
    class Own(MozlogHandler):
        pass

    service.above.handlers[:] = [Own(service.stream)]


def with_another_kind_of_formatter(service: Service, _: pytest.MonkeyPatch) -> None:
    service.handler.setFormatter(logging.Formatter())


def with_the_formatter_of_google_cloud(service: Service, _: pytest.MonkeyPatch) -> None:
    service.handler.setFormatter(CloudFormatter())


def with_an_option_that_needs_a_record(service: Service, _: pytest.MonkeyPatch) -> None:
    service.handler.setFormatter(MozlogFormatter("%(lineno)d"))


def with_processors(service: Service, _: pytest.MonkeyPatch) -> None:
    def keep(_: Any, __: str, event: Any) -> Any:
        return event

    service.handler.setFormatter(MozlogFormatter(processors=[keep]))


def with_a_prefix(service: Service, _: pytest.MonkeyPatch) -> None:
    service.handler.setFormatter(MozlogFormatter(prefix="@"))


def with_reserved_attributes(service: Service, _: pytest.MonkeyPatch) -> None:
    reserved = sorted({*MozlogFormatter.EXCLUDED_LOGRECORD_ATTRS, "path"})
    service.handler.setFormatter(MozlogFormatter(reserved_attrs=reserved))


def with_a_hook_of_the_formatter(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(record: logging.LogRecord) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(service.handler.formatter, "convert_record", convert)


def with_a_replaced_emit(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.handler, "emit", Listener().emit)


def with_a_replaced_handle(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.handler, "handle", Listener().handle)


def with_a_replaced_format(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.handler, "format", lambda _: "x")


def with_a_replaced_emit_of_the_class(_: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MozlogHandler, "emit", Listener.emit)


def with_a_patched_call_handlers(_: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    own = logging.Logger.callHandlers
    monkeypatch.setattr(logging.Logger, "callHandlers", lambda *given: own(*given))


def with_a_patched_handle(_: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    own = logging.Logger.handle
    monkeypatch.setattr(logging.Logger, "handle", lambda *given: own(*given))


def with_a_record_factory(_: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def factory(*given: Any, **named: Any) -> logging.LogRecord:
        return logging.LogRecord(*given, **named)

    own = logging.getLogRecordFactory()
    monkeypatch.setattr(logging, "getLogRecordFactory", lambda: factory)
    assert own is not factory


def with_a_patched_record(_: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    own = logging.LogRecord.__init__
    monkeypatch.setattr(logging.LogRecord, "__init__", lambda *given, **named: own(*given, **named))


LISTENING = [each for name, each in sorted(globals().items()) if name.startswith("with_")]


@pytest.mark.parametrize("listen", LISTENING, ids=lambda each: each.__name__)
def test_a_record_is_made_where_something_could_see_it(
    service: Service,
    listen: Callable[[Service, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What was prepared for the line before is no reason to pass by what listens now.
    assert log_fields(service.logger, logging.INFO, dict(FIELDS))
    written = service.stream.getvalue()
    listen(service, monkeypatch)
    assert not log_fields(service.logger, logging.INFO, dict(FIELDS))
    assert service.stream.getvalue() == written


@pytest.mark.parametrize(
    "fields",
    [{"code": None}, {"t": float("nan")}, {"uid": type("Text", (str,), {})("ann")}, {"x": []}],
    ids=["None", "NaN", "a subclass", "a list"],
)
def test_fields_that_are_not_plain_are_left_to_a_record(
    service: Service, fields: dict[str, Any]
) -> None:
    assert not log_fields(service.logger, logging.INFO, fields)
    assert service.stream.getvalue() == ""


def test_an_option_that_changes_is_heard(service: Service) -> None:
    assert log_fields(service.logger, logging.INFO, dict(FIELDS))
    formatter = service.handler.formatter
    assert isinstance(formatter, MozlogFormatter)
    formatter.hostname = "elsewhere"
    service.handler.logger_name = "till"
    assert log_fields(service.logger, logging.INFO, dict(FIELDS))
    first, second = service.lines()
    assert first["Logger"] == "shop"
    assert (second["Hostname"], second["Logger"]) == ("elsewhere", "till")


class Full(io.StringIO):
    """A stream on a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_is_counted(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.handler.stream = Full()
    assert log_fields(service.logger, logging.INFO, dict(FIELDS))
    assert service.handler.lost == 1


def test_an_interrupt_in_the_middle_goes_on_behind_the_line(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(MozlogHandler, "line_of_fields", interrupted)
    with pytest.raises(KeyboardInterrupt):
        log_fields(service.logger, logging.INFO, dict(FIELDS))
    (line,) = service.lines()
    assert line["Fields"] == FIELDS


def test_what_fails_is_left_to_a_record(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> Iterator[Any]:
        raise ValueError

    monkeypatch.setattr(MozlogHandler, "line_of_fields", failing)
    assert not log_fields(service.logger, logging.INFO, dict(FIELDS))


def test_a_line_without_a_record_is_json_on_one_line(service: Service) -> None:
    assert log_fields(service.logger, logging.INFO, {"path": "/a\nb\x7f\u2028"})
    (text,) = service.stream.getvalue().splitlines()
    assert json.loads(text)["Fields"] == {"path": "/a\nb\x7f\u2028"}
    assert text.isascii()
