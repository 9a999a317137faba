from __future__ import annotations

import asyncio
import gc
import linecache
import sys
import traceback
import types
import weakref
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import hostile
import pytest
from hostile import BaseExceptionGroup, ExceptionGroup, raised

from mozlog_py._values import frame_cache as frames_module
from mozlog_py._values.frame_cache import frames_text
from mozlog_py._values.sanitiser import MAX_REPR, Sanitiser
from mozlog_py._values.tracebacks import HEADER, as_exc_info, render_exception

# The text is cut at 32,768 characters; the note that says so comes on top.
MAX_LENGTH = 32_768 + 100
FORGED = 'x\n  File "/forged.py", line 1, in forged\n    forged()\nValueError: forged'
CAUSE = "\nThe exception above was the direct cause of the one below:\n\n"
CONTEXT = "\nWhile the exception above was being handled, the one below was raised:\n\n"


def rendered(error: Any, sanitiser: Sanitiser | None = None) -> str:
    """Return the text of an exception, its header taken off."""
    exc_info = as_exc_info(error)
    assert exc_info is not None
    text = render_exception(exc_info, sanitiser or Sanitiser())[1]
    assert text.startswith(HEADER)
    assert len(text) <= MAX_LENGTH
    return text[len(HEADER) :]


def error_of(error: Any, sanitiser: Sanitiser | None = None) -> str:
    exc_info = as_exc_info(error)
    assert exc_info is not None
    return render_exception(exc_info, sanitiser or Sanitiser())[0]


def block(error: BaseException) -> str:
    """Return the text of an exception without a traceback."""
    return f"{type(error)!r}\n{error!r}\n"


def failing(source: str, filename: str = "<generated>", **names: Any) -> BaseException:
    """Run some source code and give the exception it raises, without our own frame."""
    try:
        exec(compile(source, filename, "exec"), names)
    except BaseException as caught:
        ours = caught.__traceback__
        return caught.with_traceback(ours and ours.tb_next)
    raise AssertionError("nothing was raised")


class TestExcInfo:
    @pytest.mark.parametrize("flag", [True, 1, False, 0, None, (None, None, None)])
    def test_exc_info_shows_nothing_where_no_exception_is_active(self, flag: Any) -> None:
        assert as_exc_info(flag) is None

    @pytest.mark.parametrize("flag", [True, 1])
    def test_exc_info_that_is_true_is_the_active_exception(self, flag: Any) -> None:
        try:
            raise ValueError("boom")
        except ValueError as caught:
            error = caught
            assert as_exc_info(flag) == (ValueError, error, error.__traceback__)

    @pytest.mark.parametrize("flag", [False, 0, None])
    def test_exc_info_that_is_false_shows_nothing_of_the_active_exception(self, flag: Any) -> None:
        try:
            raise ValueError
        except ValueError:
            assert as_exc_info(flag) is None

    def test_exc_info_that_is_an_exception_has_its_traceback(self) -> None:
        error = raised(ValueError())
        assert as_exc_info(error) == (ValueError, error, error.__traceback__)
        assert error.__traceback__ is not None

    def test_exc_info_that_is_an_exception_never_raised_has_none(self) -> None:
        error = ValueError("boom")
        assert as_exc_info(error) == (ValueError, error, None)
        assert rendered(error) == block(error)

    def test_exc_info_that_is_a_triple_stays_as_it_is(self) -> None:
        error = raised(ValueError())
        triple = (ValueError, error, error.__traceback__)
        assert as_exc_info(triple) == triple

    def test_exc_info_that_is_a_triple_without_a_traceback_may_hold_anything_there(self) -> None:
        error = ValueError()
        assert as_exc_info((ValueError, error, "nonsense")) == (ValueError, error, None)

    @pytest.mark.parametrize("shape", ["yes", 2.5, (), (1, 2), [ValueError, None, None], object()])
    def test_exc_info_of_another_shape_is_refused(self, shape: Any) -> None:
        with pytest.raises(TypeError, match="neither an exception nor a triple"):
            as_exc_info(shape)

    def test_exc_info_that_merely_claims_to_be_an_exception_is_refused(self) -> None:
        with pytest.raises(TypeError):
            as_exc_info(hostile.LyingClass(ValueError))

    def test_exc_info_of_a_class_without_an_instance_names_the_class(self) -> None:
        exc_info = as_exc_info((ValueError, None, None))
        assert exc_info is not None
        error, text = render_exception(exc_info, Sanitiser())
        assert error == "<class 'ValueError'>"
        assert text.startswith(f"{HEADER}<class 'ValueError'>\n")

    @pytest.mark.parametrize("value", ["text", 5, object()])
    def test_exc_info_whose_value_is_no_exception_shows_its_repr(self, value: Any) -> None:
        error, text = render_exception((None, value, None), Sanitiser())
        assert error == repr(value)
        assert text == f"{HEADER}None\n{value!r}\n"

    def test_exc_info_whose_value_merely_claims_to_be_one_shows_its_repr(self) -> None:
        value = hostile.LyingClass(ValueError)
        error, text = render_exception((ValueError, value, None), Sanitiser())
        assert error == "lying class"
        assert text == f"{HEADER}<class 'ValueError'>\nlying class\n"

    def test_exc_info_whose_value_does_not_say_what_it_is_shows_its_repr(self) -> None:
        value = hostile.RaisingClass()
        error, text = render_exception((ValueError, value, None), Sanitiser())
        assert error == "raising class"
        assert text.endswith("\nraising class\n")


class TestFrames:
    def test_frames_are_those_of_the_standard_library(self) -> None:
        error = raised(ValueError("boom"))
        assert frames_text(error.__traceback__) == "".join(traceback.format_tb(error.__traceback__))
        assert "raise error" in frames_text(error.__traceback__)

    def test_frames_of_nothing_are_nothing(self) -> None:
        assert frames_text(None) == ""

    def test_frames_come_before_the_exception(self) -> None:
        error = raised(ValueError("boom"))
        assert rendered(error) == frames_text(error.__traceback__) + block(error)

    @pytest.mark.parametrize("limit", [0, 1, -1, -(10**30), 10**30, None, "nonsense", 2.5, b""])
    def test_frames_are_the_same_with_any_tracebacklimit(
        self, monkeypatch: pytest.MonkeyPatch, limit: Any
    ) -> None:
        error = failing("def f():\n  raise ValueError\nf()", "<limited>")
        expected = '  File "<limited>", line 3, in <module>\n  File "<limited>", line 2, in f\n'
        monkeypatch.setattr(frames_module, "_frames", {})
        monkeypatch.setattr(sys, "tracebacklimit", limit, raising=False)
        text = frames_text(error.__traceback__)
        monkeypatch.undo()
        assert text == expected

    def test_frames_that_repeat_are_collapsed_and_counted(self) -> None:
        error = failing(
            "def f(n):\n  if not n: raise ValueError\n  f(n - 1)\nf(500)", "<recursive>"
        )
        assert rendered(error) == (
            '  File "<recursive>", line 4, in <module>\n'
            + '  File "<recursive>", line 3, in f\n' * 3
            + "  [the line above repeats 497 more times]\n"
            + '  File "<recursive>", line 2, in f\n'
            + block(error)
        )

    def test_frames_of_a_recursion_error_are_collapsed(self) -> None:
        error = failing("def f():\n  f()\nf()", "<endless>")
        assert type(error) is RecursionError
        text = rendered(error)
        assert text.count("in f\n") == 3
        assert "more times]\n" in text
        assert text.endswith(block(error))

    def test_frames_of_functions_that_call_each_other_endlessly_are_bounded(self) -> None:
        error = failing("def f():\n  g()\ndef g():\n  f()\nf()", "<mutual>")
        text = rendered(error)
        assert "more frames here]\n" in text
        assert text.count("File ") <= 100
        assert text.startswith('  File "<mutual>", line 5, in <module>\n')
        assert text.endswith(block(error))

    def test_frames_that_are_many_keep_both_ends_and_count_the_rest(self) -> None:
        source = "\n".join(f"def f{n}():\n  f{n + 1}()" for n in range(150))
        error = failing(f"{source}\ndef f150(): raise ValueError\nf0()", "<many>")
        text = rendered(error)
        kept = text.count("File ")
        # 151 functions and the module.
        assert f"  [{152 - kept} more frames here]\n" in text
        assert "in <module>\n" in text
        assert "in f0\n" in text
        assert "in f150\n" in text
        assert "in f75\n" not in text

    def test_frames_do_not_change_the_traceback(self) -> None:
        error = raised(ValueError())
        before = error.__traceback__
        rendered(error)
        assert error.__traceback__ is before


class TestSource:
    def test_source_that_can_be_read_is_shown(self, tmp_path: Path) -> None:
        path = tmp_path / "module.py"
        path.write_text("raise ValueError  # the line\n")
        error = failing(path.read_text(), str(path))
        assert f'  File "{path}", line 1, in <module>\n' in rendered(error)
        assert "    raise ValueError  # the line\n" in rendered(error)

    @pytest.mark.parametrize("content", [None, b"\xff\xfe\x00bad", b"", b"# coding: nonsense\n"])
    def test_source_that_cannot_be_read_leaves_the_position(
        self, tmp_path: Path, content: bytes | None
    ) -> None:
        path = tmp_path / "module.py"
        error = failing("\nraise ValueError", str(path))
        if content is not None:
            path.write_bytes(content)
        assert rendered(error) == f'  File "{path}", line 2, in <module>\n' + block(error)

    def test_source_whose_loader_raises_leaves_the_position(self) -> None:
        class Loader:
            def get_source(self, _name: str) -> str:
                raise hostile.Hostile

        error = failing("\nraise ValueError", "/loader.py", __loader__=Loader(), __name__="loaded")
        linecache.cache.pop("/loader.py", None)
        assert rendered(error) == '  File "/loader.py", line 2, in <module>\n' + block(error)

    def test_source_whose_loader_interrupts_leaves_the_position_and_the_interrupt(self) -> None:
        class Loader:
            # Once, so that what pytest makes of a failure is not interrupted too.
            left = 1

            def get_source(self, _name: str) -> str:
                self.left -= 1
                raise SystemExit if self.left >= 0 else ImportError

        loader: Any = Loader()
        # From 3.15 on, the source is read from the loader of the spec.
        of_module = {"__loader__": loader, "__spec__": ModuleSpec("loaded", loader)}
        error = failing("\nraise ValueError", "/interrupting.py", __name__="loaded", **of_module)
        linecache.cache.pop("/interrupting.py", None)
        sanitiser = Sanitiser()
        assert rendered(error, sanitiser).endswith(block(error))
        assert type(sanitiser.interrupt) is SystemExit


class TestFrameCache:
    @pytest.fixture(autouse=True)
    def empty_cache(self, monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
        cache: dict[Any, Any] = {}
        monkeypatch.setattr(frames_module, "_frames", cache)
        return cache

    def test_frame_cache_gives_the_same_text_for_the_same_failure(self) -> None:
        texts = {rendered(raised(ValueError("boom"))) for _ in range(3)}
        assert len(texts) == 1
        assert texts == {rendered(raised(ValueError("boom")))}

    def test_frame_cache_tells_positions_in_one_function_apart(self) -> None:
        source = "def f(n):\n  if n: raise ValueError\n  raise ValueError\nf({})"
        first, second = failing(source.format(0)), failing(source.format(1))
        for _ in range(2):
            assert "line 3, in f\n" in rendered(first)
            assert "line 2, in f\n" in rendered(second)

    def test_frame_cache_reads_no_source_for_a_position_it_knows(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        error = raised(ValueError())
        before = rendered(error)
        monkeypatch.setattr(traceback, "format_tb", hostile._refuse)
        assert rendered(error) == before

    def test_frame_cache_gives_no_text_of_a_code_object_that_is_not_this_one(
        self, empty_cache: dict[Any, Any]
    ) -> None:
        error = failing("raise ValueError", "<fresh>")
        other = failing("raise ValueError", "<stale>")
        assert error.__traceback__ is not None
        assert other.__traceback__ is not None
        at = error.__traceback__
        # As if the other had been collected, and its id given to this one.
        key = (id(at.tb_frame.f_code), at.tb_lasti)
        code = weakref.ref(other.__traceback__.tb_frame.f_code)
        empty_cache[key] = (code, '  File "<stale>"\n')
        assert frames_text(at) == '  File "<fresh>", line 1, in <module>\n'

    def test_frame_cache_gives_each_its_own_text_while_code_objects_come_and_go(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(frames_module, "_CACHE_SIZE", 4)
        for number in range(200):
            error = failing(f"def f{number}():\n  raise ValueError\nf{number}()")
            assert f"line 2, in f{number}\n" in rendered(error)
            del error
            gc.collect(0)

    def test_frame_cache_is_bounded(
        self, monkeypatch: pytest.MonkeyPatch, empty_cache: dict[Any, Any]
    ) -> None:
        monkeypatch.setattr(frames_module, "_CACHE_SIZE", 16)
        for _ in range(100):
            rendered(failing("raise ValueError"))
        assert 0 < len(empty_cache) <= 16

    @pytest.mark.slow
    def test_frame_cache_keeps_no_code_that_was_made_at_run_time(self) -> None:
        error = failing("raise ValueError", "<template>")
        assert error.__traceback__ is not None
        code = weakref.ref(error.__traceback__.tb_frame.f_code)
        rendered(error)
        del error
        gc.collect()
        assert code() is None

    def test_frame_cache_keeps_no_text_of_any_length(self, empty_cache: dict[Any, Any]) -> None:
        error = failing("raise ValueError", f"<{'x' * 5000}>")
        assert "x" * 5000 in rendered(error)
        assert empty_cache == {}


class TestChains:
    def test_chains_of_a_cause_tell_the_oldest_first(self) -> None:
        error, cause = ValueError("new"), KeyError("old")
        error.__cause__ = cause
        assert rendered(error) == block(cause) + CAUSE + block(error)

    def test_chains_of_a_context_say_so(self) -> None:
        error, context = ValueError("new"), KeyError("old")
        error.__context__ = context
        assert rendered(error) == block(context) + CONTEXT + block(error)

    def test_chains_of_both_kinds_prefer_the_cause(self) -> None:
        error = ValueError("new")
        error.__context__ = KeyError("context")
        error.__cause__ = cause = TypeError("cause")
        assert rendered(error) == block(cause) + CAUSE + block(error)

    def test_chains_of_three_are_told_in_order(self) -> None:
        first, second, third = KeyError(1), TypeError(2), ValueError(3)
        second.__context__, third.__cause__ = first, second
        assert rendered(third) == (block(first) + CONTEXT + block(second) + CAUSE + block(third))

    def test_chains_raised_in_earnest_have_the_frames_of_each(self) -> None:
        error = failing("try:\n  raise KeyError\nexcept KeyError as e:\n  raise ValueError from e")
        assert rendered(error) == (
            f'  File "<generated>", line 2, in <module>\n{block(KeyError())}{CAUSE}'
            f'  File "<generated>", line 4, in <module>\n{block(error)}'
        )

    def test_hidden_with_from_none_are_hidden(self) -> None:
        error = failing("try:\n  raise KeyError\nexcept KeyError:\n  raise ValueError from None")
        assert rendered(error) == f'  File "<generated>", line 4, in <module>\n{block(error)}'

    @pytest.mark.parametrize("attribute", ["__cause__", "__context__"])
    def test_chains_that_are_cyclic_are_cut_with_a_note(self, attribute: str) -> None:
        first, second = KeyError(1), ValueError(2)
        for one, other in ((first, second), (second, first)):
            setattr(one, attribute, other)
        link = CAUSE if attribute == "__cause__" else CONTEXT
        sanitiser = Sanitiser()
        assert rendered(second, sanitiser) == (
            f"[earlier exceptions are left out here]\n{link}{block(first)}{link}{block(second)}"
        )
        assert [*sanitiser.reasons] == ["exception chain cut"]

    def test_chains_of_an_exception_caused_by_itself_are_cut(self) -> None:
        error = ValueError(1)
        error.__cause__ = error
        assert rendered(error) == (f"[earlier exceptions are left out here]\n{CAUSE}{block(error)}")

    def test_chains_of_a_thousand_keep_the_newest_and_say_so(self) -> None:
        error: BaseException = ValueError(0)
        for number in range(1, 1000):
            newer = ValueError(number)
            newer.__cause__, error = error, newer
        sanitiser = Sanitiser()
        text = rendered(error, sanitiser)
        assert text.startswith("[earlier exceptions are left out here]\n")
        assert text.endswith(f"{block(ValueError(998))}{CAUSE}{block(ValueError(999))}")
        assert text.count(CAUSE) == 50
        assert "exception chain cut" in sanitiser.reasons

    def test_chains_are_true_where_a_subclass_lies_about_them(self) -> None:
        class Lying(Exception):
            __cause__ = property(hostile._refuse)
            __context__ = property(hostile._refuse)
            __suppress_context__ = property(lambda _self: True)
            __traceback__ = property(hostile._refuse)

        try:
            try:
                raise KeyError("old")
            except KeyError:
                raise Lying from None
        except Lying as caught:
            error = caught
        assert rendered(error).endswith(block(error))
        assert "in test_chains_are_true_where_a_subclass_lies_about_them" in rendered(error)
        assert "KeyError" not in rendered(error).split("Lying")[-1]


class TestGroups:
    def test_groups_show_each_member_below_the_group(self) -> None:
        members = [ValueError(1), TypeError(2)]
        group = ExceptionGroup("both", members)
        assert rendered(group) == (
            f"{block(group)}"
            "  +- exception 1 of 2\n"
            "  | <class 'ValueError'>\n"
            "  | ValueError(1)\n"
            "  +- exception 2 of 2\n"
            "  | <class 'TypeError'>\n"
            "  | TypeError(2)\n"
        )

    def test_groups_show_the_frames_causes_and_notes_of_their_members(self) -> None:
        member = failing("raise ValueError from KeyError('old')", "<member>")
        member.__notes__ = ["noted"]
        group = ExceptionGroup("group", [member])  # type: ignore[type-var]
        assert rendered(group) == (
            f"{block(group)}"
            "  +- exception 1 of 1\n"
            "  | <class 'KeyError'>\n"
            "  | KeyError('old')\n"
            "  | \n"
            "  | The exception above was the direct cause of the one below:\n"
            "  | \n"
            '  |   File "<member>", line 1, in <module>\n'
            "  | <class 'ValueError'>\n"
            "  | ValueError()\n"
            "  | note: 'noted'\n"
        )

    def test_groups_within_groups_are_indented_further(self) -> None:
        inner = ExceptionGroup("inner", [ValueError(1)])
        group = ExceptionGroup("outer", [inner])
        assert rendered(group).endswith(
            f"  | {inner!r}\n"
            "  |   +- exception 1 of 1\n"
            "  |   | <class 'ValueError'>\n"
            "  |   | ValueError(1)\n"
        )

    def test_groups_that_are_a_cause_show_their_members(self) -> None:
        error = TypeError("new")
        error.__cause__ = ExceptionGroup("old", [ValueError("member")])
        text = rendered(error)
        assert "  | ValueError('member')\n" in text
        assert text.endswith(CAUSE + block(error))

    def test_groups_that_hold_interrupts_are_groups_too(self) -> None:
        group = BaseExceptionGroup("base", [KeyboardInterrupt()])
        assert rendered(group).endswith("  | KeyboardInterrupt()\n")

    def test_groups_that_are_wide_are_cut_and_counted(self) -> None:
        group = ExceptionGroup("wide", [ValueError(number) for number in range(10_000)])
        text = rendered(group)
        assert "  +- exception 10 of 10000\n" in text
        assert "exception 11 of" not in text
        assert text.endswith("  +- [9990 more exceptions]\n")

    def test_groups_that_are_deep_are_cut_and_counted(self) -> None:
        group: Any = hostile.nested(
            30, lambda inner: ExceptionGroup("deep", [inner]), ValueError("innermost")
        )
        text = rendered(group)
        assert text.endswith("[1 exceptions, nested too deeply]\n")
        assert text.count("exception 1 of 1\n") == 8

    def test_groups_that_are_wide_and_deep_are_bounded(self) -> None:
        group: Any = hostile.nested(
            6, lambda inner: ExceptionGroup("both", [inner] * 8), ValueError("innermost")
        )
        text = rendered(group)
        assert text.count(" of 8\n") <= 60
        assert "[the others are left out here]\n" in text

    def test_groups_whose_members_led_to_each_other_are_cut(self) -> None:
        first, second = ValueError(1), TypeError(2)
        first.__cause__, second.__cause__ = second, first
        text = rendered(ExceptionGroup("cyclic", [first, second]))
        assert "  | ValueError(1)\n" in text
        assert "  | TypeError(2)\n" in text
        assert "  | [earlier exceptions are left out here]\n" in text

    @pytest.mark.parametrize(
        "members",
        [
            property(hostile._refuse),
            property(lambda _self: 5),
            property(lambda self: (self,)),
            property(lambda _self: ("no exception", 5)),
            property(lambda _self: (hostile.LyingClass(ValueError),)),
        ],
        ids=["raise", "are none", "are the group itself", "are no exceptions", "lie"],
    )
    def test_groups_whose_members_are_odd_still_show_the_group(self, members: Any) -> None:
        kind = type("Odd", (ExceptionGroup,), {"exceptions": members})
        group = kind("odd", [ValueError(1)])
        assert rendered(group).startswith(block(group))

    def test_groups_whose_members_cannot_be_read_say_so(self) -> None:
        kind = type("Odd", (ExceptionGroup,), {"exceptions": property(hostile._refuse)})
        sanitiser = Sanitiser()
        rendered(kind("odd", [ValueError(1)]), sanitiser)
        assert sanitiser.reasons


class TestNotes:
    def noted(self, notes: Any) -> str:
        error = ValueError("boom")
        error.__notes__ = notes
        text = rendered(error)
        assert text.startswith(block(error))
        return text[len(block(error)) :]

    @pytest.mark.parametrize("notes", [["first", "second"], ("first", "second")])
    def test_notes_come_after_the_exception(self, notes: Any) -> None:
        assert self.noted(notes) == "note: 'first'\nnote: 'second'\n"

    @pytest.mark.parametrize("notes", [[], (), None])
    def test_notes_that_are_none_say_nothing(self, notes: Any) -> None:
        assert self.noted(notes) == ""

    @pytest.mark.parametrize("notes", ["text", 5, {"a": 1}, {1}])
    def test_notes_that_are_no_list_are_one_note(self, notes: Any) -> None:
        assert self.noted(notes) == f"note: {notes!r}\n"

    def test_notes_that_are_no_text_are_their_repr(self) -> None:
        assert self.noted([5, None, b"x"]) == "note: 5\nnote: None\nnote: b'x'\n"

    def test_notes_that_raise_are_a_marker(self) -> None:
        assert self.noted([hostile.RaisingRepr(), "next"]) == (
            "note: <unprintable RaisingRepr: Hostile>\nnote: 'next'\n"
        )

    def test_notes_that_are_many_are_cut_and_counted(self) -> None:
        text = self.noted([f"note {number}" for number in range(1000)])
        assert text.count("note: ") == 20
        assert text.endswith("note: 'note 19'\n[980 more notes]\n")

    def test_notes_that_are_long_are_cut(self) -> None:
        assert "... <truncated, 1000002 characters>\n" in self.noted(["x" * 1_000_000])

    @pytest.mark.parametrize("kind", [hostile.HostileList, hostile.HostileTuple])
    def test_notes_in_a_hostile_list_are_read_all_the_same(self, kind: Any) -> None:
        assert self.noted(kind(["first"])) == "note: 'first'\n"

    def test_notes_whose_truth_cannot_be_told_are_one_note(self) -> None:
        class Array:  # such as numpy's
            def __bool__(self) -> bool:
                raise ValueError("ambiguous")

            def __repr__(self) -> str:
                return "array"

        assert self.noted(Array()) == "note: array\n"

    def test_notes_that_do_not_say_what_they_are_are_one_note(self) -> None:
        assert self.noted(hostile.RaisingClass()) == "note: raising class\n"

    def test_notes_that_cannot_be_read_leave_the_exception(self) -> None:
        class Odd(Exception):
            __notes__ = property(hostile._refuse)

        error = Odd()
        sanitiser = Sanitiser()
        assert rendered(error, sanitiser) == block(error)
        # Nothing in the text tells that there were any.
        assert sanitiser.reasons

    def test_notes_that_interrupt_leave_the_exception_and_the_interrupt(self) -> None:
        class Odd(Exception):
            @property
            def __notes__(self) -> Any:  # type: ignore[override]
                raise SystemExit

        sanitiser = Sanitiser()
        error = Odd()
        assert rendered(error, sanitiser).startswith(block(error))
        assert type(sanitiser.interrupt) is SystemExit


class TestSyntaxErrors:
    def test_syntax_errors_of_real_source_say_what_and_where(self) -> None:
        with pytest.raises(SyntaxError) as caught:
            compile("a = = 1", "<source>", "exec")
        text = rendered(caught.value)
        said = "SyntaxError: invalid syntax (<source>, line 1)\n"
        assert text.endswith(block(caught.value) + said)
        assert "('<source>', 1, " in text
        assert "a = = 1" in text

    @pytest.mark.parametrize(
        "details",
        [
            ("file", None, None, None),
            ("file", "line", "offset", 5),
            (None, -1, -1, "text"),
            (5, 10**30, 10**30, "text\ntext"),
            ("file", 1, 2, "text", "end", object),
        ],
    )
    def test_syntax_errors_with_odd_fields_are_their_repr_and_their_text(
        self, details: Any
    ) -> None:
        error = SyntaxError("odd", details)
        assert rendered(error) == f"{block(error)}SyntaxError: {error}\n"

    @pytest.mark.parametrize("field", ["filename", "lineno", "offset", "text", "msg"])
    def test_syntax_errors_with_hostile_attributes_are_their_repr(self, field: str) -> None:
        error = SyntaxError("odd", ("file", 1, 2, "text"))
        setattr(error, field, hostile.RaisingRepr())
        assert rendered(error).startswith(block(error))
        assert "Hostile" not in rendered(error)


class TestRaisingExceptions:
    def test_raising_exceptions_whose_str_raises_are_their_repr(self) -> None:
        class Odd(Exception):
            __str__ = hostile._refuse

        error = Odd(1)
        assert error_of(error) == "Odd(1)"
        assert rendered(error) == block(error)

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (hostile.RaisingRepr(), "Hostile"),
            (hostile.RecursiveRepr(), "RecursionError"),
            (hostile.NonStringRepr(), "TypeError"),
        ],
    )
    def test_raising_exceptions_whose_repr_raises_are_a_marker(
        self, value: Any, reason: str
    ) -> None:
        error = ValueError(value)
        sanitiser = Sanitiser()
        marker = f"<unprintable ValueError: {reason}>"
        assert error_of(error, sanitiser) == marker
        assert rendered(error) == f"<class 'ValueError'>\n{marker}\n"
        assert [*sanitiser.reasons] == ["value unprintable"]

    def test_raising_exceptions_whose_cause_raises_show_both(self) -> None:
        error = ValueError("new")
        error.__cause__ = KeyError(hostile.RaisingRepr())
        assert rendered(error) == (
            "<class 'KeyError'>\n<unprintable KeyError: Hostile>\n" + CAUSE + block(error)
        )

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
    def test_raising_exceptions_whose_repr_interrupts_leave_a_marker_and_the_interrupt(
        self, kind: type[BaseException]
    ) -> None:
        sanitiser = Sanitiser()
        error = ValueError(hostile.RaisingRepr(kind))
        assert error_of(error, sanitiser) == f"<unprintable ValueError: {kind.__name__}>"
        assert type(sanitiser.interrupt) is kind

    def test_raising_exceptions_whose_class_answers_no_question_are_shown(self) -> None:
        class Silent(Exception, metaclass=hostile.HostileMeta):
            pass

        text = rendered(Silent("boom"))
        assert text == "<unprintable HostileMeta: Hostile>\nSilent('boom')\n"


class TestForgery:
    """Text from outside can begin no line, and so pass for no frame and no other exception."""

    def assert_not_forged(self, text: str) -> None:
        for line in text.splitlines():
            assert not line.lstrip(" |").startswith(
                ('File "/forged.py"', "forged()", "ValueError: ")
            )
        assert "forged" in text

    @pytest.mark.parametrize("separator", ["\n", "\r", "\x0b", "\x1c", "\x85", "\u2028"])
    def test_forgery_by_the_message_is_impossible(self, separator: str) -> None:
        message = FORGED.replace("\n", separator)
        text = rendered(ValueError(message))
        self.assert_not_forged(text)
        assert text == block(ValueError(message))

    def test_forgery_by_a_note_is_impossible(self) -> None:
        error = TypeError()
        error.__notes__ = [FORGED]
        self.assert_not_forged(rendered(error))

    def test_forgery_by_an_earlier_exception_is_impossible(self) -> None:
        error = TypeError()
        error.__cause__ = TypeError(FORGED)
        self.assert_not_forged(rendered(error))

    def test_forgery_by_a_group_and_its_members_is_impossible(self) -> None:
        self.assert_not_forged(rendered(ExceptionGroup(FORGED, [TypeError(FORGED)])))

    def test_forgery_by_a_repr_that_does_not_quote_is_impossible(self) -> None:
        class Unquoted(Exception):
            def __repr__(self) -> str:
                return f"Unquoted({self})"

        self.assert_not_forged(rendered(Unquoted(FORGED)))
        self.assert_not_forged(rendered(ExceptionGroup("group", [Unquoted(FORGED)])))
        assert error_of(Unquoted(FORGED)) == f"Unquoted({FORGED})"

    def test_forgery_by_the_name_of_a_class_is_impossible(self) -> None:
        self.assert_not_forged(rendered(type(FORGED, (Exception,), {})()))

    def test_forgery_by_the_name_of_a_template_is_impossible(self) -> None:
        self.assert_not_forged(rendered(failing("raise TypeError", FORGED)))

    def test_forgery_by_the_name_of_a_function_is_impossible(self) -> None:
        def function() -> None:
            raise TypeError

        function.__code__ = function.__code__.replace(co_name=FORGED)
        try:
            function()
        except TypeError as caught:
            self.assert_not_forged(rendered(caught))


class TestBounds:
    def test_bounds_of_one_huge_message_hold(self) -> None:
        error, text = render_exception((ValueError, ValueError("x" * 10**6), None), Sanitiser())
        assert len(error) < MAX_REPR + 100
        assert error.endswith("... <truncated, 1000014 characters>")
        assert text == f"{HEADER}<class 'ValueError'>\n{error}\n"

    def test_bounds_of_many_huge_messages_keep_both_ends(self) -> None:
        error: BaseException = ValueError("oldest")
        for _ in range(40):
            newer = ValueError("x" * 10**5)
            newer.__context__, error = error, newer
        newest = KeyError("newest")
        newest.__cause__ = error
        sanitiser = Sanitiser()
        text = rendered(newest, sanitiser)
        assert text.startswith(block(ValueError("oldest")))
        assert text.endswith(block(newest))
        assert "characters in all ...]\n" in text
        assert "traceback truncated" in sanitiser.reasons

    def test_bounds_of_a_source_line_of_a_megabyte_hold(self, tmp_path: Path) -> None:
        path = tmp_path / "minified.py"
        path.write_text(f"raise ValueError  # {'x' * 10**6}")
        error = failing(path.read_text(), str(path))
        text = rendered(error)
        assert f'File "{path}", line 1, in <module>\n' in text
        assert text.endswith(block(error))

    def test_bounds_of_text_that_fits_change_nothing(self) -> None:
        sanitiser = Sanitiser()
        error = raised(ValueError("boom"))
        assert rendered(error, sanitiser) == frames_text(error.__traceback__) + block(error)
        assert not sanitiser.reasons

    @pytest.mark.parametrize("text", ["a\ud800", "\udcff"])
    def test_bounds_of_what_can_be_encoded_hold_for_messages_and_file_names(
        self, text: str
    ) -> None:
        escaped = text.encode("utf-8", "backslashreplace").decode()
        assert escaped in rendered(failing(f"raise ValueError({escaped!r})".replace("\\\\", "\\")))
        # A tracer such as coverage's fails on file names that no file system can have.
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            by_file_name = rendered(failing("raise ValueError", f"{text}.py"))
        finally:
            sys.settrace(tracer)
        assert by_file_name.startswith(f'  File "{escaped}.py", line 1, in <module>\n')


class TestOddTracebacks:
    def test_made_by_hand_are_shown_in_their_order(self) -> None:
        error = failing("def f():\n  raise ValueError\nf()", "<made>")
        outer = error.__traceback__
        assert outer is not None
        inner = outer.tb_next
        assert inner is not None
        made = types.TracebackType(
            types.TracebackType(None, outer.tb_frame, outer.tb_lasti, outer.tb_lineno),
            inner.tb_frame,
            inner.tb_lasti,
            inner.tb_lineno,
        )
        assert frames_text(made) == (
            '  File "<made>", line 2, in f\n  File "<made>", line 3, in <module>\n'
        )

    @pytest.mark.slow
    @pytest.mark.parametrize("action", [rendered, error_of])
    def test_odd_tracebacks_leave_nothing_behind_that_keeps_the_frames_alive(
        self, action: Callable[[Any], str]
    ) -> None:
        class Local:
            pass

        gone: list[bool] = []

        def fail() -> BaseException:
            local = Local()
            import weakref

            gone.append(False)
            weakref.finalize(local, gone.__setitem__, 0, True)
            return raised_with(local)

        def raised_with(_local: Local) -> BaseException:
            return raised(ValueError("boom"))

        error = fail()
        assert "boom" in action(error)
        del error
        gc.collect()
        assert gone == [True]
