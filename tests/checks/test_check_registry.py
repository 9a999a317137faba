"""Registering checks: names, decorators, partials, and invalid checks."""

import functools
import importlib
import inspect
import logging
import subprocess
import sys
import threading
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from dockerflow import checks


def passes() -> list[checks.CheckMessage]:
    """Say that all is well."""
    return []


class Passing:
    def __call__(self) -> list[checks.CheckMessage]:
        return []


class TestRegister:
    def test_names_a_check_as_its_function(self) -> None:
        assert checks.register(passes) is passes
        assert checks.get_checks() == {"passes": passes}

    def test_register_takes_a_name_in_every_place(self) -> None:
        checks.register(passes, "by position")
        checks.register(passes, name="by keyword")
        checks.register(name="decorated")(passes)
        checks.register()(passes)
        checks.register("first")(passes)
        assert list(checks.get_checks()) == [
            "by position", "by keyword", "decorated", "passes", "first",
        ]  # fmt: skip
        assert set(checks.get_checks().values()) == {passes}

    def test_register_decorates_without_changing_anything(self) -> None:
        @checks.register("storage", timeout=2)
        async def is_writable() -> list[checks.CheckMessage]:
            return []

        assert inspect.iscoroutinefunction(is_writable)
        assert is_writable.__name__ == "is_writable"
        assert checks.get_checks()["storage"] is is_writable

    def test_names_what_has_no_name(self) -> None:
        checks.register(Passing())
        checks.register(functools.partial(passes))
        checks.register(functools.partial(Passing()))
        checks.register(functools.partial(functools.partial(int)))
        assert list(checks.get_checks()) == ["Passing", "passes", "int"]

    @pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "5", True, 10**400])
    def test_register_refuses_a_timeout_that_is_none(self, timeout: Any) -> None:
        with pytest.raises(ValueError, match=r"timeout is .*; it must be a number of sec"):
            checks.register(passes, timeout=timeout)
        assert checks.get_checks() == {}

    def test_register_refuses_what_cannot_be_called(self) -> None:
        with pytest.raises(TypeError, match="42 is not a check, because it is not callable"):
            checks.register(42)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="two names, 'a' and 'b'"):
            checks.register("a", name="b")

    def test_register_refuses_a_check_that_needs_arguments(self) -> None:
        def connected(client: Any, *, database: int, config: Any) -> list[checks.CheckMessage]:
            return []

        async def coroutine(client: Any) -> list[checks.CheckMessage]:
            return []

        class Object:
            def __call__(self, client: Any) -> list[checks.CheckMessage]:
                return []

        for check, named in (
            (connected, "connected requires client, database"),
            (coroutine, "coroutine requires client"),
            (Object(), "Object requires client"),
            (functools.partial(connected, database=1), "connected requires client"),
        ):
            with pytest.raises(TypeError, match=f"the check {named}; a check takes no argument"):
                checks.register(check)
            with pytest.raises(TypeError, match=r"register it with checks.register_partial\(\)"):
                checks.register()(check)
        assert checks.get_checks() == {}

    def test_register_takes_every_check_that_can_be_called(self) -> None:
        def configured(config: Any) -> list[checks.CheckMessage]:
            return []

        def optional(client: Any = None, *args: Any, **kwargs: Any) -> list[checks.CheckMessage]:
            return []

        def positional(config: Any, /) -> list[checks.CheckMessage]:
            return []

        @functools.wraps(optional)
        def wrapper(*args: Any, **kwargs: Any) -> list[checks.CheckMessage]:
            return []

        def needs(client: Any) -> list[checks.CheckMessage]:
            return []

        @functools.wraps(needs)
        def brings_it(*args: Any) -> list[checks.CheckMessage]:
            return needs("client", *args)

        every = [
            configured,
            optional,
            positional,
            wrapper,
            brings_it,
            Mock(),
            dict,
            Passing().__call__,
        ]
        for number, check in enumerate(every):
            assert checks.register(check, str(number)) is check

    def test_register_warns_when_one_check_takes_the_place_of_another(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        checks.register(passes, "storage")
        checks.register(Passing(), "storage")
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("dockerflow.checks.registry", logging.WARNING)
        assert record.getMessage().startswith("the check storage is registered again, and only")
        assert isinstance(checks.get_checks()["storage"], Passing)

    def test_register_warns_when_a_copied_function_takes_the_place_of_the_first(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        @checks.register
        def copied() -> list[Any]:
            return [checks.Error("never seen")]

        first = copied

        @checks.register  # type: ignore[no-redef]
        def copied() -> list[Any]:
            return []

        assert first.__qualname__ == copied.__qualname__
        (record,) = caplog.records
        assert record.getMessage().startswith("the check copied is registered again, and only")

    def test_register_says_nothing_when_a_module_is_loaded_again(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        again = type(passes)(passes.__code__, passes.__globals__, "passes")
        checks.register(passes)
        checks.register(passes)
        checks.register(again)
        assert caplog.records == []
        assert checks.get_checks()["passes"] is again

    def test_register_is_safe_in_many_threads(self) -> None:
        def many(thread: int) -> None:
            for number in range(200):
                checks.register(passes, f"{thread}.{number}")

        threads = [threading.Thread(target=many, args=(each,)) for each in range(8)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            checks.run_checks(checks.get_checks().items())
        assert len(checks.get_checks()) == 1600


class TestRegisterPartial:
    def test_register_partial_binds_arguments(self) -> None:
        def connected(client: str, database: int) -> list[checks.CheckMessage]:
            """Look at the client."""
            return [checks.Error(f"{client} {database}", id="x")]

        made = checks.register_partial(connected, "redis", 7)
        assert checks.get_checks() == {"connected": made}
        assert made() == [checks.Error("redis 7", id="x")]
        assert (made.__name__, made.__doc__) == ("connected", "Look at the client.")
        assert list(inspect.signature(made).parameters) == []

    def test_register_partial_refuses_what_does_not_fit(self) -> None:
        def connected(client: str, database: int) -> list[checks.CheckMessage]:
            return []

        with pytest.raises(TypeError, match="the check connected requires database; a check"):
            checks.register_partial(connected, "redis")
        with pytest.raises(TypeError, match="the check connected does not take what is bound to"):
            checks.register_partial(connected, "redis", 7, 8)
        assert checks.get_checks() == {}

    def test_register_partial_takes_a_name_and_a_timeout(self) -> None:
        checks.register_partial(max, 1, 2, name="most", timeout=3)
        assert list(checks.get_checks()) == ["most"]

    def test_register_partial_keeps_a_coroutine_function_one(self) -> None:
        async def connected(client: str) -> list[checks.CheckMessage]:
            return []

        assert inspect.iscoroutinefunction(checks.register_partial(connected, "client"))

    def test_register_partial_warns_of_two_clients_under_one_name(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def connected(client: str) -> list[checks.CheckMessage]:
            return []

        checks.register_partial(connected, "one")
        checks.register_partial(connected, "two")
        assert "give one of them another name with name=" in caplog.text

    @pytest.mark.parametrize("mock", [Mock(return_value=[]), AsyncMock(return_value=[])])
    def test_register_partial_takes_a_mock(self, mock: Any) -> None:
        checks.register_partial(mock, 1, name="mock")
        assert checks.run_checks(checks.get_checks().items()).statuses == {"mock": "ok"}
        mock.assert_called_once_with(1)


class TestGetAndClear:
    def test_get_and_clear_give_the_registry_itself(self) -> None:
        checks.register(passes)
        held = checks.get_checks()
        checks.register(passes, "later")
        assert list(held) == ["passes", "later"]
        del held["later"]
        assert list(checks.get_checks()) == ["passes"]

    def test_get_and_clear_forget_all(self) -> None:
        checks.register(passes, timeout=1)
        held = checks.get_checks()
        checks.clear_checks()
        assert checks.get_checks() == {}
        assert list(held) == ["passes"]


class TestNames:
    def test_names_are_those_of_upstream(self) -> None:
        registry = importlib.import_module("dockerflow.checks.registry")
        messages = importlib.import_module("dockerflow.checks.messages")
        for name in ("register", "register_partial", "get_checks", "clear_checks"):
            assert getattr(registry, name) is getattr(checks, name)
        assert registry.CheckFn is not None
        for name in ("run_checks", "run_checks_async", "ChecksResults"):
            assert getattr(registry, name) is getattr(checks, name)
        for name in ("CheckMessage", "Error", "STATUSES", "level_to_text"):
            assert getattr(messages, name) is getattr(checks, name)

    def test_names_have_upstreams_parameters(self) -> None:
        def of(function: Any) -> list[str]:
            return list(inspect.signature(function).parameters)

        assert of(checks.register)[:2] == ["func", "name"]
        assert of(checks.register_partial)[:3] == ["func", "args", "name"]
        assert of(checks.run_checks)[:2] == ["checks", "silenced_check_ids"]
        assert of(checks.run_checks_async) == of(checks.run_checks)
        assert of(checks.ChecksResults) == ["details", "statuses", "level"]
        assert of(checks.CheckMessage) == ["msg", "level", "hint", "obj", "id"]


class TestPackage:
    def test_package_has_its_submodules_without_importing_them_first(self) -> None:
        source = """
import sys
import dockerflow
assert not any(name.startswith("dockerflow.") for name in sys.modules), "import is not cheap"
assert dockerflow.checks.ERROR == 40
assert dockerflow.version.get_version("/nonexistent") is None
assert dockerflow.health.ERROR_REDIS_EXCEPTION and dockerflow.logging.MozlogFormatter
assert not hasattr(dockerflow, "nothing")
assert "asyncio" not in sys.modules, "a service without async checks pays for asyncio"
"""
        subprocess.run([sys.executable, "-c", source], check=True, timeout=60)

    def test_package_says_what_to_import_in_place_of_an_extension_for_django(self) -> None:
        with pytest.raises(ImportError) as caught:
            from dockerflow import DjangoDockerflow  # noqa: F401
        assert "dockerflow.django.middleware.DockerflowMiddleware" in str(caught.value)
        with pytest.raises(ImportError, match="cannot import name 'SanicDockerflow'"):
            from dockerflow import SanicDockerflow  # noqa: F401
