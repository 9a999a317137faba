"""One call of each second is let through, and the others are counted, each once."""

import threading

from dockerflow._request.rate_limit import RateLimit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_one_call_a_second_is_let_through_and_the_rest_is_counted() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    assert limit.admit(1) == 0
    assert [limit.admit(1) for _ in range(5)] == [None] * 5
    clock.now += 1
    assert limit.admit(1) == 5
    assert limit.admit(1) is None
    clock.now += 3600
    assert limit.admit(1) == 1
    clock.now += 1
    assert limit.admit(1) == 0


def test_the_limit_may_be_another_interval_or_none() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    assert [limit.admit(0) for _ in range(3)] == [0] * 3
    assert limit.admit(60) is None
    clock.now += 59
    assert limit.admit(60) is None
    clock.now += 1
    assert limit.admit(60) == 2


def test_a_call_that_has_read_the_clock_late_is_withheld() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    assert limit.admit(1) == 0
    clock.now -= 0.5
    assert limit.admit(1) is None


def test_it_keeps_nothing_of_the_past() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    for _ in range(1000):
        clock.now += 1
        assert limit.admit(1) == 0
    assert limit._withheld == 0


def test_no_call_of_several_threads_is_lost() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    found: list[int | None] = []
    start = threading.Barrier(8)

    def call() -> None:
        start.wait()
        found.extend(limit.admit(1) for _ in range(500))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (withheld,) = [each for each in found if each is not None]
    clock.now += 1
    last = limit.admit(1)
    assert last is not None
    assert withheld + 1 + last == 4000
