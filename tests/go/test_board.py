"""The Go engine: against a slow oracle on random games, and on boards drawn by hand."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcourse.go.board import Go, State
from rlcourse.go.rules import BLACK, WHITE, Rules
from tests.go.boards import drawn, play, points, rules, set_up
from tests.oracles.slow_go import SlowGo

BACKENDS = ("numba", "torch")
FIELDS = ("small", "large", "legal")


def at(text: str, letter: str) -> int:
    """The one point with this letter."""
    (place,) = [i for i, c in enumerate(points(text)) if c == letter]
    return place


def check_derived(state) -> None:
    """Chains, liberties and keys of a board, computed anew from its stones."""
    stones = state.stones[0].tolist()
    slow = SlowGo(round(len(stones) ** 0.5))
    for point, stone in enumerate(stones):
        label = int(state.chain[0, point])
        if stone == 0:
            assert label == -1
            continue
        chain = slow.group(stones, point)[0]
        assert label == min(chain)
        pairs = [near for p in chain for near in slow.beside(p) if stones[near] == 0]
        found = (state.num_liberties, state.sum_liberties, state.square_liberties)
        assert [int(f[0, label]) for f in found] == [
            len(pairs), sum(pairs), sum(p * p for p in pairs),
        ]  # fmt: skip
    labels = {int(label) for label in state.chain[0] if label >= 0}
    for label in set(range(len(stones))) - labels:
        assert int(state.num_liberties[0, label]) == int(state.chain_key[0, label]) == 0
    assert int(state.chain_key[0].sum()) == int(state.key[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("superko", [True, False])
@pytest.mark.parametrize("size", range(2, 10))
def test_random_games_are_those_of_the_oracle(size, superko, backend):
    go = Go(Rules(size, 0.5, superko, max_moves=4 * size**2), backend=backend)
    generator = torch.Generator().manual_seed(size)
    for _ in range(2):
        state, slow = go.new(1), SlowGo(size, 0.5, superko)
        while not bool(go.is_over(state)):
            legal = [slow.is_legal(move) for move in range(size**2 + 1)]
            assert state.legal[0].tolist() == legal
            weights = state.legal[0].float()
            weights[-1] *= 0.1  # few passes, long games
            move = int(torch.multinomial(weights, 1, generator=generator))
            play(go, state, move)
            slow.play(move)
            assert state.stones[0].tolist() == slow.board
            assert int(state.to_play) == slow.to_play
        check_derived(state)
        assert float(go.score(state)) == slow.score()
        assert not bool(state.legal.any())


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_any_legal_game_on_a_tiny_board_is_that_of_the_oracle(data):
    size = data.draw(st.integers(2, 4))
    go, slow = Go(rules(size, superko=True)), SlowGo(size)
    state = go.new(1)
    for _ in range(30):
        legal = state.legal[0].nonzero().squeeze(1).tolist()
        assert legal == [m for m in range(size**2 + 1) if slow.is_legal(m)]
        if not legal:
            break
        move = data.draw(st.sampled_from(legal))
        play(go, state, move)
        slow.play(move)
    check_derived(state)


@pytest.mark.parametrize("backend", BACKENDS)
def test_boards_of_a_batch_do_not_touch_each_other(backend):
    go = Go(Rules(5, max_moves=60), backend=backend)
    many, generator = go.new(70), torch.Generator().manual_seed(0)
    alone = [go.new(1) for _ in range(70)]
    for _ in range(30):
        moves = torch.multinomial(many.legal.float() + 1e-9, 1, generator=generator).squeeze(1)
        for state, move in zip(alone, moves, strict=True):
            go.step_(state, move.unsqueeze(0))
        go.step_(many, moves)
    for i, state in enumerate(alone):
        assert torch.equal(many.small[i], state.small[0])
        assert torch.equal(many.large[i], state.large[0])
        assert torch.equal(many.legal[i], state.legal[0])


@pytest.mark.parametrize("superko", [True, False])
def test_both_backends_write_the_same_state(superko):
    one, other = (Go(Rules(5, superko=superko, max_moves=90), backend=name) for name in BACKENDS)
    here, there = one.new(40), other.new(40)
    generator = torch.Generator().manual_seed(3)
    for _ in range(100):
        weights = here.legal.float() * torch.tensor([1.0] * 25 + [0.05]) + 1e-9
        moves = torch.multinomial(weights, 1, generator=generator).squeeze(1)
        one.step_(here, moves)
        other.step_(there, moves)
        assert all(torch.equal(getattr(here, n), getattr(there, n)) for n in FIELDS)
        assert torch.equal(one.area(here), other.area(there))
        assert torch.equal(one.planes(here), other.planes(there))
    assert bool(one.is_over(here).all())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_plays_the_same_games():
    one, other = Go(Rules(9)), Go(Rules(9), "cuda")
    here, there = one.new(64), other.new(64)
    generator = torch.Generator().manual_seed(3)
    for _ in range(150):
        moves = torch.multinomial(here.legal + 1e-9, 1, generator=generator).squeeze(1)
        one.step_(here, moves)
        other.step_(there, moves.cuda())
        assert all(torch.equal(getattr(here, n), getattr(there, n).cpu()) for n in FIELDS)


CORNER = """
    . O X .
    O X . .
    X . . .
    . . . .
"""


def test_a_stone_without_liberties_is_illegal_and_one_that_captures_is_not():
    go = Go(rules(4))
    assert not bool(set_up(go, CORNER.replace("O X .\n    O X", "O . .\n    O .")).legal[0, 0])
    state = set_up(go, CORNER)
    assert bool(state.legal[0, 0])  # it takes two stones
    play(go, state, 0)
    assert drawn(state) == "X.X..X..X......."
    assert int(state.num_captured) == 2


def test_the_opponents_stones_are_taken_first():
    text = """
        . X O .
        X O . O
        O . O .
        . . . .
    """
    state = set_up(go := Go(rules(4)), text, "O")
    play(go, state, 0)
    assert drawn(state)[:3] == "O.O"


SINGLE_KO = """
    . X O . .
    X O a O .
    . X O . .
    . . . . .
    . . . . .
"""


@pytest.mark.parametrize("superko", [True, False])
def test_a_single_stone_may_not_be_taken_back_at_once(superko):
    go = Go(rules(5, superko=superko))
    state = set_up(go, SINGLE_KO.replace("a", "."))
    taking, taken = at(SINGLE_KO, "a"), 6
    play(go, state, taking)
    assert int(state.stones[0, taken]) == 0
    assert int(state.ko) == taken
    assert not bool(state.legal[0, taken])
    play(go, state, 24, 20)  # a threat and its answer
    assert bool(state.legal[0, taken])
    play(go, state, taken)
    assert int(state.stones[0, taking]) == 0


def test_two_stones_may_be_taken_back_at_once():
    """Snapback: white takes one stone, and black takes two at the same place."""
    text = """
        . X O . .
        X O O . .
        X a O . .
        X X X . .
        . . . . .
    """
    go = Go(rules(5))
    state = set_up(go, text.replace("a", "."), "X")
    play(go, state, at(text, "a"))
    assert drawn(state)[:15] == ".XO..XOO..XXO.."


def test_superko_forbids_a_longer_cycle_too():
    """Crowded random games on 3x3, where positions come back in more ways than by a ko."""
    go = Go(rules(3))
    slow = SlowGo(3)
    repeated = 0
    state = go.new(1)
    generator = torch.Generator().manual_seed(1)
    for _ in range(400):
        simple = [not slow.is_over() and slow.board[m] == 0 and bool(
            slow.liberties(slow.after(m)[0], m)) for m in range(9)]  # fmt: skip
        repeated += sum(s and not legal for s, legal in zip(simple, state.legal[0], strict=False))
        assert state.legal[0].tolist() == [slow.is_legal(m) for m in range(10)]
        weights = state.legal[0].float()
        weights[-1] = 0.0 if bool(weights[:-1].any()) or int(state.num_passes) else 1.0
        if not bool(weights.any()):
            state, slow = go.new(1), SlowGo(3)
            continue
        move = int(torch.multinomial(weights, 1, generator=generator))
        play(go, state, move)
        slow.play(move)
    assert repeated > 10


def test_area_counts_stones_and_what_one_color_encloses():
    text = """
        . X O .
        X X O .
        . X O O
        . X O .
    """
    go = Go(rules(4, komi=0.5))
    state = set_up(go, text)
    assert go.area(state)[0].tolist() == [
        1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1,
    ]  # fmt: skip
    assert float(go.score(state)) == -0.5
    assert float(go.score(go.new(1))) == -0.5  # an empty board is nobody's


SEKI = """
    X O . X O
    X O . X O
    X X X O O
    X X X O O
    . X . O .
"""


def test_shared_liberties_of_a_seki_are_nobodys():
    """Whoever fills one of the two points in the first rows is taken."""
    go = Go(rules(5, komi=0.0))
    state = set_up(go, SEKI)
    owner = go.area(state)[0]
    assert [int(owner[p]) for p in (2, 7, 20, 22, 24)] == [0, 0, 1, 0, -1]
    assert float(go.score(state)) == 12 - 10
    play(go, state, 2)
    assert bool(state.legal[0, 7])
    play(go, state, 7)
    assert drawn(state)[:10] == "XO..OXOO.O"


@pytest.mark.parametrize(("size", "number"), [(2, 57), (3, 12_675)])
def test_the_number_of_legal_positions_is_the_known_one(size, number):
    """Positions in which every chain has a liberty (Tromp and Farnebaeck 2007)."""
    slow, legal = SlowGo(size), 0
    reached = set()
    for board in itertools.product((0, BLACK, WHITE), repeat=size**2):
        cells = list(board)
        alive = all(not cells[p] or slow.liberties(cells, p) for p in range(size**2))
        legal += alive
        if alive:
            reached.add(board)
    assert legal == number
    assert positions_by_play(size, reached) == number


def positions_by_play(size: int, known: set[tuple[int, ...]]) -> int:
    """How many positions the engine reaches from the empty one; either color plays."""
    go = Go(Rules(size, superko=False, max_moves=100))
    seen, layer = {(0,) * size**2}, go.new(1)
    while layer.num_boards:
        found = {}
        for passes in (0, 1):
            start = layer.clone()
            if passes:
                play(go, start, size**2)
            for move in range(size**2):
                new = start.select(start.legal[:, move])
                play(go, new, *[move] * bool(new.num_boards))
                for i, position in enumerate(map(tuple, new.stones.tolist())):
                    if position not in seen:
                        found[position] = new.select(torch.tensor([i]))
                        seen.add(position)
        layer = layer.select(torch.zeros(0, dtype=torch.int64))
        if found:
            parts = found.values()
            layer = State(*(torch.cat([getattr(p, n) for p in parts]) for n in FIELDS))
    assert seen <= known
    return len(seen)


def test_planes_show_the_board_to_the_side_that_plays():
    text = """
        . X O .
        X O . .
        . . . .
        . . . .
    """
    go = Go(rules(4))
    state = set_up(go, text, "O")
    planes = go.planes(state)[0]
    assert planes.shape == (8, 4, 4)
    assert planes[0].flatten().nonzero().squeeze(1).tolist() == [2, 5]  # white's
    assert planes[1].flatten().nonzero().squeeze(1).tolist() == [1, 4]
    assert planes[3].flatten().nonzero().squeeze(1).tolist() == [1]
    assert planes[6].flatten().nonzero().squeeze(1).tolist() == []
    assert float(planes[7].sum()) == 0.0
    play(go, state, 15)
    planes = go.planes(state)[0]
    assert planes[4].flatten().nonzero().squeeze(1).tolist() == [15]
    assert float(planes[7].mean()) == 1.0


def test_copies_share_nothing_and_boards_can_be_replaced():
    go = Go(Rules(5))
    state = go.new(3)
    copy = state.clone()
    play(go, state, 12)
    assert not bool(copy.stones.any())
    state.put_(torch.tensor([1]), copy.select(torch.tensor([0])))
    assert state.stones[:, 12].tolist() == [1, 0, 1]
    assert state.to_play.tolist() == [WHITE, BLACK, WHITE]


def test_bad_moves_and_settings_are_refused_and_nothing_is_played():
    go = Go(Rules(3))
    state = go.new(2)
    play(go, state, 4)
    before = state.clone()
    for bad, says in (
        (torch.tensor([0, 4]), "move 4 on board 1 is illegal"),
        (torch.tensor([-1, 0]), "move -1 on board 0 is none of 0 to 9, the pass"),
        (torch.tensor([0, 10]), "move 10 on board 1 is none of"),
        (torch.tensor([0]), "2 integers, one per board"),
        (torch.tensor([0.0, 1.0]), "2 integers"),
    ):
        with pytest.raises(ValueError, match=says):
            go.step_(state, bad)
    assert all(torch.equal(getattr(state, n), getattr(before, n)) for n in FIELDS)
    for wrong in ({"size": 1}, {"size": 20}, {"komi": float("nan")}, {"max_moves": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Rules(**wrong)
    with pytest.raises(ValueError, match="num_boards"):
        go.new(0)
    with pytest.raises(ValueError, match="need the backend 'numba'"):
        Go(Rules(3), backend="torch").random_games_(Go(Rules(3)).new(1), 1, 0)
    with pytest.raises(ValueError, match="backend must be"):
        Go(Rules(3), backend="abacus")


def test_a_game_ends_after_two_passes_or_the_most_moves():
    go = Go(Rules(3, max_moves=5))
    state = go.new(2)
    go.step_(state, torch.tensor([9, 0]))
    go.step_(state, torch.tensor([9, 1]))
    assert go.is_over(state).tolist() == [True, False]
    ended = state.select(torch.tensor([0]))
    for move in (2, 3, 5):
        go.step_(state, torch.tensor([0, move]))  # the first board's is ignored
    assert go.is_over(state).tolist() == [True, True]
    assert all(torch.equal(getattr(state, n)[:1], getattr(ended, n)) for n in FIELDS)


def test_random_play_is_as_long_and_as_even_as_known():
    """Uniform random play on 9x9: about 119 to 124 moves, of which black wins 36 to 37 %."""
    go = Go(Rules(9, 7.5, max_moves=1_000))
    state = go.new(2_000)
    played = go.random_games_(state, 1_000, seed=0)
    assert bool(go.is_over(state).all())
    assert 117 < played / 2_000 < 125
    assert 0.32 < float((go.score(state) > 0).float().mean()) < 0.40


def test_many_boards_are_read_as_each_alone():
    """Small batches are read in one loop, large ones by threads."""
    go = Go(Rules(5))
    state = go.new(100)
    go.random_games_(state, 12, 3)
    planes, area = go.planes(state), go.area(state)
    for start in range(0, 100, 25):
        some = torch.arange(start, start + 25)
        assert torch.equal(go.planes(state.select(some)), planes[some])
        assert torch.equal(go.area(state.select(some)), area[some])
    assert len(area.unique(dim=0)) > 50
