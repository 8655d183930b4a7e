"""The nouns of the course: what flows between environments, agents and memories.

Shape key, used in every comment and annotation of the package:

    B  batch: parallel environments, or samples      N  nodes of a search tree
    T  time, always the first axis: [T, B]           S  states of a table, or action samples
    A  actions                                       K  neighbors, or successors of a state
    D  features                                      M  memories, or components of a mixture

A *discount* here belongs to the environment: 0.0 where the episode terminated, 1.0 elsewhere. An
agent multiplies it with its own gamma. There is no `done`: an episode that was cut off by a time
limit keeps discount 1.0.
"""

from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor


class Step(NamedTuple):
    """What an environment yields after each action, batched over B instances.

    When an episode has ended, the next call of `step` ignores the action and returns the first step
    of a fresh episode (Gymnasium's next-step autoreset). Two consecutive steps are a real
    transition where the second is not `is_first`.
    """

    obs: Any  # [B, ...] a tensor, or a dict of named groups of tensors
    reward: Tensor  # [B] received on arriving in `obs`; 0.0 on a first step
    discount: Tensor  # [B] 0.0 where the episode terminated on arriving in `obs`, else 1.0
    is_first: Tensor  # [B] bool: `obs` starts an episode


class Transition(NamedTuple):
    """One step of experience per batch entry, never across the end of an episode."""

    obs: Any  # [B, ...]
    action: Tensor  # [B, ...]
    reward: Tensor  # [B]
    discount: Tensor  # [B]
    next_obs: Any  # [B, ...]


class Sequence(NamedTuple):
    """Consecutive steps, time-major. Entry t holds the action taken in `obs[t]` and what came of it
    at t + 1.
    """

    obs: Any  # [T, B, ...]
    action: Tensor  # [T, B, ...]
    reward: Tensor  # [T, B] received on arriving at t + 1
    discount: Tensor  # [T, B] 0.0 where the episode terminated on arriving at t + 1
    is_first: Tensor  # [T, B] bool: `obs[t]` starts an episode
    log_prob: Tensor  # [T, B] of `action` under the policy that acted
    final_obs: Any  # [B, ...] the observation after the last action


@runtime_checkable
class Stateful(Protocol):
    """Anything that a checkpoint can hold, random generators included."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class Environment(Stateful, Protocol):
    """B instances stepped together."""

    num_envs: int

    def reset(self) -> Step: ...

    def step(self, action: Tensor) -> Step: ...


@runtime_checkable
class Agent(Stateful, Protocol):
    """Acts, and learns from what came of it."""

    def act(self, step: Step) -> Tensor:
        """Returns actions [B] or [B, D], one per instance."""

    def update(self, transition: Transition, valid: Tensor) -> dict[str, Tensor]:
        """Learns from one transition per instance; entries where `valid` [B] is False crossed an
        episode's end and are to be ignored. Returns detached metrics."""


class Distribution(Protocol):
    """Distributions over actions, one for each leading index; see `ops.distributions`."""

    @property
    def mode(self) -> Tensor:
        """The most likely action [..., A]."""

    def sample(self, generator: torch.Generator, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Actions [*sample_shape, ..., A], without gradient."""

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density [...] of actions [..., A], in nats."""


@runtime_checkable
class Prior(Protocol):
    """A reference behavior pi_0: a distribution over actions given what the prior may see."""

    def distribution(self, obs: Any) -> Distribution: ...


@runtime_checkable
class Index(Protocol):
    """Nearest neighbors under squared Euclidean distance; see `data.index`."""

    dim: int

    def __len__(self) -> int:
        """Number of keys held."""

    def add(self, keys: Tensor, ids: Tensor) -> None:
        """Holds keys [N, D] under ids [N] that are new to it."""

    def update(self, keys: Tensor, ids: Tensor) -> None:
        """Gives the ids [N] that it holds other keys [N, D]."""

    def remove(self, ids: Tensor) -> None:
        """Forgets the ids [N] that it holds."""

    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Returns squared distances [B, K] in ascending order and ids [B, K]; where it holds fewer
        than K keys, the rest is inf and -1."""

    def save(self, path: str | Path, about: str = "") -> None:
        """Writes all of it to a file that says what its keys are `about`."""
