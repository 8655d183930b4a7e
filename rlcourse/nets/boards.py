"""Convolutional networks over square boards: residual towers with policy and value heads.

Shapes: planes [B, C, H, W]. No weight depends on the size of the board: the logit
of a point comes from the planes there, those of the pass and the value from means and maxima.

Residual blocks follow He et al. 2016 ("v2", arXiv 1603.05027): activation before each convolution,
and a clean path for the sum. **Deviation**: no normalization. The last convolution of each block
starts at 0, so that a tower of any depth starts as the identity; a network then does the same in
training and in play, for one board and for many. Global pooling in the heads follows Wu 2019
(KataGo, arXiv 1902.10565).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu


def convolution(
    num_inputs: int,
    num_outputs: int,
    generator: torch.Generator,
    *,
    kernel: int = 3,
    scale: float = 1.0,
) -> nn.Conv2d:
    """Return a convolution that keeps the board's size, on the generator's device.

    Weights are normal with a variance of 2 scale^2 / fan-in (He et al. 2015), biases 0.

    Raises:
        ValueError: a size < 1, or an even kernel.
    """
    if num_inputs < 1 or num_outputs < 1:
        raise ValueError(
            f"a convolution needs at least one plane in and out: got {num_inputs}, {num_outputs}"
        )
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"the kernel must be odd to keep the board's size, got {kernel}")
    layer = nn.utils.skip_init(
        nn.Conv2d, num_inputs, num_outputs, kernel, padding=kernel // 2, device=generator.device
    )
    _draw_(layer, num_inputs * kernel**2, scale, generator)
    return layer


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))); the identity at the start."""

    def __init__(self, num_channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = convolution(num_channels, num_channels, generator)
        self.second = convolution(num_channels, num_channels, generator, scale=0.0)

    def forward(self, planes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return planes + self.second(relu(self.first(relu(planes))))


class Tower(nn.Module):
    """A convolution to the tower's width, then residual blocks.

    Args:
        num_inputs: planes that come in.
        num_channels: planes that go out.
        num_blocks: residual blocks, 0 or more.
        generator: of the weights.
    """

    def __init__(
        self, num_inputs: int, num_channels: int, num_blocks: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        if num_blocks < 0:
            raise ValueError(f"num_blocks must not be negative, got {num_blocks}")
        self.num_channels = num_channels
        self.entry = convolution(num_inputs, num_channels, generator)
        self.blocks = nn.ModuleList(
            ResidualBlock(num_channels, generator) for _ in range(num_blocks)
        )

    def forward(self, planes: Float[Tensor, "B C_in H W"]) -> Float[Tensor, "B C H W"]:
        planes = self.entry(planes)
        for block in self.blocks:
            planes = block(planes)
        return planes


class PolicyHead(nn.Module):
    """Logits of all points, in rows from the top, and of the pass as the last one.

    Args:
        num_channels: planes that come in.
        generator: of the weights.
        num_hidden: planes between.
    """

    def __init__(self, num_channels: int, generator: torch.Generator, num_hidden: int = 32) -> None:
        super().__init__()
        self.hidden = convolution(num_channels, num_hidden, generator, kernel=1)
        self.points = convolution(num_hidden, 1, generator, kernel=1, scale=0.1)
        self.pooled = _linear(2 * num_hidden, num_hidden, generator)
        self.pass_move = _linear(num_hidden, 1, generator, scale=0.1)

    def features(self, planes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        """The hidden activations, before anything is said of a move."""
        return relu(self.hidden(relu(planes)))

    def forward(self, planes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B A"]:
        hidden = self.features(planes)
        pooled = relu(self.pooled(_means_and_maxima(hidden)))
        return torch.cat([self.points(hidden).flatten(1), self.pass_move(pooled)], 1)


class ValueHead(nn.Module):
    """The expected outcome for the player to move, in (-1, 1).

    Args:
        num_channels: planes that come in.
        generator: of the weights.
        num_hidden: planes, and twice as many features, between.
    """

    def __init__(self, num_channels: int, generator: torch.Generator, num_hidden: int = 32) -> None:
        super().__init__()
        self.hidden = convolution(num_channels, num_hidden, generator, kernel=1)
        self.pooled = _linear(2 * num_hidden, 2 * num_hidden, generator)
        self.value = _linear(2 * num_hidden, 1, generator, scale=0.1)

    def features(self, planes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """The hidden activations, before the value."""
        hidden = relu(self.hidden(relu(planes)))
        return relu(self.pooled(_means_and_maxima(hidden)))

    def forward(self, planes: Float[Tensor, "B C H W"]) -> Float[Tensor, " B"]:
        return torch.tanh(self.value(self.features(planes))).squeeze(1)


def _linear(
    num_inputs: int, num_outputs: int, generator: torch.Generator, scale: float = 1.0
) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, num_inputs, num_outputs, device=generator.device)
    _draw_(layer, num_inputs, scale, generator)
    return layer


def _draw_(
    layer: nn.Conv2d | nn.Linear, fan_in: int, scale: float, generator: torch.Generator
) -> None:
    nn.init.normal_(layer.weight, 0.0, scale * math.sqrt(2.0 / fan_in), generator=generator)
    nn.init.zeros_(layer.bias)


def _means_and_maxima(planes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2"]:
    return torch.cat([planes.mean((2, 3)), planes.amax((2, 3))], 1)
