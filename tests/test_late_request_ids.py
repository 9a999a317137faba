"""Lines that are logged when a request's context has ended: an exception's, and a server's."""

import builtins
import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from conformance import checked, checked_lines, fields, record

from mozlog_py import MozlogFormatter, MozlogHandler, context
from mozlog_py._fields import late_request_ids
from mozlog_py._fields.late_request_ids import (
    attach_request_id,
    remember_served,
    request_id_of,
    served,
    take_failed,
    take_served,
)
from mozlog_py.gcp import CloudFormatter
from mozlog_py.processors import drop_none, merge_context
from mozlog_py.structlog import MozlogRenderer, processors


def failed(request_id: str | None = "r1", error: BaseException | None = None) -> Any:
    """Return the triple of an exception that has left a request."""
    try:
        raise error or ValueError("x")
    except BaseException as raised:
        if request_id is not None:
            attach_request_id(raised, request_id)
        return sys.exc_info()


class Stepping(MozlogFormatter):
    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return log_data


def by_formatter(formatter: MozlogFormatter) -> Callable[..., dict[str, Any]]:
    return lambda exc_info, message="m", **extra: fields(
        formatter, record(message, exc_info=exc_info, **extra)
    )


def by_chain(*chain: Any) -> Callable[..., dict[str, Any]]:
    def logged(exc_info: Any, message: Any = "m", **extra: Any) -> dict[str, Any]:
        stream = io.BytesIO()
        log = structlog.wrap_logger(structlog.BytesLogger(stream), processors=chain)
        log.error(message, exc_info=exc_info, **extra)
        (line,) = checked_lines(stream.getvalue())
        return dict(line["Fields"])

    return logged


FRONTS = {
    "formatter": by_formatter(MozlogFormatter()),
    "formatter with a hook": by_formatter(Stepping()),
    "formatter with processors": by_formatter(MozlogFormatter(processors=[drop_none])),
    "gcp": by_formatter(CloudFormatter()),
    "chain": by_chain(MozlogRenderer("shop")),
    "chain with processors": by_chain(*processors("shop", before=[drop_none])),
    "chain for a formatter with a hook": by_chain(MozlogRenderer(formatter=Stepping())),
}
in_every_front = pytest.mark.parametrize("front", FRONTS)


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(served, "is_wanted", True)
    late_request_ids._failed.clear()
    late_request_ids._served.set(None)
    structlog.contextvars.clear_contextvars()
    yield
    late_request_ids._failed.clear()
    late_request_ids._served.set(None)


class TestLines:
    @in_every_front
    def test_about_an_exception_have_its_id(self, front: str) -> None:
        shown = FRONTS[front](failed())
        assert (shown["rid"], shown["msg"], shown["error"]) == ("r1", "m", "ValueError('x')")

    @in_every_front
    def test_about_an_exception_of_no_request_have_none(self, front: str) -> None:
        assert "rid" not in FRONTS[front](failed(None))

    @in_every_front
    def test_lines_keep_the_id_of_the_context_and_that_of_the_call(self, front: str) -> None:
        context.request_id_context.set("r2")
        assert FRONTS[front](failed())["rid"] == "r2"
        context.request_id_context.set(None)
        with context.bound(rid="r3"):
            assert FRONTS[front](failed())["rid"] == "r3"
        assert FRONTS[front](failed(), rid="r4")["rid"] == "r4"

    @in_every_front
    def test_lines_keep_it_against_a_message_that_is_json(self, front: str) -> None:
        shown = FRONTS[front](failed(), '{"rid": "FORGED"}')
        assert (shown["rid"], shown["extra.rid"]) == ("r1", "FORGED")

    @pytest.mark.parametrize("front", ["formatter", "formatter with a hook", "chain"])
    def test_lines_have_it_where_a_filter_found_none(self, front: str) -> None:
        assert FRONTS[front](failed(), rid=None)["rid"] == "r1"

    def test_lines_have_none_where_no_context_is_asked_for(self) -> None:
        for kind in (MozlogFormatter, Stepping):
            assert "rid" not in fields(kind(include_context=False), record(exc_info=failed()))
        assert "rid" not in by_chain(MozlogRenderer("s", include_context=False))(failed())

    def test_lines_have_it_by_the_processor_for_the_context(self) -> None:
        event = merge_context(None, "error", {"event": "m", "exc_info": failed()})
        assert event["rid"] == "r1"
        assert "rid" not in merge_context(None, "error", {"event": "m", "exc_info": False})

    @pytest.mark.parametrize("options", [{}, {"formatter": Stepping()}])
    def test_lines_have_it_where_a_processor_has_made_text_of_the_exception(
        self, options: Any
    ) -> None:
        logged = by_chain(structlog.processors.format_exc_info, MozlogRenderer(**options))
        try:
            error = ValueError("x")
            attach_request_id(error, "r1")
            raise error
        except ValueError:
            shown = logged(True)
        assert (shown["rid"], shown["error"]) == ("r1", "ValueError('x')")

    def test_lines_for_people_have_it(self) -> None:
        from mozlog_py.pretty import PrettyFormatter

        assert " r1       hello " in PrettyFormatter().format(record(exc_info=failed()))

    def test_written_by_a_handler_have_it(self) -> None:
        stream = io.StringIO()
        logger = logging.Logger("app", 1)
        logger.addHandler(MozlogHandler(stream, "shop"))
        kind, error, frames = failed()
        logger.critical("Uncaught", exc_info=(kind, error, frames))
        assert checked(stream.getvalue()[:-1])["Fields"]["rid"] == "r1"


class TestRequestIdOf:
    def test_request_id_of_is_the_nearest_of_the_chain(self) -> None:
        inner, outer = ValueError("inner"), KeyError("outer")
        attach_request_id(inner, "inner")
        outer.__context__ = inner
        assert request_id_of(outer) == "inner"
        cause = LookupError("cause")
        outer.__cause__ = cause
        assert request_id_of(outer) == "inner"
        attach_request_id(cause, "cause")
        assert request_id_of(outer) == "cause"
        attach_request_id(outer, "outer")
        assert request_id_of(outer) == "outer"

    def test_request_id_of_is_the_latest(self) -> None:
        error = ValueError("of a call in-process")
        attach_request_id(error, "inner")
        attach_request_id(error, "outer")
        assert request_id_of(error) == "outer"

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with 3.11")
    def test_request_id_of_is_that_of_the_one_in_a_group(self) -> None:
        kind: Any = builtins.BaseExceptionGroup  # type: ignore[attr-defined, unused-ignore]
        one, other = ValueError("x"), KeyError("y")
        attach_request_id(one, "r1")
        assert request_id_of(kind("g", [kind("h", [one])])) == "r1"
        # Of two it cannot be known which request the line is about.
        assert request_id_of(kind("g", [one, other])) is None

    def test_request_id_of_ends_in_a_circle_and_in_a_long_chain(self) -> None:
        one, other = ValueError(), KeyError()
        one.__context__, other.__context__ = other, one
        assert request_id_of(one) is None
        first = at = ValueError()
        for _ in range(10_000):
            at.__context__ = ValueError()
            at = at.__context__
        attach_request_id(at, "too far")
        assert request_id_of(first) is None
        while first.__context__ is not None:
            # One by one, or freeing it takes the whole stack.
            first.__context__, first = None, first.__context__

    @pytest.mark.parametrize("value", [None, False, 7, "x", object(), (1, 2, 3), (None,) * 3, []])
    def test_request_id_of_is_none_for_what_is_no_exception(self, value: Any) -> None:
        attach_request_id(value, "r1")
        assert request_id_of(value) is None

    def test_request_id_of_is_there_for_exceptions_that_refuse_attributes(self) -> None:
        class Refusing(Exception):
            __slots__ = ()

            def __setattr__(self, name: str, value: Any) -> None:
                raise TypeError

            def __getattribute__(self, name: str) -> Any:
                raise LookupError

        error = Refusing()
        attach_request_id(error, "r1")
        assert request_id_of(error) == "r1"
        for builtin in (KeyboardInterrupt(), StopIteration(), MemoryError(), OSError(2, "x")):
            attach_request_id(builtin, "r1")
            assert request_id_of(builtin) == "r1"

    def test_request_id_of_is_a_text(self) -> None:
        error = ValueError()
        attach_request_id(error, "")
        assert request_id_of(error) is None
        vars(error)[late_request_ids._ATTRIBUTE] = 7
        assert request_id_of(error) is None


class TestServed:
    def test_served_is_taken_once(self) -> None:
        remember_served("r1", "GET", "/a")
        first, again = take_served("GET", "/a"), take_served("GET", "/a")
        assert (first, again) == (("r1", False), (None, False))

    @pytest.mark.parametrize("other", [("POST", "/a"), ("GET", "/b"), (None, None)])
    def test_served_is_given_for_no_other_request(self, other: tuple[Any, Any]) -> None:
        remember_served("r1", "GET", "/a")
        assert take_served(*other) == (None, False)
        assert take_served("GET", "/a") == (None, False)

    def test_served_that_failed_is_taken_once_in_its_thread_by_the_name_of_its_exception(
        self,
    ) -> None:
        attach_request_id(ValueError(), "r1")
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(take_failed("ValueError: x")))
        thread.start()
        thread.join()
        assert found == [None]
        assert take_failed("package.ValueError: x") == "r1"
        assert take_failed("ValueError: x") is None

    def test_served_that_failed_with_another_exception_is_forgotten(self) -> None:
        attach_request_id(ValueError(), "r1")
        assert take_failed("KeyError: 'x'") is None
        assert take_failed("ValueError") is None

    def test_served_of_ever_more_threads_do_not_fill_the_memory(self) -> None:
        late_request_ids._failed.update((-n, ("E", "r")) for n in range(1, 1001))
        attach_request_id(ValueError(), "r1")
        assert len(late_request_ids._failed) == 1

    def test_served_is_not_kept_where_no_server_asks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(served, "is_wanted", False)
        attach_request_id(ValueError(), "r1")
        assert late_request_ids._failed == {}
