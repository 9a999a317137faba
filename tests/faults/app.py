"""The apps that the faults happen to: ``python app.py FAULT HANDLER COUNT``.

Each logs lines with a source and a number, and writes into the file that
``REPORT`` names how many calls it made and what its sink counted.
"""

import atexit
import itertools
import json
import logging
import os
import random
import resource
import signal
import sys
import threading
import time

from mozlog_py import MozlogFormatter, MozlogHandler, MozlogQueueHandler
from mozlog_py.structlog import FastBoundLogger, SinkLoggerFactory, processors

FAULT, HANDLER, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
#: Of the lines that signals are to come in the middle of.
PAD = int(os.environ.get("PAD", "200000"))


def make_handler(stream=None):
    if HANDLER == "standard":
        made = logging.StreamHandler(sys.stdout if stream is None else open(stream, "a"))
        made.setFormatter(MozlogFormatter())
        return made
    if HANDLER == "queue":
        return MozlogQueueHandler(stream, max_line_bytes=0, policy="block")
    return MozlogHandler(stream, max_line_bytes=0)


log = logging.Logger("app", 1)
handler = make_handler()
log.addHandler(handler)


if HANDLER == "structlog":
    # Through the handler's sink: what a report says of that holds for both.
    fast = FastBoundLogger.at(1)(SinkLoggerFactory(handler.sink)("app"), processors("app"), {})

    def say(source, number, pad=0, **fields):
        fast.info("%s", "x" * pad, source=source, number=number, **fields)

else:

    def say(source, number, pad=0, **fields):
        log.info("%s", "x" * pad, extra={"source": source, "number": number, **fields})


def report(tried, **more):
    sink = getattr(handler, "sink", None)
    facts = {"tried": tried, **more}
    if sink is not None:
        facts.update(written=sink.written, lost=sink.lost, dropped=dict(sink.dropped))
    with open(os.environ["REPORT"], "w") as file:
        json.dump(facts, file)


def nonblocking():
    os.set_blocking(1, False)
    for number in range(COUNT):
        say("main", number, 20)
    report(COUNT)


def every_millisecond(on_signal):
    signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)


def soon(on_signal):
    """Have one signal come, at any moment of a call with a short line."""
    signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 4e-5))


def calm():
    signal.setitimer(signal.ITIMER_REAL, 0)


def timer():
    every_millisecond(lambda *_: None)
    for number in range(COUNT):
        say("main", number, PAD)
    calm()
    report(COUNT)


def logging_timer():
    numbers = itertools.count()
    # What a handler's own handler logs would never end on a slow machine.
    inside = []

    def on_signal(*_):
        if not inside:
            inside.append(1)
            say("handler", next(numbers), 100)
            inside.clear()

    every_millisecond(on_signal)
    for number in range(COUNT):
        say("main", number, PAD)
    calm()
    handled = next(numbers)
    report(COUNT + handled, handled=handled)


class Interrupt(BaseException):
    pass


def had(interrupt):
    """Return whether the sink had the line when the call was interrupted."""
    frames = interrupt.__traceback__
    while frames is not None:
        frame = frames.tb_frame
        if frame.f_code.co_filename.endswith("sink.py") and frame.f_code.co_name == "write":
            return "pending" in frame.f_locals
        if frame.f_code.co_filename.endswith("methods.py") and frame.f_locals.get("pending"):
            return True
        frames = frames.tb_next
    return HANDLER == "standard"


def raising_timer():
    def on_signal(*_):
        raise Interrupt

    kept = []
    # How many calls were interrupted before they had the line, and after it.
    struck = [0, 0]
    for number in range(COUNT):
        is_kept = True
        try:
            try:
                (every_millisecond if PAD > 1000 else soon)(on_signal)
                say("main", number, PAD)
            finally:
                calm()
        except Interrupt as interrupt:
            first = interrupt
            while isinstance(first.__context__, Interrupt):
                # One that came in the middle of stopping the timer.
                first = first.__context__
            is_kept = had(first)
            struck[is_kept] += 1
        try:
            calm()
        except Interrupt:
            calm()
        if is_kept:
            kept.append(number)
    report(len(kept), kept=kept, struck=struck)


def forks():
    stop = threading.Event()
    counts = [0] * 4
    handlers = threading.Lock()

    def work(source):
        while not stop.is_set():
            say(f"thread-{source}", counts[source], random.Random(counts[source]).choice((10, 300)))
            counts[source] += 1

    threads = [threading.Thread(target=work, args=(source,)) for source in range(4)]
    for thread in threads:
        thread.start()
    hung = 0
    running = {}
    for child in range(COUNT):
        pid = os.fork()
        if pid == 0:
            say(f"child-{child}", 0, own=os.getpid())
            handler.flush()
            os._exit(0)
        # The standard handler's children hang; there is no need to wait long for each.
        until = time.monotonic() + (2 if HANDLER == "standard" else 20)
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                hung += 1
                break
            time.sleep(0.0005)
    stop.set()
    for thread in threads:
        thread.join()
    del handlers, running
    handler.flush()
    report(sum(counts) + COUNT, hung=hung)


def processes():
    source = os.environ["SOURCE"]
    sizes = random.Random(source)
    for number in range(COUNT):
        say(source, number, int(100 * 655 ** sizes.random()) - 90)
    handler.flush()


def forked_processes():
    for child in range(8):
        if os.fork() == 0:
            os.environ["SOURCE"] = str(child)
            processes()
            os._exit(0)
    for _ in range(8):
        os.wait()


def killed():
    import mmap

    with open(os.environ["REPORT"], "r+b") as file:
        returned = mmap.mmap(file.fileno(), 8)
    for number in itertools.count():
        say("main", number, random.Random(number).choice((10, 300, 6000)))
        returned[:8] = (number + 1).to_bytes(8, "little")


def refused():
    """Write to what refuses: /dev/full, a pipe without a reader."""
    for number in range(COUNT):
        say("main", number)
    report(COUNT)
    sys.exit(7)


def limited():
    """Run into a limit of the file's size, twice, and have it lifted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for number in range(COUNT):
        if number == COUNT // 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (os.fstat(1).st_size + 250, hard))
        if number in (COUNT // 2, COUNT * 3 // 4 + 10):
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        if number == COUNT * 3 // 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (os.fstat(1).st_size + 777, hard))
        say("main", number, 100)
    report(COUNT)
    sys.exit(7)


def full():
    """Fill a file system, and have room made."""
    ballast = os.environ["BALLAST"]
    for number in range(COUNT):
        if number == COUNT * 2 // 3:
            os.unlink(ballast)
        say("main", number, 300)
    report(COUNT)
    sys.exit(7)


def stopped_reader():
    """Log from two threads while the reader is stopped; go on after a line on stdin."""
    taken = [[], []]
    started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def work(source):
        clock = time.perf_counter
        for number in range(COUNT):
            start = clock()
            say(f"thread-{source}", number, 100)
            taken[source].append(clock() - start)
            time.sleep(0.0001)

    threads = [threading.Thread(target=work, args=(source,)) for source in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink = handler.sink
    waiting = sink.waiting_bytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print("done", file=sys.stderr, flush=True)
    sys.stdin.readline()
    handler.flush(30)
    times = sorted(taken[0] + taken[1])
    report(2 * COUNT, p99=times[int(len(times) * 0.99)], waiting=waiting, grown_kb=peak - started)


def shutdown():
    """End with daemon threads that log, and log in atexit and ``__del__``."""
    # With names of their own: a daemon's frame would keep this module from its end.
    names = {"log": fast if HANDLER == "structlog" else log, "sleep": time.sleep}
    call = "source=source, number=number"
    if HANDLER != "structlog":
        call = f"extra=dict({call})"
    source = f"""
def work(source, number=0):
    while True:
        log.info("", {call})
        number += 1
        sleep(0.0001)
"""
    exec(source, names)
    for daemon in range(2):
        threading.Thread(target=names["work"], args=(f"daemon-{daemon}",), daemon=True).start()

    class Last:
        def __del__(self):
            say("del", 0)

    global kept
    kept = Last()
    atexit.register(say, "atexit", 0)
    for number in range(COUNT):
        say("main", number)
    report(COUNT + 2)


if FAULT == "stopped_reader":
    log.removeHandler(handler)
    policy = {"policy": "drop_oldest", "max_bytes": 1 << 20}
    handler = MozlogQueueHandler(None, **policy)
    log.addHandler(handler)
globals()[FAULT]()
