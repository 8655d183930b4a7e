"""Random openings, so that players who always do the same play different games."""

import random

import torch

from rlcourse.go.board import Go
from rlcourse.go.rules import Rules


def random_opening(rules: Rules, number: int, least: int, most: int) -> list[int]:
    """`least` to `most` random stones off the edge, black and white in turn; each move is legal.

    Args:
        rules: of the board.
        number: of the opening; the same number gives the same one.
        least, most: stones, of both colors together; drawn uniformly in between.

    Raises:
        ValueError: the board has no room for so many.
    """
    inner = range(1, rules.size - 1)
    if not 0 <= least <= most or most > len(inner) ** 2 // 2:
        raise ValueError(
            f"an opening on {rules.size}x{rules.size} has 0 to {len(inner) ** 2 // 2} stones, got "
            f"{least} to {most}"
        )
    draw, go = random.Random(number), Go(rules)
    state, moves, length = go.new(1), [], draw.randint(least, most)
    while len(moves) < length:
        move = draw.choice(inner) * rules.size + draw.choice(inner)
        if bool(state.legal[0, move]):
            go.step_(state, torch.tensor([move]))
            moves.append(move)
    return moves
