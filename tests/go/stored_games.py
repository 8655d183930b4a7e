"""Games and their positions, in stores and replayed board by board."""

import random
from pathlib import Path

import torch

from rlcourse.go import positions
from rlcourse.go.board import Go
from rlcourse.go.positions import Positions
from rlcourse.go.records import Game, GameFile
from rlcourse.go.rules import NUM_NEXT, Rules

ROOT = Path(__file__).resolve().parents[2]


TINY = Rules(3, 0.5)


def random_game(rules: Rules, number: int, longest: int | None = None) -> Game:
    """A game of random legal moves, resigned after `longest` of them."""
    draw, go = random.Random(number), Go(rules)
    state, moves = go.new(1), []
    while not bool(go.is_over(state)) and len(moves) != longest:
        legal = state.legal[0].nonzero().squeeze(1).tolist()
        moves.append(draw.choice(legal[:-1] if len(legal) > 1 and draw.random() < 0.9 else legal))
        go.step_(state, torch.tensor([moves[-1]]))
    resigned = not bool(go.is_over(state))
    margin = draw.choice([-0.5, 0.5]) if resigned else float(go.score(state))
    return Game(number, tuple(moves), margin, resigned, opening=min(len(moves), number % 4))


def tiny_games(count: int, start: int = 0) -> list[Game]:
    return [random_game(TINY, number, 20) for number in range(start, start + count)]


def make(folder, games, rules=TINY, **settings) -> Positions:
    made = Positions.create(folder, rules)
    made.append(games, progress=False, **settings)
    return made


def everything(made: Positions) -> positions.Batch:
    return made.batch(torch.arange(len(made)))


def same(one, other) -> bool:
    return all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


def replayed(games: list[Game], rules: Rules, source: int = 0) -> positions.Batch:
    """What `batch` should give for all positions, from one board at a time."""
    go, rows = Go(rules), []
    for game in games:
        state, seen = go.new(1), []
        for ply, move in enumerate(game.moves):
            following = [*game.moves[ply:], *[-1] * NUM_NEXT][:NUM_NEXT]
            if ply >= game.opening:
                color = int(state.to_play)
                winner = (game.margin > 0) - (game.margin < 0)
                seen.append((state.clone(), go.planes(state)[0], following, color * winner, ply))
            go.step_(state, torch.tensor([move]))
        final = go.area(state)[0]
        rows += [(*some, final, game.number) for some in seen]
    states, planes, following, outcome, plies, final, numbers = zip(*rows, strict=True)
    return positions.Batch(
        torch.cat([state.stones for state in states]).to(torch.int8),
        torch.cat([state.to_play for state in states]).to(torch.int8),
        torch.stack(planes),
        torch.tensor(following),
        torch.tensor(outcome, dtype=torch.float32),
        torch.stack(final).to(torch.int8),
        torch.tensor(numbers),
        torch.tensor(plies),
        torch.full((len(rows),), source),
    )


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def rows_of(made: Positions, games: list[Game]) -> torch.Tensor:
    """Where the kept positions stand among all."""
    every = [(game.number, ply) for game in games for ply in range(game.opening, len(game.moves))]
    kept = zip(made.games.tolist(), made.plies.tolist(), strict=True)
    return torch.tensor([every.index(name) for name in kept])


def archive(folder: Path, name: str, games: list[Game], komi: float = TINY.komi) -> GameFile:
    file = GameFile.create(folder / f"{name}.games", TINY.size, komi, {})
    file.append(games)
    return file
