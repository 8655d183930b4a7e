"""Which positions a database stores, and how it finds them.

**Deviations**: Humphreys et al. 2022 state neither the sizes nor the settings of their index, nor
symmetries; they take a share of the data set at random. The presets are our choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.go.splits import SPLITS, splitmix64

if TYPE_CHECKING:
    from rlcourse.go.key_shards import KeyShards
    from rlcourse.go.keys import KeyNetwork
    from rlcourse.go.positions import Positions

EXACT = "exact"
SYMMETRIES = ("none", "canonical", "query")


@dataclass(frozen=True)
class Config:
    """Which positions are stored, and how they are found. The paper states none of the settings.

    Attributes:
        index: "exact", or a factory of FAISS, see `data.faiss_index.FaissIndex`.
        nprobe, ef, rerank: of FAISS; the first two may change without building anew.
        num_train: keys that FAISS is trained on, in each half; 40 a list are enough.
        split_halves: an index for the games of each parity, as the paper has.
        fraction: share of the games. Those of a smaller share are among those of a larger one.
        splits: of `splits.split_of`.
        expert_sources: `splits` and `fraction` choose among their games; of the other sources, such
            as games of the agent, all are stored.
        symmetries: "none"; "canonical": the key network turns positions into a canonical form;
            "query": all eight symmetries of the query are searched.
        seed: of the sample that FAISS is trained on, and of the share of the games.
        rows_per_add: keys that are in memory at a time while the index is filled.
    """

    index: str = EXACT
    nprobe: int | None = None
    ef: int | None = None
    rerank: int = 0
    num_train: int = 200_000
    split_halves: bool = False
    fraction: float = 1.0
    splits: tuple[str, ...] = ("train", "retrieval")
    expert_sources: tuple[int, ...] = (0,)
    symmetries: str = "none"
    seed: int = 0
    rows_per_add: int = 1 << 18

    def __post_init__(self) -> None:
        for name in ("num_train", "rows_per_add"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must lie in (0, 1], got {self.fraction}")
        if not self.splits or not set(self.splits) <= set(SPLITS):
            raise ValueError(f"splits must be some of {', '.join(SPLITS)}, got {self.splits}")
        if self.symmetries not in SYMMETRIES:
            raise ValueError(
                f"symmetries must be one of {', '.join(SYMMETRIES)}, got {self.symmetries!r}"
            )
        given = (self.nprobe, self.ef, self.rerank)
        if self.index == EXACT and given != (None, None, 0):
            raise ValueError(f"nprobe, ef, rerank belong to FAISS, not to {EXACT!r}, got {given}")


PRESETS = {
    "smoke": Config(),
    "laptop": Config("IVF1024,PQ32x4fs,Refine(SQ8)", nprobe=32, rerank=8, split_halves=True),
    # The paper's data set has 50 million positions; its index is not described.
    "paper": Config(
        "IVF65536,PQ32x4fs,Refine(SQ8)",
        nprobe=64,
        rerank=8,
        num_train=40 * 65536,
        split_halves=True,
    ),
}


def check_fits(
    config: Config,
    shards: "KeyShards",
    keys: "KeyNetwork",
    has_form: bool,
    device: torch.device,
) -> None:
    """Compares what a database is made of.

    Raises:
        ValueError: settings that do not fit one another or the keys.
    """
    if shards.key_fingerprint != keys.fingerprint:
        raise ValueError(
            f"the keys in {shards.folder} are of the network {shards.key_fingerprint!r}, not of"
            f" {keys.fingerprint!r}: open them with the network that they were made by"
        )
    canonical = config.symmetries == "canonical"
    if canonical != has_form or canonical != shards.canonical:
        raise ValueError(
            "a canonical form takes all of symmetries='canonical', canonical_form and keys that"
            f" were computed with it, got symmetries={config.symmetries!r},"
            f" {'a' if has_form else 'no'} canonical_form and keys"
            f" {'with' if shards.canonical else 'without'} one"
        )
    if config.index != EXACT and device.type != "cpu":
        raise ValueError(
            f"FAISS searches {config.index!r} on the CPU, got device={device}: leave device"
            f" out, or choose index={EXACT!r}"
        )


def chosen(
    config: Config, positions: "Positions", start: int, stop: int, removed: Sequence[int] = ()
) -> Int[Tensor, " N"]:
    """The positions from `start` to `stop` that are stored, ascending, without some sources."""
    mask = torch.zeros(len(positions), dtype=torch.bool)
    mask[positions.of_split(*config.splits, sources=config.expert_sources)] = True
    if config.fraction < 1:
        mask &= rank_of(positions.games, config.seed) < config.fraction
    mask |= ~torch.isin(positions.sources, torch.tensor(config.expert_sources))
    if removed:
        mask &= ~torch.isin(positions.sources, torch.tensor(list(removed)))
    return mask[start:stop].nonzero().flatten() + start


def rank_of(games: Int[Tensor, " N"], seed: int) -> Float[Tensor, " N"]:
    """A number in [0, 1) for each game that looks random: the hash splitmix64 of number and seed.

    The games of rank below f are a share f of all, and among those of rank below any larger f.
    """
    x = splitmix64(games.numpy().astype(np.uint64) + np.uint64(seed % 2**32 << 32))
    return torch.from_numpy((x >> np.uint64(11)).astype(np.float64) / 2.0**53)
