"""Small models with the interface of the learned one, and a way to retrieve for them."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rlcourse.go.agent import Retrieved
from rlcourse.go.board import Go, State
from rlcourse.go.rules import NUM_PLANES


class Tiny(nn.Module):
    """A network with random weights. Its neighbors' planes are added to the state."""

    def __init__(self, size: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        points, width = size**2, 4

        def weight(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator) / shape[-1] ** 0.5)

        self.entry = weight(width, NUM_PLANES)
        self.moved = weight(width, points + 1)
        self.policy = weight(points + 1, width * points)
        self.value = weight(1, width * points)

    def represent(self, planes: Tensor, neighbors: "Planes | None") -> Tensor:
        state = torch.einsum("bchw,dc->bdhw", planes, self.entry)
        return state if neighbors is None else state + neighbors.planes

    def predict(self, state: Tensor) -> tuple[Tensor, Tensor]:
        flat = state.flatten(1)
        return flat @ self.policy.T, torch.tanh(flat @ self.value.T).squeeze(1)

    def dynamics(self, state: Tensor, action: Tensor) -> Tensor:
        moved = self.moved.T[action]  # [B, D]
        return torch.sin(2 * state + moved[:, :, None, None])


class Wants:
    """Believes that whoever begins at the root wins if the first move is `target`, else loses.

    The state holds: who is to move, 1 for the one at the root; what that one gets.
    """

    def __init__(self, target: int, size: int, hope: float = 0.0) -> None:
        self.target, self.num_moves, self.hope = target, size**2 + 1, hope

    def represent(self, planes: Tensor, neighbors: tuple[Tensor, ...] | None) -> Tensor:
        begins = torch.ones(len(planes), device=planes.device)
        return self._state(begins, torch.full_like(begins, self.hope))

    def predict(self, state: Tensor) -> tuple[Tensor, Tensor]:
        logits = torch.zeros(len(state), self.num_moves, device=state.device)
        return logits, state[:, 0, 0, 0] * state[:, 1, 0, 0]

    def dynamics(self, state: Tensor, action: Tensor) -> Tensor:
        first = state[:, 1, 0, 0] == self.hope
        gets = torch.where(action == self.target, 0.9, -0.9)
        return self._state(-state[:, 0, 0, 0], torch.where(first, gets, state[:, 1, 0, 0]))

    def _state(self, mover: Tensor, gets: Tensor) -> Tensor:
        return torch.stack([mover, gets], 1)[:, :, None, None]


class Prefers:
    """A fixed policy, and a fixed value for the player to move."""

    def __init__(self, logits: list[float], value: float = 0.0) -> None:
        self.logits, self.value = torch.tensor(logits), value

    def represent(self, planes: Tensor, neighbors: "Planes | None") -> Tensor:
        return planes[:, :1]

    def predict(self, state: Tensor) -> tuple[Tensor, Tensor]:
        count = len(state)
        return self.logits.expand(count, -1), torch.full((count,), self.value)

    def dynamics(self, state: Tensor, action: Tensor) -> Tensor:
        return state


class Planes(NamedTuple):
    """A stand-in for the input of neighbors."""

    planes: Tensor  # [B, 1, H, W]


class Shouts:
    """Retrieves the same loud neighbor for every board, and counts how often it is asked."""

    fingerprint = "loud"

    def __init__(self) -> None:
        self.num_calls = 0

    def __call__(self, go: Go, state: State) -> Retrieved:
        self.num_calls += 1
        size, count = go.rules.size, state.num_boards
        planes = torch.zeros(count, 1, size, size)
        planes[:, 0, 0, 1] = 100.0
        return Retrieved(Planes(planes), torch.arange(count).unsqueeze(1))
