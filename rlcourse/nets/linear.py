"""The linear layer of every network here, drawn from a generator of its own."""

import math

import torch
from torch import nn


def linear(
    num_inputs: int, num_outputs: int, generator: torch.Generator, scale: float = 1.0
) -> nn.Linear:
    """Return a linear layer on the generator's device, its weights `scale` times the usual size.

    Raises:
        ValueError: a size < 1.
    """
    if num_inputs < 1 or num_outputs < 1:
        raise ValueError(
            f"a layer needs at least one input and one output: got {num_inputs} and {num_outputs}"
        )
    # Built empty: the constructor would draw from the global generator.
    layer = nn.utils.skip_init(nn.Linear, num_inputs, num_outputs, device=generator.device)
    limit = scale / math.sqrt(num_inputs)
    nn.init.uniform_(layer.weight, -limit, limit, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
