"""Ctrl-C, or a notebook's stop button, in the middle of a long run."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Hold the first interrupt back, so that no step is left half done; yield whether it came."""
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # Python delivers interrupts to the main thread only
        return

    def hold_back(number: int, frame: Any) -> None:
        if seen:
            signal.default_int_handler(number, frame)
        seen.append(number)

    before = signal.signal(signal.SIGINT, hold_back)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)


def how_to_resume(num_done: int, num_steps: int, checkpoint_path: str | Path | None) -> str:
    """What to tell the user after an interrupt at step `num_done` of `num_steps`: where everything
    is saved, or, where `checkpoint_path` is None, that nothing is.
    """
    if checkpoint_path is None:
        return (
            f"Interrupted at step {num_done} of {num_steps}. No checkpoint was kept: give"
            " checkpoint_path to be able to go on another time."
        )
    return (
        f"Interrupted at step {num_done} of {num_steps}; everything is saved in"
        f" {checkpoint_path}. Run the same cell or command again to go on from there."
    )
