"""B instances of a tabular MDP, stepped together with a handful of tensor operations on any
device.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.envs.mdp import TabularMDP
from rlcourse.types import Step


class TabularEnv:
    """Samples episodes of a `TabularMDP`. Observations are state indices [B].

    Every call of `step` draws the same number of random values, whatever happens in it: the stream
    of one instance never depends on when another one's episode ends.

    Args:
        mdp: the problem; its device is the environment's.
        num_envs: B, at least 1.
        generator: a source of randomness on the same device.
        max_steps: episodes are cut off after this many steps, keeping discount 1.0 (a time limit is
            not an end).
        initial: [B, S] the distribution of the first state in each instance, for instances that
            are to stay in parts of the problem (see `mdp.side_by_side`); None: the MDP's own.

    Raises:
        ValueError: for non-positive sizes, a generator on another device, or an `initial` of
            another shape.
    """

    def __init__(
        self,
        mdp: TabularMDP,
        num_envs: int,
        generator: torch.Generator,
        max_steps: int = 1_000,
        initial: Float[Tensor, "B S"] | None = None,
    ) -> None:
        if num_envs < 1 or max_steps < 1:
            raise ValueError(
                f"num_envs and max_steps must be positive, got {num_envs} and {max_steps}"
            )
        self.device = mdp.successors.device
        if generator.device.type != self.device.type:
            raise ValueError(
                f"the generator is on {generator.device} and the MDP on {self.device}: "
                f"make it with torch.Generator(device={str(self.device)!r})"
            )
        self.num_envs, self.max_steps, self.num_actions = num_envs, max_steps, mdp.num_actions
        self._generator = generator
        self._successors = mdp.successors.flatten(0, 1)  # [S * A, K]
        self._reward = mdp.reward.float().flatten(0, 1)  # [S * A, K]
        self._cumulative = mdp.probabilities.float().flatten(0, 1).cumsum(-1)  # [S * A, K]
        self._continues = mdp.continues.float()
        if initial is None:
            initial = mdp.initial.unsqueeze(0)
        elif initial.shape != (num_envs, mdp.num_states):
            raise ValueError(
                f"initial must be [B, S] = [{num_envs}, {mdp.num_states}], "
                f"got {list(initial.shape)}"
            )
        self._initial_cumulative = initial.float().cumsum(-1).expand(num_envs, -1).contiguous()
        fixed = bool((initial.amax(-1) == 1.0).all())
        self._fixed_start = initial.argmax(-1).expand(num_envs) if fixed else None
        self._state = torch.zeros(num_envs, dtype=torch.int64, device=self.device)
        self._age = torch.zeros_like(self._state)
        self._ended = torch.ones(num_envs, dtype=torch.bool, device=self.device)
        self.num_episodes = torch.zeros_like(self._state)  # [B] ended so far

    def reset(self) -> Step:
        """Starts a fresh episode in every instance."""
        self._state = self._draw_starts()
        self._age = torch.zeros_like(self._state)
        self._ended = torch.zeros_like(self._ended)
        self.num_episodes = torch.zeros_like(self._state)
        zeros = torch.zeros(self.num_envs, device=self.device)
        return Step(self._state, zeros, zeros + 1.0, ~self._ended)

    def step(self, action: Int[Tensor, " B"]) -> Step:
        """Takes one action per instance; where an episode has ended it is ignored and a fresh one
        starts.

        Raises:
            ValueError: for a wrong shape or dtype, or on the CPU for an action outside [0, A). On
                another device the values are not checked, which would wait for it at every step;
                call `check_action` where in doubt.
        """
        if action.shape != (self.num_envs,) or action.dtype != torch.int64:
            raise ValueError(
                f"actions must be int64 of shape ({self.num_envs},), "
                f"got {action.dtype} {tuple(action.shape)}"
            )
        if self.device.type == "cpu":
            self.check_action(action)
        pair = self._state * self.num_actions + action  # [B] into [S * A]
        k = self._draw_successor(pair)
        arrival = self._successors[pair].gather(1, k).squeeze(1)
        reward = self._reward[pair].gather(1, k).squeeze(1)
        discount = self._continues[arrival]
        is_first, starts = self._ended, self._draw_starts()
        self._state = torch.where(is_first, starts, arrival)
        reward = torch.where(is_first, 0.0, reward)
        discount = torch.where(is_first, 1.0, discount)
        self._age = torch.where(is_first, 0, self._age + 1)
        self._ended = (discount == 0.0) | (self._age >= self.max_steps)
        self.num_episodes = self.num_episodes + self._ended
        return Step(self._state, reward, discount, is_first)

    def check_action(self, action: Int[Tensor, " B"]) -> None:
        """Raises ValueError when an action lies outside [0, A)."""
        lowest, highest = (int(extreme) for extreme in action.aminmax())
        if lowest < 0 or highest >= self.num_actions:
            raise ValueError(
                f"actions lie in [{lowest}, {highest}], allowed: [0, {self.num_actions - 1}]"
            )

    def state_dict(self) -> dict[str, Any]:
        return {
            "state": self._state,
            "age": self._age,
            "ended": self._ended,
            "num_episodes": self.num_episodes,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["state"].shape != (self.num_envs,):
            raise ValueError(
                f"the checkpoint holds {state['state'].shape[0]} instances, "
                f"this environment {self.num_envs}"
            )
        self._state = state["state"].to(self.device)
        self._age = state["age"].to(self.device)
        self._ended = state["ended"].to(self.device)
        self.num_episodes = state["num_episodes"].to(self.device)
        self._generator.set_state(state["generator"].cpu())

    def _draw_successor(self, pair: Int[Tensor, " B"]) -> Int[Tensor, "B 1"]:
        if self._successors.shape[1] == 1:
            return torch.zeros(self.num_envs, 1, dtype=torch.int64, device=self.device)
        return _inverse_cdf(self._cumulative[pair], self._uniform())

    def _draw_starts(self) -> Int[Tensor, " B"]:
        if self._fixed_start is not None:
            return self._fixed_start.clone()
        return _inverse_cdf(self._initial_cumulative, self._uniform()).squeeze(1)

    def _uniform(self) -> Tensor:
        return torch.rand(self.num_envs, 1, generator=self._generator, device=self.device)


def _inverse_cdf(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """The first index at which the cumulative distribution [B, K] exceeds a uniform draw [B, 1]."""
    total = cumulative[:, -1:]  # rounding can leave it a little off 1
    index = torch.searchsorted(cumulative.contiguous(), uniform * total, right=True)
    return index.clamp_(max=cumulative.shape[1] - 1)
