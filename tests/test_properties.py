"""What must hold for any record at all, searched for counter-examples by Hypothesis.

The last class runs batches of it in processes of their own: a value that kills
the interpreter is a failure there, and not the end of the test run.
"""

from __future__ import annotations

import decimal
import json
import logging
import math
import os
import pathlib
import subprocess
import sys
import uuid
from typing import Any

import hostile
import pytest
from conformance import checked, record
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    EXTRA,
    FORMATTERS,
    JSON_MESSAGES,
    NAMES,
    PLAIN_SCALARS,
    RECORDS,
    TEXTS,
    changed,
)

from mozlog_py import MozlogFormatter, context, schema
from mozlog_py._line.line_encoder import encode
from mozlog_py._values.sanitiser import Sanitiser


@pytest.mark.slow
class TestAnyRecord:
    @given(RECORDS, FORMATTERS)
    def test_any_record_gives_one_valid_line(
        self, made: logging.LogRecord, formatter: MozlogFormatter
    ) -> None:
        checked(formatter.format(made), strict=formatter.strict)
        checked(formatter.format_bytes(made), strict=formatter.strict)

    @given(RECORDS, FORMATTERS)
    def test_any_record_says_the_same_as_a_dict_once_that_is_cleaned_and_as_a_line(
        self, made: logging.LogRecord, formatter: MozlogFormatter
    ) -> None:
        raw = formatter.convert_record(made)
        maker = formatter.line_encoder_for("x")
        converted = json.loads(encode(maker.conversion(raw, Sanitiser(formatter.json_default))))
        line = checked(formatter.format(made))
        # Without a usable time both have the present, each its own.
        for both in (converted, line):
            both.pop("Timestamp")
            both["Fields"].pop("Time", None)
        assert line == converted

    @given(EXTRA)
    def test_any_record_carries_every_field_that_is_not_none(self, extra: dict[str, Any]) -> None:
        fields = checked(MozlogFormatter().format(changed(record(), extra)))["Fields"]
        expected = {_text(key) for key, value in extra.items() if value is not None}
        assert expected <= set(fields) | {f"extra.{key}" for key in fields}


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


class TestPlainRecords:
    """A record of plain values has one right line, which is easy to say."""

    @staticmethod
    def reference(made: logging.LogRecord, extra: dict[str, Any], bound: dict[str, Any]) -> Any:
        message = made.getMessage()
        return {
            "Timestamp": int(made.created * 1e9),
            "Type": made.name,
            "Logger": "Dockerflow",
            "Hostname": "host",
            "EnvVersion": "2.0",
            "Severity": {10: 7, 20: 6, 30: 4, 40: 3, 50: 2}[made.levelno],
            "Pid": made.process,
            "Fields": {**bound, **extra, **({"msg": message} if message else {})},
        }

    @given(
        st.text(st.characters(exclude_characters="{", exclude_categories=["Cs"])),
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])).filter(
                lambda key: key not in MozlogFormatter.EXCLUDED_LOGRECORD_ATTRS
            ),
            st.text(st.characters(exclude_categories=["Cs"]))
            | st.booleans()
            | st.integers(-(2**63), 2**64 - 1)
            | st.floats(allow_nan=False, allow_infinity=False),
        ),
        st.dictionaries(st.sampled_from(["user", "rid", "n"]), st.integers(0, 9) | st.text("ab")),
        st.sampled_from([10, 20, 30, 40, 50]),
    )
    def test_plain_records_give_what_a_plain_encoder_gives(
        self, message: str, extra: dict[str, Any], bound: dict[str, Any], level: int
    ) -> None:
        made = changed(record("%s", message, level=level), extra, created=1_700_000_000.25)
        with context.bound(**bound):
            line = checked(MozlogFormatter(hostname="host").format(made))
        expected = self.reference(made, extra, bound)
        assert line == json.loads(json.dumps(expected))

    @pytest.mark.slow
    @given(
        st.dictionaries(
            NAMES,
            PLAIN_SCALARS | st.none() | TEXTS | st.floats() | st.integers(),
            max_size=8,
        ),
        TEXTS | JSON_MESSAGES,
    )
    def test_plain_records_give_the_same_line_the_fast_and_the_careful_way(
        self, extra: dict[str, Any], message: str
    ) -> None:
        class Careful(MozlogFormatter):
            def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
                return log_data

        made = changed(record(message), extra)
        fast = checked(MozlogFormatter().format(made))
        careful = checked(Careful().format(made))
        assert fast == careful

    @given(st.floats())
    def test_plain_records_never_hold_a_number_that_json_has_not(self, number: float) -> None:
        shown = checked(MozlogFormatter().format(record(value=number)))["Fields"]["value"]
        if math.isfinite(number):
            assert shown == number
        else:
            assert shown in {"NaN", "Infinity", "-Infinity"}


class TestDegradation:
    """The steps below the careful one, which only a broken encoder or no memory leads to."""

    def test_degradation_falls_back_on_the_standard_librarys_encoder(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any, **__: Any) -> bytes:
            raise MemoryError

        maker = MozlogFormatter(hostname="h").line_encoder_for("l")
        maker.line(0, "t", 20, 1, {"a": 1})
        monkeypatch.setattr(maker, "dumps", fail)
        monkeypatch.setattr("mozlog_py._line.line_encoder._dumps", fail)
        line = checked(maker.line(0, "t", 20, 1, {"a": "ž\u2028", "b": {1}}))
        assert line["Fields"] == {
            "a": "ž\u2028",
            "b": "{1}",
            "mozlog.degraded": "encoded by the standard library: MemoryError",
        }
        assert checked(maker.line(0, "unseen", 20, 1, {"a": 1}))["Type"] == "unknown"

    def test_degradation_falls_back_on_a_constant_line(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any, **__: Any) -> Any:
            raise RecursionError

        monkeypatch.setattr("mozlog_py._values.sanitiser.Sanitiser.fields", fail)
        line = checked(
            MozlogFormatter(hostname="h").line_encoder_for("l").line(0, "t", 20, 1, {"a": 1})
        )
        assert line["Type"] == "t"
        assert line["Fields"] == {
            "msg": "the record could not be rendered",
            "mozlog.degraded": "RecursionError",
        }


BATCH = """
import sys
sys.path[:0] = {path!r}
import faulthandler
faulthandler.enable()
from hypothesis import given, seed, settings, HealthCheck
import strategies
from mozlog_py import schema

lines = 0

@seed({seed})
@settings(
    max_examples={examples}, database=None, deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(strategies.RECORDS, strategies.FORMATTERS)
def batch(made, formatter):
    global lines
    assert not schema.validate(formatter.format(made), strict=formatter.strict)
    lines += 1

batch()
print(lines)
"""


class TestInterpreter:
    @pytest.mark.parametrize("seed", range(3))
    def test_outlives_any_value(self, seed: int) -> None:
        examples = int(os.environ.get("MOZLOG_BATCH_EXAMPLES", "300"))
        source = BATCH.format(
            path=[str(pathlib.Path(__file__).parent)], seed=seed, examples=examples
        )
        done = subprocess.run(
            [sys.executable, "-c", source], capture_output=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        assert int(done.stdout) >= examples


def test_strategies_reach_what_they_are_there_for() -> None:
    """The imports that only a strategy's value would miss."""
    assert schema.validate(MozlogFormatter().format(record(value=decimal.Decimal("1.10")))) == []
    assert isinstance(hostile.broken_uuid(), uuid.UUID)
