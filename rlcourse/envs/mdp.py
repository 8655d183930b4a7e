"""A tabular Markov decision process, stored sparsely: each state-action pair lists its K possible
successors.

The layout is the padded one that GPUs like: two tensors [S, A, K] instead of a tensor [S, A, S]
that is almost everywhere zero. Memory and the cost of a backup grow with the number of transitions
S * A * K, not with S squared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TabularMDP:
    """Rewards, transitions and start states of a finite problem.

    Attributes:
        reward: [S, A, K] received on the way from state s by action a to successor k.
        successors: [S, A, K] int64 indices of the states that may follow; padding repeats any
            index. probabilities: [S, A, K] of those successors; 0 at padding, summing to 1 over K.
            continues: [S] 1.0 for ordinary states, 0.0 for terminal ones: an episode ends on
            arriving there. initial: [S] distribution of the first state.

    Raises:
        ValueError: when shapes disagree, an index is out of range, a reward is not finite, or
            probabilities are negative or do not sum to 1.
    """

    reward: Float[Tensor, "S A K"]
    successors: Int[Tensor, "S A K"]
    probabilities: Float[Tensor, "S A K"]
    continues: Float[Tensor, "S"]
    initial: Float[Tensor, "S"]

    def __post_init__(self) -> None:
        shape, num_states = self.successors.shape, self.successors.shape[0]
        for name, wanted in (
            ("reward", shape),
            ("probabilities", shape),
            ("continues", (num_states,)),
            ("initial", (num_states,)),
        ):
            found = getattr(self, name).shape
            if found != wanted:
                raise ValueError(
                    f"{name} must be {tuple(wanted)} like successors, got {tuple(found)}"
                )
        lowest, highest = int(self.successors.min()), int(self.successors.max())
        if lowest < 0 or highest >= num_states:
            raise ValueError(
                f"successors lie in [{lowest}, {highest}], allowed: [0, {num_states - 1}]"
            )
        _refuse("reward must be finite", self.reward, ~self.reward.isfinite())
        for name in ("probabilities", "initial"):
            values = getattr(self, name)
            _refuse(f"{name} must not be negative", values, values < 0.0)
        for name, total in (
            ("probabilities", self.probabilities.sum(-1)),
            ("initial", self.initial.sum(-1)),
        ):
            if not torch.allclose(total, torch.ones_like(total), atol=1e-5):
                worst = total.flatten()[(total - 1).abs().argmax()]
                raise ValueError(f"{name} must sum to 1 over the last axis, got {worst:.4f}")

    @property
    def num_states(self) -> int:
        return self.successors.shape[0]

    @property
    def num_actions(self) -> int:
        return self.successors.shape[1]

    @property
    def num_transitions(self) -> int:
        """Transitions with a positive probability."""
        return int((self.probabilities > 0).sum())

    def expected_reward(self) -> Float[Tensor, "S A"]:
        """r(s, a), averaged over successors."""
        return (self.probabilities * self.reward).sum(-1)

    def transition_tensor(self) -> Float[Tensor, "S A S"]:
        """The dense tensor P[s, a, s'] = p(s' | s, a); quadratic in the number of states."""
        num_states, num_actions, _ = self.successors.shape
        dense = self.probabilities.new_zeros(num_states, num_actions, num_states)
        return dense.scatter_add_(-1, self.successors, self.probabilities)

    def to(self, device: torch.device | str) -> "TabularMDP":
        """The same problem on another device."""
        return TabularMDP(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def side_by_side(tasks: Sequence[TabularMDP]) -> TabularMDP:
    """M problems as one, without transitions between them: the states of the first task come first.

    An episode starts in each task with equal probability.

    Args:
        tasks: M problems with the same actions; the numbers of states and of successors may differ.

    Raises:
        ValueError: without tasks, or when they differ in the number of actions.
    """
    num_actions = {task.num_actions for task in tasks}
    if len(num_actions) != 1:
        raise ValueError(
            f"tasks side by side need one number of actions: got {sorted(num_actions)} from "
            f"{len(tasks)} tasks"
        )
    width = max(task.successors.shape[2] for task in tasks)
    padded, offset = [], 0
    for task in tasks:
        padding = (0, width - task.successors.shape[2])
        padded.append(
            (
                torch.nn.functional.pad(task.reward, padding),
                torch.nn.functional.pad(task.successors, padding) + offset,
                torch.nn.functional.pad(task.probabilities, padding),
                task.continues,
                task.initial / len(tasks),
            )
        )
        offset += task.num_states
    return TabularMDP(*map(torch.cat, zip(*padded, strict=True)))


def remembering_action(mdp: TabularMDP) -> TabularMDP:
    """The same problem with the last action as part of the state.

    State c S + s of the result is state s, reached by action c - 1; c = 0 before the first action.
    Policies that look at the last action can so be evaluated like any others.
    """
    num_states, num_actions, _ = mdp.successors.shape
    contexts = num_actions + 1
    came_by = torch.arange(1, contexts, device=mdp.successors.device).view(1, -1, 1)
    return TabularMDP(
        reward=mdp.reward.repeat(contexts, 1, 1),
        successors=(came_by * num_states + mdp.successors).repeat(contexts, 1, 1),
        probabilities=mdp.probabilities.repeat(contexts, 1, 1),
        continues=mdp.continues.repeat(contexts),
        initial=torch.cat([mdp.initial, mdp.initial.new_zeros(num_actions * num_states)]),
    )


def _refuse(rule: str, values: Tensor, broken: Tensor) -> None:
    """Raise a ValueError that names the first entry at which the rule is broken, if any."""
    if broken.any():
        place = broken.nonzero()[0].tolist()
        raise ValueError(f"{rule}, got {float(values[tuple(place)])} at {place}")
