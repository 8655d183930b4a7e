"""Distributions over actions: diagonal Gaussians, squashed ones, and masked categoricals.

All have the same methods, which is what an agent asks of a policy and of a prior:

    sample(generator, sample_shape)    actions [*sample_shape, ..., D], without gradient
    log_prob(action)                   [...], in nats, differentiable in the parameters
    kl(other)                          KL(self || other) [...], in nats, of the same kind
    mode                               the action to take where exploring is over
    detach()                           the same distribution, without gradient

`sample_shape` puts axes in front, as in `(S,)` for S actions per state, and `log_prob` broadcasts
over them. The Gaussians also have `rsample`, whose result carries the gradient of the parameters
(the reparameterization: mean + std noise). Noise comes from the generator alone, which must be on
the parameters' device.

The squashed Gaussian is that of Haarnoja et al. 2018, "Soft Actor-Critic" (arXiv 1801.01290),
appendix C: a = tanh(x) with x Gaussian, and

    log p(a) = log N(x) - sum_d log(1 - tanh(x_d)^2)

Parameters are not checked for values (that would stall a GPU): standard deviations must be > 0, and
log-probabilities normalized.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from rlcourse.ops.gaussian import gaussian_kl
from rlcourse.ops.kl import categorical_kl
from rlcourse.ops.kl import entropy as categorical_entropy


@dataclass(frozen=True, eq=False)
class DiagonalGaussian:
    """Independent Gaussians in D dimensions; actions are unbounded [..., D]."""

    mean: Float[Tensor, "*batch D"]
    std: Float[Tensor, "*batch D"]

    def __post_init__(self) -> None:
        if self.mean.shape != self.std.shape or not self.mean.ndim:
            raise ValueError(
                "mean and std must have one shape, [..., D]:"
                f" got {list(self.mean.shape)} and {list(self.std.shape)}"
            )

    @property
    def mode(self) -> Float[Tensor, "*batch D"]:
        return self.mean

    def rsample(
        self, generator: torch.Generator, sample_shape: tuple[int, ...] = ()
    ) -> Float[Tensor, "*samples D"]:
        """Draw mean + std noise [*sample_shape, ..., D]."""
        _check_device(generator, self.mean)
        noise = torch.randn(
            (*sample_shape, *self.mean.shape),
            generator=generator,
            dtype=self.mean.dtype,
            device=self.mean.device,
        )
        return self.mean + self.std * noise

    def sample(
        self, generator: torch.Generator, sample_shape: tuple[int, ...] = ()
    ) -> Float[Tensor, "*samples D"]:
        """Draw actions [*sample_shape, ..., D], without gradient."""
        return self.detach().rsample(generator, sample_shape)

    def log_prob(self, action: Float[Tensor, "*samples D"]) -> Float[Tensor, "*result"]:
        """Return log N(action) [...], the sum over dimensions."""
        _check_action(action, self.mean)
        distance = (action - self.mean) / self.std
        log_normal = -0.5 * distance.square() - self.std.log() - 0.5 * math.log(2 * math.pi)
        return log_normal.sum(-1)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Return the differential entropy [...], in nats; negative for narrow Gaussians."""
        return (self.std.log() + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def kl(self, other: "DiagonalGaussian") -> Float[Tensor, "*result"]:
        """Return KL(self || other) [...], exactly."""
        return gaussian_kl(self.mean, self.std, other.mean, other.std)

    def detach(self) -> "DiagonalGaussian":
        return DiagonalGaussian(self.mean.detach(), self.std.detach())


@dataclass(frozen=True, eq=False)
class SquashedGaussian:
    """tanh of a Gaussian: actions in (-1, 1)^D.

    Its entropy has no closed form; estimate it by the mean of -log_prob over samples.
    """

    base: DiagonalGaussian  # of x, before the tanh

    @property
    def mode(self) -> Float[Tensor, "*batch D"]:
        """tanh of the mean: what is taken for evaluation (the median, not where p is largest)."""
        return self.base.mean.tanh()

    def rsample(
        self, generator: torch.Generator, sample_shape: tuple[int, ...] = ()
    ) -> Float[Tensor, "*samples D"]:
        """Draw tanh(mean + std noise) [*sample_shape, ..., D]."""
        return self.base.rsample(generator, sample_shape).tanh()

    def sample(
        self, generator: torch.Generator, sample_shape: tuple[int, ...] = ()
    ) -> Float[Tensor, "*samples D"]:
        """Draw actions [*sample_shape, ..., D], without gradient."""
        return self.base.sample(generator, sample_shape).tanh()

    def rsample_with_log_prob(
        self, generator: torch.Generator, sample_shape: tuple[int, ...] = ()
    ) -> tuple[Float[Tensor, "*samples D"], Float[Tensor, "*result"]]:
        """Draw actions [*sample_shape, ..., D] and return them with their log-probabilities [...].

        Exact where tanh rounds to 1, and with the gradient through the action: for losses.
        """
        pre_tanh = self.base.rsample(generator, sample_shape)
        return pre_tanh.tanh(), self.log_prob_from_pre_tanh(pre_tanh)

    def log_prob(self, action: Float[Tensor, "*samples D"]) -> Float[Tensor, "*result"]:
        """Return log p(action) [...]; -inf for an action outside [-1, 1].

        An action that was rounded to an end of the range counts as the number next to it: its x is
        lost. So where two policies are compared on a stored action, as in an importance weight,
        compute both log-probabilities here.
        """
        _check_action(action, self.base.mean)
        largest = 1.0 - 0.5 * torch.finfo(action.dtype).eps  # the number below 1
        log_prob = self.log_prob_from_pre_tanh(action.clamp(-largest, largest).atanh())
        return torch.where((action.abs() <= 1.0).all(-1), log_prob, -math.inf)

    def log_prob_from_pre_tanh(
        self, pre_tanh: Float[Tensor, "*samples D"]
    ) -> Float[Tensor, "*result"]:
        """Return log p(tanh(x)) [...] for x [..., D]: a density over actions, not over x."""
        return self.base.log_prob(pre_tanh) - _log_tanh_slope(pre_tanh).sum(-1)

    def kl(self, other: "SquashedGaussian") -> Float[Tensor, "*result"]:
        """Return KL(self || other) [...], exactly: the same tanh on both sides changes nothing."""
        return self.base.kl(other.base)

    def detach(self) -> "SquashedGaussian":
        return SquashedGaussian(self.base.detach())


@dataclass(frozen=True, eq=False)
class Categorical:
    """A distribution over A actions, given as normalized log-probabilities (-inf: no mass)."""

    log_p: Float[Tensor, "*batch A"]

    @property
    def mode(self) -> Int[Tensor, "*batch"]:
        return self.log_p.argmax(-1)

    def sample(
        self, generator: torch.Generator, sample_shape: tuple[int, ...] = ()
    ) -> Int[Tensor, "*samples"]:
        """Draw actions [*sample_shape, ...]."""
        _check_device(generator, self.log_p)
        count = math.prod(sample_shape)
        p = self.log_p.detach().exp().reshape(-1, self.log_p.shape[-1])  # [N, A]
        drawn = torch.multinomial(p, count, replacement=True, generator=generator)  # [N, count]
        return drawn.T.reshape(*sample_shape, *self.log_p.shape[:-1])

    def log_prob(self, action: Int[Tensor, "*samples"]) -> Float[Tensor, "*result"]:
        """Return log p(action) [...]."""
        shape = torch.broadcast_shapes(action.shape, self.log_p.shape[:-1])
        log_p = self.log_p.expand(*shape, -1)
        return log_p.gather(-1, action.expand(shape).unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Return H(p) [...], in nats."""
        return categorical_entropy(self.log_p)

    def kl(self, other: "Categorical") -> Float[Tensor, "*result"]:
        """Return KL(self || other) [...]; +inf where other lacks an action that self has."""
        return categorical_kl(self.log_p, other.log_p)

    def detach(self) -> "Categorical":
        return Categorical(self.log_p.detach())


def masked_log_softmax(
    logits: Float[Tensor, "*batch A"], allowed: Bool[Tensor, "*#batch A"]
) -> Float[Tensor, "*batch A"]:
    """Return log-probabilities over the allowed actions [..., A], -inf at the others.

    Args:
        logits: of any size, not normalized; those of actions not allowed are ignored.
        allowed: True where the action may be taken; leading axes broadcast.

    Raises:
        ValueError: a state without an allowed action, or the shapes do not fit.
    """
    if allowed.shape[-1:] != logits.shape[-1:]:
        raise ValueError(
            "the last axis (actions) must agree:"
            f" got {list(logits.shape)} and {list(allowed.shape)}"
        )
    stuck = ~allowed.any(-1)
    if stuck.any():
        raise ValueError(
            f"every state needs an allowed action: {int(stuck.sum())} of {stuck.numel()} have none"
        )
    return torch.where(allowed, logits, -math.inf).log_softmax(-1)


def _log_tanh_slope(x: Tensor) -> Tensor:
    """Return log(1 - tanh(x)^2), which is 2 (log 2 - x - softplus(-2 x)), for x of any size."""
    return 2.0 * (math.log(2.0) - x - softplus(-2.0 * x))


def _check_device(generator: torch.Generator, parameter: Tensor) -> None:
    if generator.device.type != parameter.device.type:
        raise ValueError(
            f"the generator is on {generator.device} and the distribution on {parameter.device}:"
            f" make it with torch.Generator(device={str(parameter.device)!r})"
        )


def _check_action(action: Tensor, mean: Tensor) -> None:
    if action.shape[-1:] != mean.shape[-1:]:
        raise ValueError(
            f"actions must have {mean.shape[-1]} dimensions on the last axis:"
            f" got shape {list(action.shape)}"
        )
