"""Pictures that explain the rules of Go, and what is in a set of games.

Boards come as HTML with an image in it, which any viewer of notebooks shows; charts as figures.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from IPython.display import HTML
from matplotlib.figure import Figure
from torch import Tensor

from rlcourse.go.board import Go, point_keys
from rlcourse.go.flood import beside, from_text, marked
from rlcourse.go.notation import move_of
from rlcourse.go.records import Game
from rlcourse.go.rules import BLACK, WHITE, Rules
from rlcourse.go.splits import SPLITS, split_of
from rlcourse.viz.boards import Board, row_svg
from rlcourse.viz.style import PALETTE, SIZES
from rlcourse.viz.widgets import still_image

_KO = ".XO.\nX.XO\n.XO.\n...."  # white to take the stone in the middle
_UNIT = 34.0  # pixels between two lines


def row(boards: Sequence[Board], caption: str = "", unit: float = _UNIT) -> HTML:
    """Boards side by side."""
    width = unit * sum(board.size + 2.2 + board.shows_pass * 1.5 for board in boards)
    words = "; ".join(board.description for board in boards)
    width = min(width, 940.0)
    return HTML(still_image(row_svg(boards, width), words, caption, width))


def drawn(text: str, **marks) -> Board:
    """A board as text (see `flood.from_text`), without coordinates unless `marks` ask for them."""
    marks.setdefault("coordinates", False)
    return Board(from_text(text).flatten(), **marks)


def growing_chain(text: str, vertex: str) -> HTML:
    """A flood from one stone: on each stone the round that reached it; and the chain's liberties.

    Args:
        text: the board.
        vertex: of the first stone, as in GTP.
    """
    stones = from_text(text)[None]
    size = stones.shape[1]
    reached = marked(torch.tensor([move_of(vertex, size)]), stones)
    own = stones == stones[reached][0]
    rounds = torch.where(reached, 0, -1)
    for number in range(1, stones.numel()):
        new = beside(reached) & own & ~reached
        if not bool(new.any()):
            break
        reached, rounds = reached | new, torch.where(new, number, rounds)
    free = (beside(reached) & (stones == 0)).flatten()
    numbers = {p: int(n) for p, n in enumerate(rounds.flatten()) if n >= 0}
    letters = {int(p): "L" for p in free.nonzero()}
    left = drawn(text, numbers=numbers, title="rounds", coordinates=True)
    right = drawn(text, letters=letters, title=f"{len(letters)} liberties", coordinates=True)
    return row([left, right])


def pseudo_liberties(*texts: str) -> HTML:
    """For the one black chain of each board: how many of its stones see each liberty. Above it
    stand n q and s^2, which are equal where there is a single liberty (see `go.board`)."""
    return row([_pseudo_board(text) for text in texts])


def _pseudo_board(text: str) -> Board:
    black = from_text(text) == BLACK
    around = torch.nn.functional.pad(black.int(), (1, 1, 1, 1))
    seen = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
    seen = torch.where(from_text(text) == 0, seen, 0).flatten()
    points = torch.arange(len(seen))
    n, s, q = (int((seen * points**power).sum()) for power in (0, 1, 2))
    sign = "=" if n * q == s * s else "≠"
    numbers = {int(p): int(seen[p]) for p in seen.nonzero()}
    return drawn(text, numbers=numbers, title=f"{n * q} {sign} {s * s}")


def rules_of_capture() -> HTML:
    """Four small boards on which a letter marks a move: capture, suicide, not suicide, ko."""
    return row(
        [
            drawn(".XX.\nXOO.\n.XX.\n....", letters={7: "a"}, title="a takes"),
            drawn(".X..\nX.X.\n.X..\n....", letters={5: "b"}, title="b suicide"),
            drawn(".OX.\nOOX.\nXX..\n....", letters={0: "c"}, title="c takes"),
            drawn(_KO, letters={5: "d"}, title="d: a ko"),
        ],
        unit=46.0,
    )


def keys_of_a_ko() -> HTML:
    """Before a ko, after White took, and after Black took back, with the end of each key."""
    before = from_text(_KO).flatten()
    taken = before.clone()
    taken[5], taken[6] = WHITE, 0
    turns = ((before, None), (taken, 5), (before, 6))
    return row(
        [
            Board(stones, last_move=move, title=f"…{_key_end(stones)}", coordinates=False)
            for stones, move in turns
        ],
        unit=40.0,
    )


def _key_end(stones: Tensor) -> str:
    """The last four of the sixteen hexadecimal digits of a 4x4 position's key."""
    keys = point_keys(Rules(4))
    total = keys[0][stones == BLACK].sum() + keys[1][stones == WHITE].sum()
    return f"{int(total) & 0xFFFF:04x}"


def final_area(rules: Rules, stones: Tensor, titles: Sequence[str]) -> HTML:
    """Final boards [B, H, W] with a square in the owner's color on each point."""
    owners = Go(rules)
    state = owners.new(len(stones))
    state.stones.copy_(stones.flatten(1))
    area = owners.area(state)
    boards = [
        Board(board.flatten(), ownership=owner.float(), title=title, coordinates=False)
        for board, owner, title in zip(stones, area, titles, strict=True)
    ]
    return row(boards)


def game_in_pictures(rules: Rules, game: Game, plies: Sequence[int]) -> HTML:
    """The board after so many moves, with a ring on the last; the frame has the winner's color."""
    go = Go(rules)
    state, boards = go.new(1), []
    winner = int(np.sign(game.margin))
    for number, move in enumerate(game.moves, 1):
        go.step_(state, torch.tensor([move]))
        if number in plies or number == len(game.moves):
            title = "end" if number == len(game.moves) else f"after {number}"
            boards.append(Board.of(state.clone(), title=title, winner=winner, coordinates=False))
    return row(boards)


def lengths_and_winners(games: Sequence[Game]) -> Figure:
    """How long games last, and how many Black wins, by split."""
    figure = Figure(figsize=SIZES["wide"], layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    lengths = [len(game.moves) for game in games]
    left.hist(lengths, bins=range(min(lengths), max(lengths) + 3, 2), color=PALETTE["ours"])
    left.set(xlabel="moves, passes included", ylabel="games", title="How long games last")
    for place, split in enumerate(SPLITS):
        margins = [game.margin for game in games if split_of(game.number) == split]
        black = sum(margin > 0 for margin in margins)
        right.barh(place, black, color=PALETTE["black stone"], height=0.6)
        rest = len(margins) - black
        ink = {"color": PALETTE["white stone"], "edgecolor": PALETTE["stone rim"]}
        right.barh(place, rest, left=black, height=0.6, **ink)
        words = f"{len(margins):,} games, {black / max(len(margins), 1):.0%} won by Black"
        right.annotate(words, (0, place - 0.38), va="bottom", fontsize=8.5)
    right.set_yticks(range(len(SPLITS)), SPLITS)
    right.set(xlabel="games", title="Who won, by split", ylim=(len(SPLITS) - 0.5, -0.75))
    right.grid(axis="y", visible=False)
    return figure


def nearest_distances(distances: Mapping[str, Tensor]) -> Figure:
    """Where the nearest other position is: by name, the number of points [N] that differ."""
    figure = Figure(figsize=SIZES["single"], layout="constrained")
    ax = figure.subplots()
    largest = max(int(values.max()) for values in distances.values())
    edges = np.arange(-0.5, largest + 1.5)
    for (name, values), role in zip(distances.items(), ("failure", "ours"), strict=False):
        label = f"{name}: {float(values.float().median()):.0f} in the median"
        weights = np.full(len(values), 100.0 / len(values))
        ax.hist(values.numpy(), edges, weights=weights, color=PALETTE[role], alpha=0.8, label=label)
    ax.set_xlabel("points that differ from the nearest other position")
    ax.set_ylabel("positions (%)")
    ax.set_title("How near is the nearest position?")
    ax.legend()
    return figure
