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
    assert limit.admit() == 0
    assert [limit.admit() for _ in range(5)] == [None] * 5
    clock.now += 1
    assert limit.admit() == 5
    assert limit.admit() is None
    clock.now += 3600
    assert limit.admit() == 1
    clock.now += 1
    assert limit.admit() == 0


def test_it_keeps_nothing_of_the_past() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    for _ in range(1000):
        clock.now += 1
        assert limit.admit() == 0
    assert limit._withheld == 0


def test_no_call_of_several_threads_is_lost() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    found: list[int | None] = []
    start = threading.Barrier(8)

    def call() -> None:
        start.wait()
        found.extend(limit.admit() for _ in range(500))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (withheld,) = [each for each in found if each is not None]
    clock.now += 1
    last = limit.admit()
    assert last is not None
    assert withheld + 1 + last == 4000
