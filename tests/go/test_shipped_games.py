"""The games in data/go9x9: each is legal from first to last, and scores as recorded."""

from pathlib import Path

import pytest
import torch

from rlcourse.go.board import Go
from rlcourse.go.records import Game, GameFile
from rlcourse.go.rules import Rules
from rlcourse.go.splits import split_of

FOLDER = Path(__file__).resolve().parents[2] / "data" / "go9x9"
FILES = [GameFile.open(path) for path in sorted(FOLDER.glob("*.games"))]


def moves_table(games: list[Game], filler: int) -> torch.Tensor:
    """[T, G] the moves, and `filler` after a game's last one."""
    rows = [torch.tensor(game.moves) for game in games]
    return torch.nn.utils.rnn.pad_sequence(rows, padding_value=filler)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path.name)
def test_every_game_replays_and_scores_as_recorded(file):
    rules = Rules(file.size, file.komi, max_moves=6 * file.size**2)
    go, all_games = Go(rules), list(file)
    for start in range(0, len(all_games), 2_000):
        games = all_games[start : start + 2_000]
        state = go.new(len(games))
        for moves in moves_table(games, rules.num_points):
            go.step_(state, moves)  # refuses what is illegal; boards that are over stay
        assert state.num_moves.tolist() == [len(game.moves) for game in games]
        assert bool(go.is_over(state).all())
        assert go.score(state).tolist() == [game.margin for game in games]


def test_games_differ_and_fall_into_all_splits():
    games = [game for file in FILES for game in file]
    assert len({game.number for game in games}) == len(games)
    assert len({game.moves for game in games}) > 0.99 * len(games)
    assert {split_of(game.number) for game in games} == {"train", "retrieval", "test"}
    assert sum(game.disputed for game in games) < 0.05 * len(games)
    assert sum(game.margin > 0 for game in games) > 0.2 * len(games)
