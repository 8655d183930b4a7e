"""What the checks of notebook 15 feed an answer, and what must hold of it by theory."""

from collections.abc import Iterator

import torch

from rlcourse.course.compare import CheckFailed
from rlcourse.course.grading import Case
from rlcourse.go.inputs import NeighborInput

PASS = 9  # on boards of 3x3


def embeddings(generator: torch.Generator) -> Iterator[Case]:
    """o^e [B, C, H, W], e_i [B, K, D, H, W], which are there [B, K], and N, not always K."""
    for batch, count, channels, hidden, number in (
        (3, 4, 5, 2, 4),
        (2, 2, 3, 4, 10),
        (4, 6, 2, 2, 2),
    ):
        encoded = torch.randn(batch, channels, 3, 3, generator=generator)
        embedded = torch.randn(batch, count, hidden, 3, 3, generator=generator)
        present = torch.rand(batch, count, generator=generator) < 0.6
        present[0] = False
        present[-1] = True
        yield encoded, embedded, present, number


def keys_of_games(generator: torch.Generator) -> Iterator[Case]:
    """Keys of positions that follow one another in games of some length, and are alike there."""
    for games, length, dim, k in ((8, 6, 4, 3), (12, 5, 3, 5)):
        numbers = torch.randperm(40, generator=generator)[:games]
        numbers[:4] = torch.tensor([2, 7, 12, 31])  # both halves hold enough
        start = torch.randn(games, 1, dim, generator=generator, dtype=torch.float64)
        steps = torch.randn(games, length, dim, generator=generator, dtype=torch.float64)
        keys = (start + 0.3 * steps.cumsum(1)).flatten(0, 1)
        order = torch.randperm(len(keys), generator=generator)
        yield keys[order], numbers.repeat_interleave(length)[order], k


def neighbors_to_exchange(generator: torch.Generator) -> Iterator[Case]:
    for batch, count in ((6, 4), (5, 3), (8, 2)):
        planes = torch.randn(batch, count, 2, 3, 3, generator=generator)
        present = torch.rand(batch, count, generator=generator) < 0.7
        game = torch.randint(batch // 2 + 1, (batch,), generator=generator)
        others = game[:, None] + 100 + torch.arange(count)
        of_neighbors = others.clone()
        of_neighbors[:, 0] = game.roll(1)  # the next observation would be shown its own game
        of_neighbors[:, -1] = game[torch.randperm(batch, generator=generator)]
        of_neighbors = torch.where(of_neighbors == game[:, None], others, of_neighbors)
        chosen = torch.rand(batch, count, generator=generator) < 0.5
        away = torch.randint(1, batch, (batch, count), generator=generator)
        away[:, 0] = 1
        giver = (torch.arange(batch)[:, None] + away) % batch
        yield NeighborInput(planes, present, of_neighbors), game, chosen, giver


def unrolls(generator: torch.Generator) -> Iterator[Case]:
    """Predictions, moves some of which come after the end of the game, and weights."""
    for batch, unrolled, stored in ((5, 3, 4), (4, 1, 5), (6, 4, 7)):
        logits = torch.randn(batch, unrolled + 1, PASS + 1, generator=generator)
        value = torch.rand(batch, unrolled + 1, generator=generator) * 2 - 1
        moves = torch.randint(PASS + 1, (batch, stored), generator=generator)
        for row in range(1, batch, 2):
            moves[row, torch.randint(1, stored, (), generator=generator) :] = -1
        moves[1, 1:] = -1
        outcome = torch.randint(2, (batch,), generator=generator) * 2.0 - 1
        outcome[-1] = 0.0
        weights = torch.tensor([1.0] + [1.0 / unrolled**2 + 0.25] * unrolled)
        yield logits, value, moves, outcome, weights


def sums_by_game(generator: torch.Generator) -> Iterator[Case]:
    """Right answers of two models in games of very different lengths, and draws of games."""
    for games, number in ((12, 200), (30, 400)):
        count = torch.randint(3, 60, (games,), generator=generator)
        hard = torch.rand(games, generator=generator, dtype=torch.float64)
        without = (count * hard * 0.8).round()
        better = torch.rand(games, generator=generator, dtype=torch.float64)
        with_ = (without + count * 0.2 * better).round()
        drawn = torch.randint(games, (number, games), generator=generator)
        yield with_, without, count, drawn


def the_order_of_neighbors_does_not_matter(answer) -> None:
    generator = torch.Generator().manual_seed(3)
    encoded = torch.randn(2, 3, 2, 2, generator=generator)
    embedded = torch.randn(2, 5, 4, 2, 2, generator=generator)
    present = torch.rand(2, 5, generator=generator) < 0.7
    order = torch.tensor([3, 0, 4, 1, 2])
    one = answer(encoded, embedded, present, 5)
    other = answer(encoded, embedded[:, order], present[:, order], 5)
    if not torch.allclose(one, other, atol=1e-5):
        raise CheckFailed("The neighbors are a set: in another order they must give the same")


def what_an_absent_neighbor_holds_does_not_matter(answer) -> None:
    embedded = torch.ones(1, 2, 1, 1, 1)
    embedded[0, 1] = torch.nan
    got = answer(torch.zeros(1, 1, 1, 1), embedded, torch.tensor([[True, False]]), 4)
    if bool(torch.isnan(got).any()):
        raise CheckFailed(
            "An absent neighbor that holds NaN makes the result NaN, as 0 * NaN is NaN: choose with"
            " torch.where, do not multiply"
        )


def no_position_finds_its_game(answer) -> None:
    generator = torch.Generator().manual_seed(4)
    game = torch.arange(20).repeat_interleave(5)
    keys = torch.randn(100, 3, generator=generator, dtype=torch.float64)
    found = answer(keys, game, 4)
    if bool((found == torch.arange(100)[:, None]).any()):
        raise CheckFailed("A position finds itself: ask the half that does not hold its game")
    if bool((game[found] == game[:, None]).any()):
        raise CheckFailed("A position finds its own game: ask the half that does not hold it")


def nothing_chosen_changes_nothing(answer) -> None:
    neighbors, game, chosen, giver = next(neighbors_to_exchange(torch.Generator().manual_seed(5)))
    got = answer(neighbors, game, torch.zeros_like(chosen), giver)
    if not torch.equal(got.planes, neighbors.planes):
        raise CheckFailed("Where `chosen` is False everywhere, all neighbors must stay")


def a_perfect_prediction_costs_nothing(answer) -> None:
    moves, outcome = torch.tensor([[4, 2, -1, -1]]), torch.tensor([1.0])
    logits = torch.zeros(1, 3, PASS + 1)
    logits[0, 0, 4] = logits[0, 1, 2] = 100.0
    value = torch.tensor([[1.0, -1.0, 1.0]])
    policy, error = answer(logits, value, moves, outcome, torch.ones(3))
    if float(policy) > 1e-4 or float(error) > 1e-4:
        raise CheckFailed(
            "A game of two moves that is predicted perfectly, with the values 1, -1, 1, must cost"
            f" nothing, here it costs {float(policy):.3g} and {float(error):.3g}"
        )


def a_gain_in_every_game_has_no_width(answer) -> None:
    count = torch.tensor([10, 20, 30])
    without = torch.tensor([1.0, 9.0, 20.0], dtype=torch.float64)
    drawn = torch.randint(3, (50, 3), generator=torch.Generator().manual_seed(6))
    mean, low, high = answer(without + 0.1 * count, without, count, drawn)
    if not all(abs(float(x) - 0.1) < 1e-6 for x in (mean, low, high)):
        raise CheckFailed(
            "One model is better by 0.1 in every game: mean, low and high are all 0.1, here they"
            f" are {float(mean):.3g}, {float(low):.3g}, {float(high):.3g}"
        )
