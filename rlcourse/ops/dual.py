"""Dual variables: temperatures and Lagrange multipliers that an algorithm learns along the way.

A constraint E[c] <= bound on what a policy does turns into a penalty `multiplier * c` in the loss
of the policy, and into a loss of the multiplier that raises it where the constraint is broken and
lowers it where there is slack. MPO has one such multiplier per bound on a KL, and a temperature eta
from the dual of its first step; the temperature of SAC is the multiplier of -H <= -H_target.

Sources: Abdolmaleki et al. 2018, "Maximum a Posteriori Policy Optimisation" (arXiv 1806.06920) and
"Relative Entropy Regularized Policy Iteration" (arXiv 1812.02256); Haarnoja et al. 2018, "Soft
Actor-Critic Algorithms and Applications" (arXiv 1812.05905), section 5.

Every gradient goes to one place, as each docstring says; the functions detach the rest.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

_LOWEST_RAW = -18.0  # softplus: 1.5e-8


class DualVariable(nn.Module):
    """Positive numbers to be learned by gradient descent: softplus of an unbounded parameter.

    Call it for the value, a tensor of the shape asked for. It changes by addition where it is
    large and by multiplication where it is small.

    Args:
        initial: the first value, > 0.
        shape: () for one number, (D,) for one per dimension.
        device: of the parameter.
        dtype: of the parameter.

    Raises:
        ValueError: an initial value that is not finite and > 0.
    """

    def __init__(
        self,
        initial: float,
        shape: tuple[int, ...] = (),
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if not 0.0 < initial < math.inf:
            raise ValueError(f"a dual variable starts at a finite value > 0: got {initial}")
        raw = initial + math.log(-math.expm1(-initial))  # the inverse of softplus
        self.raw = nn.Parameter(torch.full(shape, raw, device=device, dtype=dtype))

    def forward(self) -> Float[Tensor, "*shape"]:
        return softplus(self.raw)

    @torch.no_grad()
    def limit_(self) -> None:
        """Hold the value above 1e-8; call it after each step of the optimizer.

        Else a multiplier whose constraint stays slack sinks so far that it needs as many steps to
        come back when the constraint is broken.
        """
        self.raw.clamp_(min=_LOWEST_RAW)


def sample_weights(
    q: Float[Tensor, "S *batch"], temperature: float | Float[Tensor, ""]
) -> Float[Tensor, "S *batch"]:
    """Return exp(q / temperature), normalized over S samples: MPO's improved policy on them.

    For actions drawn from pi, the weights of pi(a) exp(q(a) / eta). Carries no gradient.

    Args:
        q: values of S actions per state [S, ...].
        temperature: eta > 0.

    Raises:
        ValueError: no samples.
    """
    above, _ = _above_best(q)
    return (above / _without_gradient(temperature)).softmax(0)


def temperature_loss(
    q: Float[Tensor, "S *batch"], temperature: Float[Tensor, ""], epsilon: float
) -> Float[Tensor, "*batch"]:
    """Return MPO's dual g(eta) = eta epsilon + eta log mean_a exp(q(a) / eta), one per state.

    Its mean over states is least at the temperature for which the expected KL between the
    improved policy and the one that was sampled equals epsilon. (It is the mean of logarithms,
    within the expectation over states.) The gradient goes to the temperature only.

    Args:
        q: values of S actions per state [S, ...].
        temperature: eta > 0, with gradient.
        epsilon: the bound, in nats.

    Raises:
        ValueError: no samples.
    """
    above, best = _above_best(q)
    log_mean = (above / temperature).logsumexp(0) - math.log(q.shape[0])
    return best + temperature * (epsilon + log_mean)


def sample_kl(weights: Float[Tensor, "S *batch"]) -> Float[Tensor, "*batch"]:
    """Return sum_s w_s log(S w_s), the KL of the weighted samples to the same unweighted [...].

    What epsilon bounds in `temperature_loss`; between 0 and log S.
    """
    return math.log(weights.shape[0]) + torch.xlogy(weights, weights).sum(0)


def multiplier_penalty(
    constrained: Float[Tensor, "*#batch"], multiplier: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch"]:
    """Return multiplier * constrained, elementwise, for the loss of the policy.

    Args:
        constrained: what is to stay below a bound, as the KL per state [...] or [..., D].
        multiplier: broadcasts. The gradient goes to `constrained` only.
    """
    return multiplier.detach() * constrained


def multiplier_loss(
    constrained: Float[Tensor, "*#batch"], bound: float, multiplier: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch"]:
    """Return multiplier * (bound - constrained), elementwise; to be minimized.

    A step down its gradient raises the multiplier where the mean of `constrained` is over the
    bound. For the temperature of SAC: constrained = log pi(a|s), bound = -target entropy.

    Args:
        constrained: [...] or [..., D].
        bound: in the units of `constrained`.
        multiplier: broadcasts. The gradient goes to it only.
    """
    return multiplier * (bound - constrained.detach())


def _above_best(q: Tensor) -> tuple[Tensor, Tensor]:
    """Return q - best [S, ...] (<= 0, 0 at the best) and best [...], without gradient.

    Taken out before the division: q / temperature may be large, and its differences rounded away.
    """
    if not q.ndim or not q.shape[0]:
        raise ValueError(f"values of at least one sample are needed on axis 0: got {list(q.shape)}")
    q = q.detach()
    best = q.amax(0)
    return q - best, best


def _without_gradient(temperature: float | Tensor) -> float | Tensor:
    return temperature.detach() if isinstance(temperature, Tensor) else temperature
