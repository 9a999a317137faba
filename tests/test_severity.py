from __future__ import annotations

import decimal
import itertools
import logging
from typing import Any

import hostile
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mozlog_py._line.severity import CLOUD_SEVERITIES, severity

PROPERTY = settings(deadline=None, database=None)

# Lowest level, syslog severity, Cloud Logging's name: the bounds, from the least severe.
TABLE = [
    (-(10**30), 7, "DEBUG"),
    (20, 6, "INFO"),
    (25, 5, "NOTICE"),
    (30, 4, "WARNING"),
    (40, 3, "ERROR"),
    (50, 2, "CRITICAL"),
    (60, 1, "ALERT"),
    (70, 0, "EMERGENCY"),
]

levels = st.one_of(st.integers(), st.integers(0, 80), st.floats(allow_nan=False))


class TestNamedLevels:
    @pytest.mark.parametrize(
        ("level", "syslog"),
        [
            (logging.CRITICAL, 2),
            (logging.ERROR, 3),
            (logging.WARNING, 4),
            (logging.INFO, 6),
            (logging.DEBUG, 7),
            (logging.NOTSET, 7),
        ],
    )
    def test_named_levels_of_python_have_their_syslog_severity(
        self, level: int, syslog: int
    ) -> None:
        assert severity(level) == syslog

    def test_named_levels_by_convention_at_25_are_notices(self) -> None:
        assert severity(25) == 5


class TestLevelsBetween:
    @pytest.mark.parametrize(("bound", "syslog", "_name"), TABLE)
    def test_levels_between_are_as_severe_as_the_named_one_below(
        self, bound: int, syslog: int, _name: str
    ) -> None:
        assert severity(bound) == syslog
        assert severity(bound + 1) == syslog
        assert severity(bound + 4) == syslog

    @pytest.mark.parametrize(
        ("below", "above"), [(low[1], high[0]) for low, high in itertools.pairwise(TABLE)]
    )
    def test_change_exactly_at_the_bound(self, below: int, above: int) -> None:
        assert severity(above - 1) == below
        assert severity(above - 0.001) == below
        assert severity(above) == severity(float(above)) == below - 1

    @PROPERTY
    @given(levels, levels)
    def test_levels_between_are_never_less_severe_when_they_are_higher(
        self, first: float, second: float
    ) -> None:
        low, high = sorted([first, second])
        assert 0 <= severity(high) <= severity(low) <= 7


class TestOddLevels:
    @pytest.mark.parametrize("level", [-1, -(10**400), float("-inf"), -0.0, False, True])
    def test_odd_levels_that_are_low_or_negative_are_debug(self, level: Any) -> None:
        assert severity(level) == 7

    @pytest.mark.parametrize("level", [70, 10**6, 10**400, float("inf")])
    def test_odd_levels_that_are_huge_are_emergencies(self, level: Any) -> None:
        assert severity(level) == 0

    @pytest.mark.parametrize(
        "level",
        [
            None,
            "50",
            "ERROR",
            b"50",
            50j,
            [50],
            {},
            object(),
            float("nan"),
            hostile.LyingStr("50"),
        ],
        ids=lambda level: type(level).__name__,
    )
    def test_odd_levels_that_are_no_numbers_are_debug(self, level: Any) -> None:
        assert severity(level) == 7

    def test_odd_levels_that_claim_to_be_numbers_or_refuse_to_say_are_debug(self) -> None:
        assert severity(hostile.LyingClass(int)) == 7
        assert severity(hostile.RaisingClass()) == 7

    @pytest.mark.parametrize(
        ("level", "syslog"),
        [
            (hostile.HostileInt(40), 3),
            (hostile.HostileFloat(40.0), 3),
            (hostile.LyingInt(10), 7),
            (hostile.LyingFloat(10.0), 7),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_odd_levels_of_a_hostile_subclass_count_by_their_base_value(
        self, level: Any, syslog: int
    ) -> None:
        assert severity(level) == syslog

    def test_odd_levels_give_an_exact_int(self) -> None:
        assert {type(severity(level)) for level in (40, 40.5, True, None, decimal.Decimal(1))} == {
            int
        }


class TestCloudSeverities:
    @pytest.mark.parametrize(("_bound", "syslog", "name"), TABLE)
    def test_cloud_severities_are_listed_by_syslog_severity(
        self, _bound: int, syslog: int, name: str
    ) -> None:
        assert CLOUD_SEVERITIES[syslog] == name

    def test_cloud_severities_have_one_name_for_each_syslog_severity(self) -> None:
        assert len(set(CLOUD_SEVERITIES)) == 8
