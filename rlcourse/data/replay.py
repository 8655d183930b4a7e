"""Replay memories: what happened lately, in tensors on a device, to be sampled uniformly.

`Replay` holds single transitions, `SequenceReplay` stretches of T steps with the log-probability
that the behavior gave to each action. Both overwrite the oldest entry when they are full.

Storage is allocated in full at the first `add_`, which fixes shapes and dtypes; observations may be
tensors or dicts of tensors. Entries move to the replay's device as they come, without gradient.
Sampling takes a generator, on any device.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlcourse.types import Sequence, Transition


class Replay:
    """The last `capacity` transitions.

    Args:
        capacity: number of transitions, at least 1.
        device: where they are kept and handed out.

    Raises:
        ValueError: a capacity < 1.
    """

    def __init__(self, capacity: int, device: torch.device | str = "cpu") -> None:
        self._ring = _Ring(capacity, device, "transition")
        self.capacity, self.device = capacity, self._ring.device

    def __len__(self) -> int:
        """Return the number of transitions held."""
        return self._ring.size

    def add_(self, transition: Transition, valid: Bool[Tensor, " B"] | None = None) -> None:
        """Store a batch of transitions, in order.

        Args:
            transition: B transitions.
            valid: False for those that are no real transitions, which are left out; None: all are
                real.

        Raises:
            ValueError: more than `capacity` at once, or other shapes, dtypes or groups of
                observations than those held.
        """
        fields = transition._asdict()
        if valid is not None:
            fields = _map(lambda x: x[valid.to(x.device)], fields)
        self._ring.add_(fields)

    def sample(self, batch_size: int, generator: torch.Generator) -> Transition:
        """Return `batch_size` transitions [B, ...], uniform with replacement.

        Raises:
            ValueError: the replay is empty, or a batch size < 1.
        """
        return Transition(**self._ring.sample(batch_size, generator))

    def state_dict(self) -> dict[str, Any]:
        """Return copies of what is held, without the room that is still free."""
        return self._ring.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`.

        Raises:
            ValueError: the state is of a replay of another capacity.
        """
        self._ring.load_state_dict(state)


class SequenceReplay:
    """The last `capacity` sequences of T consecutive steps, cut from B parallel instances.

    Each step is in one sequence only, and no sequence crosses the end of an episode: where an
    episode ends within a sequence, the rest is padding. `sample` says which steps are real.

    Padding repeats the last observation, with action 0, reward 0.0 and discount 0.0, and log_prob
    +inf: its importance weight is 0, so Retrace stops in front of it by itself. Losses must leave
    it out.

    Args:
        capacity: number of sequences, at least 1.
        length: T, at least 1.
        device: where they are kept and handed out.

    Raises:
        ValueError: a capacity or a length < 1.
    """

    def __init__(self, capacity: int, length: int, device: torch.device | str = "cpu") -> None:
        if length < 1:
            raise ValueError(f"sequences need a length of at least 1: got {length}")
        self._ring = _Ring(capacity, device, "sequence")
        self.capacity, self.length, self.device = capacity, length, self._ring.device
        self._growing: dict[str, Any] | None = None  # of each instance [B, T (+ 1 for obs), ...]
        self._grown = torch.zeros(0, dtype=torch.int64, device=self.device)  # [B] steps so far
        self._starts = torch.zeros(0, dtype=torch.bool, device=self.device)  # [B]

    def __len__(self) -> int:
        """Return the number of sequences held, without those that are still growing."""
        return self._ring.size

    def add_(
        self, transition: Transition, log_prob: Float[Tensor, " B"], valid: Bool[Tensor, " B"]
    ) -> None:
        """Append one step to the sequence of each instance; store the sequences that it completes.

        To be called at every step of the environment, so that steps follow each other. Give the
        `transition` and `valid` that an agent's `update` receives.

        Args:
            transition: one per instance, the next of each.
            log_prob: of the action under the policy that acted.
            valid: False where a fresh episode began instead of a transition: the entry is left
                out, and the sequence before it ends there.

        Raises:
            ValueError: another number of instances, other shapes, dtypes or groups of observations
                than before, or more instances than the capacity.
        """
        valid = valid.to(self.device)
        is_first = torch.ones_like(valid) if self._growing is None else self._starts
        step = _step_fields(transition, log_prob, is_first, self.device)
        if self._growing is not None:
            _check_like(step, self._growing, "steps", axis=1)
        self._ring.checked_count({**step, "valid": valid})
        if self._growing is None:
            self._growing = _map(self._room, step)
            self._grown = torch.zeros_like(valid, dtype=torch.int64)
        self._store_(~valid & (self._grown > 0))
        self._append_(step, valid)
        self._starts = ~valid
        self._store_(self._grown == self.length)

    def sample(
        self, batch_size: int, generator: torch.Generator
    ) -> tuple[Sequence, Bool[Tensor, "T B"]]:
        """Return B sequences, uniform with replacement, and which of their steps are real [T, B].

        Padding, if any, comes after the real steps; the first step is always real.

        Raises:
            ValueError: no sequence is complete yet, or a batch size < 1.
        """
        if not len(self) and self._grown.any():
            raise ValueError(
                f"no sequence of {self.length} steps is complete yet: got {int(self._grown.max())}"
                " steps; wait until len(replay) > 0"
            )
        drawn = self._ring.sample(batch_size, generator)
        drawn = _map(lambda x: x.transpose(0, 1), drawn)  # time-major
        valid, obs = drawn.pop("valid"), drawn.pop("obs")
        return (
            Sequence(
                obs=_map(lambda x: x[:-1], obs), final_obs=_map(lambda x: x[-1], obs), **drawn
            ),
            valid,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return copies of what is held, the growing sequences included."""
        return {
            "ring": self._ring.state_dict(),
            "length": self.length,
            "growing": None if self._growing is None else _map(torch.clone, self._growing),
            "grown": self._grown.clone(),
            "starts": self._starts.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`.

        Raises:
            ValueError: the state is of a replay of another capacity or length.
        """
        if state["length"] != self.length:
            raise ValueError(
                f"the state holds sequences of {state['length']} steps, this replay of"
                f" {self.length}: make the replay with length={state['length']}"
            )
        self._ring.load_state_dict(state["ring"])
        growing = state["growing"]
        self._growing = None if growing is None else _map(self._own, growing)
        self._grown, self._starts = self._own(state["grown"]), self._own(state["starts"])

    def _own(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, copy=True)

    def _room(self, entry: Tensor) -> Tensor:
        """Return zeros [B, T - 1 + n, ...] for an entry of one step [B, n, ...]."""
        shape = (len(entry), self.length - 1 + entry.shape[1], *entry.shape[2:])
        return torch.zeros(shape, dtype=entry.dtype, device=self.device)

    def _append_(self, step: dict[str, Any], valid: Tensor) -> None:
        """Write the valid entries of `step` behind what has grown."""
        rows = valid.nonzero().squeeze(1)
        at = self._grown[rows]

        def write_(growing: Tensor, entry: Tensor) -> None:
            for i in range(entry.shape[1]):  # observations come with the next one
                growing[rows, at + i] = entry[rows, i]

        _map(write_, self._growing, step)
        self._grown[rows] += 1

    def _store_(self, ended: Tensor) -> None:
        """Move the growing sequences that have `ended` [B] to the ring, padded to full length."""
        rows = ended.nonzero().squeeze(1)
        if not len(rows):
            return
        grown = self._grown[rows].unsqueeze(1)  # [n, 1]
        steps = torch.arange(self.length + 1, device=self.device)
        real = steps[:-1] < grown  # [n, T]
        last_seen = torch.minimum(steps, grown)  # [n, T + 1]

        def blanked(name: str, entry: Tensor) -> Tensor:
            padding = ~real.reshape(*real.shape, *[1] * (entry.ndim - 2))
            return entry[rows].masked_fill(padding, math.inf if name == "log_prob" else 0)

        fields = {n: blanked(n, x) for n, x in self._growing.items() if n != "obs"}
        obs = _map(lambda x: x[rows.unsqueeze(1), last_seen], self._growing["obs"])
        self._ring.add_({"obs": obs, **fields, "valid": real})
        self._grown[rows] = 0


class _Ring:
    """Rows of named tensors [capacity, ...], the newest over the oldest."""

    def __init__(self, capacity: int, device: torch.device | str, noun: str) -> None:
        if capacity < 1:
            raise ValueError(f"a replay needs a capacity of at least 1: got {capacity}")
        self.capacity, self.device, self.noun = capacity, torch.device(device), noun
        self.size = 0
        self._cursor = 0  # where the next row goes
        self._rows: dict[str, Any] | None = None

    def add_(self, rows: dict[str, Any]) -> None:
        rows = _map(lambda x: x.detach().to(self.device), rows)
        count = self.checked_count(rows)
        if self._rows is None:
            self._rows = _map(self._room, rows)
        _check_like(rows, self._rows, f"{self.noun}s", axis=0)
        index = (self._cursor + torch.arange(count, device=self.device)) % self.capacity
        _map(lambda held, new: held.index_copy_(0, index, new), self._rows, rows)
        self._cursor = (self._cursor + count) % self.capacity
        self.size = min(self.size + count, self.capacity)

    def checked_count(self, rows: dict[str, Any]) -> int:
        """Return the size of a batch; refuse one that is uneven or too large."""
        counts = {name: len(entry) for name, entry in _leaves(rows)}
        count = counts["reward"]
        if set(counts.values()) != {count}:
            raise ValueError(f"a batch needs one size throughout: got {counts}")
        if count > self.capacity:
            raise ValueError(
                f"{count} {self.noun}s at once do not fit into a capacity of {self.capacity}"
            )
        return count

    def sample(self, batch_size: int, generator: torch.Generator) -> dict[str, Any]:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1: got {batch_size}")
        if self._rows is None or not self.size:
            raise ValueError(f"the replay is empty: add a {self.noun} before sampling")
        index = self._draw(batch_size, generator)
        return _map(lambda held: held[index], self._rows)

    def state_dict(self) -> dict[str, Any]:
        held = self._rows
        return {
            "capacity": self.capacity,
            "size": self.size,
            "cursor": self._cursor,
            "rows": None if held is None else _map(lambda x: x[: self.size].clone(), held),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["capacity"] != self.capacity:
            raise ValueError(
                f"the state is of a replay with capacity {state['capacity']}, this one has"
                f" {self.capacity}: make the replay with capacity={state['capacity']}"
            )
        self.size, self._cursor, self._rows = state["size"], state["cursor"], None
        if state["rows"] is not None:
            self._rows = _map(self._room, state["rows"])
            _map(lambda held, saved: held[: self.size].copy_(saved), self._rows, state["rows"])

    def _draw(self, batch_size: int, generator: torch.Generator) -> Int[Tensor, " B"]:
        index = torch.randint(
            self.size, (batch_size,), generator=generator, device=generator.device
        )
        return index.to(self.device)

    def _room(self, rows: Tensor) -> Tensor:
        shape = (self.capacity, *rows.shape[1:])
        return torch.zeros(shape, dtype=rows.dtype, device=self.device)


def _step_fields(
    transition: Transition, log_prob: Tensor, is_first: Tensor, device: torch.device
) -> dict[str, Any]:
    """Return one step of each instance [B, 1, ...], and obs with the next one [B, 2, ...]."""
    fields = {**transition._asdict(), "log_prob": log_prob, "is_first": is_first}
    obs, next_obs = fields.pop("obs"), fields.pop("next_obs")
    _check_like(next_obs, obs, "observations", axis=None)
    pair = _map(lambda *both: torch.stack(both, 1), obs, next_obs)
    step = {"obs": pair, **_map(lambda x: x.unsqueeze(1), fields)}
    return _map(lambda x: x.detach().to(device), step)


def _map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply `function` to the tensors of dicts with the same keys, as `map` does to lists."""
    if isinstance(tree, dict):
        return {key: _map(function, tree[key], *(other[key] for other in others)) for key in tree}
    return function(tree, *others)


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of nested dicts with their names, as in ("obs/proprio", tensor)."""
    if not isinstance(tree, dict):
        yield name, tree
        return
    for key, entry in tree.items():
        yield from _leaves(entry, f"{name}/{key}" if name else key)


def _check_like(new: Any, held: Any, noun: str, axis: int | None) -> None:
    """Refuse entries of other names, dtypes or shapes than those held, `axis` apart."""
    found, expected = _kinds(new, axis), _kinds(held, axis)
    if found == expected:
        return
    for name in expected | found:
        was, now = (str(kinds.get(name, "absent")) for kinds in (expected, found))
        if was != now:
            raise ValueError(
                f"all {noun} must be alike: {name or 'the tensor'} was {was}, and is {now} now"
            )


def _kinds(tree: Any, axis: int | None) -> dict[str, list[Any]]:
    """Return [dtype, *shape] of each tensor, with "any" for the size of `axis`."""
    kinds = {name: [tensor.dtype, *tensor.shape] for name, tensor in _leaves(tree)}
    if axis is not None:
        for kind in kinds.values():
            kind[1 + axis] = "any"
    return kinds
