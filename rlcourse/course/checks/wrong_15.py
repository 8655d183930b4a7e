"""Plausible wrong answers to the exercises of notebook 15, by which a check names the mistake."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from rlcourse.course.grading import Mistake
from rlcourse.experiments import go_retrieval_lesson as lesson
from rlcourse.experiments.go_retrieval_gain import gain
from rlcourse.go.inputs import NeighborInput
from rlcourse.go.model import join
from rlcourse.ops.neighbors import nearest


def fuse_with(
    scale: Callable[[Tensor, int], Tensor | float], mask: bool = True, first: bool = False
):
    """Eq. 2 with another factor, without the mask, or in another order."""

    def wrong(encoded: Tensor, embedded: Tensor, present: Tensor, num_neighbors: int) -> Tensor:
        there = embedded
        if mask:
            there = torch.where(present[:, :, None, None, None], embedded, 0.0)
        total = there.sum(1) * scale(present, num_neighbors)
        return torch.cat([total, encoded] if first else [encoded, total], 1)

    return wrong


def _root(present: Tensor, number: int) -> float:
    return 1.0 / math.sqrt(number)


def _root_of_present(present: Tensor, number: int) -> Tensor:
    return present.sum(1).clamp(min=1).float().rsqrt()[:, None, None, None]


def fuse_largest(encoded: Tensor, embedded: Tensor, present: Tensor, num_neighbors: int) -> Tensor:
    there = torch.where(present[:, :, None, None, None], embedded, 0.0)
    return torch.cat([encoded, there.amax(1)], 1)


def fuse_only_sum(encoded: Tensor, embedded: Tensor, present: Tensor, num_neighbors: int) -> Tensor:
    return join(encoded, embedded, present, num_neighbors)[:, encoded.shape[1] :]


def halves_with(same: bool = False, offset: bool = True, rows: bool = False):
    """The search in halves with one of its steps changed."""

    def wrong(keys: Tensor, game: Tensor, k: int) -> Tensor:
        number = torch.arange(len(keys)) if rows else game
        found = torch.empty(len(keys), k, dtype=torch.int64)
        for asking in (0, 1):
            here = (number % 2 == asking).nonzero().flatten()
            there = here if same else (number % 2 != asking).nonzero().flatten()
            places = nearest(keys[here], keys[there], k, 1024)[1]
            found[here] = there[places] if offset else places
        return found

    return wrong


def halves_joined(keys: Tensor, game: Tensor, k: int) -> Tensor:
    parts = []
    for asking in (0, 1):
        here, there = ((game % 2 == part).nonzero().flatten() for part in (asking, 1 - asking))
        parts.append(there[nearest(keys[here], keys[there], k, 1024)[1]])
    return torch.cat(parts)


def halves_without_self(keys: Tensor, game: Tensor, k: int) -> Tensor:
    return nearest(keys, keys, k + 1, 1024)[1][:, 1:]


def halves_of_all(keys: Tensor, game: Tensor, k: int) -> Tensor:
    return nearest(keys, keys, k, 1024)[1]


def exchange_with(
    chosen_of: Callable[[Tensor], Tensor] = lambda chosen: chosen,
    own: bool = True,
):
    """The exchange with other choices, or without its rule on games."""

    def wrong(
        neighbors: NeighborInput, game: Tensor, chosen: Tensor, giver: Tensor
    ) -> NeighborInput:
        receivers = game if own else torch.full_like(game, -1)
        return lesson.exchanged(neighbors, receivers, chosen_of(chosen), giver)

    return wrong


def exchange_planes_only(
    neighbors: NeighborInput, game: Tensor, chosen: Tensor, giver: Tensor
) -> NeighborInput:
    right = lesson.exchanged(neighbors, game, chosen, giver)
    own = chosen & (right.game == game[:, None])
    return right._replace(present=neighbors.present & ~own)


def exchange_old_games(
    neighbors: NeighborInput, game: Tensor, chosen: Tensor, giver: Tensor
) -> NeighborInput:
    return lesson.exchanged(neighbors, game, chosen, giver)._replace(game=neighbors.game)


def losses_with(
    alternate: bool = True,
    mask_moves: bool = True,
    late: int = 1,
    mask_values: bool = True,
    weighted: bool = True,
    total: Callable[[Tensor], Tensor] = lambda lost: lost.sum(1).mean(),
    first: float = 1.0,
):
    """The losses of an unroll with one of their steps changed.

    Args:
        late: moves by which a value is asked for longer than a move.
    """

    def wrong(
        logits: Tensor, value: Tensor, next_moves: Tensor, outcome: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        steps = logits.shape[1]
        moves = next_moves[:, :steps]
        there = moves >= 0
        values = torch.cat([torch.ones_like(there[:, :late]), there[:, : steps - late]], 1)
        sign = torch.full((steps,), first)
        if alternate:
            sign = first * (1.0 - 2.0 * (torch.arange(steps) % 2))
        target = moves.clamp(min=0)
        lost = cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view_as(
            moves
        )
        error = (value - sign * outcome[:, None]).square()
        parts = (lost, there if mask_moves else None), (error, values if mask_values else None)
        scale = weights if weighted else torch.ones_like(weights)
        kept = (x if mask is None else torch.where(mask, x, 0.0) for x, mask in parts)
        policy, squares = (total(x * scale) for x in kept)
        return policy, squares

    return wrong


def losses_together(
    logits: Tensor, value: Tensor, next_moves: Tensor, outcome: Tensor, weights: Tensor
) -> Tensor:
    policy, error = losses_with()(logits, value, next_moves, outcome, weights)
    return policy + error


def gain_with(
    paired: bool = True, games: bool = True, quantiles: tuple[float, float] = (0.025, 0.975)
):
    """A gain with resamples apart, with games that weigh alike, or with other ends."""

    def wrong(
        with_: Tensor, without: Tensor, count: Tensor, drawn: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        number = count if games else torch.ones_like(count)
        a, b = (with_, without) if games else (with_ / count, without / count)
        other = drawn if paired else drawn.roll(1, 0)
        one = a[drawn].sum(1) / number[drawn].sum(1)
        means = one - b[other].sum(1) / number[other].sum(1)
        low, high = means.quantile(torch.tensor(quantiles, dtype=means.dtype))
        return (a - b).sum() / number.sum(), low, high

    return wrong


def gain_by_all(
    with_: Tensor, without: Tensor, count: Tensor, drawn: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    change = with_ - without
    means = change[drawn].sum(1) / count.sum()
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype))
    return change.sum() / count.sum(), low, high


def gain_of_deviation(
    with_: Tensor, without: Tensor, count: Tensor, drawn: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    change = with_ - without
    means = change[drawn].sum(1) / count[drawn].sum(1)
    mean = change.sum() / count.sum()
    return mean, mean - means.std(), mean + means.std()


def gain_swapped(
    with_: Tensor, without: Tensor, count: Tensor, drawn: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return gain(without, with_, count, drawn)


OF_FUSE = (
    Mistake(
        "This is the mean over the neighbors: divide the sum by the square root of N, not by N",
        fuse_with(lambda present, number: 1.0 / number),
    ),
    Mistake(
        "The sum is not divided: with N neighbors its size grows as the square root of N",
        fuse_with(lambda present, number: 1.0),
    ),
    Mistake(
        "Absent neighbors are added too: where `present` is False, e_i = 0",
        fuse_with(_root, mask=False),
    ),
    Mistake(
        "N is taken to be the number of neighbors present: it is `num_neighbors`, the same for all"
        " observations, so that few neighbors count less",
        fuse_with(_root_of_present),
    ),
    Mistake(
        "The two parts are in the wrong order: o^e comes first, then the neighbors",
        fuse_with(_root, first=True),
    ),
    Mistake("This is the largest of the neighbors: Eq. 2 sums them", fuse_largest),
    Mistake(
        "Only the neighbors are left: set o^e before them, along dim 1",
        fuse_only_sum,
    ),
)

OF_HALVES = (
    Mistake(
        "The own half answers: a position finds itself and its game there, ask the other one",
        halves_with(same=True),
    ),
    Mistake(
        "These are places in the half: turn them into rows of `keys` by indexing the rows of that"
        " half",
        halves_with(offset=False),
    ),
    Mistake(
        "The halves are made of positions: split by `game`, or a position finds its own game in the"
        " other half",
        halves_with(rows=True),
    ),
    Mistake(
        "The results of the halves are set one below the other: write each into the rows of the"
        " positions that asked",
        halves_joined,
    ),
    Mistake(
        "Everything is searched at once, and the nearest is left out: the next ones are of the same"
        " game",
        halves_without_self,
    ),
    Mistake(
        "All positions are searched at once: a position finds itself, and its game",
        halves_of_all,
    ),
)

OF_EXCHANGE = (
    Mistake(
        "The others are replaced: those stay where `chosen` is False",
        exchange_with(lambda chosen: ~chosen),
    ),
    Mistake(
        "All neighbors of an observation are replaced as soon as one is chosen: choose one by one",
        exchange_with(lambda chosen: chosen.any(1, keepdim=True).expand_as(chosen)),
    ),
    Mistake(
        "All neighbors are replaced: keep those where `chosen` is False",
        exchange_with(torch.ones_like),
    ),
    Mistake(
        "A replaced neighbor from the observation's own game is shown: make it absent",
        exchange_with(own=False),
    ),
    Mistake(
        "Which neighbors are present does not move along: a giver's absent neighbor stays absent",
        exchange_planes_only,
    ),
    Mistake(
        "The games do not move along: each of the three parts of a neighbor is exchanged",
        exchange_old_games,
    ),
)

OF_LOSSES = (
    Mistake(
        "The sign of the outcome does not change: with every move the other player is to move, and"
        " the target is (-1)^k z",
        losses_with(alternate=False),
    ),
    Mistake(
        "The sign is turned around: at k = 0 the target is z itself",
        losses_with(first=-1.0),
    ),
    Mistake(
        "Moves after the end of the game are learned from: leave out the places where it is -1",
        losses_with(mask_moves=False),
    ),
    Mistake(
        "Nothing is masked: what comes after the end of the game must not count, neither moves nor"
        " values",
        losses_with(mask_moves=False, mask_values=False),
    ),
    Mistake(
        "Values after the end of the game are learned from: the last one is where the game is over",
        losses_with(mask_values=False),
    ),
    Mistake(
        "The value where the game is over is left out: a value has one position more than there are"
        " moves",
        losses_with(late=0),
    ),
    Mistake(
        "The weights are not used: the term of step k counts weights[k]",
        losses_with(weighted=False),
    ),
    Mistake(
        "This is a mean over the steps: sum over k, and take the mean over the batch",
        losses_with(total=lambda lost: lost.mean()),
    ),
    Mistake(
        "This is a sum over the batch: sum over k, and take the mean over the batch",
        losses_with(total=lambda lost: lost.sum()),
    ),
    Mistake(
        "The two losses are added: return them apart, the policy's first",
        losses_together,
    ),
)

OF_GAIN = (
    Mistake(
        "The two models are drawn apart: take their difference in the same games, so that what is"
        " hard for both drops out",
        gain_with(paired=False),
    ),
    Mistake(
        "Each game counts alike here: divide sums by counts, so that each position counts alike",
        gain_with(games=False),
    ),
    Mistake(
        "These are the ends of a 90% interval: for 95% cut off 2.5% on each side",
        gain_with(quantiles=(0.05, 0.95)),
    ),
    Mistake(
        "The resamples are divided by the positions of all games: divide by those of the games that"
        " were drawn",
        gain_by_all,
    ),
    Mistake(
        "This is one standard deviation to each side: take quantiles of the resampled means",
        gain_of_deviation,
    ),
    Mistake("The sign is turned around: it is the first model minus the second", gain_swapped),
)
