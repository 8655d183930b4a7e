"""What a wrong answer to an exercise is."""

from collections.abc import Callable
from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer, and words that the message must hold."""

    answer: Callable[..., object]
    names: str
