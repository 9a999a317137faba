"""capture_lines and the mozlog_lines fixture, as users have them."""

import logging
from typing import Any

import pytest

from mozlog_py import MozlogFormatter
from mozlog_py.testing import capture_lines

pytest_plugins = ["pytester"]


class TestCaptureLines:
    def test_gives_parsed_lines_as_they_come(self) -> None:
        with capture_lines() as lines:
            logging.getLogger("test.capture").debug("hi %s", "there", extra={"n": 1})
            assert lines[0]["Fields"] == {"n": 1, "msg": "hi there"}
            assert lines[0]["Type"] == "test.capture"
        logging.getLogger("test.capture").warning("unheard")
        assert len(lines) == 1

    def test_listens_to_one_logger(self) -> None:
        with capture_lines("test.one") as lines:
            logging.getLogger("test.one.child").info("heard")
            logging.getLogger("test.two").info("unheard")
        assert [line["Fields"]["msg"] for line in lines] == ["heard"]

    def test_takes_a_logger_a_level_and_a_formatter(self) -> None:
        logger = logging.getLogger("test.three")
        formatter = MozlogFormatter(strict=True)
        with capture_lines(logger, level="WARNING", formatter=formatter) as lines:
            logger.info("low")
            logger.warning("high", extra={"a": {"b": 1}})
        assert lines[0]["Fields"] == {"a.b": 1, "msg": "high"}
        assert len(lines) == 1

    def test_puts_the_level_back(self) -> None:
        logger = logging.getLogger("test.level")
        logger.setLevel(logging.ERROR)
        with pytest.raises(LookupError), capture_lines(logger):
            raise LookupError
        assert logger.level == logging.ERROR
        assert logger.handlers == []

    def test_fails_on_lines_that_are_not_valid(self) -> None:
        class Wrong(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return {**super().convert_record(record), "Severity": 99}

        with (
            pytest.raises(AssertionError, match=r"\$.Severity: The value is 99"),
            capture_lines(formatter=Wrong()),
        ):
            logging.getLogger("test.wrong").info("hi")


class TestFixture:
    def test_gives_the_lines_of_a_test(self, mozlog_lines: list[dict[str, Any]]) -> None:
        logging.getLogger("test.fixture").info("hi")
        assert mozlog_lines[0]["Fields"] == {"msg": "hi"}

    def test_is_there_for_whoever_installs_the_package(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import logging

            def test_it(mozlog_lines):
                logging.getLogger("app").info("hi")
                assert mozlog_lines[0]["Fields"]["msg"] == "hi"
            """
        )
        pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
