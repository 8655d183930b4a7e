"""An action-conditional model of Go with retrieval: policy and value, now and after further moves.

Source: Humphreys et al. 2022, "Large-Scale Retrieval for Reinforcement Learning" (arXiv
2206.05314), section 2; the unrolled model is that of MuZero (Schrittwieser et al. 2020).

    o^e     = encoder(o)                                       what is seen of the observation
    e_i     = p_theta(o^e, x_i), the same p_theta for all i     embedding of a neighbor
    s^0     = f_theta([o^e, sum_i e_i / sqrt(N)])               fusion, their Eq. 2
    s^(k+1) = h_theta(s^k, a_k)                                 dynamics
    logits, value = heads(s^k)                                  the same heads for all k

    symbol    name here                 symbol    name here
    o         planes [B, C, H, W]       N         num_neighbors
    x_i       NeighborInput             a_k       moves [B, K]
    o^e       encode                    s^k       represent, dynamics
    e_i       in embed                  K         unrolled moves

A neighbor that is absent has e_i = 0. The value is for the player to move, at every k.

The work for a neighbor is done N times per observation, so p_theta is narrower than the trunk, and
the part of its first layer that looks at o^e is computed once for all N.

**Deviations.** Sizes are ours: the main text has none. Retrieval enters by Eq. 2 alone; how deep
the networks before and after it are is ours too. Each state is divided by its root mean square over
the board, where MuZero rescales it to [0, 1]: long unrolls in a search then stay in range. The
baseline without retrieval leaves out p_theta, where the paper feeds it x_i = 0 (for that, see
`inputs.blank`).
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.utils.flop_counter import FlopCounterMode

from rlcourse.go.inputs import NeighborInput, num_neighbor_planes
from rlcourse.go.rules import NUM_NEXT, NUM_PLANES
from rlcourse.nets.boards import PolicyHead, ResidualBlock, Tower, ValueHead, convolution

Join = Callable[[Tensor, Tensor, Tensor, int], Tensor]  # as `join`


@dataclass(frozen=True)
class Config:
    """Sizes. None of them is in the paper's main text; all are ours.

    Attributes:
        width: multiplies the three numbers of channels below.
        num_channels: of the trunk: o^e and s.
        num_neighbor_channels: of p_theta and of e_i.
        num_head_channels: between the state and the policy or value.
        num_encoder_blocks, num_neighbor_blocks, num_fusion_blocks, num_dynamics_blocks: residual
            blocks of encoder, p_theta, f_theta after Eq. 2, and h_theta.
        num_neighbors: N.
        num_next: next moves seen of a neighbor.
    """

    width: float = 1.0
    num_channels: int = 128
    num_neighbor_channels: int = 64
    num_head_channels: int = 32
    num_encoder_blocks: int = 4
    num_neighbor_blocks: int = 2
    num_fusion_blocks: int = 4
    num_dynamics_blocks: int = 2
    num_neighbors: int = 10
    num_next: int = NUM_NEXT

    def __post_init__(self) -> None:
        if not 0.0 < self.width < math.inf:
            raise ValueError(f"width must be positive and finite, got {self.width}")
        counts = ("num_channels", "num_neighbor_channels", "num_head_channels", "num_neighbors")
        for name in (*counts, "num_dynamics_blocks", "num_next"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("num_encoder_blocks", "num_neighbor_blocks", "num_fusion_blocks"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")

    def channels(self) -> tuple[int, int, int]:
        """Of the trunk, of p_theta and of the heads, with the width multiplied in."""
        counts = (self.num_channels, self.num_neighbor_channels, self.num_head_channels)
        trunk, neighbor, head = (max(1, round(self.width * count)) for count in counts)
        return trunk, neighbor, head


class Unroll(NamedTuple):
    """What the model says of B observations and of the K moves after each."""

    logits: Float[Tensor, "B K1 A"]  # K1 = K + 1
    value: Float[Tensor, "B K1"]  # for the player to move there
    state: Float[Tensor, "B C H W"]  # s^0


def join(
    encoded: Float[Tensor, "B C H W"],
    embedded: Float[Tensor, "B K D H W"],
    present: Bool[Tensor, "B K"],
    num_neighbors: int,
) -> Float[Tensor, "B C_D H W"]:
    """[o^e, sum_i e_i / sqrt(N)], Eq. 2: C + D channels.

    Args:
        encoded: o^e.
        embedded: e_i, anything where there is no neighbor.
        present: a neighbor that is not there counts as e_i = 0.
        num_neighbors: N.
    """
    there = present[:, :, None, None, None]
    # torch.where, not a product: what an absent neighbor holds must not matter, not even a NaN.
    total = torch.where(there, embedded, 0.0).sum(1)
    return torch.cat([encoded, total / math.sqrt(num_neighbors)], 1)


class NeighborEmbedding(nn.Module):
    """p_theta."""

    def __init__(
        self,
        num_channels: int,
        num_planes: int,
        num_hidden: int,
        num_blocks: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.observation = convolution(num_channels, num_hidden, generator)
        self.neighbors = Tower(num_planes, num_hidden, 0, generator)
        self.blocks = nn.ModuleList(ResidualBlock(num_hidden, generator) for _ in range(num_blocks))
        self.num_hidden = num_hidden

    def forward(
        self, encoded: Float[Tensor, "B C H W"], neighbors: NeighborInput
    ) -> Float[Tensor, "B K D H W"]:
        """e_i of all neighbors, also of those that are not present."""
        shape = neighbors.planes.shape[:2]
        seen = self.neighbors(neighbors.planes.flatten(0, 1)).unflatten(0, shape)
        both = (seen + self.observation(encoded).unsqueeze(1)).flatten(0, 1)
        for block in self.blocks:
            both = block(both)
        return relu(both).unflatten(0, shape)


class Dynamics(nn.Module):
    """h_theta: the state after a move. The identity but for the move, before it has learned."""

    def __init__(self, num_channels: int, num_blocks: int, generator: torch.Generator) -> None:
        super().__init__()
        self.action = convolution(2, num_channels, generator)
        self.blocks = nn.ModuleList(
            ResidualBlock(num_channels, generator) for _ in range(num_blocks)
        )

    def forward(
        self, state: Float[Tensor, "B C H W"], action: Int[Tensor, " B"]
    ) -> Float[Tensor, "B C H W"]:
        state = state + self.action(action_planes(action, state.shape[-1]).to(state.dtype))
        for block in self.blocks:
            state = block(state)
        return _unit_scale(state)


class RetrievalModel(nn.Module):
    """Encoder, neighbors, fusion, dynamics and heads.

    Args:
        config: sizes.
        generator: of the weights; they lie on its device.
        num_planes: C, of an observation.
        join: Eq. 2; an exercise of notebook 15.

    The board's size is free: nothing depends on it but what the weights have learned.
    """

    def __init__(
        self,
        config: Config,
        generator: torch.Generator,
        num_planes: int = NUM_PLANES,
        join: Join = join,
    ) -> None:
        super().__init__()
        self.config, self.join = config, join
        trunk, hidden, head = config.channels()
        self.num_planes, neighbor_planes = num_planes, num_neighbor_planes(config.num_next)
        self.encoder = Tower(num_planes, trunk, config.num_encoder_blocks, generator)
        self.embedding = NeighborEmbedding(
            trunk, neighbor_planes, hidden, config.num_neighbor_blocks, generator
        )
        self.fusion = Tower(trunk + hidden, trunk, config.num_fusion_blocks, generator)
        self.transition = Dynamics(trunk, config.num_dynamics_blocks, generator)
        self.policy = PolicyHead(trunk, generator, head)
        self.value = ValueHead(trunk, generator, head)

    def encode(self, planes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C_s H W"]:
        """o^e."""
        return self.encoder(planes)

    def embed(
        self,
        encoded: Float[Tensor, "B C_s H W"],
        neighbors: NeighborInput | None,
        num_neighbors: int | None = None,
    ) -> Float[Tensor, "B D H W"]:
        """sum_i e_i / sqrt(N): what Eq. 2 sets beside o^e.

        Args:
            neighbors: None where all are absent.
            num_neighbors: N >= 1; None: that of the configuration. A network that is given more
                neighbors than it was trained with may want their number here.

        Raises:
            ValueError: planes that the network was not made for, or num_neighbors < 1.
        """
        expected_count = self.config.num_neighbors if num_neighbors is None else num_neighbors
        if expected_count < 1:
            raise ValueError(
                f"num_neighbors must be at least 1, got {num_neighbors}: for none, neighbors=None"
            )
        num, _, height, width = encoded.shape
        if neighbors is None:
            return encoded.new_zeros(num, self.embedding.num_hidden, height, width)
        expected = (num, num_neighbor_planes(self.config.num_next), height, width)
        count, _, *others = neighbors.planes.shape
        if (count, *others) != expected:
            raise ValueError(
                f"the neighbors' planes are {tuple(neighbors.planes.shape)}, the network expects"
                f" [{num}, K, {', '.join(map(str, expected[1:]))}]: make them with neighbor_planes"
                f" and num_next={self.config.num_next}, for these observations"
            )
        each = self.embedding(encoded, neighbors)
        joined = self.join(encoded, each, neighbors.present, expected_count)
        return joined[:, encoded.shape[1] :]

    def fuse(
        self, encoded: Float[Tensor, "B C_s H W"], embedded: Float[Tensor, "B D H W"]
    ) -> Float[Tensor, "B C_s H W"]:
        """s^0 from both parts of Eq. 2."""
        return _unit_scale(self.fusion(torch.cat([encoded, embedded], 1)))

    def represent(
        self,
        planes: Float[Tensor, "B C H W"],
        neighbors: NeighborInput | None,
        num_neighbors: int | None = None,
    ) -> Float[Tensor, "B C_s H W"]:
        """s^0 of observations; `neighbors` and `num_neighbors` as in `embed`."""
        encoded = self.encode(planes)
        return self.fuse(encoded, self.embed(encoded, neighbors, num_neighbors))

    def predict(
        self, state: Float[Tensor, "B C_s H W"]
    ) -> tuple[Float[Tensor, "B A"], Float[Tensor, " B"]]:
        """Logits of the moves, and the value for the player to move, in (-1, 1)."""
        return self.policy(state), self.value(state)

    def dynamics(
        self, state: Float[Tensor, "B C_s H W"], action: Int[Tensor, " B"]
    ) -> Float[Tensor, "B C_s H W"]:
        """s^(k+1) after the moves 0..P, the pass being P."""
        return self.transition(state, action)

    def unroll(
        self,
        state: Float[Tensor, "B C_s H W"],
        moves: Int[Tensor, "B K"],
        gradient_scale: float = 1.0,
    ) -> Unroll:
        """Predictions for a state s^0 and after each of K moves.

        Args:
            moves: 0..P each.
            gradient_scale: of the gradient that passes through one application of h_theta; MuZero
                has 1/2.
        """
        first, predictions = state, [self.predict(state)]
        for action in moves.unbind(1):
            state = self.dynamics(_scale_gradient(state, gradient_scale), action)
            predictions.append(self.predict(state))
        logits, values = zip(*predictions, strict=True)
        return Unroll(torch.stack(logits, 1), torch.stack(values, 1), first)

    def forward(
        self,
        planes: Float[Tensor, "B C H W"],
        neighbors: NeighborInput | None,
        moves: Int[Tensor, "B K"],
        gradient_scale: float = 1.0,
    ) -> Unroll:
        """`represent`, then `unroll`."""
        return self.unroll(self.represent(planes, neighbors), moves, gradient_scale)


class Cost(NamedTuple):
    """What a model takes, in numbers and floating-point operations of one board (2 per multiply
    and add, convolutions and matrix products only).
    """

    num_parameters: int
    represent: int  # an observation with K neighbors, without the heads
    predict: int
    dynamics: int  # one move

    @property
    def search(self) -> int:
        """Of one simulation after the root: a move and a prediction."""
        return self.dynamics + self.predict

    def unroll(self, num_moves: int) -> int:
        """Of an observation and its unroll, forwards; a training step takes about 3 times that."""
        return self.represent + self.predict + num_moves * self.search


@torch.no_grad()
def measure_cost(model: RetrievalModel, num_neighbors: int, size: int = 9) -> Cost:
    """Counts what runs, for comparisons at the same compute. 0 neighbors: the baseline's path."""
    device = next(model.parameters()).device
    planes = torch.zeros(1, model.num_planes, size, size, device=device)
    count = num_neighbor_planes(model.config.num_next)
    neighbors = None
    if num_neighbors:
        neighbors = NeighborInput(
            torch.zeros(1, num_neighbors, count, size, size, device=device),
            torch.ones(1, num_neighbors, dtype=torch.bool, device=device),
        )
    state = model.represent(planes, neighbors)
    action = torch.zeros(1, dtype=torch.int64, device=device)
    return Cost(
        sum(parameter.numel() for parameter in model.parameters()),
        _count(lambda: model.represent(planes, neighbors)),
        _count(lambda: model.predict(state)),
        _count(lambda: model.dynamics(state, action)),
    )


def action_planes(action: Int[Tensor, " B"], size: int) -> Float[Tensor, "B 2 H W"]:
    """A move as planes: a one at the point, and a plane of ones for a pass."""
    points = size**2
    point = action.unsqueeze(1) == torch.arange(points, device=action.device)  # [B, P]
    is_pass = (action == points).unsqueeze(1).expand_as(point)
    return torch.stack([point, is_pass], 1).unflatten(2, (size, size)).float()


def _unit_scale(state: Tensor) -> Tensor:
    """Boards [B, C, H, W] with a mean square of 1 each."""
    mean_square = state.float().square().mean((1, 2, 3), keepdim=True)
    return state * (mean_square + 1e-6).rsqrt().to(state.dtype)


def _scale_gradient(x: Tensor, scale: float) -> Tensor:
    """x itself, whose gradient is `scale` times as large."""
    constant = x.detach()
    return constant + scale * (x - constant)


def _count(function: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


PRESETS = {
    "smoke": Config(
        width=0.0625,
        num_encoder_blocks=1,
        num_neighbor_blocks=1,
        num_fusion_blocks=1,
        num_dynamics_blocks=1,
        num_neighbors=2,
    ),
    "laptop": Config(
        width=0.25,
        num_encoder_blocks=1,
        num_neighbor_blocks=1,
        num_fusion_blocks=2,
        num_dynamics_blocks=1,
        num_neighbors=4,
    ),
    "paper": Config(width=2.0, num_encoder_blocks=8, num_fusion_blocks=8),  # sizes are ours
}


def scaled(config: Config, width: float) -> Config:
    """The same network, `width` times as wide as it was."""
    return dataclasses.replace(config, width=config.width * width)
