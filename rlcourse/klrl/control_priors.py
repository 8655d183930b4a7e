"""Priors for continuous control: uniform, two made by hand, and one that is learned.

A prior pi_0 is what `klrl.svg0` stays close to. Each sees only the observation groups that it
names: what a prior does not see it cannot prescribe.

The hand-made ones are this course's own; Tirumala et al. 2020 (arXiv 2010.14274) learn theirs, as
networks that Acme (arXiv 2006.00979) gives the shape used here. All but the uniform one are
squashed Gaussians, as the policy is, so that the KL between them is exact.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.envs.groups import check_groups, flatten
from rlcourse.nets.blocks import GaussianHead, LayerNormMLP
from rlcourse.ops.distributions import DiagonalGaussian, SquashedGaussian

_MOST = 0.95  # thrust that a hand-made prior asks for


@dataclass(frozen=True, eq=False)
class Uniform:
    """The density 2^-A for actions in [-1, 1]^A."""

    mode: Float[Tensor, "*batch A"]  # zeros

    def sample(
        self, generator: torch.Generator, sample_shape: tuple[int, ...] = ()
    ) -> Float[Tensor, "*samples A"]:
        drawn = self.mode.new_empty(*sample_shape, *self.mode.shape)
        return drawn.uniform_(-1.0, 1.0, generator=generator)

    def log_prob(self, action: Float[Tensor, "*samples A"]) -> Float[Tensor, "*result"]:
        inside = (action.abs() <= 1.0).all(-1)
        return torch.where(inside, -math.log(2.0) * self.mode.shape[-1], -math.inf)


@dataclass(frozen=True)
class UniformPrior:
    """All actions alike: KL regularization is entropy regularization."""

    num_actions: int

    def distribution(self, obs: Mapping[str, Float[Tensor, "*batch _"]]) -> Uniform:
        some = next(iter(obs.values()))
        return Uniform(some.new_zeros(*some.shape[:-1], self.num_actions))


@dataclass(frozen=True)
class KeepGoing:
    """A squashed Gaussian around the action that keeps the velocity. Sees "proprio" only.

    Args:
        top_speed: under full thrust, in m/s, as `Arena.top_speed`.
        std: of each dimension, before the tanh.
    """

    top_speed: float
    std: float = 0.7

    def distribution(self, obs: Mapping[str, Float[Tensor, "*batch _"]]) -> SquashedGaussian:
        velocity = flatten(obs, ("proprio",))[..., 2:4]  # m/s
        keeping = (velocity / self.top_speed).clamp(-_MOST, _MOST)
        return _squashed(keeping.atanh(), self.std)


@dataclass(frozen=True)
class SteerToTarget:
    """A squashed Gaussian around a proportional controller: tanh(gain * way to the target).

    Sees "task" only, which must hold that way (`PointMassConfig.task_group` "position").

    Args:
        gain: per meter.
        std: of each dimension, before the tanh.
    """

    gain: float = 1.0
    std: float = 0.7

    def distribution(self, obs: Mapping[str, Float[Tensor, "*batch _"]]) -> SquashedGaussian:
        return _squashed(self.gain * flatten(obs, ("task",)), self.std)


def _squashed(mean: Tensor, std: float) -> SquashedGaussian:
    return SquashedGaussian(DiagonalGaussian(mean, torch.full_like(mean, std)))


class LearnedPrior(nn.Module):
    """A squashed Gaussian from a network that sees some of the observation groups; SVG(0) distills
    its policy into it.

    Args:
        groups: what it sees.
        hidden_sizes: (200, 100) in Acme.
        obs_sizes: features of each group that the environment has.
        num_actions: A.
        generator: of the weights, on whose device they are.

    Raises:
        ValueError: an unknown observation group.
    """

    def __init__(
        self,
        groups: tuple[str, ...],
        hidden_sizes: tuple[int, ...],
        obs_sizes: Mapping[str, int],
        num_actions: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        check_groups(groups, tuple(obs_sizes))
        self.groups = groups
        size = sum(obs_sizes[name] for name in groups)
        self.torso = LayerNormMLP(size, hidden_sizes, None, generator)
        self.head = GaussianHead(self.torso.num_outputs, num_actions, generator, min_scale=0.1)

    def distribution(self, obs: Mapping[str, Float[Tensor, "*batch _"]]) -> SquashedGaussian:
        return SquashedGaussian(self.head(self.torso(flatten(obs, self.groups))))
