"""Levels and messages: the behaviour of upstream's, and where upstream's fail."""

import pytest

from dockerflow import checks, health

SUBCLASSES = [
    (checks.Debug, 10),
    (checks.Info, 20),
    (checks.Warning, 30),
    (checks.Error, 40),
    (checks.Critical, 50),
]


class TestLevels:
    def test_levels_have_the_values_of_logging(self) -> None:
        levels = (checks.DEBUG, checks.INFO, checks.WARNING, checks.ERROR, checks.CRITICAL)
        assert levels == (10, 20, 30, 40, 50)

    def test_levels_have_names(self) -> None:
        assert checks.STATUSES == {
            0: "ok", 10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical",
        }  # fmt: skip
        assert [checks.level_to_text(level) for level in (0, 30, 35)] == [
            "ok", "warning", "unknown",
        ]  # fmt: skip


class TestCheckMessage:
    @pytest.mark.parametrize(("kind", "level"), SUBCLASSES)
    def test_check_message_of_each_kind_has_its_level(
        self, kind: type[checks.CheckMessage], level: int
    ) -> None:
        message = kind("text", hint="a hint", obj="an object", id="shop.E001")
        assert (message.level, message.msg, message.hint) == (level, "text", "a hint")
        assert (message.obj, message.id) == ("an object", "shop.E001")

    def test_check_message_takes_its_arguments_by_position(self) -> None:
        message = checks.CheckMessage("text", 30, "hint", "obj", "id")
        assert message == checks.CheckMessage(msg="text", level=30, hint="hint", obj="obj", id="id")

    def test_check_message_takes_a_level_of_its_own(self) -> None:
        assert checks.Info("text", level=45).level == 45  # type: ignore[arg-type]
        assert checks.Info("text", level="30").level == 30  # type: ignore[arg-type]
        assert checks.Info("text", level=0).level == checks.INFO

    def test_check_message_without_any_level_counts_as_an_error(self) -> None:
        assert checks.CheckMessage("text").is_serious()

    def test_check_message_is_serious_from_error_on(self) -> None:
        serious = [kind("text").is_serious() for kind, _ in SUBCLASSES]
        assert serious == [False, False, False, True, True]
        assert checks.Warning("text").is_serious(checks.WARNING)

    def test_check_message_is_equal_by_what_it_says(self) -> None:
        assert checks.Error("a", id="x") == checks.Error("a", id="x")
        assert checks.Error("a", id="x") != checks.Error("a", id="y")
        assert checks.Error("a") != checks.Error("a", hint="b")
        assert checks.Error("a") != checks.Critical("a")
        assert checks.Error("a") != "a"

    def test_check_message_prints_as_upstreams_does(self) -> None:
        message = checks.Error("no disk", hint="buy one", obj="sda", id="shop.E001")
        assert str(message) == "sda: (shop.E001) no disk\n\tHINT: buy one"
        assert str(checks.Info("fine")) == "?: fine"
        assert repr(message) == (
            "<Error: level=40, msg='no disk', hint='buy one', obj='sda', id='shop.E001'>"
        )


class TestIds:
    def test_ids_are_those_of_upstream(self) -> None:
        names = {
            "INFO_CANT_CHECK_MIGRATIONS": "I001",
            "WARNING_UNAPPLIED_MIGRATION": "W001",
            "ERROR_CANNOT_CONNECT_DATABASE": "E001",
            "ERROR_UNUSABLE_DATABASE": "E002",
            "ERROR_MISCONFIGURED_DATABASE": "E003",
            "ERROR_CANNOT_CONNECT_REDIS": "E004",
            "ERROR_MISSING_REDIS_CLIENT": "E005",
            "ERROR_MISCONFIGURED_REDIS": "E006",
            "ERROR_REDIS_PING_FAILED": "E007",
            "ERROR_DB_API_EXCEPTION": "E008",
            "ERROR_SQLALCHEMY_EXCEPTION": "E009",
            "ERROR_REDIS_EXCEPTION": "E010",
        }
        for name, number in names.items():
            assert getattr(health, name) == f"dockerflow.health.{number}"

    def test_ids_are_all_different(self) -> None:
        ids = [getattr(health, name) for name in health.__all__]
        assert len(set(ids)) == len(ids)
        assert all(name.startswith(("INFO_", "WARNING_", "ERROR_")) for name in health.__all__)
