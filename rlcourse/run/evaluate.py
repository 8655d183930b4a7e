"""Seeded evaluation of a policy, and intervals over seeds."""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from rlcourse.types import Environment, Step


class Evaluation(NamedTuple):
    """Episodes of each of B instances, in the order in which they were played."""

    returns: Tensor  # [E, B] sum over the episode of gamma^t reward
    lengths: Tensor  # [E, B] int64, number of actions


class Interval(NamedTuple):
    """A mean with a confidence interval, each the shape of the values without the seeds' axis."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def evaluate(
    env: Environment,
    act: Callable[[Step], Tensor],
    num_episodes: int,
    *,
    gamma: float = 1.0,
    max_steps: int = 1_000_000,
) -> Evaluation:
    """Play the first `num_episodes` episodes of every instance of a fresh environment.

    The number is fixed per instance: taking instead the first episodes to finish over all
    instances would favor short ones. The result is determined by the seeds of `env` and `act`.

    Args:
        env: reset here; use one apart from the training environment.
        act: maps a step to actions [B]; called without gradients.
        num_episodes: E, at least 1.
        gamma: discount within the returns; 1.0 gives the plain sum of rewards.
        max_steps: a bound on the steps in all, for environments without a time limit.

    Raises:
        ValueError: num_episodes < 1, or gamma outside [0, 1].
        RuntimeError: the episodes did not end within max_steps.
    """
    if num_episodes < 1:
        raise ValueError(f"num_episodes must be at least 1: got {num_episodes}")
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"gamma must be in [0, 1]: got {gamma}")
    step = env.reset()
    running = torch.zeros_like(step.reward)  # [B] return of the episode under way
    age = torch.zeros_like(step.reward, dtype=torch.int64)  # [B] its length
    count = torch.zeros_like(age)  # [B] episodes finished
    returns = running.new_zeros(num_episodes, env.num_envs)
    lengths = age.new_zeros(num_episodes, env.num_envs)
    for _ in range(max_steps):
        with torch.no_grad():
            step = env.step(act(step))
        finished = step.is_first & (count < num_episodes)
        if finished.any():
            where = (count[finished], finished.nonzero().squeeze(-1))
            returns[where], lengths[where] = running[finished], age[finished]
            count = count + finished
            if (count == num_episodes).all():
                return Evaluation(returns, lengths)
        running = torch.where(step.is_first, 0.0, running + gamma**age * step.reward)
        age = torch.where(step.is_first, 0, age + 1)
    raise RuntimeError(
        f"only {int(count.min())} of {num_episodes} episodes ended within {max_steps} steps: give"
        " the environment a time limit, or raise max_steps"
    )


def interval(
    values: ArrayLike | Tensor,
    axis: int = 0,
    level: float = 0.95,
    method: Literal["bootstrap", "t"] = "bootstrap",
    seed: int = 0,
    num_resamples: int = 2_000,
) -> Interval:
    """Return the mean over seeds with a confidence interval of that mean.

    Args:
        values: one entry per independent seed along `axis`, any other axes.
        axis: the seeds' axis.
        level: coverage, in (0, 1).
        method: "bootstrap" is the percentile bootstrap (Efron 1979), which assumes no shape of the
            distribution and is too narrow below about 10 seeds; "t" is Student's interval, which
            assumes a normal mean and stays honest with few seeds.
        seed: of the resampling; all points of a curve share the resampled seeds.
        num_resamples: of the bootstrap.

    Returns:
        float64 arrays. One seed alone has no interval: low and high are NaN. A NaN among the
        values makes its own point NaN.

    Raises:
        ValueError: no values, a level outside (0, 1), or an unknown method.
    """
    values = np.moveaxis(_as_array(values), axis, 0)  # [R, ...]
    num_seeds = values.shape[0]
    if num_seeds == 0:
        raise ValueError(f"there are no values along axis {axis}: shape {values.shape}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1), such as 0.95: got {level}")
    if method not in ("bootstrap", "t"):
        raise ValueError(f"method must be 'bootstrap' or 't': got {method!r}")
    mean = values.mean(0)
    if num_seeds == 1:
        unknown = np.full_like(mean, np.nan)
        return Interval(mean, unknown, unknown.copy())
    if method == "t":
        margin = _t_quantile((1 + level) / 2, num_seeds - 1) * values.std(0, ddof=1)
        margin = margin / math.sqrt(num_seeds)
        return Interval(mean, mean - margin, mean + margin)
    # How often each seed is drawn in each resample; its product with the values is all the means.
    draws = np.random.default_rng(seed).multinomial(
        num_seeds, np.full(num_seeds, 1 / num_seeds), size=num_resamples
    )  # [num_resamples, R]
    means = draws @ values.reshape(num_seeds, -1) / num_seeds  # [num_resamples, ...]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(mean, low.reshape(mean.shape), high.reshape(mean.shape))


def _as_array(values: ArrayLike | Tensor) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0:
        raise ValueError("values must have an axis of seeds: got a single number")
    return values


def _t_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's t, by numerical integration.

    With t = sqrt(degrees) tan(angle) the density is proportional to cos(angle)^(degrees - 1) on a
    bounded interval.
    """
    angle = np.linspace(-np.pi / 2, np.pi / 2, 200_001)
    density = np.cos(angle).clip(0.0) ** (degrees - 1)
    cumulative = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    at = np.interp(probability, cumulative / cumulative[-1], angle)
    return math.sqrt(degrees) * math.tan(at)
