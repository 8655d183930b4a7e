"""The state of networks and their optimizers: to save it, and to go on from it or refuse it whole.

An agent holds its networks in a dict by name, and its optimizers in another; the names of the
optimizers are those of the networks that they train.

Target networks trail behind those that learn (Lillicrap et al. 2015, arXiv 1509.02971).
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def networks_state(
    networks: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]
) -> dict[str, Any]:
    """Return all that training depends on. Not a copy: save it before the next step."""
    return {
        "networks": {name: network.state_dict() for name, network in networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
    }


def check_networks_state(networks: Mapping[str, nn.Module], state: Mapping[str, Any]) -> None:
    """Raise ValueError unless `state` is of networks of the same names and sizes."""
    here = _shapes({name: network.state_dict() for name, network in networks.items()})
    there = _shapes(state.get("networks", {}))
    for name in here | there:
        if here.get(name) != there.get(name):
            raise ValueError(
                f"the checkpoint is of another architecture: {name} is"
                f" {there.get(name, 'absent')} there and {here.get(name, 'absent')} here; make the"
                " agent with the same Config and observations, or start anew in another folder"
            )


def load_networks_state_(
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    state: Mapping[str, Any],
) -> None:
    """Go on from a `networks_state`, in place. The state may be used again: nothing is shared.

    Raises:
        ValueError: the state is of another architecture. Nothing is changed then.
    """
    check_networks_state(networks, state)
    for name, network in networks.items():
        network.load_state_dict(state["networks"][name])
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(copy.deepcopy(state["optimizers"][name]))


def _shapes(states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, list[int]]:
    return {
        f"{network}.{name}": list(tensor.shape)
        for network, tensors in states.items()
        for name, tensor in tensors.items()
    }


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
