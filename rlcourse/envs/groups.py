"""Observations in named groups: what is known about the body, the targets, the task.

Which groups a policy, a critic or a prior may see is what Parts I and II are about, so groups stay
apart until a network reads them.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def flatten(
    obs: Mapping[str, Float[Tensor, "*batch _"]], groups: Sequence[str]
) -> Float[Tensor, "*batch D"]:
    """Return the chosen groups side by side, in the order in which they are named.

    Args:
        obs: tensors [..., D_g] by name.
        groups: at least one name.

    Raises:
        ValueError: an unknown group, or none.
    """
    check_groups(groups, tuple(obs))
    return torch.cat([obs[name] for name in groups], -1)


def check_groups(groups: Sequence[str], known: Sequence[str]) -> None:
    """Raise ValueError unless `groups` names at least one group, each known and only once."""
    if isinstance(groups, str) or not groups:
        raise ValueError(
            f"groups must be a tuple with at least one of {', '.join(known)}: got {groups!r}"
        )
    unknown = [name for name in groups if name not in known]
    if unknown:
        raise ValueError(f"unknown observation group {unknown[0]!r}: there are {', '.join(known)}")
    if len(set(groups)) < len(groups):
        raise ValueError(f"an observation group is named twice: {', '.join(groups)}")


def check_saved_groups(groups: Sequence[str], saved: Sequence[str] | None) -> None:
    """Raise ValueError unless a checkpoint's agent saw the same groups in the same order."""
    if saved is None or tuple(saved) != tuple(groups):
        raise ValueError(
            f"the checkpoint's agent saw {', '.join(saved or ('no groups',))}, this one"
            f" {', '.join(groups)}: make the agent with the same groups, or start anew in another"
            " folder"
        )
