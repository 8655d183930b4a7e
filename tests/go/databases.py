"""Databases of small boards."""

import dataclasses

import pytest
import torch

from rlcourse.go.database import Config, Database
from rlcourse.go.key_shards import compute_keys
from tests.go.stored_worlds import Boards, Projection, canonical_form, images_of

EVERY = ("train", "retrieval", "test")


INDEXES = {
    "exact": Config(),
    "lists": Config("IVF4,Flat", nprobe=4),
    "codes": Config("IVF4,PQ4x4fs,Refine(SQ8)", nprobe=4, rerank=64),
    "graph": Config("HNSW16", ef=64),
    "halves": Config(split_halves=True),
    "halves of lists": Config("IVF4,Flat", nprobe=4, split_halves=True),
    "all symmetries": Config(symmetries="query"),
    "halves, all symmetries": Config(split_halves=True, symmetries="query"),
}


every_index = pytest.mark.parametrize("config", INDEXES.values(), ids=INDEXES.keys())


class World:
    """A database with what it is made of."""

    def __init__(self, folder, config=None, num_games=40, **kwargs):
        self.config = dataclasses.replace(config or Config(), rows_per_add=50)
        self.positions = Boards(num_games)
        self.keys = Projection(canonical=self.config.symmetries == "canonical")
        self.form = canonical_form if self.keys.canonical else None
        self.folder = folder
        self.shards = self.computed()
        self.database = self.opened(**kwargs)

    def computed(self):
        folder, form = self.folder / "keys", self.form
        return compute_keys(
            folder, self.positions, self.keys, dtype="float32", canonical_form=form,
            rows_per_shard=100, progress=False,
        )  # fmt: skip

    def opened(self, **changes):
        config = dataclasses.replace(self.config, **changes)
        return Database(
            self.folder / "index", self.positions, self.keys, self.shards, config,
            canonical_form=self.form,
        )  # fmt: skip

    def built(self):
        self.database.build(progress=False)
        return self.database


def expected_ids(world, planes, k, allowed):
    """Brute force over the stored boards; `allowed` [B, N] says which may be found."""
    stored = world.keys(world.positions.planes)
    images = images_of(planes) if world.config.symmetries == "query" else planes[:, None]
    asked = torch.stack([world.keys(some) for some in images])  # [B, S, D]
    distances = (asked[:, :, None].double() - stored.double()).square().sum(-1).amin(1)
    distances = distances.masked_fill(~allowed, torch.inf)
    values, ids = distances.sort(dim=1, stable=True)
    return ids.masked_fill(values.isinf(), -1)[:, :k]
