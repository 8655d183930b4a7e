"""The KL between Gaussians with diagonal covariances: whole, per dimension, and in two parts.

For p = N(m_p, diag s_p^2) and q = N(m_q, diag s_q^2), in each dimension and in nats,

    KL(p || q) = (m_p - m_q)^2 / (2 s_q^2)                          the part of the mean
               + log(s_q / s_p) + s_p^2 / (2 s_q^2) - 1/2           the part of the stddev

The second is the KL of two Gaussians with one mean; both are >= 0.

Source of the parts as separate constraints: Abdolmaleki et al. 2018, "Relative Entropy Regularized
Policy Iteration" (arXiv 1812.02256).

A Gaussian is its mean and its standard deviation (> 0, not its logarithm) [..., D]; leading axes
broadcast. A standard deviation that is not positive gives infinities or NaN: values are not
checked, since that would stall a GPU.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def gaussian_kl(
    mean_p: Float[Tensor, "*#batch D"],
    std_p: Float[Tensor, "*#batch D"],
    mean_q: Float[Tensor, "*#batch D"],
    std_q: Float[Tensor, "*#batch D"],
) -> Float[Tensor, "*batch"]:
    """Return KL(p || q) [...], in nats.

    Raises:
        ValueError: the shapes do not fit.
    """
    mean_part, std_part = gaussian_kl_parts(mean_p, std_p, mean_q, std_q)
    return (mean_part + std_part).sum(-1)


def gaussian_kl_parts(
    mean_p: Float[Tensor, "*#batch D"],
    std_p: Float[Tensor, "*#batch D"],
    mean_q: Float[Tensor, "*#batch D"],
    std_q: Float[Tensor, "*#batch D"],
) -> tuple[Float[Tensor, "*batch D"], Float[Tensor, "*batch D"]]:
    """Return what the means and what the stddevs contribute to KL(p || q), per dimension.

    Their sum is the KL of each dimension, and the sum of that over dimensions is `gaussian_kl`.

    Raises:
        ValueError: the shapes do not fit.
    """
    mean_p, std_p, mean_q, std_q = _broadcast(
        mean_p=mean_p, std_p=std_p, mean_q=mean_q, std_q=std_q
    )
    return 0.5 * ((mean_p - mean_q) / std_q).square(), _std_part(std_p, std_q)


def decoupled_gaussian_kl(
    mean_p: Float[Tensor, "*#batch D"],
    std_p: Float[Tensor, "*#batch D"],
    mean_q: Float[Tensor, "*#batch D"],
    std_q: Float[Tensor, "*#batch D"],
) -> tuple[Float[Tensor, "*batch D"], Float[Tensor, "*batch D"]]:
    """Return KL(p || N(m_q, s_p)) and KL(p || N(m_p, s_q)), per dimension: MPO's two constraints.

    With p the old and q the new policy, the first moves only the mean and the second only the
    stddev: no gradient flows from one to the other. They add up to KL(p || q) where s_p = s_q; the
    exact split, in which the mean's part depends on s_q too, is `gaussian_kl_parts`.

    Raises:
        ValueError: the shapes do not fit.
    """
    mean_p, std_p, mean_q, std_q = _broadcast(
        mean_p=mean_p, std_p=std_p, mean_q=mean_q, std_q=std_q
    )
    return 0.5 * ((mean_p - mean_q) / std_p).square(), _std_part(std_p, std_q)


def _std_part(std_p: Tensor, std_q: Tensor) -> Tensor:
    """Return r^2/2 - 1/2 - log r for r = s_p / s_q, exactly also where r is close to 1.

    MPO bounds it by 1e-6, where the terms as they stand cancel to nothing but rounding in float32.
    In r - 1, which is exact for neighboring stddevs, the result is (r-1) - log r + (r-1)^2/2.
    """
    excess = (std_p - std_q) / std_q  # r - 1
    near = excess.abs() < 0.5
    log_ratio = torch.where(
        near, torch.log1p(torch.where(near, excess, 0.0)), std_p.log() - std_q.log()
    )
    return (excess - log_ratio + 0.5 * excess.square()).clamp(min=0.0)


def _broadcast(**tensors: Tensor) -> list[Tensor]:
    """Broadcast the leading axes; the last one, the dimensions, must agree exactly."""
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if any(not shape for shape in shapes.values()):
        raise ValueError(f"the axis of the dimensions is missing (the last one): got {shapes}")
    if len({shape[-1] for shape in shapes.values()}) != 1:
        raise ValueError(f"the last axis (dimensions) must agree: got shapes {shapes}")
    try:
        return list(torch.broadcast_tensors(*tensors.values()))
    except RuntimeError as error:
        raise ValueError(f"the leading axes do not broadcast: got shapes {shapes}") from error
