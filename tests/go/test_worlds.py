"""Positions that are set up for a model that knows the rules; the models are tested by searches."""

import pytest

from rlcourse.go.flood import from_text
from rlcourse.go.worlds import race


def test_a_race_is_the_board_that_was_drawn_with_black_to_move():
    text = "XX.\nOX.\nO.."
    world, state = race(text, moves_left=3, komi=0.5)
    assert state.stones[0].tolist() == from_text(text).flatten().tolist()
    assert int(state.to_play[0]) == 1
    assert int(state.num_passes[0]) == 0
    assert world.go.rules.longest == int(state.num_moves[0]) + 3
    assert world.go.rules.komi == 0.5
    new = world.recurrent(world.root(state).embedding, world.root(state).legal[0].nonzero()[0])
    assert float(new.discount) == -1.0


def test_boards_that_cannot_be_set_up_are_refused():
    with pytest.raises(ValueError, match="captured each other"):
        race("OX.\nX..\n...", moves_left=2)
    with pytest.raises(ValueError, match="square, got 2 rows and 3 columns"):
        race("XO.\n...", moves_left=2)
