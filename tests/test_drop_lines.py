"""Lines that a full queue drops: those below ERROR first, each counted once."""

from collections import deque

import pytest

from mozlog_py._sink.drop_lines import LineDropper, size_of

_INFO = b'{"Severity":6}\n'
_ERROR = b'{"Severity":3}\n'
_SIZE = size_of(_INFO)


def dropper_of(lines: deque[bytes], *, is_oldest: bool = True) -> tuple[LineDropper, list[bytes]]:
    counted: list[bytes] = []
    return LineDropper(lines, is_oldest=is_oldest), counted


@pytest.mark.parametrize("is_oldest", [True, False])
def test_lines_below_error_are_dropped_from_one_end_and_the_others_keep_their_order(
    is_oldest: bool,
) -> None:
    errors = [b'{"Severity":3,"n":%d}\n' % n for n in range(4)]
    infos = [b'{"Severity":6,"n":%d}\n' % n for n in range(3)]
    lines = deque([errors[0], infos[0], errors[1], infos[1], errors[2], infos[2], errors[3]])
    dropper, counted = dropper_of(lines, is_oldest=is_oldest)
    freed = dropper.drop(2 * len(infos[0]), counted.append, with_errors=False)
    dropped = infos[:1] if is_oldest else infos[2:]
    assert freed == size_of(dropped[0])
    assert counted == dropped
    assert list(lines) == [each for each in
        [errors[0], infos[0], errors[1], infos[1], errors[2], infos[2], errors[3]]
        if each not in dropped]  # fmt: skip


def test_lines_of_error_are_looked_at_once_until_the_next_batch() -> None:
    lines = deque([_ERROR] * 3)
    dropper, counted = dropper_of(lines)
    assert dropper.drop(_SIZE, counted.append, with_errors=False) == 0
    # Not looked at: it would be dropped.
    lines.append(_INFO)
    assert dropper.drop(_SIZE, counted.append, with_errors=False) == 0
    dropper.hold(counted.append)
    dropper.release()
    assert dropper.drop(_SIZE, counted.append, with_errors=False) == _SIZE
    assert dropper.drop(2 * _SIZE, counted.append, with_errors=True) == 2 * _SIZE
    assert counted == [_INFO, _ERROR, _ERROR]
    assert list(lines) == [_ERROR]


def test_lines_of_errors_alone_are_not_looked_at_again_once_one_was_dropped() -> None:
    lines = deque([_ERROR] * 3)
    dropper, counted = dropper_of(lines)
    assert dropper.drop(_SIZE, counted.append, with_errors=False) == 0
    assert dropper.drop(_SIZE, counted.append, with_errors=True) == _SIZE
    # Not looked at: it would be dropped.
    lines.append(_INFO)
    assert dropper.drop(_SIZE, counted.append, with_errors=False) == 0


def test_lines_of_errors_alone_are_known_only_where_none_was_dropped() -> None:
    lines = deque([_ERROR, _INFO])
    dropper, counted = dropper_of(lines)
    assert dropper.drop(5 * _SIZE, counted.append, with_errors=False) == _SIZE
    lines.append(_INFO)
    assert dropper.drop(_SIZE, counted.append, with_errors=False) == _SIZE
    assert counted == [_INFO, _INFO]


def test_lines_of_a_call_that_an_exception_has_ended_are_counted_by_the_next_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dropper, counted = dropper_of(deque([_INFO]))
    dropper._lock[0] = "a call that has ended"
    dropper._dropped.append(_ERROR)
    waits: list[float] = []
    monkeypatch.setattr("mozlog_py._sink.drop_lines.time.sleep", waits.append)
    assert dropper.drop(_SIZE, counted.append, with_errors=True) is None
    dropper.hold(counted.append)
    assert counted == [_ERROR]
    assert waits == [0.001] * 1000
    dropper.release()
    assert dropper.drop(_SIZE, counted.append, with_errors=True) == _SIZE


def test_lines_that_two_calls_count_at_once_raise_nothing() -> None:
    dropper, counted = dropper_of(deque())

    def count(line: bytes) -> None:
        counted.append(line)
        # The other call, which was thought to have ended, counts the same line.
        dropper._dropped.clear()

    dropper._dropped.extend([_INFO, _INFO])
    dropper.count_dropped(count)
    assert counted == [_INFO]
