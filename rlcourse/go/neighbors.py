"""What a search over positions returns, and how several searches become one.

Squared distances, as in section 3 of Humphreys et al., "Large-Scale Retrieval for Reinforcement
Learning", NeurIPS 2022. Equal distances are ordered by id, so that results can be repeated.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from rlcourse.go.splits import game_key, half_of
from rlcourse.go.symmetry import NUM_SYMMETRIES, sources

Search = Callable[[Tensor, int], tuple[Tensor, Tensor]]  # as `search` of types.Index


class Neighbors(NamedTuple):
    """The nearest stored positions of B positions, nearest first."""

    ids: Int[Tensor, "B K"]  # int64, of positions; -1 where there is none
    distances: Float[Tensor, "B K"]  # squared L2 of the keys; inf where there is none
    symmetry: Int[Tensor, "B K"]  # int64 0..7: the query under this one resembles the stored board

    def to(self, device: torch.device | str) -> "Neighbors":
        """The same on another device."""
        return Neighbors(*(part.to(device) for part in self))

    def nearest(self, k: int) -> "Neighbors":
        """The first k.

        Raises:
            ValueError: k < 1, or more than there are columns.
        """
        if not 1 <= k <= self.ids.shape[1]:
            raise ValueError(f"k must lie in [1, {self.ids.shape[1]}], got {k}")
        return Neighbors(*(part[:, :k] for part in self))


def no_neighbors(count: int, k: int, device: torch.device | str = "cpu") -> Neighbors:
    """For `count` positions: none found, [B, K]."""
    ids = torch.full((count, k), -1, device=device)
    return Neighbors(ids, torch.full_like(ids, torch.inf, dtype=torch.float32), ids.clamp(min=0))


def merged(parts: Sequence[Neighbors], k: int) -> Neighbors:
    """The k nearest of several searches for the same positions.

    An id that was found more than once counts once, with its smallest distance; of equal distances
    with its smallest symmetry.
    """
    found = Neighbors(*(torch.cat(columns, 1) for columns in zip(*parts, strict=True)))
    found = found._replace(distances=found.distances.masked_fill(found.ids < 0, torch.inf))
    found = _ordered(_ordered(found, lambda x: x.symmetry), lambda x: x.distances)
    found = _ordered(found, lambda x: x.ids)
    repeated = torch.zeros_like(found.ids, dtype=torch.bool)
    repeated[:, 1:] = found.ids[:, 1:] == found.ids[:, :-1]
    distances = found.distances.masked_fill(repeated, torch.inf)
    return _first(found._replace(distances=distances), k)


def search_others(
    search: Search,
    size: int,
    queries: Float[Tensor, "B D"],
    k: int,
    exclude: Int[Tensor, " B"],
    game_of: Callable[[Tensor], Tensor],
) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]]:
    """The k nearest that belong to other games than the query.

    More than k are fetched, and twice as many again for the queries that lack neighbors, until
    there are k or the index has no more to give. An index of lists may end sooner: it gives no more
    than the lists that it visits hold.

    Args:
        search: of the index.
        size: keys in the index.
        queries: their keys, on the CPU.
        exclude: `splits.game_key` of each query; -1: none.
        game_of: ids [N], all >= 0 -> their keys of games [N].
    """
    distances = torch.full((len(queries), k), torch.inf)
    ids = torch.full((len(queries), k), -1)
    rest = torch.arange(len(queries))
    fetch = k if bool((exclude < 0).all()) else 2 * k + 16
    while len(rest) and size:
        fetch = min(max(fetch, 1), size)
        far, found = search(queries[rest], fetch)
        games = game_of(found.clamp(min=0).flatten()).view_as(found)
        usable = (found >= 0) & (games != exclude[rest, None])
        done = (usable.sum(1) >= k) | (found < 0).any(1) | (fetch >= size)
        order = (~usable).to(torch.uint8).argsort(dim=1, stable=True)[done, :k]
        width, row = order.shape[1], rest[done]
        usable = usable[done].gather(1, order)
        distances[row, :width] = far[done].gather(1, order).masked_fill(~usable, torch.inf)
        ids[row, :width] = found[done].gather(1, order).masked_fill(~usable, -1)
        rest, fetch = rest[~done], 2 * fetch
    return distances, ids


def search_boards(
    searches: Sequence[tuple[Search, int]],
    queries: Float[Tensor, "B S D"],
    symmetry: Int[Tensor, "B S"],
    k: int,
    exclude: Int[Tensor, " B"],
    game_of: Callable[[Tensor], Tensor],
) -> Neighbors:
    """The k nearest to any of the S boards of a query, in one index or in two halves by game.

    Args:
        searches: of an index and how many keys it holds; where there are two, number h holds the
            games of parity h, and a query from such a game asks the other one.
        queries: keys of the boards, on the CPU.
        symmetry: by which each board was made.
        k: neighbors.
        exclude: `splits.game_key` of each query; -1: none, which asks all.
        game_of: ids [N], all >= 0 -> their keys of games [N].
    """
    count, num = symmetry.shape
    parts = []
    for half, (search, size) in enumerate(searches):
        games = exclude
        asked = torch.ones(count, dtype=torch.bool)
        if len(searches) > 1:
            asked = (exclude < 0) | (half_of(exclude) != half)
            games = torch.full_like(exclude, -1)  # the other half does not hold the game
        boards, games = queries[asked].flatten(0, 1), games[asked].repeat_interleave(num)
        distances, ids = search_others(search, size, boards, k, games, game_of)
        found = no_neighbors(count, num * k)
        found.ids[asked] = ids.view(-1, num * k)
        found.distances[asked] = distances.view(-1, num * k)
        parts.append(found._replace(symmetry=symmetry.repeat_interleave(k, 1)))
    return merged(parts, k)


def composed(first: Int[Tensor, "*B"], second: Int[Tensor, "*B"]) -> Int[Tensor, "*B"]:
    """The symmetry that does what `first` and then `second` do."""
    table, _ = _tables()
    return table.to(first.device)[first, second]


def inverse(symmetry: Int[Tensor, "*B"]) -> Int[Tensor, "*B"]:
    """The symmetry that undoes this one."""
    _, table = _tables()
    return table.to(symmetry.device)[symmetry]


def _ordered(found: Neighbors, key: Callable[[Neighbors], Tensor]) -> Neighbors:
    order = key(found).argsort(dim=1, stable=True)
    return Neighbors(*(part.gather(1, order) for part in found))


def _first(found: Neighbors, k: int) -> Neighbors:
    """The k nearest; those at distance inf are none, and so is what is missing."""
    found = Neighbors(*(part[:, :k] for part in _ordered(found, lambda x: x.distances)))
    none = found.distances.isinf()
    ids, symmetry = found.ids.masked_fill(none, -1), found.symmetry.masked_fill(none, 0)
    missing = (0, k - ids.shape[1])
    distances = pad(found.distances, missing, value=torch.inf)
    return Neighbors(pad(ids, missing, value=-1), distances, pad(symmetry, missing))


def _tables() -> tuple[Tensor, Tensor]:
    """What two symmetries make together [8, 8], and what undoes each [8]; the same on any board."""
    points = sources(3)  # the smallest board on which all eight differ in what they do
    both = points[:, points].view(NUM_SYMMETRIES**2, -1)  # [g, h] holds points[g][points[h]]
    table = (both[:, None] == points).all(-1).int().argmax(-1)
    table = table.view(NUM_SYMMETRIES, NUM_SYMMETRIES)
    return table, (table == 0).int().argmax(-1)  # symmetry 0 changes nothing


def query_games(
    exclude_game: Tensor | None, count: int, k: int, exclude_source: Tensor | None = None
) -> Tensor:
    """`splits.game_key` of the game of each query on the CPU, -1 for none.

    Args:
        exclude_game: numbers; -1 for none; None: none for all.
        count: of the queries.
        k: neighbors.
        exclude_source: that number the games; None: source 0.

    Raises:
        ValueError: k < 1, or another number of games or sources than of positions.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if exclude_game is None:
        return torch.full((count,), -1)
    if exclude_game.shape != (count,):
        raise ValueError(
            f"exclude_game must have shape [{count}], one game for each position, got"
            f" {list(exclude_game.shape)}"
        )
    games = exclude_game.cpu().long()
    if exclude_source is None:
        return games
    if exclude_source.shape != (count,):
        raise ValueError(
            f"exclude_source must have shape [{count}], one source for each position, got"
            f" {list(exclude_source.shape)}"
        )
    return torch.where(games < 0, -1, game_key(games, exclude_source.cpu().long()))
