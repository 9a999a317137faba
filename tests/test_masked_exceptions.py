"""An exception that carries a mask: every line about it is masked, whatever makes the line."""

import io
import json
import logging
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest

import mozlog_py
from mozlog_py import MozlogFormatter, MozlogHandler, MozlogQueueHandler
from mozlog_py._values.tracebacks import mask_exception, mask_of, masked_traceback
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter


class Upper:
    """Masks a word; says which texts it was shown."""

    def __init__(self, word: str = "tulip") -> None:
        self.word = word
        self.shown: list[str] = []

    def text(self, text: str) -> str:
        self.shown.append(text)
        return text.replace(self.word, "***")

    def error(self, shown: str, text: str) -> str:
        self.shown += (shown, text)
        return shown.replace(self.word, "***")


class Broken:
    def text(self, text: str) -> str:
        raise LookupError(text)

    def error(self, shown: str, text: str) -> str:
        raise LookupError(shown)


def raised(mask: Any) -> BaseException:
    """Return an exception with a secret in its text, its notes, its cause and its source."""
    try:
        try:
            raise KeyError("tulip in the cause")
        except KeyError as cause:
            error = LookupError("tulip in the text")  # tulip in the source
            if sys.version_info >= (3, 11):
                error.add_note("tulip in a note")
            raise error from cause  # tulip in the source
    except LookupError as found:
        mask_exception(found, mask)
        return found


def line_of(formatter: logging.Formatter, error: BaseException) -> str:
    stream = io.StringIO()
    handler = MozlogHandler(stream=stream)
    handler.setFormatter(formatter)
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    logger.error("failed", exc_info=error)
    return stream.getvalue()


class Own(MozlogFormatter):
    """Makes its own tracebacks."""

    def formatException(self, ei: Any) -> str:  # type: ignore[override]
        return f'  File "tulip.py", line 1, in f\nmade of {ei[1]}'


FORMATTERS: dict[str, Callable[[], logging.Formatter]] = {
    "mozlog": MozlogFormatter,
    "with options": lambda: MozlogFormatter(exc_info_as_array=True),
    "with a hook": Own,
    "gcp": CloudFormatter,
    "pretty": PrettyFormatter,
}


@pytest.mark.parametrize("name", FORMATTERS)
class TestMask:
    def test_mask_applies_to_the_whole_story(self, name: str) -> None:
        mask = Upper()
        line = line_of(FORMATTERS[name](), raised(mask))
        assert "tulip" not in line.replace("tulip.py", "")
        assert "***" in line

    def test_mask_that_fails_hides_the_texts(self, name: str) -> None:
        line = line_of(FORMATTERS[name](), raised(Broken()))
        assert "tulip" not in line.replace("tulip.py", "")
        assert "could not be masked" in line


class TestLines:
    def test_lines_have_error_and_traceback(self) -> None:
        fields = json.loads(line_of(MozlogFormatter(), raised(Upper())))["Fields"]
        assert fields["error"] == "LookupError('*** in the text')"
        assert fields["traceback"].startswith("Uncaught exception:\n")
        assert "KeyError('*** in the cause')" in fields["traceback"]
        assert "# *** in the source" in fields["traceback"]

    def test_lines_say_where_whatever_the_mask_is(self) -> None:
        # A database may be called like a folder.
        word = "raised"
        fields = json.loads(line_of(MozlogFormatter(), raised(Upper(word))))["Fields"]
        assert f"in {word}\n" in fields["traceback"]

    def test_lines_of_the_queue_and_of_a_pickled_record_are_masked(self) -> None:
        stream = io.StringIO()
        handler = MozlogQueueHandler(stream=stream)
        logger = logging.Logger("shop")
        logger.addHandler(handler)
        logger.error("failed", exc_info=raised(Upper()))
        handler.flush()
        handler.close()
        assert "*** in the text" in stream.getvalue()
        assert "tulip" not in stream.getvalue()

    def test_lines_of_a_group_are_masked(self) -> None:
        if sys.version_info < (3, 11):
            pytest.skip("no groups")
        group = ExceptionGroup("tulip", [ValueError("tulip"), raised(Upper("other"))])  # noqa: F821
        mask_exception(group, Upper())
        assert "tulip" not in line_of(MozlogFormatter(), group)

    def test_lines_that_are_cut_are_masked_before(self) -> None:
        for before in range(8170, 8194):
            error = ValueError("x" * before + "tulip" + "y" * 9000)
            mask_exception(error, Upper())
            line = line_of(MozlogFormatter(), error)
            assert "xxt" not in line
            assert "<truncated, " in line

    def test_lines_of_structlog_are_masked(self) -> None:
        stream = io.StringIO()
        mozlog_py.configure("shop", stream=stream)
        import structlog

        structlog.get_logger("shop").error("failed", exc_info=raised(Upper()))
        assert "*** in the text" in stream.getvalue()
        assert "tulip" not in stream.getvalue()


class TestMaskException:
    def test_mask_exception_keeps_the_latest(self) -> None:
        error = ValueError()
        one, two = Upper(), Upper()
        mask_exception(error, one)
        mask_exception(error, two)
        assert mask_of(error) is two
        assert mask_of(None) is mask_of("text") is mask_of(ValueError()) is None

    def test_mask_exception_never_raises(self) -> None:
        class Closed(Exception):
            def __setattr__(self, name: str, value: Any) -> None:
                raise AttributeError(name)

        closed = Closed()
        mask_exception(closed, Upper())
        assert isinstance(mask_of(closed), Upper)
        mask_exception("no exception", Upper())  # type: ignore[arg-type]

    def test_mask_exception_costs_a_line_without_one_nothing(self) -> None:
        error = ValueError("tulip")
        assert masked_traceback(error, "tulip") == "tulip"
        assert pickle.loads(pickle.dumps(error)).args == ("tulip",)
