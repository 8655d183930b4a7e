"""Positions, their keys and their neighbors in memory: what notebook 14 compares.

A `go.database.Database` keeps keys on disk and one kind of key at a time. Here all layers of one
network and the stones themselves make keys of the same positions, in one pass, with and without a
canonical form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.go.database_config import SYMMETRIES
from rlcourse.go.keys import KeyNetwork, canonical_symmetry, raw_keys
from rlcourse.go.neighbors import Neighbors, composed, inverse, search_boards
from rlcourse.go.pca import PCA
from rlcourse.go.positions import Positions
from rlcourse.go.prediction import PredictionNetwork, Sample
from rlcourse.go.records import Game
from rlcourse.go.rules import Rules
from rlcourse.go.shipped import fingerprint
from rlcourse.go.splits import split_of
from rlcourse.go.symmetry import NUM_SYMMETRIES, transform_planes
from rlcourse.ops.neighbors import nearest as nearest_keys
from rlcourse.run.record import Record

RAW = "raw"
_CHUNK = 16  # batches that are read at a time
_PASS = 1024  # positions that go through the network at a time
Search = Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]]  # as `ops.neighbors.nearest`


def positions_of(
    folder: Path, rules: Rules, games: Sequence[Game], progress: bool = True
) -> Positions:
    """The positions of these games, made where an interrupted call has left some out.

    Raises:
        ValueError: the folder was begun with other games or rules.
    """
    Record(folder, {"games": fingerprint(list(games)), "rules": asdict(rules)})
    there = (folder / "positions.json").exists()
    positions = Positions.open(folder) if there else Positions.create(folder, rules)
    have = positions.numbers()
    missing = [game for game in games if game.number not in have]
    if missing:
        positions.append(missing, progress=progress)
    return positions


def some_games(games: Sequence[Game], num_stored: int, num_query: int) -> list[Game]:
    """The first games to look up in, of the splits train and retrieval, and the first of tests.

    Raises:
        ValueError: there are fewer.
    """
    tests = [game for game in games if split_of(game.number) == "test"][:num_query]
    others = [game for game in games if split_of(game.number) != "test"][:num_stored]
    if len(tests) < num_query or len(others) < num_stored:
        raise ValueError(
            f"{num_stored} games to store and {num_query} to query were asked for, and there are"
            f" {len(others)} and {len(tests)}: ask for fewer, or make more games"
        )
    return sorted(tests + others)


def training_sample(positions: Positions, ids: Int[Tensor, " N"], seed: int) -> Sample:
    """Positions for `prediction.train_network`, which depend on the step alone."""
    held: dict[int, tuple[Tensor, ...]] = {}

    def sample(step: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        chunk, place = divmod(step, _CHUNK)
        if chunk not in held:
            generator = torch.Generator().manual_seed(seed * 1_000_003 + chunk)
            rows = torch.randint(len(ids), (_CHUNK * count,), generator=generator)
            batch = positions.batch(ids[rows])
            held.clear()
            held[chunk] = (batch.planes, batch.next_moves[:, 0], batch.outcome)
        return tuple(part[place * count :][:count] for part in held[chunk])

    return sample


def fit_components(
    network: PredictionNetwork,
    layers: Sequence[str],
    dim: int,
    positions: Positions,
    ids: Int[Tensor, " N"],
    progress: bool = True,
) -> dict[str, PCA]:
    """The main components of each layer's activations on these positions; "value" has no more than
    it has activations."""
    found = {}
    for layer in layers:
        widths = sum(network.activation_blocks(layer, positions.rules.num_points))
        batches = (positions.batch(some).planes for some in ids.split(_PASS))
        dims = min(dim, widths, len(ids) - 1)
        found[layer] = KeyNetwork.fit(network, layer, dims, batches, progress=progress).pca
    return found


@torch.no_grad()
def keys_of(
    network: PredictionNetwork, components: Mapping[str, PCA], planes: Float[Tensor, "B C H W"]
) -> dict[str, Float[Tensor, "B D"]]:
    """The raw keys, and those of each layer, by one pass through the network; on the CPU."""
    planes = planes.to(network.device)
    tower = network.tower(planes)
    layers = {"tower": tower.flatten(1)}
    for name, head in (("policy", network.policy), ("value", network.value)):
        layers[name] = head.features(tower).flatten(1)
    layers["heads"] = torch.cat([layers["policy"], layers["value"]], 1)
    keys = {name: pca.transform(layers[name]).cpu() for name, pca in components.items()}
    return {RAW: raw_keys(planes).cpu(), **keys}


class Stored(NamedTuple):
    """Positions that can be found, and their keys."""

    ids: Int[Tensor, " N"]
    keys: dict[str, Float[Tensor, "N D"]]
    canonical_keys: dict[str, Float[Tensor, "N D"]]  # of the canonical forms
    canonical: Int[Tensor, " N"]  # the symmetry that leads there


class Asked(NamedTuple):
    """Positions to find others for, as `Stored`; S = 8 symmetries."""

    keys: dict[str, Float[Tensor, "B S D"]]
    canonical_keys: dict[str, Float[Tensor, "B D"]]
    canonical: Int[Tensor, " B"]


def store(
    network: PredictionNetwork,
    components: Mapping[str, PCA],
    positions: Positions,
    ids: Int[Tensor, " N"],
    progress: bool = True,
) -> Stored:
    """Keys of stored positions; shows a bar."""
    plain, forms, symmetries = [], [], []
    for some in tqdm(ids.split(_PASS), desc="keys", unit=" k", disable=not progress):
        planes = positions.batch(some).planes
        symmetry = canonical_symmetry(planes)
        plain.append(keys_of(network, components, planes))
        forms.append(keys_of(network, components, transform_planes(planes, symmetry)))
        symmetries.append(symmetry)
    return Stored(ids, _joined(plain), _joined(forms), torch.cat(symmetries))


def ask(
    network: PredictionNetwork, components: Mapping[str, PCA], planes: Float[Tensor, "B C H W"]
) -> Asked:
    """Keys of the eight images of each position, and of its canonical form."""
    images = []
    for g in range(NUM_SYMMETRIES):
        image = transform_planes(planes, torch.full((len(planes),), g))
        images.append(keys_of(network, components, image))
    canonical = canonical_symmetry(planes)
    forms = keys_of(network, components, transform_planes(planes, canonical))
    keys = {name: torch.stack([image[name] for image in images], 1) for name in forms}
    return Asked(keys, forms, canonical)


def find(
    stored: Stored,
    asked: Asked,
    name: str,
    symmetries: str,
    k: int,
    search: Search = nearest_keys,
    block: int = 2048,
) -> Neighbors:
    """The k nearest stored positions, whose ids are those of `Positions`.

    Args:
        stored, asked: of the same network.
        name: of the keys, such as "raw" or "policy".
        symmetries: "none", "canonical" or "query", as in `database_config.Config`.
        k: neighbors.
        search: such as `ops.neighbors.nearest`; notebook 14's exercise.
        block: keys that `search` compares at a time.

    Raises:
        ValueError: no such keys or symmetries.
    """
    if name not in stored.keys or symmetries not in SYMMETRIES:
        raise ValueError(
            f"there are keys {list(stored.keys)} and symmetries {list(SYMMETRIES)}, got {name!r}"
            f" and {symmetries!r}"
        )
    canonical = symmetries == "canonical"
    keys = (stored.canonical_keys if canonical else stored.keys)[name]
    if canonical:
        queries, symmetry = asked.canonical_keys[name][:, None], asked.canonical[:, None]
    else:
        number = NUM_SYMMETRIES if symmetries == "query" else 1
        queries = asked.keys[name][:, :number]
        symmetry = torch.arange(number).expand(len(queries), number)
    none = torch.full((len(queries),), -1)
    one_search = (lambda q, fetch: search(q, keys, fetch, block), len(keys))
    found = search_boards([one_search], queries, symmetry, k, none, lambda ids: ids)
    if canonical:
        back = inverse(stored.canonical[found.ids])
        found = found._replace(symmetry=composed(found.symmetry, back))
    return found._replace(ids=stored.ids[found.ids])


def share_found(
    stored: Stored, asked: Asked, name: str, found: Neighbors, truth: Neighbors
) -> float:
    """Share of the neighbors under all eight symmetries that `found` has, or others as near."""
    rows = torch.searchsorted(stored.ids, found.ids)
    images, keys = asked.keys[name], stored.keys[name]
    hits = 0
    for image, row, last in zip(images, rows, truth.distances[:, -1], strict=True):
        near = (image[:, None] - keys[row]).square().sum(-1).min(0).values  # [K]
        hits += int((near <= last * 1.0001 + 1e-4).sum())
    return hits / truth.ids.numel()


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
