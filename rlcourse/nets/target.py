"""Target networks, which trail behind those that learn (Lillicrap et al. 2015, 1509.02971)."""

import copy

import torch
from torch import nn


def target_of(network: nn.Module) -> nn.Module:
    """Return a copy of `network` that no gradient reaches, to be moved by `update_target_`."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def update_target_(target: nn.Module, network: nn.Module, rate: float = 1.0) -> None:
    """Move the target's parameters towards the network's, in place: rate 1.0 copies them.

    Buffers, which hold statistics, are copied.

    Raises:
        ValueError: a rate outside (0, 1], or networks whose parameters do not correspond.
    """
    if not 0.0 < rate <= 1.0:
        raise ValueError(f"rate must be in (0, 1]: got {rate}")
    ours, theirs = list(target.parameters()), list(network.parameters())
    if [p.shape for p in ours] != [p.shape for p in theirs]:
        raise ValueError("the target is not a copy of the network: make it with target_of(network)")
    torch._foreach_lerp_(ours, theirs, rate)  # mine.lerp_(other, rate) for each pair, in one call
    for copied, buffer in zip(target.buffers(), network.buffers(), strict=True):
        copied.copy_(buffer)
