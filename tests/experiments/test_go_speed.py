import pytest
import torch

from rlcourse.experiments import go_speed
from rlcourse.go.flood import play
from rlcourse.go.rules import Rules

RULES = Rules(5, 0.5)


def test_two_ways_to_play_the_same_games_end_alike():
    moves = go_speed.random_moves(RULES, 8, 16, seed=1)
    assert moves.shape == (16, 8)
    assert not (moves == 25).any()
    engine = go_speed.engine_boards(RULES, moves)
    assert torch.equal(engine, go_speed.flood_boards(play, RULES, moves))
    assert engine.abs().sum() > 0


def test_a_way_that_refuses_a_legal_move_is_named():
    moves = go_speed.random_moves(RULES, 2, 3, seed=1)

    def refuses(stones, color, point, ko):
        new, legal, ko = play(stones, color, point, ko)
        return new, legal & (color > 0), ko

    with pytest.raises(ValueError, match="move 2 on board 0 is legal, and was refused"):
        go_speed.flood_boards(refuses, RULES, moves)


def test_every_way_is_measured_on_every_number_of_boards():
    seen = []
    ways = {"a": seen.append, "b": lambda moves: None}
    speeds = go_speed.moves_per_second(ways, RULES, (1, 3), num_moves=4, repeats=1)
    assert [tuple(moves.shape) for moves in seen] == [(2, 1), (4, 1), (2, 3), (4, 3)]
    assert {name: len(found) for name, found in speeds.items()} == {"a": 2, "b": 2}
    assert min(speeds["b"]) > 0
    figure = go_speed.plot((1, 3), speeds)
    assert list(figure.axes[0].get_lines()[0].get_ydata()) == speeds["a"]
