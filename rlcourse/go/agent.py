"""A player that retrieves and searches: observe, query, retrieve, search, move.

Humphreys et al., "Large-Scale Retrieval for Reinforcement Learning", NeurIPS 2022: for each move
the position is observed once, its neighbors are retrieved once, the encoder makes one state of both
(`represent`, s_t = f_theta(o_t, x^1..x^N)), and a pUCT search of 200 simulations unrolls the model
from there in its own space (`dynamics`, s^{k+1} = h_theta(s^k, a)): nothing is retrieved below the
root. `mcts` holds the search, this file joins it to a model.

    o_t   planes        x^1..x^N  retrieved     s    embedding of an Evaluation

Random numbers are drawn for each game from (seed, game, move), so that a game does not depend on
those beside it in the batch.

**Deviations.** The paper's temperature, noise and constants of the search are not known to us. The
passing rule (`Config.passing_rule`) is ours: a model learned from games knows of an ending only
what those games show, but whether two passes win is plain to see on the board. Only the root's
moves are masked by the rules; below it the model may try any.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rlcourse.go.board import Go, Ongoing, State
from rlcourse.go.mcts import Evaluation, Found, Generators, Recurrent, Search, choose, search
from rlcourse.go.notation import RESIGN
from rlcourse.go.retrieved import Retrieve, Retrieved
from rlcourse.nets.precision import FORWARD_PRECISIONS, mixed_precision

Searching = Callable[[Evaluation, Recurrent, Search, Generators | None], Found]


class Model(Protocol):
    """What the agent asks of a model; `RetrievalModel` is one. C_s planes of a state s."""

    def represent(
        self, planes: Float[Tensor, "B C H W"], neighbors: tuple[Tensor, ...] | None
    ) -> Float[Tensor, "B C_s H W"]:
        """The state of the model at the root; without neighbors its baseline."""

    def predict(
        self, state: Float[Tensor, "B C_s H W"]
    ) -> tuple[Float[Tensor, "B A"], Float[Tensor, " B"]]:
        """Logits of the moves, and the value for the player to move, in [-1, 1]."""

    def dynamics(
        self, state: Float[Tensor, "B C_s H W"], action: Int[Tensor, " B"]
    ) -> Float[Tensor, "B C_s H W"]:
        """The state after a move."""


@dataclass(frozen=True)
class Config:
    """How the agent plays.

    Attributes:
        search: see `Search`. The paper: 200 simulations; with 0 the policy alone plays.
        temperature: moves are drawn by visits^(1 / temperature); 0: the most visited one.
        temperature_moves: of a game, its opening included, after which the temperature is 0.
        resign_below: the agent gives up where it values its position less; None: never.
        passing_rule: after a pass of the opponent, pass too where that wins by area; and where it
            does not, consider the pass only if the model does not believe in a win (value <= 0).
        precision: float32, bfloat16 or float16, for the model (autocast).
    """

    search: Search = Search()
    temperature: float = 0.0
    temperature_moves: int = 0
    resign_below: float | None = None
    passing_rule: bool = True
    precision: str = "float32"

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ValueError(f"temperature must not be negative, got {self.temperature}")
        if self.temperature_moves < 0:
            raise ValueError(
                f"temperature_moves must not be negative, got {self.temperature_moves}"
            )
        if self.resign_below is not None and not -1 <= self.resign_below <= 0:
            raise ValueError(f"resign_below must lie in [-1, 0], got {self.resign_below}")
        if self.precision not in FORWARD_PRECISIONS:
            known = ", ".join(FORWARD_PRECISIONS)
            raise ValueError(f"precision must be one of {known}, got {self.precision!r}")


@dataclass(frozen=True, eq=False)
class Decision:
    """Moves on B boards and what led to them, on the CPU."""

    moves: Int[Tensor, " B"]  # int64; `RESIGN` where the agent gives up
    visits: Int[Tensor, "B A"]  # of the search; sums to the number of simulations
    q: Float[Tensor, "B A"]  # of a move, for the player to move; 0 where not visited
    value: Float[Tensor, " B"]  # of the position, for the player to move
    prior: Float[Tensor, "B A"]  # the policy at the root, with noise; 0 where not considered
    retrieved: Retrieved | None  # where `retrieve` left it

    @property
    def neighbors(self) -> Int[Tensor, "B K"] | None:
        """Ids of the stored positions that were found; None without retrieval."""
        return None if self.retrieved is None else self.retrieved.ids


class SearchAgent:
    """Plays with a model, and with neighbors if it is given a way to retrieve them.

    It is a `Player` on one board, and plays many games at once through `act` or `moves`.

    Args:
        model: on `device`, in the mode for evaluation.
        retrieve: the neighbors of boards, as `retrieve.FromDatabase` finds them; None: the model's
            baseline. Its attribute `fingerprint` is a part of the agent's.
        config: see `Config`.
        generator: on the CPU, for noise and temperature; its seed is the seed of `moves`.
        device: of the model.
        name: for records.
        search: instead of `mcts.search`, with the same arguments; a part of the fingerprint by its
            attribute `fingerprint`.
    """

    def __init__(
        self,
        model: Model,
        retrieve: Retrieve | None = None,
        config: Config = Config(),
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        name: str = "agent",
        search: Searching = search,
    ) -> None:
        self.model, self.retrieve, self.config = model, retrieve, config
        self.search = search
        self.generator, self.device, self.name = generator, torch.device(device), name

    def __call__(self, go: Go, state: State) -> int:
        """A move on one board, or `RESIGN`.

        Raises:
            ValueError: for another number of boards, or a game that is over.
        """
        if state.num_boards != 1:
            raise ValueError(f"a player moves on one board, got {state.num_boards}: use act")
        return int(self.act(go, state).moves)

    def moves(self, go: Go, state: State, games: Sequence[Ongoing]) -> Int[Tensor, " B"]:
        """Moves on the boards of these games, each by random numbers of its own.

        Raises:
            ValueError: as in `act`.
        """
        if self.seed is None:
            return self.act(go, state).moves
        own = [game_generator(self.seed, game.number, len(game.moves)) for game in games]
        return self.act(go, state, own).moves

    @torch.no_grad()
    def act(self, go: Go, state: State, generators: Generators | None = None) -> Decision:
        """Decides on the moves of all boards.

        Args:
            go: the rules.
            state: B games, none of them over. Not changed.
            generators: for this call; None: the agent's own.

        Raises:
            ValueError: a game is over, or noise or temperature lack a generator.
        """
        if bool(go.is_over(state).any()):
            board = int(go.is_over(state).nonzero()[0])
            raise ValueError(f"the game on board {board} is over: leave it out (State.select)")
        generators = self.generator if generators is None else generators
        retrieved = None if self.retrieve is None else self.retrieve(go, state)
        with mixed_precision(self.config.precision, self.device):
            root = initial(self.model, *self._input(go, state, retrieved))
            legal, wins = self._considered(go, state, root.value)
            root = root._replace(legal=legal.to(root.logits.device))
            found = self.search(root, recurrent(self.model), self.config.search, generators)
        scores = found.visits if self.config.search.num_simulations else found.prior
        moves = torch.where(wins, go.rules.num_points, self._choose(state, scores, generators))
        if self.config.resign_below is not None:
            lost = (found.value < self.config.resign_below) & ~wins
            moves = torch.where(lost, RESIGN, moves)
        return Decision(moves, found.visits, found.q, found.value, found.prior, retrieved)

    @property
    def seed(self) -> int | None:
        """Of the random numbers of `moves`; None without a generator."""
        return None if self.generator is None else self.generator.initial_seed()

    @property
    def fingerprint(self) -> str:
        """Of the weights, the settings and the retrieval, but not of the seed.

        Raises:
            TypeError: the model is no `nn.Module`, and has no weights to hash; or the retrieval or
                another search has no fingerprint.
        """
        if self.retrieve is not None and not hasattr(self.retrieve, "fingerprint"):
            raise TypeError(
                "the retrieval has no fingerprint: give it that attribute, a string that changes"
                " with what it finds, or use retrieve.FromDatabase"
            )
        parts = [weights_fingerprint(self.model), repr(self.config)]
        parts.append("" if self.retrieve is None else str(self.retrieve.fingerprint))
        if self.search is not search:
            if not hasattr(self.search, "fingerprint"):
                raise TypeError("the search has no fingerprint: give it that attribute, a string")
            parts.append(str(self.search.fingerprint))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def _input(
        self, go: Go, state: State, retrieved: Retrieved | None
    ) -> tuple[Tensor, tuple[Tensor, ...] | None]:
        """Planes and neighbors on the model's device."""
        planes = go.planes(state).to(self.device)
        if retrieved is None:
            return planes, None
        return planes, retrieved.input._make(part.to(self.device) for part in retrieved.input)

    def _considered(
        self, go: Go, state: State, value: Tensor
    ) -> tuple[Bool[Tensor, "B A"], Bool[Tensor, " B"]]:
        """The moves that the search may take, and on which boards a pass wins, on the CPU."""
        legal = state.legal.cpu().clone()
        wins = torch.zeros(state.num_boards, dtype=torch.bool)
        if not self.config.passing_rule:
            return legal, wins
        passed = (state.num_passes == 1).cpu()
        lead = (go.score(state) * state.to_play).cpu()
        wins = passed & (lead > 0)
        hopes = passed & (lead <= 0) & (value.cpu() > 0)
        legal[:, -1] &= ~hopes | ~legal[:, :-1].any(1)
        return legal, wins

    def _choose(
        self, state: State, scores: Tensor, generators: Generators | None
    ) -> Int[Tensor, " B"]:
        """By temperature in the first moves of a game, then the best."""
        moves = scores.argmax(-1)
        early = (state.num_moves < self.config.temperature_moves).cpu()
        if self.config.temperature == 0 or not bool(early.any()):
            return moves
        if isinstance(generators, Sequence):
            generators = [g for g, is_early in zip(generators, early, strict=True) if is_early]
        moves[early] = choose(scores[early], self.config.temperature, generators)
        return moves


def initial(
    model: Model, planes: Float[Tensor, "B C H W"], neighbors: tuple[Tensor, ...] | None = None
) -> Evaluation:
    """The root of a search: what the model says of observed positions and their neighbors."""
    return _evaluated(model, model.represent(planes, neighbors))


def recurrent(model: Model) -> Recurrent:
    """The model as the search asks for it below the root."""

    def step(state: Tensor, action: Tensor) -> Evaluation:
        after = model.dynamics(state, action).to(state.dtype)  # autocast may give another
        return _evaluated(model, after)

    return step


def game_generator(seed: int, game: int, move: int) -> torch.Generator:
    """Random numbers for one move of one game.

    Raises:
        ValueError: a negative number.
    """
    mixed = np.random.SeedSequence([seed, game, move]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0] >> np.uint64(1)))


def weights_fingerprint(model: nn.Module) -> str:
    """A hash of all weights and their names.

    Raises:
        TypeError: the model has none.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"a {type(model).__name__} is no nn.Module: it has no weights to hash")
    found = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        raw = weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        found.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode() + raw)
    return found.hexdigest()


def _evaluated(model: Model, state: Tensor) -> Evaluation:
    logits, value = model.predict(state)
    return Evaluation(state, logits.float(), value.float())
