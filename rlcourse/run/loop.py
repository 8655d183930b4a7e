"""The loop that every agent of the course runs in: act, step, update, record, and resume.

One step of the loop steps all B instances of the environment once. The loop keeps the books (the
current step, metrics not yet written, returns of the episodes under way); what is learned is the
agent's, what is random is the agent's and the environment's. A checkpoint holds all of it, so a
run that was stopped and started again does exactly what an uninterrupted one does.

One metric is the loop's own: `episode_return`, the mean undiscounted return of the episodes that
ended since the line before, over all instances; absent where none ended.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.run.checkpoint import load_checkpoint, save_checkpoint
from rlcourse.run.interrupt import deferred_interrupt, how_to_resume
from rlcourse.run.record import Metric, Record
from rlcourse.types import Agent, Environment, Step, Transition


def run_loop(
    env: Environment,
    agent: Agent,
    num_steps: int,
    *,
    record: Record,
    checkpoint_path: str | Path | None = None,
    checkpoint_every: int = 10_000,
    log_every: int = 1_000,
    evaluate: Callable[[int], Mapping[str, Metric]] | None = None,
    evaluate_every: int = 10_000,
    until: Callable[[], bool] = lambda: False,
    progress: bool = True,
    label: str = "",
) -> int:
    """Run `agent` in `env` until `num_steps` steps are done, from the checkpoint if there is one.

    An interrupt (Ctrl-C, or a notebook's stop button) ends the step under way, saves, says how to
    go on, and returns; a second one stops at once, and the last checkpoint stands.

    Args:
        num_steps: in all, including those of earlier calls that the checkpoint holds.
        record: receives a line every `log_every` steps: the agent's metrics, averaged since the
            line before, and `episode_return`.
        checkpoint_path: None keeps no checkpoint, and the run cannot be resumed.
        checkpoint_every: in steps; also at the start, at the end and at an interrupt.
        evaluate: given the number of steps done, returns metrics for that line. It must take its
            randomness from that number, or from generators that the agent's state holds.
        evaluate_every: in steps; also at the start.
        until: ends the run early when True; it must depend on the states of `env` and `agent` only.
        progress, label: draw a progress bar with the current return, and what stands before it.

    Returns:
        The number of steps done: less than `num_steps` after an interrupt, or ended by `until`.

    Raises:
        NonFiniteMetric: a metric or a refused action is NaN; names it and the last good checkpoint.
        ValueError: a count < 1, or a record and a checkpoint that do not belong together.
    """
    every = {"log": log_every, "evaluate": evaluate_every, "checkpoint": checkpoint_every}
    _check_counts(num_steps=num_steps, **{f"{name}_every": count for name, count in every.items()})
    run = _Run(env, agent, record, Path(checkpoint_path) if checkpoint_path else None)
    books = run.start(num_steps, evaluate)
    bar = tqdm(desc=label, total=num_steps, initial=books.num_done, disable=not progress)
    with bar, deferred_interrupt() as interrupted:
        while not (books.num_done == num_steps or interrupted() or until()):
            run.advance()
            due = {name: books.num_done % count == 0 for name, count in every.items()}
            metrics = books.pop_means() if due["log"] else {}
            _show_return(bar, metrics)
            run.write(metrics | (evaluate(books.num_done) if evaluate and due["evaluate"] else {}))
            if due["checkpoint"] and books.num_done < num_steps:
                run.save()
            bar.update()
        run.save()
        bar.total = books.num_done if until() else num_steps  # a bar that falls short ends in red
    if books.num_done < num_steps and not until():
        print(how_to_resume(books.num_done, num_steps, run.checkpoint_path), file=sys.stderr)
    return books.num_done


def _show_return(bar: tqdm, metrics: Mapping[str, Metric]) -> None:
    if "episode_return" in metrics:
        bar.set_postfix({"return": f"{float(metrics['episode_return']):.3g}"}, refresh=False)


class _Books:
    """What the loop itself must remember between steps."""

    def __init__(self, first: Step) -> None:
        self.num_done = 0
        self.step = first
        self.running_return = torch.zeros_like(first.reward)  # [B]
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor | int] = {}

    def add(self, name: str, total: Tensor, count: Tensor | int) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + total
        self.counts[name] = self.counts.get(name, 0) + count

    def add_arrival(self, step: Step) -> None:
        """Account for a step's rewards; a first step closes the episode before it."""
        ended = step.is_first
        self.add("episode_return", torch.where(ended, self.running_return, 0.0).sum(), ended.sum())
        self.running_return = torch.where(ended, 0.0, self.running_return + step.reward)
        self.step = step
        self.num_done += 1

    def pop_means(self) -> dict[str, Tensor]:
        """Return the mean of each metric since the last call, without those never reported."""
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        reported = {name: mean for name, mean in means.items() if self.counts[name] > 0}
        self.sums, self.counts = {}, {}
        return reported

    def is_finite(self) -> bool:
        return all(bool(torch.isfinite(total).all()) for total in self.sums.values())

    def state_dict(self) -> dict[str, Any]:
        return {**vars(self), "step": self.step._asdict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        state = _to_device(state, self.step.reward.device)
        vars(self).update(state, step=Step(**state["step"]))


class _Run:
    """The parts of a run, and what is done to all of them together."""

    def __init__(
        self, env: Environment, agent: Agent, record: Record, checkpoint_path: Path | None
    ) -> None:
        self.env, self.agent, self.record = env, agent, record
        self.checkpoint_path = checkpoint_path
        self.books = _Books(env.reset())

    @property
    def last_checkpoint(self) -> Path | None:
        path = self.checkpoint_path
        return path if path is not None and path.exists() else None

    def start(
        self, num_steps: int, evaluate: Callable[[int], Mapping[str, Metric]] | None
    ) -> _Books:
        """Return the books at step 0, written down, or those of the checkpoint with its states."""
        if self.last_checkpoint is None:
            self._check_record_is_new()
        else:
            self._resume(num_steps)
        if self.books.num_done == 0:
            self.save()
            self.write(evaluate(0) if evaluate else {})
        return self.books

    def _resume(self, num_steps: int) -> None:
        state = load_checkpoint(self.last_checkpoint)
        self.books.load_state_dict(state["loop"])
        num_done = self.books.num_done
        if num_done > num_steps:
            raise ValueError(
                f"the checkpoint {self.checkpoint_path} is at step {num_done}, beyond the"
                f" num_steps asked for, {num_steps}: ask for more, or use a new folder"
            )
        self.env.load_state_dict(state["env"])
        self.agent.load_state_dict(state["agent"])
        # The line of step 0 is written after the checkpoint of step 0, and will be again.
        self.record.rewind(num_done if num_done > 0 else -1)

    def advance(self) -> None:
        """Take one action in every instance, and one update from what came of it."""
        step_tm1, action = self.books.step, None
        try:
            with torch.no_grad():
                action = self.agent.act(step_tm1)
            step_t = self.env.step(action)
        except (ValueError, RuntimeError):
            self._check_divergence(action)
            raise
        transition = Transition(step_tm1.obs, action, step_t.reward, step_t.discount, step_t.obs)
        metrics = self.agent.update(transition, ~step_t.is_first)
        for name, value in metrics.items():
            self.books.add(name, value.detach(), 1)
        self.books.add_arrival(step_t)

    def _check_divergence(self, action: Tensor | None) -> None:
        """An agent that diverged may fail to act, or act so that the environment refuses, before
        its metrics are due: then raise NonFiniteMetric.
        """
        acted = {} if action is None else {"action": action.double().mean()}
        if self.books.is_finite() and all(map(torch.isfinite, acted.values())):
            return
        self.write(self.books.pop_means() | acted)

    def write(self, metrics: Mapping[str, Metric]) -> None:
        if metrics:
            self.record.write(self.books.num_done, metrics, last_checkpoint=self.last_checkpoint)

    def save(self) -> None:
        if self.checkpoint_path is None:
            return
        if not self.books.is_finite():
            # A NaN that is not due to be written yet must not reach a checkpoint: this raises.
            self.write(self.books.pop_means())
        self.record.flush()
        parts = {"loop": self.books, "env": self.env, "agent": self.agent}
        save_checkpoint(
            self.checkpoint_path, {name: part.state_dict() for name, part in parts.items()}
        )

    def _check_record_is_new(self) -> None:
        if self.record.last_step is not None:
            raise ValueError(
                f"{self.record.folder} holds metrics up to step {self.record.last_step}, and there"
                f" is no checkpoint to resume from (checkpoint_path: {self.checkpoint_path}):"
                " choose another folder, or delete this one to start anew"
            )


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1: got {count}")


def _to_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _to_device(entry, device) for key, entry in value.items()}
    return value
