"""capture_lines and the mozlog_lines fixture, as users have them."""

import io
import logging
import os
import subprocess
import sys
from typing import Any

import pytest
import structlog

import mozlog_py
from mozlog_py import MozlogFormatter, config, context
from mozlog_py.config import is_kept
from mozlog_py.processors import Redact
from mozlog_py.structlog import MozlogRenderer, configure
from mozlog_py.testing import capture_lines, no_leaks

pytest_plugins = ["pytester"]
# pytester unsets it.
STARTED_PYTEST = os.environ["PYTEST_ADDOPTS"]


@pytest.fixture(autouse=True)
def _started_pytest(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", STARTED_PYTEST)


class TestCaptureLines:
    def test_capture_lines_gives_parsed_lines_as_they_come(self) -> None:
        with capture_lines() as lines:
            logging.getLogger("test.capture").debug("hi %s", "there", extra={"n": 1})
            assert lines[0]["Fields"] == {"n": 1, "msg": "hi there"}
            assert lines[0]["Type"] == "test.capture"
        logging.getLogger("test.capture").warning("unheard")
        assert len(lines) == 1

    def test_capture_lines_listens_to_one_logger(self) -> None:
        with capture_lines("test.one") as lines:
            logging.getLogger("test.one.child").info("heard")
            logging.getLogger("test.two").info("unheard")
        assert [line["Fields"]["msg"] for line in lines] == ["heard"]

    def test_capture_lines_takes_a_logger_a_level_and_a_formatter(self) -> None:
        logger = logging.getLogger("test.three")
        formatter = MozlogFormatter(strict=True)
        with capture_lines(logger, level="WARNING", formatter=formatter) as lines:
            logger.info("low")
            logger.warning("high", extra={"a": {"b": 1}})
        assert lines[0]["Fields"] == {"a.b": 1, "msg": "high"}
        assert len(lines) == 1

    def test_capture_lines_puts_the_level_back(self) -> None:
        logger = logging.getLogger("test.level")
        logger.setLevel(logging.ERROR)
        with pytest.raises(LookupError), capture_lines(logger):
            raise LookupError
        assert logger.level == logging.ERROR
        assert logger.handlers == []

    def test_capture_lines_fails_on_lines_that_are_not_valid(self) -> None:
        class Wrong(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return {**super().convert_record(record), "Severity": 99}

        with (
            pytest.raises(AssertionError, match=r"\$.Severity: The value is 99"),
            capture_lines(formatter=Wrong()),
        ):
            logging.getLogger("test.wrong").info("hi")


class TestFixture:
    def test_fixture_gives_the_lines_of_a_test(self, mozlog_lines: list[dict[str, Any]]) -> None:
        logging.getLogger("test.fixture").info("hi")
        assert mozlog_lines[0]["Fields"] == {"msg": "hi"}

    def test_fixture_is_there_where_the_package_is_installed(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile(
            """
            import logging

            def test_it(mozlog_lines):
                logging.getLogger("app").info("hi")
                assert mozlog_lines[0]["Fields"]["msg"] == "hi"
            """
        )
        pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


class TestPlugin:
    """What a project has of it that only has the package installed."""

    OTHERS = ("-p", "no:cacheprovider", "-p", "no:pytest-structlog", "-p", "no:ddtrace")
    LOADED = """
        import sys

        def loaded():
            heavy = {"orjson", "structlog", "pythonjsonlogger", "dockerflow"}
            return sorted(
                name for name in sys.modules
                if name in heavy or name.startswith("mozlog_py.")
            )
    """

    def test_imports_nothing_until_a_fixture_is_used(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            loaded=self.LOADED,
            test_it="""
            from loaded import loaded

            at_collection = loaded()

            def test_before():
                assert at_collection == loaded() == ["mozlog_py.pytest_plugin"]

            def test_with_a_fixture(mozlog_lines):
                assert {"orjson", "mozlog_py.formatter", "mozlog_py.testing"} <= set(loaded())
            """,
        )
        pytester.runpytest_subprocess(*self.OTHERS).assert_outcomes(passed=2)

    def test_imports_nothing_for_its_option_being_off(self, pytester: pytest.Pytester) -> None:
        pytester.makeini("[pytest]\nmozlog_no_leaks = false\n")
        pytester.makepyfile(
            loaded=self.LOADED,
            test_it="""
            from loaded import loaded

            def test_it():
                assert loaded() == ["mozlog_py.pytest_plugin"]
            """,
        )
        pytester.runpytest_subprocess(*self.OTHERS).assert_outcomes(passed=1)

    @pytest.mark.parametrize("first", ["", "import mozlog_py.config"])
    def test_plugin_has_loggers_made_anew_whichever_is_imported_first(
        self, first: str, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile(early=first)
        pytester.makepyfile(
            """
            from mozlog_py import config

            def test_it():
                assert config.is_caching_loggers is False
            """
        )
        pytester.syspathinsert()
        done = pytester.runpytest_subprocess("-p", "early", *self.OTHERS)
        done.assert_outcomes(passed=1)


class TestCaptureOfStructlog:
    def test_capture_of_structlog_gives_its_lines_after_configure(
        self, untouched_process: None
    ) -> None:
        stream = io.StringIO()
        mozlog_py.configure("shop", format="mozlog", stream=stream)
        log = structlog.get_logger("shop.cart").bind(a=1)
        log.info("before")
        with capture_lines() as lines, capture_lines("shop") as own, capture_lines("other") as none:
            log.info("during", b=[1])
            logging.getLogger("shop.cart").info("logged")
        log.info("after")
        assert [line["Fields"] for line in lines] == [
            {"a": 1, "b": [1], "msg": "during"}, {"msg": "logged"},
        ]  # fmt: skip
        assert [line["Fields"] for line in own] == [line["Fields"] for line in lines]
        assert none == []
        assert stream.getvalue().count("\n") == 4

    def test_capture_of_structlog_takes_any_format_and_a_formatter(
        self, untouched_process: None
    ) -> None:
        mozlog_py.configure("shop", format="pretty", stream=io.StringIO())
        formatter = MozlogFormatter(static_fields={"f": 1})
        with capture_lines(formatter=formatter) as lines:
            structlog.get_logger("shop").info("hi", a=1)
            logging.getLogger("shop").info("hi", extra={"a": 1})
        assert [line["Fields"] for line in lines] == [{"f": 1, "a": 1, "msg": "hi"}] * 2

    @pytest.mark.parametrize("is_configured_before", [True, False])
    def test_capture_of_structlog_goes_on_where_the_block_configures(
        self,
        untouched_process: None,
        monkeypatch: pytest.MonkeyPatch,
        is_configured_before: bool,
    ) -> None:
        monkeypatch.setattr(config, "is_kept", is_kept)

        def create_app() -> Any:
            mozlog_py.configure("shop", format="mozlog", stream=stream, processors=processors)
            return structlog.get_logger("shop.cart")

        stream = io.StringIO()
        for processors in ([], [Redact()]):
            if is_configured_before:
                create_app().info("before")
            else:
                configure.chain.clear()
            with capture_lines() as lines, capture_lines("shop") as own, capture_lines("x") as none:
                log = create_app()
                log.info("during", password="tulip")
                create_app().bind(a=1).info("again")
                logging.getLogger("shop.cart").info("logged")
            log.warning("after")
            password = "[redacted]" if processors else "tulip"
            assert [line["Fields"] for line in lines] == [
                {"password": password, "msg": "during"},
                {"a": 1, "msg": "again"},
                {"msg": "logged"},
            ]
            assert [line["Fields"] for line in own] == [line["Fields"] for line in lines]
            assert none == []
            assert type(configure.chain[-1]) is MozlogRenderer
        assert stream.getvalue().count("\n") == (10 if is_configured_before else 8)

    def test_capture_of_structlog_begins_where_the_block_imports_it(self) -> None:
        program = (
            "import mozlog_py\n"
            "from mozlog_py.testing import capture_lines\n"
            "with capture_lines() as lines:\n"
            "    mozlog_py.configure('shop', format='mozlog')\n"
            "    import structlog\n"
            "    structlog.get_logger('cart').info('paid')\n"
            "assert [line['Fields'] for line in lines] == [{'msg': 'paid'}]\n"
        )
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
        assert done.stdout.count(b"\n") == 1

    def test_capture_of_structlog_ends_with_its_block_in_any_order(
        self, untouched_process: None
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=io.StringIO())
        log, blocks = structlog.get_logger("shop"), [capture_lines() for _ in range(3)]
        collected = [block.__enter__() for block in blocks]
        for ended, number in enumerate((1, 0, 2), 1):
            log.info(str(ended))
            blocks[number].__exit__(None, None, None)
        log.info("after")
        assert [[line["Fields"]["msg"] for line in lines] for lines in collected] == [
            ["1", "2"], ["1"], ["1", "2", "3"],
        ]  # fmt: skip
        assert type(configure.chain[-1]) is MozlogRenderer


class TestNoLeaks:
    def test_no_leaks_gives_back_what_was_bound_with_structlog(self) -> None:
        structlog.contextvars.bind_contextvars(a=1, b=2)
        with pytest.raises(AssertionError, match="left behind a=99"), no_leaks():
            structlog.contextvars.bind_contextvars(a=99)
            structlog.contextvars.unbind_contextvars("b")
        assert structlog.contextvars.get_contextvars() == {"a": 1, "b": 2}
        structlog.contextvars.clear_contextvars()

    def test_no_leaks_is_content_with_what_cleans_up(self) -> None:
        with no_leaks():
            with context.bound(a=1):
                pass
            context.bind(b=1)
            context.unbind("b")

    @pytest.mark.parametrize(
        ("leak", "message"),
        [
            (lambda: context.bind(user="ann"), "left behind user='ann'"),
            (lambda: context.request_id_context.set("r-1"), "left behind rid='r-1'"),
            (lambda: structlog.contextvars.bind_contextvars(t=1), "left behind t=1"),
            (lambda: context.bind(before=2), "left behind before=2"),
            (lambda: context.unbind("before"), "lost before"),
        ],
    )
    def test_no_leaks_fails_what_leaves_something_and_takes_it_away(
        self, leak: Any, message: str
    ) -> None:
        context.bind(before=1)
        with pytest.raises(AssertionError, match=message), no_leaks():
            leak()
        assert context.get() == {"before": 1}

    def test_no_leaks_lets_the_blocks_own_failure_through(self) -> None:
        with pytest.raises(LookupError), no_leaks():
            context.bind(a=1)
            raise LookupError
        assert context.get() == {}

    def test_no_leaks_is_a_fixture_and_an_option_of_pytest(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            from mozlog_py import context

            def test_leaks():
                context.bind(user="ann")

            def test_asked(mozlog_no_leaks):
                context.bind(user="bob")

            def test_clean():
                assert context.get() == {}
            """
        )
        plain = pytester.runpytest_subprocess("-p", "no:cacheprovider")
        plain.assert_outcomes(passed=2, failed=1, errors=1)
        pytester.makeini("[pytest]\nmozlog_no_leaks = true\n")
        checked = pytester.runpytest_subprocess("-p", "no:cacheprovider")
        checked.assert_outcomes(passed=1, failed=2)
        checked.stdout.fnmatch_lines(["*left behind user='ann'*"])


def test_lines_are_captured_after_a_call_of_configure_inside_of_the_test(
    untouched_process: None, monkeypatch: pytest.MonkeyPatch, mozlog_lines: Any
) -> None:
    monkeypatch.setattr(config, "is_kept", is_kept)
    mozlog_py.configure("shop", stream=io.StringIO(), format="mozlog")
    logging.getLogger("cart").warning("paid")
    assert [line["Fields"] for line in mozlog_lines] == [{"msg": "paid"}]
