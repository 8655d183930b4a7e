"""The time limit ends loops, leaves nothing behind, and passes results and errors on."""

import contextlib
import signal
import threading
import time

import pytest

from rlcourse.course.limits import TimeLimitExceeded, run_limited


def loop():
    while True:
        pass


def stubborn_loop():
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.001)


def very_stubborn_loop():
    for _ in range(3):
        try:
            loop()
        except:  # noqa: E722
            continue


def test_result_and_error_come_back():
    assert run_limited(lambda: 3, seconds=5) == 3
    with pytest.raises(KeyError, match="gone"):
        run_limited(lambda: {}["gone"], seconds=5)


@pytest.mark.parametrize("function", [loop, stubborn_loop, very_stubborn_loop])
def test_python_loops_are_interrupted(function):
    threads = threading.active_count()
    begin = time.monotonic()
    with pytest.raises(TimeLimitExceeded, match=r"0\.1 s"):
        run_limited(function, seconds=0.1)
    assert time.monotonic() - begin < 2
    assert threading.active_count() == threads


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of POSIX")
def test_an_interrupt_ends_the_answer_as_well():
    """Ctrl-C in the caller's thread: the answer's own must not go on computing."""
    done = threading.Event()

    def busy():
        for _ in range(2):
            with contextlib.suppress(BaseException):  # swallows the first request to stop
                while not done.is_set():
                    pass

    threads = threading.active_count()
    main = threading.main_thread().ident
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_limited(busy, seconds=20)
        timer.join()
        assert threading.active_count() == threads
    finally:
        done.set()


def test_a_call_that_never_returns_is_left_behind():
    with pytest.raises(TimeLimitExceeded):
        run_limited(lambda: time.sleep(5), seconds=0.1)


def test_works_from_any_thread():
    caught = []

    def work():
        try:
            run_limited(loop, seconds=0.1)
        except TimeLimitExceeded as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_nothing_goes_off_afterwards():
    """Calls that end just as their time does: whatever happens, the caller is never interrupted."""
    for _ in range(30):
        with contextlib.suppress(TimeLimitExceeded):
            assert run_limited(lambda: time.sleep(0.01) or 1, seconds=0.0101) == 1
        sum(range(20_000))


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_must_be_positive(seconds):
    with pytest.raises(ValueError, match="positive"):
        run_limited(lambda: 3, seconds)
