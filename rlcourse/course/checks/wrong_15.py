"""Plausible wrong answers to the exercises of notebook 15 on neighbors, for naming mistakes."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rlcourse.course.grading import Mistake
from rlcourse.experiments import go_retrieval_lesson as lesson
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


def halves_with(same: bool = False, offset: bool = True, rows: bool = False, skip: int = 0):
    """The search in halves with one of its steps changed; the nearest `skip` are left out."""

    def wrong(keys: Tensor, game: Tensor, k: int) -> Tensor:
        number = torch.arange(len(keys)) if rows else game
        found = torch.empty(len(keys), k, dtype=torch.int64)
        for asking in (0, 1):
            here = (number % 2 == asking).nonzero().flatten()
            there = here if same else (number % 2 != asking).nonzero().flatten()
            places = nearest(keys[here], keys[there], k + skip, 1024)[1][:, skip:]
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


def halves_without_game(keys: Tensor, game: Tensor, k: int) -> Tensor:
    far = torch.cdist(keys, keys).masked_fill(game[:, None] == game, math.inf)
    return far.topk(k, largest=False).indices


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


def exchange_givers_game(
    neighbors: NeighborInput, game: Tensor, chosen: Tensor, giver: Tensor
) -> NeighborInput:
    right = lesson.exchanged(neighbors, torch.full_like(game, -1), chosen, giver)
    return right._replace(present=right.present & ~(chosen & (game[giver] == game[:, None])))


def exchange_but_own(
    neighbors: NeighborInput, game: Tensor, chosen: Tensor, giver: Tensor
) -> NeighborInput:
    of_giver = neighbors.game[giver, torch.arange(chosen.shape[1])]
    return lesson.exchanged(neighbors, game, chosen & (of_giver != game[:, None]), giver)


def exchange_old_games(
    neighbors: NeighborInput, game: Tensor, chosen: Tensor, giver: Tensor
) -> NeighborInput:
    return lesson.exchanged(neighbors, game, chosen, giver)._replace(game=neighbors.game)


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
        "The sum is divided by the root of K, of the places in `embedded`: N is `num_neighbors`,"
        " which may be another number",
        fuse_with(lambda present, number: present.shape[1] ** -0.5),
    ),
    Mistake(
        "This is the mean over the K places in `embedded`: sum, and divide by the square root of N",
        fuse_with(lambda present, number: 1.0 / present.shape[1]),
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
        "The own half answers, without the nearest: the next ones are of the same game, ask the"
        " other half",
        halves_with(same=True, skip=1),
    ),
    Mistake(
        "Only the own game is left out: the whole half that holds it must not answer",
        halves_without_game,
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
        "The game of the giver is compared: what counts is the game of the neighbor that it gives",
        exchange_givers_game,
    ),
    Mistake(
        "A neighbor that would be replaced by one from the own game stays: replace it, and make it"
        " absent",
        exchange_but_own,
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
