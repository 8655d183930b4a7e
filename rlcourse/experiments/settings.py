"""What the configs of several experiments check."""

from typing import Any


def check_counts(config: Any, *names: str) -> None:
    """Raises ValueError for a named setting below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")


def check_measure(config: Any) -> None:
    """Checks how a run is evaluated.

    Raises:
        ValueError: the run would not end with an evaluation, or the threshold is no share.
    """
    if config.num_steps % config.evaluate_every:
        raise ValueError(
            f"num_steps must be a multiple of evaluate_every, to end with an evaluation: got "
            f"{config.num_steps} and {config.evaluate_every}"
        )
    if not 0.0 < config.threshold <= 1.0:
        raise ValueError(f"threshold is a share of the best, in (0, 1], got {config.threshold}")


def check_names(config: Any, field: str) -> None:
    """Raises ValueError unless the field names at least one thing, each once."""
    names = getattr(config, field)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{field} must name at least one of the {field}, each once: got {names}")
