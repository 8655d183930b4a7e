"""What the checks of notebook 13 feed an answer, and what must hold of it by theory."""

from collections.abc import Iterator

import torch
from torch import Tensor

from rlcourse.course.compare import CheckFailed
from rlcourse.course.grading import Case
from rlcourse.go.board import Go
from rlcourse.go.flood import from_text
from rlcourse.go.notation import vertex_of
from rlcourse.go.rules import Rules

SPIRAL = """
    XXXXXXX
    ......X
    XXXXX.X
    X...X.X
    X.XXX.X
    X.....X
    XXXXXXX
"""
CORNER = """
    .OX.
    OOXX
    XX.O
    ....
"""
KO = """
    .XO.
    X.XO
    .XO.
    ....
"""
TWO_AT_ONCE = """
    .OOX
    OXX.
    ....
    ....
"""
SNAPBACK = """
    .OXO.
    XXXO.
    OOOO.
    .....
    .....
"""
NEUTRAL = """
    .X.O.
    XX.OO
    .X.O.
    XX.OO
    .X.O.
"""


def boards(size: int, num_boards: int, num_moves: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random positions under the simple ko rule: stones [B, H, W], color [B], and the ko [B]."""
    # A check has a time limit, which compiling the other backend must not use up.
    go = Go(Rules(size, 0.0, superko=False, max_moves=10_000), backend="torch")
    state, generator = go.new(num_boards), torch.Generator().manual_seed(seed)
    for _ in range(num_moves):
        chance = state.legal[:, :-1].float()
        stuck = chance.sum(1) == 0
        move = torch.multinomial(chance + stuck[:, None], 1, generator=generator).squeeze(1)
        go.step_(state, torch.where(stuck, size**2, move))
    return state.stones.view(-1, size, size).clone(), state.to_play.clone(), state.ko.long()


def floods(generator: torch.Generator) -> Iterator[Case]:
    for size, share in ((5, 0.6), (9, 0.6), (9, 0.4)):
        within = torch.rand(8, size, size, generator=generator) < share
        seeds = torch.rand(8, size, size, generator=generator) < 0.1
        yield seeds, within
    within = from_text(SPIRAL)[None] == 1
    seeds = torch.zeros_like(within)
    seeds[0, 0, 0] = True
    yield seeds, within


def points_on_boards(generator: torch.Generator) -> Iterator[Case]:
    for size, num_moves in ((5, 14), (9, 50)):
        stones, _, _ = boards(size, 16, num_moves, seed=size)
        yield stones, torch.randint(size**2, (16,), generator=generator)


def moves_on_boards(generator: torch.Generator) -> Iterator[Case]:
    for size, num_moves in ((4, 20), (5, 41), (9, 90)):
        stones, color, ko = boards(size, 96, num_moves, seed=num_moves)
        point = torch.randint(size**2, (96,), generator=generator)
        point = torch.where((ko >= 0) & (torch.arange(96) % 2 == 0), ko, point)
        yield stones, color, point, ko
    drawn = torch.stack([from_text(text) for text in (KO, KO, CORNER, TWO_AT_ONCE)])
    color, no_ko = torch.tensor([-1, 1, 1, 1], dtype=torch.int32), torch.full((4,), -1)
    yield drawn, color, torch.tensor([5, 5, 0, 0]), no_ko
    yield from_text(SNAPBACK)[None], color[1:2], torch.tensor([0]), no_ko[:1]


def ends_of_games(generator: torch.Generator) -> Iterator[Case]:
    for size, num_moves, komi in ((5, 16, 7.0), (9, 40, 0.5), (9, 120, -2.0)):
        yield boards(size, 16, num_moves, seed=size + num_moves)[0], komi
    yield from_text(NEUTRAL)[None], 1.5
    yield torch.zeros(2, 3, 3, dtype=torch.int32), 6.5


def answers(generator: torch.Generator) -> Iterator[Case]:
    for size in (9, 19):
        for move in torch.randint(size**2, (6,), generator=generator).tolist():
            yield f"={move if move % 2 else ''} {vertex_of(move, size)}\n\n", size
    yield "= J1\n\n", 9
    yield "=7 j9\n\n", 9
    yield "= h2\n\n", 9
    yield "= Q10\n\n", 19
    yield "=3 pass\n\n", 9
    yield "= PASS\n\n", 9
    yield "= resign\n\n", 9
    yield "?1 illegal move\n\n", 9
    yield "?12 invalid color or coordinate\n\n", 19
    yield "? unacceptable size\n\n", 19


def a_flood_stops_at_walls(answer) -> None:
    within = from_text("X.XX\nX.X.\nX.XX") == 1
    seeds = torch.zeros(1, 3, 4, dtype=torch.bool)
    seeds[0, 0, 0] = True
    got = int(answer(seeds, within[None]).sum())
    if got != 3:
        raise CheckFailed(
            f"from the corner of a wall of 3 points it must reach these 3, here it reaches {got}"
        )


def a_flood_goes_the_longest_way(answer) -> None:
    """To and fro over a board of 19x19, which no small fixed number of rounds walks."""
    within = torch.zeros(1, 19, 19, dtype=torch.bool)
    within[0, ::2] = True
    within[0, 1::4, -1] = True
    within[0, 3::4, 0] = True
    seeds = torch.zeros_like(within)
    seeds[0, 0, 0] = True
    got = int(answer(seeds, within).sum())
    if got != int(within.sum()):
        raise CheckFailed(
            f"a way that winds over a board of 19x19 has {int(within.sum())} points, here {got} of "
            "them are reached: stop when nothing changes, not after a fixed number of steps"
        )


def a_chain_of_three_has_five_liberties(answer) -> None:
    got = answer(from_text(".X.\nXX.\n...")[None], torch.tensor([1]))
    if int(got) != 5:
        raise CheckFailed(
            "three stones around a corner have 5 liberties: the corner is one, though two stones "
            f"see it; here it is {int(got)}"
        )


def a_snapback_takes_back_more(answer) -> None:
    """White throws in, Black takes it, White takes five back: never a ko."""
    stones = from_text(SNAPBACK.replace(".OXO.", "..XO."))[None]
    color, ko = -1, torch.tensor([-1])
    for point in (1, 0, 1):
        stones, legal, ko = answer(
            stones, torch.tensor([color], dtype=stones.dtype), torch.tensor([point]), ko
        )
        if not bool(legal):
            raise CheckFailed(
                f"in a snapback every move is legal, here the one on point {point} is refused: "
                "only a lone stone that took exactly one, and has one liberty, makes a ko"
            )
        color = -color
    if int((stones == 1).sum()):
        raise CheckFailed(
            "at the end of a snapback the chain that took is taken, here black stones are left"
        )


def komi_shifts_every_score(answer) -> None:
    stones = from_text("XX.\nX.O\nOOO")[None]
    if float(answer(stones, 0.0)) != -1.0:
        raise CheckFailed(
            "3 black and 4 white stones, and two points that both reach: without komi that is -1, "
            f"here it is {float(answer(stones, 0.0)):g}"
        )
    if float(answer(stones, 7.5)) != -8.5:
        raise CheckFailed("a komi of 7.5 must lower Black's score by 7.5")
