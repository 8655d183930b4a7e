"""Plausible wrong answers to the exercises of notebook 15 on losses and on a gain."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from rlcourse.course.grading import Mistake
from rlcourse.experiments.go_retrieval_gain import gain


def _is_move(moves: Tensor, pass_move: int) -> Tensor:
    return moves >= 0


def _is_reached(there: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(there[:, :1]), there[:, :-1]], 1)


def _is_left(there: Tensor) -> Tensor:
    return torch.cat([there[:, 1:], torch.ones_like(there[:, :1])], 1)


def _is_played(there: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(there[:, :1]), there[:, :-1]], 1)


def losses_with(
    signs: tuple[float, float] = (1.0, -1.0),
    move: Callable[[Tensor, int], Tensor] = _is_move,
    value_at: Callable[[Tensor], Tensor] = _is_reached,
    mask_moves: bool = True,
    weighted: bool = True,
    total: Callable[[Tensor, Tensor], Tensor] = lambda lost, mask: lost.sum(1).mean(),
    factor: float = 1.0,
):
    """The losses of an unroll with one of their steps changed.

    Args:
        signs: of the outcome at even and at odd steps.
        move: where there is a move, from the moves and the number of the pass.
        value_at: where there is a value, from where there is a move.
        total: of the terms [B, K1] and where they count.
        factor: of the policy's loss.
    """

    def wrong(
        logits: Tensor, value: Tensor, next_moves: Tensor, outcome: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        steps = logits.shape[1]
        moves = next_moves[:, :steps]
        there = move(moves, logits.shape[2] - 1)
        reached = value_at(there)
        target = moves.clamp(min=0).flatten()
        lost = cross_entropy(logits.flatten(0, 1), target, reduction="none").view_as(moves)
        sign = torch.tensor(signs)[torch.arange(steps) % 2]
        error = (value - sign * outcome[:, None]).square()
        counted = there if mask_moves else torch.ones_like(there)
        scale = weights if weighted else torch.ones_like(weights)
        lost, error = factor * lost * counted * scale, error * reached * scale
        return total(lost, counted), total(error, reached)

    return wrong


def losses_swapped(*given: Tensor) -> tuple[Tensor, Tensor]:
    policy, error = losses_with()(*given)
    return error, policy


def losses_together(*given: Tensor) -> Tensor:
    return sum(losses_with()(*given))


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


def gain_divided(by: Callable[[Tensor, Tensor], Tensor]):
    """A gain whose resamples are divided by another number, of counts and draws."""

    def wrong(
        with_: Tensor, without: Tensor, count: Tensor, drawn: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        means = (with_ - without)[drawn].sum(1) / by(count, drawn)
        low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype))
        return gain(with_, without, count, drawn)[0], low, high

    return wrong


def gain_of_deviation(times: float):
    """A gain with so many standard deviations of the resamples to each side."""

    def wrong(
        with_: Tensor, without: Tensor, count: Tensor, drawn: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        change, (mean, _, _) = with_ - without, gain(with_, without, count, drawn)
        wide = times * (change[drawn].sum(1) / count[drawn].sum(1)).std()
        return mean, mean - wide, mean + wide

    return wrong


def gain_of_resamples(
    with_: Tensor, without: Tensor, count: Tensor, drawn: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    change, (_, low, high) = with_ - without, gain(with_, without, count, drawn)
    return (change[drawn].sum(1) / count[drawn].sum(1)).mean(), low, high


def gain_per_game(
    with_: Tensor, without: Tensor, count: Tensor, drawn: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return gain(with_, without, torch.ones_like(count), drawn)


def gain_swapped(
    with_: Tensor, without: Tensor, count: Tensor, drawn: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return gain(without, with_, count, drawn)


OF_LOSSES = (
    Mistake(
        "The sign of the outcome does not change: with every move the other player is to move, and"
        " the target is (-1)^k z",
        losses_with((1.0, 1.0)),
    ),
    Mistake(
        "The sign is turned around: at k = 0 the target is z itself",
        losses_with((-1.0, 1.0)),
    ),
    Mistake(
        "Moves after the end of the game are learned from: leave out the places where it is -1",
        losses_with(mask_moves=False),
    ),
    Mistake(
        "Nothing is masked: what comes after the end of the game must not count, neither moves nor"
        " values",
        losses_with(value_at=torch.ones_like, mask_moves=False),
    ),
    Mistake(
        "Values after the end of the game are learned from: the last one is where the game is over",
        losses_with(value_at=torch.ones_like),
    ),
    Mistake(
        "The value where the game is over is left out: a value has one position more than there are"
        " moves",
        losses_with(value_at=torch.clone),
    ),
    Mistake(
        "The mask of values is shifted the wrong way: the ones come before `has_move[:, :-1]`",
        losses_with(value_at=_is_left),
    ),
    Mistake(
        "The value at k = 0 is left out: the mask of values begins with ones",
        losses_with(value_at=_is_played),
    ),
    Mistake(
        "Move 0, the first point of the board, is taken for none: only -1 comes after the end",
        losses_with(move=lambda moves, pass_move: moves > 0),
    ),
    Mistake(
        "A pass is taken for the end of the game: it is a move, only -1 comes after the end",
        losses_with(move=lambda moves, pass_move: (moves >= 0) & (moves != pass_move)),
    ),
    Mistake(
        "The policy's loss has the wrong sign: it is -log of the probability, and not negative",
        losses_with(factor=-1.0),
    ),
    Mistake(
        "This is a mean over the terms that are not masked: sum over k, and take the mean over the"
        " batch, however many terms count",
        losses_with(total=lambda lost, mask: lost.sum() / mask.sum()),
    ),
    Mistake(
        "The weights are not used: the term of step k counts weights[k]",
        losses_with(weighted=False),
    ),
    Mistake(
        "This is a mean over the steps: sum over k, and take the mean over the batch",
        losses_with(total=lambda lost, mask: lost.mean()),
    ),
    Mistake(
        "This is a sum over the batch: sum over k, and take the mean over the batch",
        losses_with(total=lambda lost, mask: lost.sum()),
    ),
    Mistake("The two losses are in the wrong order: the policy's comes first", losses_swapped),
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
        gain_divided(lambda count, drawn: count.sum()),
    ),
    Mistake(
        "The mean is that of the resamples: it is of the games themselves, each once",
        gain_of_resamples,
    ),
    Mistake(
        "These are sums per game: divide by the positions of the games, not by their number",
        gain_per_game,
    ),
    Mistake(
        "This is one standard deviation to each side: take quantiles of the resampled means",
        gain_of_deviation(1.0),
    ),
    Mistake(
        "These are 1.96 standard deviations to each side: take quantiles of the resampled means",
        gain_of_deviation(1.96),
    ),
    Mistake("The sign is turned around: it is the first model minus the second", gain_swapped),
)
