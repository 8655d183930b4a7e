"""Games of an agent against itself, many at once: `python -m rlcourse.go.selfplay --help`.

As in AlphaZero (Silver et al. 2018): both sides search, with Dirichlet noise at the root and moves
drawn by temperature at first, so that the games differ; those are settings of the agent. Games go
into a file of records, which says with which agent and seed they were made.

**Repeatable.** The batch has `num_parallel` rows for good. Game g is played in row
(g - first_number) mod num_parallel, after the row's earlier games; a row whose games are played
shows an empty board that nobody moves on. All random numbers come from (seed, game, move). So a
game depends on nothing but its number and the settings, as long as a network treats the rows of a
batch alike, and a run that was interrupted makes the same games as one that was not.

**Deviations.** No game is exempt from resignation, if the agent resigns. Openings of random stones
are none of the paper's; where they are asked for, no game of `generate` or of a match has them.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Int
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.data.files import exclusively
from rlcourse.go.board import Go, Ongoing, State, game_seed, random_opening
from rlcourse.go.notation import RESIGN
from rlcourse.go.records import Game, GameFile
from rlcourse.go.rules import Rules


class Agent(Protocol):
    """Who plays both sides; a `SearchAgent` is one."""

    name: str

    @property
    def seed(self) -> int | None:
        """Of its random numbers."""

    @property
    def fingerprint(self) -> str:
        """Tells agents apart that play otherwise."""

    def moves(self, go: Go, state: State, games: Sequence[Ongoing]) -> Int[Tensor, " B"]:
        """For each board a move or `RESIGN`, on the CPU."""


@dataclass(frozen=True)
class Config:
    """Which games to make.

    Attributes:
        num_games: in the file, at the end.
        size, komi: of the board.
        num_parallel: games at once; the batch of the network.
        least_random, most_random: a game begins with so many random stones off the edge.
        seed: of the openings. The agent has a seed of its own.
        first_number: of the games, so that they can be told from those of other files.
        save_every: games between two writes.
    """

    num_games: int = 1_000
    size: int = 9
    komi: float = 7.5
    num_parallel: int = 64
    least_random: int = 0
    most_random: int = 0
    seed: int = 0
    first_number: int = 0
    save_every: int = 32

    def __post_init__(self) -> None:
        for name in ("num_games", "num_parallel", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "first_number"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.least_random <= self.most_random:
            raise ValueError(
                "least_random must lie between 0 and most_random, got "
                f"{self.least_random} and {self.most_random}"
            )

    @property
    def rules(self) -> Rules:
        return Rules(self.size, self.komi, superko=True)


def self_play(agent: Agent, config: Config, path: Path, progress: bool = True) -> GameFile:
    """Plays the games that are missing in the file `path`.

    Args:
        agent: plays both sides.
        config: see `Config`.
        path: of the file, which is made if need be.
        progress: draw a progress bar.

    Raises:
        BlockingIOError: another process is adding games there.
        ValueError: the file was made with other settings or another agent, or is damaged; or the
            agent made an illegal move.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(path.with_name(path.name + ".lock")):
        file = GameFile.open_or_create(path, config.size, config.komi, _about(agent, config))
        done = file.numbers()
        waiting: list[Game] = []
        bar = tqdm(desc=agent.name, total=config.num_games, disable=not progress)
        try:
            rows = _Rows(config, done)
            bar.update(config.num_games - rows.num_left)
            while rows.num_left:
                ended = rows.step_(agent)
                waiting += ended
                bar.update(len(ended))
                if len(waiting) >= config.save_every:
                    file.append(waiting)
                    waiting = []
        finally:
            written = file.numbers()  # an interruption may have come right after a write
            file.append(game for game in waiting if game.number not in written)
            bar.close()
    return file


class _Rows:
    """The batch: in each row one game, or an empty board after the last one."""

    def __init__(self, config: Config, done: set[int]) -> None:
        self._config, self._go = config, Go(config.rules)
        wanted = range(config.first_number, config.first_number + config.num_games)
        self._queues = [
            [number for number in wanted[row :: config.num_parallel] if number not in done][::-1]
            for row in range(config.num_parallel)
        ]
        self.num_left = sum(map(len, self._queues))
        self._state = self._go.new(config.num_parallel)
        self._games = [Ongoing(config.first_number, row, []) for row in range(config.num_parallel)]
        self._openings = [0] * config.num_parallel
        self._live = torch.zeros(config.num_parallel, dtype=torch.bool)
        for row in range(config.num_parallel):
            self._begin_(row)

    def step_(self, agent: Agent) -> list[Game]:
        """One move in all games. Returns those that end with it."""
        chosen = agent.moves(self._go, self._state, self._games).long()
        gave_up = (chosen == RESIGN) & self._live
        playing = (self._live & ~gave_up).nonzero().squeeze(1)
        moved = self._state.select(playing)
        if len(playing):
            self._go.step_(moved, chosen[playing])
            self._state.put_(playing, moved)
        for row in playing.tolist():
            self._games[row].moves.append(int(chosen[row]))
        over = self._go.is_over(self._state) & self._live
        scores, colors = self._go.score(self._state).tolist(), self._state.to_play.tolist()
        ended = [
            self._ended_(
                row, -0.5 * colors[row] if gave_up[row] else scores[row], bool(gave_up[row])
            )
            for row in (over | gave_up).nonzero().squeeze(1).tolist()
        ]
        self.num_left -= len(ended)
        return ended

    def _begin_(self, row: int) -> None:
        """The row's next game, its opening played."""
        fresh, config = self._go.new(1), self._config
        self._live[row] = bool(self._queues[row])
        if self._live[row]:
            number, stones = self._queues[row].pop(), (config.least_random, config.most_random)
            which = ((2 * config.seed + 2) << 64) + number  # see `arena`: others than there
            opening = random_opening(config.rules, which, *stones)
            for move in opening:
                self._go.step_(fresh, torch.tensor([move]))
            self._games[row] = Ongoing(number, row, opening, game_seed(config.seed, number))
            self._openings[row] = len(opening)
        else:
            self._games[row] = self._games[row]._replace(moves=[])
        self._state.put_(torch.tensor([row]), fresh)

    def _ended_(self, row: int, margin: float, resigned: bool) -> Game:
        number, moves = self._games[row].number, tuple(self._games[row].moves)
        game = Game(number, moves, margin, resigned, self._openings[row])
        self._begin_(row)
        return game


def _about(agent: Agent, config: Config) -> dict[str, object]:
    return {
        "agent": agent.name,
        "fingerprint": agent.fingerprint,
        "agent_seed": agent.seed,
        "seed": config.seed,
        "num_parallel": config.num_parallel,
        "random_stones": [config.least_random, config.most_random],
        "first_number": config.first_number,
    }


def find_loader(name: str) -> Callable[..., Agent]:
    """The function "package.module:function" that makes the agent for the command line.

    Raises:
        ImportError: its module fails to import something else.
        ValueError: there is none of that name.
    """
    module, _, function = name.partition(":")
    if all(part.isidentifier() for part in (*module.split("."), function)):
        try:
            found = getattr(importlib.import_module(module), function, None)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there, and what it imports is not
            found = None
        if callable(found):
            return found
    raise ValueError(f"{name!r} names no function: give package.module:function")


def main(arguments: Sequence[str] | None = None) -> None:
    import tyro

    @dataclass(frozen=True)
    class Options(Config):
        """See Config.

        Attributes:
            loader: package.module:function, which makes the agent; called with `agent`, the rules
                and `device`. That of `experiments.go_players` takes "agent", too.
            agent: what the loader takes: the folder of agent.json, by default.
            out: the file of games.
            device: of the model.
        """

        loader: str = "rlcourse.go.saved_agent:load_agent"
        agent: str = ""
        out: Path = Path("runs/selfplay.games")
        device: str = "cpu"

    options = tyro.cli(Options, description=(__doc__ or "").split("\n\n")[0], args=arguments)
    config = Config(**{name: getattr(options, name) for name in Config.__dataclass_fields__})
    try:
        agent = find_loader(options.loader)(options.agent, config.rules, options.device)
        self_play(agent, config, options.out)
    except KeyboardInterrupt:
        print("stopped: the games so far are on the disk, and the same command goes on from there")
        sys.exit(130)
    except (BlockingIOError, FileNotFoundError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
