"""Collect experience, time-major: T steps of B instances as one `Sequence`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rlcourse.types import Environment, Sequence, Step


def collect(
    env: Environment,
    act: Callable[[Step], tuple[Tensor, Tensor]],
    num_steps: int,
    start: Step | None = None,
) -> tuple[Sequence, Step]:
    """Acts for `num_steps` steps in every instance.

    Rows that begin in an episode's last observation are no real transitions: the action was
    ignored. They carry reward 0.0 and discount 0.0 here, so that nothing flows across them in a
    return; row t is one of them where `is_first` holds in row t + 1.

    Args:
        env: B instances.
        act: maps a step to actions [B, ...] and their log-probabilities [B].
        num_steps: T, at least 1.
        start: where an earlier call stopped; None resets the environment.

    Returns:
        The sequence [T, B], and the step to go on from.

    Raises:
        ValueError: for num_steps below 1.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    step_tm1 = env.reset() if start is None else start
    rows: list[tuple[Any, ...]] = []
    for _ in range(num_steps):
        with torch.no_grad():
            action, log_prob = act(step_tm1)
        step_t = env.step(action)
        discount = torch.where(step_t.is_first, 0.0, step_t.discount)
        rows.append((step_tm1.obs, action, step_t.reward, discount, step_tm1.is_first, log_prob))
        step_tm1 = step_t
    return Sequence(*map(_stack, zip(*rows, strict=True)), final_obs=step_tm1.obs), step_tm1


def _stack(rows: tuple[Any, ...]) -> Any:
    """Stack T tensors, or T dicts of tensors entry by entry."""
    if isinstance(rows[0], dict):
        return {name: _stack(tuple(row[name] for row in rows)) for name in rows[0]}
    return torch.stack(rows)
