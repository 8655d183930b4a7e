"""Does the input keep the network busy? The training of the retrieval-augmented model on shipped
games, and the share of its time that it waits for batches.

A small store of positions with a database in halves, and neighbors that were searched beforehand,
as in a training at full size; `go.train.train` then runs with no, 4 and 10 retrieved neighbors, its
batches made in a thread while the network learns. *Waited* is the share of its time that the
learner stood still for want of a batch (`go.train.Run.waiting`), on this machine as it is: run this
on a quiet one. Beside it stands what one batch and one update take on their own, best of several
rounds: below a ratio of 1 one thread with a core of its own keeps up; above, it takes at least so
many (`--num-workers`).

There is no peer here: the claim is that the learner waits for less than 10 % of its time.

    python benchmarks/go_pipeline.py
    python benchmarks/go_pipeline.py --device cuda --preset paper --num-workers 4
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import tyro

from rlcourse.course.threads import wait_passively
from rlcourse.go import learn, model, shipped
from rlcourse.go.batches import ABSENT, RETRIEVED, PositionSource
from rlcourse.go.database import Database
from rlcourse.go.database_config import Config
from rlcourse.go.key_shards import compute_keys
from rlcourse.go.keys import KeyNetwork
from rlcourse.go.positions import Positions
from rlcourse.go.precomputed import Precomputed
from rlcourse.go.train import train
from rlcourse.run.record import Record

wait_passively()  # before numba starts its threads

NUM_NEIGHBORS = (0, 4, 10)
WANTED = 0.1  # of the time that is waited, at most
WARM_UP = 2  # updates


class Data(NamedTuple):
    """What a training reads."""

    positions: Positions
    ids: torch.Tensor  # to learn from
    found: Precomputed  # their neighbors


class Row(NamedTuple):
    """A training with `num` neighbors."""

    num: int
    batch: float  # seconds
    update: float
    waited: float  # share of the time


def prepare(folder: Path, num_games: int, num_ids: int) -> Data:
    """Stores the first games, and searches neighbors of some of their positions."""
    rules, games = shipped.load_games()
    positions = Positions.create(folder / "positions", rules)
    positions.append(games[:num_games], progress=False)
    keys = KeyNetwork.load(shipped.key_network_path())
    shards = compute_keys(folder / "keys", positions, keys, progress=False)
    database = Database(folder / "index", positions, keys, shards, Config(split_halves=True))
    database.build(progress=False)
    ids = positions.of_split("train", "retrieval")
    generator = torch.Generator().manual_seed(0)
    ids = ids[torch.randperm(len(ids), generator=generator)[:num_ids].sort().values]
    found = database.precompute(ids, max(NUM_NEIGHBORS), folder / "neighbors", progress=False)
    return Data(positions, ids, found)


def source_of(data: Data, num: int, batch_size: int) -> PositionSource:
    """Batches with `num` neighbors."""
    neighbors_of = (lambda ids: data.found.of(ids, num)) if num else None
    return PositionSource(data.positions, data.ids, batch_size, 0, neighbors_of)


def learner_of(num: int, preset: str, device: str) -> learn.Learner:
    """A fresh network and what trains it."""
    generator = torch.Generator().manual_seed(0)
    sizes = replace(model.PRESETS[preset], num_neighbors=max(num, 1))
    settings = replace(learn.PRESETS[preset], mode=RETRIEVED if num else ABSENT)
    return learn.Learner(settings, model.RetrievalModel(sizes, generator).to(device), generator)


def best(run: Callable[[int], object], rounds: int, device: str) -> float:
    """Seconds of the fastest round, after one that does not count."""
    times = []
    for number in range(rounds + 1):
        begun = time.perf_counter()
        run(number)
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begun)
    return min(times[1:])


def measure(
    data: Data,
    num: int,
    folder: Path,
    *,
    preset: str,
    batch_size: int,
    num_updates: int,
    rounds: int,
    num_workers: int,
    device: str,
) -> Row:
    """One training, then its parts on their own."""
    source, learner = source_of(data, num, batch_size), learner_of(num, preset, device)
    place = folder / f"n{num}"
    keep = {"record": Record(place, {"num_neighbors": num}), "checkpoint_path": place / "state.pt"}
    for upto in (WARM_UP, WARM_UP + num_updates):  # what is compiled at first does not count
        done = train(learner, source, upto, **keep, num_workers=num_workers, progress=False)
    batch = source.batch(0)
    making = best(source.batch, rounds, "cpu")
    updating = best(lambda number: learner.update(batch), rounds, device)
    return Row(num, making, updating, done.waiting)


def main(
    preset: Literal["smoke", "laptop", "paper"] = "laptop",
    batch_size: int = 256,
    num_updates: int = 40,
    rounds: int = 5,
    num_games: int = 300,
    num_ids: int = 4_000,
    num_workers: int = 1,
    device: str = "cpu",
) -> None:
    """Train with no, 4 and 10 neighbors, and time the parts.

    Args:
        preset: of the network and its learning.
        batch_size: observations in a batch.
        num_updates: of each training.
        rounds: of a batch or an update on its own; the fastest counts.
        num_games: stored.
        num_ids: positions to learn from, whose neighbors are searched.
        num_workers: threads that make batches.
        device: of the network.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = prepare(folder, num_games, num_ids)
        settings = {"preset": preset, "batch_size": batch_size, "num_updates": num_updates}
        settings |= {"rounds": rounds, "num_workers": num_workers, "device": device}
        rows = [measure(data, num, folder, **settings) for num in NUM_NEIGHBORS]
    threads = f"made in {num_workers} threads, learned from on {device}"
    print(f"The network of {preset}; batches of {batch_size}, {threads}.\n")
    print("| neighbors | a batch, ms | an update, ms | ratio | waited |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        times = f"{1e3 * row.batch:.1f} | {1e3 * row.update:.1f}"
        print(f"| {row.num} | {times} | {row.batch / row.update:.2f} | {row.waited:.1%} |")
    verdict = "below" if max(row.waited for row in rows) < WANTED else "NOT below"
    print(f"\nThe learner waits for {verdict} {WANTED:.0%} of its time.")


if __name__ == "__main__":
    tyro.cli(main)
