"""A run of the learner, from batches to checkpoints, and the evaluation of what it has learned.

The learner holds what is learned and what is random, a source gives the same batch for a step
whenever it is asked, and a checkpoint holds the learner and the metrics that were not written yet:
a run that was stopped and started again does exactly what an uninterrupted one does.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from rlcourse.go.batches import RETRIEVED, Prefetched, Source, TrainingBatch, in_mode
from rlcourse.nets.precision import mixed_precision
from rlcourse.run.checkpoint import load_checkpoint, save_checkpoint
from rlcourse.run.interrupt import deferred_interrupt, how_to_resume
from rlcourse.run.record import Metric, Record

if TYPE_CHECKING:
    from rlcourse.go.learn import Learner
    from rlcourse.go.model import RetrievalModel


class Run(NamedTuple):
    """How a call of `train` ended."""

    num_updates: int  # in all; less than were asked for after an interrupt
    waiting: float  # share of its time that the learner waited for batches, see `Prefetched`


def train(
    learner: "Learner",
    source: Source,
    num_updates: int,
    *,
    record: Record,
    checkpoint_path: str | Path | None = None,
    checkpoint_every: int = 1_000,
    log_every: int = 100,
    evaluate: Callable[[int], Mapping[str, Metric]] | None = None,
    evaluate_every: int = 1_000,
    ahead: int = 2,
    num_workers: int = 1,
    progress: bool = True,
    label: str = "",
) -> Run:
    """Trains until `num_updates` updates are done, from the checkpoint if there is one.

    An interrupt (Ctrl-C, or a notebook's stop button) ends the update under way, saves, says how to
    go on, and returns; a second one stops at once, and the last checkpoint stands.

    Args:
        num_updates: in all, including those of earlier calls that the checkpoint holds.
        record: receives a line every `log_every` updates: the learner's metrics, averaged since the
            line before.
        checkpoint_path: None keeps no checkpoint, and the run cannot be resumed.
        checkpoint_every: in updates; also at the start, at the end and at an interrupt.
        evaluate: given the number of updates done, returns metrics for that line; called every
            `evaluate_every` updates, and at the start.
        ahead, num_workers: of `Prefetched`; the share of time that was waited is in the bar.
        progress, label: draw a progress bar, and what stands before it.

    Raises:
        NonFiniteMetric: a metric is NaN; names it and the last good checkpoint.
        ValueError: a count < 1, or settings, record and checkpoint that do not belong together.
    """
    every = {"log": log_every, "evaluate": evaluate_every, "checkpoint": checkpoint_every}
    _check_counts(num_updates=num_updates, **{f"{name}_every": x for name, x in every.items()})
    books = _Books(learner, record, Path(checkpoint_path) if checkpoint_path else None)
    books.start(num_updates, evaluate)
    pin = learner.device.type == "cuda"
    batches = Prefetched(source, ahead, num_workers=num_workers, end=num_updates, pin=pin)
    bar = tqdm(desc=label, total=num_updates, initial=learner.num_updates, disable=not progress)
    with batches, bar, deferred_interrupt() as interrupted:
        while learner.num_updates < num_updates and not interrupted():
            _finish(learner.device)
            books.add(learner.update(batches.batch(learner.num_updates)))
            done = learner.num_updates
            due = {name: done % count == 0 for name, count in every.items()}
            line = books.pop_means() if due["log"] else {}
            _show(bar, line, batches)
            books.write(line | (dict(evaluate(done)) if evaluate and due["evaluate"] else {}))
            if due["checkpoint"] and done < num_updates:
                books.save()
            bar.update()
        books.save()
    if learner.num_updates < num_updates:
        print(how_to_resume(learner.num_updates, num_updates, checkpoint_path), file=sys.stderr)
    return Run(learner.num_updates, batches.waiting)


class _Books:
    """The metrics that were not written yet, and where everything is kept."""

    def __init__(self, learner: "Learner", record: Record, path: Path | None) -> None:
        self._learner, self._record, self._path = learner, record, path
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    @property
    def _last_checkpoint(self) -> Path | None:
        return self._path if self._path is not None and self._path.exists() else None

    def start(
        self, num_updates: int, evaluate: Callable[[int], Mapping[str, Metric]] | None
    ) -> None:
        """Go on from the checkpoint, or write down where a new run begins."""
        if self._last_checkpoint is None:
            self._check_is_new()
        else:
            self._resume(num_updates)
        if self._learner.num_updates == 0:
            self.save()
            self.write(evaluate(0) if evaluate else {})

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        for name, value in metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def pop_means(self) -> dict[str, Metric]:
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    def write(self, metrics: Mapping[str, Metric]) -> None:
        if metrics:
            done, last = self._learner.num_updates, self._last_checkpoint
            self._record.write(done, metrics, last_checkpoint=last)

    def save(self) -> None:
        if self._path is None:
            return
        if not all(bool(torch.isfinite(total)) for total in self._sums.values()):
            # A NaN that is not due to be written yet must not reach a checkpoint: this raises.
            self.write(self.pop_means())
        self._record.flush()
        books = {"sums": self._sums, "count": self._count}
        save_checkpoint(self._path, {"learner": self._learner.state_dict(), "books": books})

    def _resume(self, num_updates: int) -> None:
        state = load_checkpoint(self._last_checkpoint)
        done = state["learner"]["num_updates"]
        if done > num_updates:
            raise ValueError(
                f"the checkpoint {self._path} is at update {done}, beyond the num_updates asked"
                f" for, {num_updates}: ask for more, or use a new folder"
            )
        self._learner.load_state_dict(state["learner"])
        device = self._learner.device
        self._sums = {name: x.to(device) for name, x in state["books"]["sums"].items()}
        self._count = state["books"]["count"]
        # The line of update 0 is written after the checkpoint of update 0, and will be again.
        self._record.rewind(done if done > 0 else -1)

    def _check_is_new(self) -> None:
        if self._record.last_step is not None:
            raise ValueError(
                f"{self._record.folder} holds metrics up to update {self._record.last_step}, and"
                f" there is no checkpoint to resume from (checkpoint_path: {self._path}): choose"
                " another folder, or delete this one to start anew"
            )
        if self._learner.num_updates:
            raise ValueError(
                f"the learner has made {self._learner.num_updates} updates, and there is no"
                " checkpoint of them: give a fresh learner, or the checkpoint's path"
            )


def _finish(device: torch.device) -> None:
    """Wait for the GPU: its queue of work would count as waiting for the next batch."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")


def _show(bar: tqdm, line: Mapping[str, Any], batches: Prefetched) -> None:
    if line:
        shown = {name: f"{float(line[name]):.3f}" for name in ("loss", "accuracy")}
        bar.set_postfix({**shown, "waiting": f"{batches.waiting:.0%}"}, refresh=False)


@torch.no_grad()
def evaluate(
    model: "RetrievalModel",
    batches: Iterable[TrainingBatch],
    *,
    mode: str = RETRIEVED,
    num_neighbors: int | None = None,
    precision: str = "float32",
) -> dict[str, Tensor]:
    """How well the model predicts the expert's next move and the outcome, without further moves.

    Args:
        batches: of positions at which a move was played, any number per game.
        mode: see `batches.in_mode`; one network can be asked with and without neighbors.
        num_neighbors: N of Eq. 2, by which the sum over neighbors is scaled and no more: how many
            there are, the batches say. None: that of the model's configuration.
        precision: "float32" or "bfloat16".

    Returns:
        accuracy, cross_entropy (nats) and value_error (mean squared error), each a float64 mean
        over positions; and for intervals over games: game [G], the numbers in ascending order;
        count [G], positions of each; and sum/accuracy, sum/cross_entropy, sum/value_error [G]. All
        on the CPU.

    Raises:
        ValueError: an unknown mode or precision, no positions, one without a next move, no
            neighbors where the mode needs them, or num_neighbors < 1.
    """
    device = next(model.parameters()).device
    games, results = [], []
    for batch in batches:
        if bool((batch.next_moves[:, 0] < 0).any()):
            raise ValueError("a position without a next move cannot be evaluated: leave it out")
        games.append(batch.game.cpu())
        batch = in_mode(batch, mode).to(device)
        with mixed_precision(precision, device):
            state = model.represent(batch.planes, batch.neighbors, num_neighbors)
            logits, value = model.predict(state)
        results.append(_results(logits, value, batch).cpu())
    if not results:
        raise ValueError("there is nothing to evaluate: no batches came")
    return _by_game(torch.cat(games), torch.cat(results))


_RESULTS = ("accuracy", "cross_entropy", "value_error")


def _results(logits: Tensor, value: Tensor, batch: TrainingBatch) -> Float[Tensor, "B 3"]:
    move = batch.next_moves[:, 0].long()
    hit = logits.argmax(-1) == move
    lost = cross_entropy(logits.float(), move, reduction="none")
    return torch.stack([hit, lost, (value.float() - batch.outcome).square()], 1).double()


def _by_game(game: Int[Tensor, " N"], results: Float[Tensor, "N 3"]) -> dict[str, Tensor]:
    games, which, count = game.unique(return_inverse=True, return_counts=True)
    sums = results.new_zeros(len(games), results.shape[1]).index_add_(0, which, results)
    means = dict(zip(_RESULTS, results.mean(0).unbind(), strict=True))
    totals = {f"sum/{name}": x for name, x in zip(_RESULTS, sums.unbind(1), strict=True)}
    return {**means, "game": games, "count": count, **totals}
