"""Networks without an algorithm: perceptrons, the head of a Gaussian policy, twin critics.

Shapes: features are on the last axis, and any axes may stand in front, as [B, D] or [T, B, D].

Every weight is drawn from the generator that is given, on its device, uniform within
+-1 / sqrt(number of inputs); every bias starts at 0. Networks are float32; `.double()` converts.

Sources: the layer-norm network and the Gaussian head follow Acme (Hoffman et al. 2020, arXiv
2006.00979), twin critics Fujimoto et al. 2018 (arXiv 1802.09477).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from rlcourse.ops.distributions import DiagonalGaussian

_RELU = partial(nn.ReLU, inplace=True)  # nothing else reads a linear layer's output


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


class MLP(nn.Module):
    """Linear layers with an activation after each hidden one.

    Args:
        num_inputs: features that come in.
        hidden_sizes: of the hidden layers; none gives a single linear layer.
        num_outputs: of a last linear layer; None ends with the activation of the last hidden
            layer, as a torso for a head.
        generator: of the weights.
        activation: between layers.

    Raises:
        ValueError: a size < 1, or neither hidden layers nor outputs.
    """

    def __init__(
        self,
        num_inputs: int,
        hidden_sizes: Sequence[int],
        num_outputs: int | None,
        generator: torch.Generator,
        activation: Callable[[], nn.Module] = _RELU,
    ) -> None:
        super().__init__()
        _check_sizes(hidden_sizes, num_outputs)
        self.num_outputs = _last_size(hidden_sizes, num_outputs)
        self.layers = nn.Sequential()
        for size in hidden_sizes:
            self.layers.extend([linear(num_inputs, size, generator), activation()])
            num_inputs = size
        if num_outputs is not None:
            self.layers.append(linear(num_inputs, num_outputs, generator))

    def forward(self, inputs: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D_out"]:
        return self.layers(inputs)


class LayerNormMLP(nn.Module):
    """Linear, layer norm and tanh first, then linear layers with ELU.

    The norm and the tanh bound what the rest of the network sees, whatever the scale of the
    observations.

    Args:
        num_inputs: features that come in.
        hidden_sizes: at least one; the first is that of the normalized layer.
        num_outputs: of a last linear layer; None ends with the activation of the last hidden
            layer, as a torso for a head.
        generator: of the weights.

    Raises:
        ValueError: a size < 1, or no hidden layer.
    """

    def __init__(
        self,
        num_inputs: int,
        hidden_sizes: Sequence[int],
        num_outputs: int | None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if not hidden_sizes:
            raise ValueError("LayerNormMLP needs at least one hidden layer: got hidden_sizes []")
        self.num_outputs = _last_size(hidden_sizes, num_outputs)
        first, *others = hidden_sizes
        norm = nn.LayerNorm(first, device=generator.device)
        self.layers = nn.Sequential(linear(num_inputs, first, generator), norm, nn.Tanh())
        for size_in, size in zip(hidden_sizes, others, strict=False):
            self.layers.extend([linear(size_in, size, generator), nn.ELU()])
        if num_outputs is not None:
            self.layers.append(linear(hidden_sizes[-1], num_outputs, generator))

    def forward(self, inputs: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D_out"]:
        return self.layers(inputs)


class GaussianHead(nn.Module):
    """Features to a Gaussian over actions; for actions within (-1, 1) wrap it, as in
    `SquashedGaussian(head(features))`.

    At the start the mean is near 0 and the stddev near init_scale + min_scale for every input.

    Args:
        num_inputs: features that come in.
        num_actions: D, the dimensions of an action.
        generator: of the weights.
        tanh_mean: squash the mean to (-1, 1); samples still fall outside.
        init_scale: > 0.
        min_scale: >= 0; the stddev stays above it.

    Raises:
        ValueError: a size or a scale out of range.
    """

    def __init__(
        self,
        num_inputs: int,
        num_actions: int,
        generator: torch.Generator,
        *,
        tanh_mean: bool = False,
        init_scale: float = 0.7,
        min_scale: float = 1e-6,
    ) -> None:
        super().__init__()
        if not (0.0 < init_scale < math.inf and 0.0 <= min_scale < math.inf):
            raise ValueError(
                "init_scale must be finite and > 0, min_scale finite and >= 0:"
                f" got {init_scale} and {min_scale}"
            )
        self.tanh_mean, self.init_scale, self.min_scale = tanh_mean, init_scale, min_scale
        self.mean = linear(num_inputs, num_actions, generator, scale=0.01)
        self.std = linear(num_inputs, num_actions, generator, scale=0.01)

    def forward(self, features: Float[Tensor, "*batch D"]) -> DiagonalGaussian:
        """Return a Gaussian of shape [..., num_actions]."""
        mean = self.mean(features)
        relative = softplus(self.std(features)) / math.log(2.0)  # 1 where the layer gives 0
        return DiagonalGaussian(
            mean.tanh() if self.tanh_mean else mean, self.min_scale + self.init_scale * relative
        )


class Critic(nn.Module):
    """Q(obs, action): a network of both, one number per state and action.

    Args:
        network: maps [..., D_obs + D_action] to [..., 1], such as `MLP(..., num_outputs=1)`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, obs: Float[Tensor, "*#batch D"], action: Float[Tensor, "*#batch A"]
    ) -> Float[Tensor, "*batch"]:
        """Return Q [...]. Leading axes broadcast: obs [B, D] serves actions [S, B, A]."""
        return self.network(_side_by_side(obs, action)).squeeze(-1)


class TwinCritic(nn.Module):
    """Two critics of the same inputs, whose smaller value is a cautious target.

    Args:
        make_network: returns a fresh network as in `Critic`; called twice.
    """

    def __init__(self, make_network: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.first, self.second = Critic(make_network()), Critic(make_network())

    def forward(
        self, obs: Float[Tensor, "*#batch D"], action: Float[Tensor, "*#batch A"]
    ) -> Float[Tensor, "2 *batch"]:
        """Return both values [2, ...]; take `.amin(0)` for a target."""
        both = _side_by_side(obs, action)
        values = [self.first.network(both), self.second.network(both)]
        return torch.stack(values).squeeze(-1)


def _side_by_side(obs: Tensor, action: Tensor) -> Tensor:
    if obs.shape[:-1] != action.shape[:-1]:
        leading = torch.broadcast_shapes(obs.shape[:-1], action.shape[:-1])
        obs, action = obs.expand(*leading, -1), action.expand(*leading, -1)
    return torch.cat([obs, action], -1)


def _last_size(hidden_sizes: Sequence[int], num_outputs: int | None) -> int:
    return hidden_sizes[-1] if num_outputs is None else num_outputs


def _check_sizes(hidden_sizes: Sequence[int], num_outputs: int | None) -> None:
    if num_outputs is None and not hidden_sizes:
        raise ValueError("a network needs hidden_sizes or num_outputs: got [] and None")
