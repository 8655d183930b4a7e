"""KL-regularized policies over discrete actions, in log space.

Source: Tirumala et al. 2020, "Behavior Priors for Efficient Reinforcement Learning" (arXiv
2010.14274), whose objective is

    L(pi, pi_0) = E_pi[ sum_t gamma^t r_t - alpha gamma^t KL(pi(.|x_t) || pi_0(.|x_t)) ].

For a fixed prior pi_0 the functions below are its exact solution in one state:

    V(x)      = alpha log sum_a pi_0(a|x) exp(Q(x, a) / alpha)      `soft_value`
    pi*(a|x)  = pi_0(a|x) exp((Q(x, a) - V(x)) / alpha)             `boltzmann_log_policy`

The paper absorbs alpha into the reward (alpha = 1); here it is always written.

Symbols: pi `log_p` or `log_policy`, pi_0 `log_prior`, alpha `alpha` (in units of reward per nat),
Q `q`, V the result of `soft_value`. The best prior for many tasks is in `ops.mixtures`.

A distribution is its log-probabilities on the last axis; -inf marks an action without mass. All
results are in nats, have the dtype of the inputs, and carry gradients.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_NO_MASS = -math.inf


def categorical_kl(
    log_p: Float[Tensor, "*#batch A"], log_q: Float[Tensor, "*#batch A"]
) -> Float[Tensor, "*batch"]:
    """Return KL(p || q) = sum_a p(a) (log p(a) - log q(a)), in nats.

    Args:
        log_p: log-probabilities of p [..., A].
        log_q: log-probabilities of q [..., A]; leading axes broadcast against those of p.

    Returns:
        [...], with 0 log 0 = 0; +inf where p has mass on an action on which q has none (the
        gradient there is zero, since no small step of p or q makes the KL finite).

    Raises:
        ValueError: the two do not have the same number of actions, or do not broadcast.
    """
    log_p, log_q = _broadcast(log_p=log_p, log_q=log_q)
    has_mass = log_p != _NO_MASS
    uncovered = has_mass & (log_q == _NO_MASS)
    # Masked before the product, so that backward never meets 0 * inf.
    counted = has_mass & ~uncovered
    safe_log_p = torch.where(counted, log_p, 0.0)
    safe_log_q = torch.where(counted, log_q, 0.0)
    terms = torch.where(counted, safe_log_p.exp() * (safe_log_p - safe_log_q), 0.0)  # [..., A]
    return terms.sum(-1).masked_fill(uncovered.any(-1), math.inf)


def entropy(log_p: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch"]:
    """Return the entropy H(p) = -sum_a p(a) log p(a) [...], in nats, with 0 log 0 = 0."""
    has_mass = log_p != _NO_MASS
    safe_log_p = torch.where(has_mass, log_p, 0.0)
    return -torch.where(has_mass, safe_log_p.exp() * safe_log_p, 0.0).sum(-1)


def soft_value(
    q: Float[Tensor, "*#batch A"],
    log_prior: Float[Tensor, "*#batch A"],
    alpha: float | Tensor,
) -> Float[Tensor, "*batch"]:
    """Return V = alpha log sum_a pi_0(a) exp(Q(a) / alpha), the KL-regularized maximum of Q.

    It is max_pi E_pi[Q] - alpha KL(pi || pi_0), attained by `boltzmann_log_policy`: between the
    prior's mean of Q (alpha to infinity) and its maximum over the prior's support (alpha to 0).

    Args:
        q: action values [..., A].
        log_prior: log pi_0 [..., A], normalized; leading axes broadcast against those of q.
        alpha: finite and > 0, a number or a tensor that broadcasts to [...] (no action axis).

    Returns:
        [...]. The rounding error is about alpha times the dtype's precision.

    Raises:
        ValueError: alpha is not finite and > 0, or the shapes do not fit.
    """
    logits, best, alpha = _tilted_logits(q, log_prior, alpha)
    return (best + alpha * logits.logsumexp(-1, keepdim=True)).squeeze(-1)


def boltzmann_log_policy(
    q: Float[Tensor, "*#batch A"],
    log_prior: Float[Tensor, "*#batch A"],
    alpha: float | Tensor,
) -> Float[Tensor, "*batch A"]:
    """Return log pi* = log pi_0 + (Q - V) / alpha, the policy that attains `soft_value`.

    An action outside the support of the prior stays outside (-inf), whatever its value. A prior
    without any support gives NaN.

    Args:
        q: action values [..., A].
        log_prior: log pi_0 [..., A]; leading axes broadcast against those of q.
        alpha: finite and > 0, a number or a tensor that broadcasts to [...] (no action axis).

    Returns:
        Normalized log-probabilities [..., A].

    Raises:
        ValueError: alpha is not finite and > 0, or the shapes do not fit.
    """
    logits, _, _ = _tilted_logits(q, log_prior, alpha)
    return logits - logits.logsumexp(-1, keepdim=True)


def limit_log_policies(
    q: Float[Tensor, "*#batch A"], log_prior: Float[Tensor, "*#batch A"]
) -> tuple[Float[Tensor, "*batch A"], Float[Tensor, "*batch A"]]:
    """Return the limits of `boltzmann_log_policy` for alpha to 0 and for alpha to infinity.

    The first is greedy within the support of the prior, and shares ties as the prior does; the
    second is the prior itself.

    Args:
        q: action values [..., A].
        log_prior: log pi_0 [..., A]; leading axes broadcast against those of q.

    Raises:
        ValueError: the shapes do not fit.
    """
    q, log_prior = _broadcast(q=q, log_prior=log_prior)
    supported = log_prior != _NO_MASS
    best = torch.where(supported, q, _NO_MASS).amax(-1, keepdim=True)
    greedy = torch.where(supported & (q == best), log_prior, _NO_MASS)
    return greedy - greedy.logsumexp(-1, keepdim=True), log_prior


def _tilted_logits(
    q: Tensor, log_prior: Tensor, alpha: float | Tensor
) -> tuple[Tensor, Tensor, Tensor | float]:
    """Return log pi_0 + (Q - best) / alpha [..., A], best [..., 1] and alpha with an action axis.

    `best` is the largest Q within the support. Taking it out first keeps differences of Q exact
    when Q / alpha is large, where float32 would round them away or overflow.
    """
    q, log_prior = _broadcast(q=q, log_prior=log_prior)
    alpha = _checked_alpha(alpha, q)
    supported = log_prior != _NO_MASS
    best = torch.where(supported, q.detach(), _NO_MASS).amax(-1, keepdim=True)
    best = torch.where(best == _NO_MASS, 0.0, best)
    above = torch.where(supported, q - best, 0.0)
    return log_prior + above / alpha, best, alpha


def _checked_alpha(alpha: float | Tensor, q: Tensor) -> float | Tensor:
    """Return alpha ready to broadcast against q [..., A]; refuse values outside (0, inf)."""
    if not isinstance(alpha, Tensor):
        if not 0.0 < alpha < math.inf:
            raise ValueError(f"alpha must be finite and > 0: got {alpha}")
        return alpha
    valid = (alpha > 0) & (alpha < math.inf)
    if not valid.all():
        raise ValueError(f"alpha must be finite and > 0: got {alpha[~valid].flatten()[0].item()}")
    alpha = alpha.to(q.dtype)
    if alpha.ndim == 0:
        return alpha
    expected = q.shape[:-1]
    try:
        fits = torch.broadcast_shapes(alpha.shape, expected) == expected
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"alpha must be a number or broadcast to {list(expected)} (q without its action"
            f" axis): got shape {list(alpha.shape)}"
        )
    return alpha.unsqueeze(-1)


def _broadcast(**tensors: Tensor) -> list[Tensor]:
    """Broadcast the leading axes; the action axis, the last one, must agree exactly."""
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if any(not shape for shape in shapes.values()):
        raise ValueError(f"an action axis is missing (the last axis): got shapes {shapes}")
    if len({shape[-1] for shape in shapes.values()}) != 1:
        raise ValueError(f"the last axis (actions) must agree: got shapes {shapes}")
    try:
        return list(torch.broadcast_tensors(*tensors.values()))
    except RuntimeError as error:
        raise ValueError(f"the leading axes do not broadcast: got shapes {shapes}") from error
