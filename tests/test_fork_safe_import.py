"""Forks wait for imports in other threads, and neither waits for ever."""

import os
import subprocess
import sys
import threading

import pytest

from mozlog_py._process import fork_safe_import as module
from mozlog_py._process.fork_safe_import import fork_safe_import

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")


def is_noted(notes: dict[object, int]) -> bool:
    return threading.get_ident() in notes.values()


class TestForkSafeImport:
    def test_fork_safe_import_is_noted_as_long_as_it_goes_on(self) -> None:
        with fork_safe_import():
            assert is_noted(module._importing)
            with fork_safe_import():
                pass
            assert is_noted(module._importing)
        assert not is_noted(module._importing)

    def test_fork_safe_import_is_over_after_an_exception(self) -> None:
        with pytest.raises(ImportError), fork_safe_import():
            raise ImportError
        assert not is_noted(module._importing)

    def test_fork_safe_import_waits_for_no_import_of_another_thread(self) -> None:
        is_inside, may_end = threading.Event(), threading.Event()

        def imports() -> None:
            with fork_safe_import():
                is_inside.set()
                assert may_end.wait(30)

        thread = threading.Thread(target=imports)
        thread.start()
        assert is_inside.wait(30)
        with fork_safe_import():
            # Each may hold a lock that the other needs.
            assert len(module._importing) == 2
        may_end.set()
        thread.join()

    def test_fork_safe_import_waits_for_a_fork_of_another_thread_until_a_limit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "IMPORT_WAITS_S", 0.01)
        monkeypatch.setitem(module._forking, threading.get_ident() + 1, None)
        with fork_safe_import():
            assert is_noted(module._importing)

    def test_fork_safe_import_of_a_fork_waits_for_imports_until_a_limit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "FORK_WAITS_S", 0.01)
        monkeypatch.setitem(module._importing, object(), threading.get_ident() + 1)
        module._wait_for_imports()
        assert threading.get_ident() in module._forking
        module._end_fork()
        assert threading.get_ident() not in module._forking

    @needs_fork
    def test_fork_safe_import_of_the_forking_thread_goes_on_in_the_child(self) -> None:
        # As where a signal handler forks.
        source = """
import os
from mozlog_py._process import fork_safe_import as module
with module.fork_safe_import():
    child = os.fork()
    assert len(module._importing) == (1 if child else 0)
assert not module._importing and not module._forking
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
        done = subprocess.run(
            [sys.executable, "-c", source], check=False, timeout=60, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
