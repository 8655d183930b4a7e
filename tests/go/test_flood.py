"""The short rules of notebook 13 against boards by hand, the oracle and the engine."""

import pytest
import torch

from rlcourse.go.board import Go
from rlcourse.go.flood import area_score, beside, flood, from_text, liberties, marked, play
from rlcourse.go.rules import Rules
from tests.oracles.slow_go import SlowGo

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]


def board(text: str) -> torch.Tensor:
    return from_text(text)[None]


def one(number: int) -> torch.Tensor:
    return torch.tensor([number])


def played(text: str, color: int, point: int, ko: int = -1):
    new, legal, next_ko = play(board(text), one(color), one(point), one(ko))
    return "".join(".XO"[stone] for stone in new.flatten().tolist()), bool(legal), int(next_ko)


def test_beside_does_not_wrap_around():
    corner = torch.zeros(1, 3, 3, dtype=torch.bool)
    corner[0, 0, 0] = True
    assert beside(corner)[0].nonzero().tolist() == [[0, 1], [1, 0]]


def test_a_flood_stays_inside_and_needs_a_seed_inside():
    within = board("X.X\nXXX\n..X") == 1
    seeds = torch.zeros_like(within)
    seeds[0, 0, 0] = seeds[0, 0, 1] = True
    assert torch.equal(flood(seeds, within), within)
    outside = torch.zeros_like(within)
    outside[0, 0, 1] = True  # beside points of the set, but not in it
    assert not flood(outside, within).any()


def test_boards_of_a_batch_do_not_meet():
    within = torch.ones(3, 4, 4, dtype=torch.bool)
    seeds = torch.zeros_like(within)
    seeds[1, 2, 2] = True
    assert flood(seeds, within).sum((1, 2)).tolist() == [0, 16, 0]


@pytest.mark.parametrize(
    ("text", "point", "expected"),
    [
        ("X..\n...\n...", 0, 2),
        (".X.\nXX.\n...", 1, 5),  # the empty corner is one liberty, seen from two stones
        ("XO.\nO..\n...", 0, 0),
        ("XO.\nO..\n...", 1, 2),
        ("XO.\nO..\n...", 4, 0),  # empty
    ],
)
def test_liberties_by_hand(text, point, expected):
    assert liberties(board(text), one(point)).tolist() == [expected]


def test_captures_suicide_and_ko_by_hand():
    # White in the corner is taken; White's own stone would not live there.
    assert played("OX.\n...\n...", 1, 3) == (".X.X.....", True, -1)
    assert played(".X.\nX..\n...", -1, 0) == (".X.X.....", False, -1)
    # A move without liberties of its own that takes is legal.
    assert played(".OX\nOX.\nX..", 1, 0) == ("X.X.X.X..", True, -1)
    # The smallest ko: one stone is taken by a lone stone, which has one liberty now.
    before = ".XO.\nX.XO\n.XO.\n...."
    after, legal, ko = played(before, -1, 5)
    assert (after[5:7], legal, ko) == ("O.", True, 6)
    text = "\n".join(after[i : i + 4] for i in range(0, 16, 4))
    assert played(text, 1, 6, ko) == (after, False, 6)
    assert played(text, 1, 6)[1:] == (True, 5)
    # An occupied point, and its board, stay as they are.
    assert played("O..\n...\n...", 1, 0) == ("O........", False, -1)


@pytest.mark.parametrize("size", [3, 4])
def test_random_play_agrees_with_the_oracle(size):
    generator = torch.Generator().manual_seed(size)
    for _ in range(3):
        slow = SlowGo(size, superko=False)
        ko = one(-1)
        for _ in range(40):
            stones = torch.tensor(slow.board, dtype=torch.int32).view(1, size, size)
            color = one(slow.to_play)
            verdicts = [bool(play(stones, color, one(p), ko)[1]) for p in range(size**2)]
            assert verdicts == [slow.is_legal(p) for p in range(size**2)]
            for p in (p for p in range(size**2) if slow.board[p]):
                assert int(liberties(stones, one(p))) == len(slow.liberties(slow.board, p))
            assert float(area_score(stones, slow.komi)) == slow.score()
            legal = [p for p in range(size**2) if verdicts[p]]
            move = size**2
            if legal:
                move = legal[int(torch.randint(len(legal), (1,), generator=generator))]
            ko = one(-1) if move == size**2 else play(stones, color, one(move), ko)[2]
            slow.play(move)
            if slow.is_over():
                break
            assert (-1 if slow.ko is None else slow.ko) == int(ko)


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_agrees_with_the_engine(device):
    go = Go(Rules(5, 0.5, superko=False, max_moves=200), device)
    state, generator = go.new(64), torch.Generator().manual_seed(0)
    ko = torch.full((64,), -1, device=device)
    for _ in range(60):
        stones = state.stones.view(64, 5, 5).clone()
        chance = state.legal[:, :-1].float().cpu()
        chance[chance.sum(1) == 0, 0] = 1.0  # full boards: the first point, which is illegal
        point = torch.multinomial(chance, 1, generator=generator).squeeze(1).to(device)
        new, legal, ko = play(stones, state.to_play, point, ko)
        assert torch.equal(legal, state.legal[torch.arange(64), point])
        go.step_(state, torch.where(legal, point, 25))
        ko = torch.where(legal, ko, -1)  # the others pass
        assert torch.equal(new, state.stones.view(64, 5, 5))
        assert torch.equal(ko, state.ko.long())
        assert torch.equal(area_score(new, 0.5), go.score(state))


def test_points_that_nobody_surrounds_count_for_nobody():
    assert float(area_score(board("...\n...\n..."), 1.5)) == -1.5
    assert float(area_score(board("XX.\nX.O\nOOO"), 0.5)) == 3 - 4 - 0.5
    assert float(area_score(board(".X.O.\nXX.OO"), 0.0)) == 0.0
    assert float(area_score(board("...\n.X.\n..."), 7.0)) == 2.0


def test_a_mask_of_one_point():
    assert marked(torch.tensor([5]), board("...\n...\n..."))[0].nonzero().tolist() == [[1, 2]]


def test_a_drawing_that_is_no_board_is_refused():
    with pytest.raises(ValueError, match=r"rows of one length, got \[2, 1\]"):
        from_text("X.\n.")
    with pytest.raises(ValueError, match=r"X, O and points, got \['\+'\]"):
        from_text("X+\n..")
    with pytest.raises(ValueError, match="rows of one length"):
        from_text("")
