"""Run a function under a time limit, on any operating system and from any thread.

The function runs in a thread of its own. When the time is over, an exception is raised inside that
thread, which ends a loop written in Python. A call that never returns to Python is left behind in
its daemon thread. Either way the caller's own thread is never interrupted, so nothing can go off
after `run_limited` has returned.
"""

import contextvars
import ctypes
import threading
from collections.abc import Callable
from typing import Any

POLL_SECONDS = 0.05
GRACE_SECONDS = 1.0


class TimeLimitExceeded(BaseException):
    """The time is over. A BaseException, so that `except Exception` in an answer lets it pass."""


class _Call:
    """A call in a thread of its own; `result` or `error` is set when it ends by itself."""

    def __init__(self, function: Callable[[], Any]):
        self.result: Any = None
        self.error: BaseException | None = None
        self.ended = threading.Event()
        # The copied context carries the notebook cell to which printed output belongs.
        run = contextvars.copy_context().run
        self.thread = threading.Thread(target=run, args=(self._run, function), daemon=True)
        self.thread.start()

    def _run(self, function: Callable[[], Any]) -> None:
        try:
            self.result = function()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.error = error
        finally:
            self.ended.set()

    def interrupt(self) -> None:
        """Ask the thread to stop until it does, or until the grace period is over."""
        for _ in range(round(GRACE_SECONDS / POLL_SECONDS)):
            # Asked again and again: an answer with a bare `except` swallows the first request.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.thread.ident), ctypes.py_object(TimeLimitExceeded)
            )
            self.thread.join(POLL_SECONDS)
            if not self.thread.is_alive():
                return


def run_limited(function: Callable[[], Any], seconds: float) -> Any:
    """Return `function()`; raise what it raises.

    Raises:
        TimeLimitExceeded: if it runs for more than `seconds` of wall-clock time.
        ValueError: if `seconds` is not positive.
    """
    if not seconds > 0:
        raise ValueError(f"the time limit must be a positive number of seconds, not {seconds!r}")
    call = _Call(function)
    try:
        # Not thread.join(): interrupted, in Python 3.11 it takes a running thread for stopped.
        if not call.ended.wait(seconds):
            raise TimeLimitExceeded(f"still running after {seconds:g} s")
    except BaseException:  # also Ctrl-C or "interrupt kernel": the answer must stop as well
        call.interrupt()
        raise
    if call.error is not None:
        raise call.error
    return call.result
