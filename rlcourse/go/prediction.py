"""A network that predicts the expert's move and the game's outcome, without retrieval.

Humphreys et al. 2022 (arXiv 2206.05314) train such a network first; activations of one
of its layers make the keys of the nearest-neighbor search (`go.keys`). For a position o with the
expert's move a and the outcome z, +1 where the player to move there wins and -1 where it loses,

    loss = -log pi(a | o) + c (v(o) - z)^2,      over a batch.                       (loss)

    symbol   name here
    pi, v    `Prediction.logits` (as a softmax), `Prediction.value`
    c        Config.value_weight

**Deviations**: the appendix that gives the paper's architecture, optimizer, sizes and schedule was
not at hand. Ours: `nets.boards` (residual blocks without normalization), AdamW (Loshchilov and
Hutter 2019, arXiv 1711.05101) on all parameters, a learning rate that falls in steps (the paper
speaks of sharp transitions from its own), and positions under random symmetries of the board.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from rlcourse.go.rules import NUM_PLANES
from rlcourse.go.symmetry import NUM_SYMMETRIES, transform_moves, transform_planes
from rlcourse.nets.boards import PolicyHead, Tower, ValueHead
from rlcourse.run.checkpoint import load_checkpoint, save_checkpoint
from rlcourse.run.record import Metric, NonFiniteMetric, Record

LAYERS = ("tower", "policy", "value", "heads")
Layer = Literal["tower", "policy", "value", "heads"]

# Given the step and B: planes [B, C, H, W], the experts' moves [B], outcomes [B] for who moves.
Sample = Callable[[int, int], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Config:
    """The network, its training, and the keys made from it. The paper's values are not known."""

    channels: int = 64  # of the tower
    blocks: int = 6
    hidden: int = 32  # planes in each head
    num_steps: int = 20_000
    batch_size: int = 512
    learning_rate: float = 1e-3
    drops: tuple[float, ...] = (0.6, 0.85)  # shares of the steps after which the rate falls
    drop_factor: float = 0.1
    weight_decay: float = 1e-4
    value_weight: float = 1.0  # c
    augment: bool = True  # each example under a random symmetry of the board
    layer: Layer = "tower"  # whose activations make the keys
    dim: int = 64  # D, of the keys
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("channels", "hidden", "num_steps", "batch_size", "dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("blocks", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0.0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        for name in ("weight_decay", "value_weight"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0.0 < self.drop_factor <= 1.0:
            raise ValueError(f"drop_factor must lie in (0, 1], got {self.drop_factor}")
        if list(self.drops) != sorted(self.drops) or not all(0.0 < x < 1.0 for x in self.drops):
            raise ValueError(f"drops must be rising shares in (0, 1), got {self.drops}")
        check_layer(self.layer)


class Prediction(NamedTuple):
    """What a network says of B positions."""

    logits: Tensor  # [B, A] of the expert's move
    value: Tensor  # [B] expected outcome for the player to move, in (-1, 1)


class PredictionNetwork(nn.Module):
    """A residual tower with a policy and a value head.

    Args:
        channels, blocks, hidden: as in `Config`.
        generator: of the weights, on the device where they are to be.
        num_planes: C, planes that come in.
    """

    def __init__(
        self,
        channels: int,
        blocks: int,
        hidden: int,
        generator: torch.Generator,
        num_planes: int = NUM_PLANES,
    ) -> None:
        super().__init__()
        self.sizes = {
            "channels": channels,
            "blocks": blocks,
            "hidden": hidden,
            "num_planes": num_planes,
        }
        self.tower = Tower(num_planes, channels, blocks, generator)
        self.policy = PolicyHead(channels, generator, hidden)
        self.value = ValueHead(channels, generator, hidden)

    @property
    def device(self) -> torch.device:
        return self.tower.entry.weight.device

    def forward(self, planes: Float[Tensor, "B C H W"]) -> Prediction:
        """Logits and values.

        Raises:
            ValueError: another number of planes.
        """
        tower = self._tower(planes)
        return Prediction(self.policy(tower), self.value(tower))

    def activations(self, planes: Float[Tensor, "B C H W"], layer: Layer) -> Float[Tensor, "B X"]:
        """What a layer says of each position, flattened.

        "tower": the output of the tower, channels x points. "policy" and "value": the features of
        that head, before anything is said of a move or the value; hidden x points and 2 hidden
        numbers. "heads": those of both, one after the other (see `activation_blocks`).

        Raises:
            ValueError: no such layer, or another number of planes.
        """
        check_layer(layer)
        tower = self._tower(planes)
        if layer == "tower":
            return tower.flatten(1)
        heads = {"policy": self.policy, "value": self.value}
        chosen = heads.values() if layer == "heads" else [heads[layer]]
        return torch.cat([head.features(tower).flatten(1) for head in chosen], 1)

    def activation_blocks(self, layer: Layer, num_points: int) -> tuple[int, ...]:
        """The numbers of activations of the parts of a layer: two for "heads", one for others."""
        check_layer(layer)
        policy, value = self.sizes["hidden"] * num_points, 2 * self.sizes["hidden"]
        tower = self.sizes["channels"] * num_points
        parts = {"tower": (tower,), "policy": (policy,), "value": (value,)}
        return parts.get(layer, (policy, value))

    def _tower(self, planes: Tensor) -> Tensor:
        wanted = self.sizes["num_planes"]
        if planes.ndim != 4 or planes.shape[1] != wanted:
            raise ValueError(f"planes must be [B, {wanted}, H, W], got {list(planes.shape)}")
        return self.tower(planes)


def check_layer(layer: str) -> None:
    """Raises ValueError for what is not one of `LAYERS`."""
    if layer not in LAYERS:
        raise ValueError(f"layer must be one of {', '.join(LAYERS)}, got {layer!r}")


def learning_rate_at(config: Config, step: int) -> float:
    """The rate of update number `step`, counted from 0: it falls after each share in `drops`."""
    num_drops = sum(step >= share * config.num_steps for share in config.drops)
    return config.learning_rate * config.drop_factor**num_drops


def prediction_loss(
    prediction: Prediction,
    move: Int[Tensor, " B"],
    outcome: Float[Tensor, " B"],
    value_weight: float,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """(loss), and its parts as detached metrics.

    Returns:
        The loss, and `loss`, `policy_loss` (nats), `value_loss` (squared error), and `accuracy`,
        the share of positions whose likeliest move is the expert's.
    """
    logits, value = prediction.logits.float(), prediction.value.float()
    policy_loss = cross_entropy(logits, move)
    value_loss = (value - outcome).square().mean()
    loss = policy_loss + value_weight * value_loss
    accuracy = (logits.argmax(-1) == move).float().mean()
    parts = {"loss": loss, "policy_loss": policy_loss, "value_loss": value_loss}
    return loss, {name: part.detach() for name, part in parts.items()} | {"accuracy": accuracy}


def train_network(
    config: Config,
    sample: Sample,
    *,
    record: Record | None = None,
    checkpoint_path: str | Path | None = None,
    device: torch.device | str = "cpu",
    log_every: int = 100,
    checkpoint_every: int = 1_000,
    evaluate: Callable[[PredictionNetwork, int], Mapping[str, Metric]] | None = None,
    progress: bool = True,
) -> PredictionNetwork:
    """Trains a network, from the checkpoint on if there is one.

    On a GPU the network runs in bfloat16 (autocast), with weights and losses in float32.

    Args:
        sample: called with the number of updates done and B. For a run that can be resumed it must
            depend on these alone.
        record: receives the means of the metrics since the line before, every `log_every` steps:
            those of `prediction_loss`, and gradient_norm.
        checkpoint_path: None keeps no checkpoint. One is written at the start, at the end and every
            `checkpoint_every` steps; an interrupt loses the steps since then.
        evaluate: given the network and the number of updates done, returns metrics for that line.
        progress: draw a bar with the loss and the accuracy.

    Raises:
        NonFiniteMetric: the loss or its gradient became NaN or infinite; the last checkpoint is
            from before that.
        ValueError: a count < 1, a sample of other shapes, a checkpoint of another Config, or a
            record and a checkpoint that do not belong together.
    """
    for name, count in (("log_every", log_every), ("checkpoint_every", checkpoint_every)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    run = _Training(config, record, Path(checkpoint_path) if checkpoint_path else None, device)
    run.start()
    bar = tqdm(desc="training", total=config.num_steps, initial=run.num_done, disable=not progress)
    with bar:
        while run.num_done < config.num_steps:
            run.update_(*sample(run.num_done, config.batch_size))
            last = run.num_done == config.num_steps
            if last or run.num_done % log_every == 0:
                means = run.log_(evaluate)
                bar.set_postfix(
                    {name: f"{means[name]:.3f}" for name in ("loss", "accuracy")}, refresh=False
                )
            if last or run.num_done % checkpoint_every == 0:
                run.save()
            bar.update()
    return run.network.eval()


class _Training:
    """The state of a training run."""

    def __init__(
        self,
        config: Config,
        record: Record | None,
        path: Path | None,
        device: torch.device | str,
    ) -> None:
        self.config, self.record, self.path = config, record, path
        self.device = torch.device(device)
        # Weights are drawn on the CPU, so that they are the same on every device.
        generator = torch.Generator().manual_seed(config.seed)
        network = PredictionNetwork(config.channels, config.blocks, config.hidden, generator)
        self.generator, self.network = generator, network.to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.num_done = self.num_summed = 0
        self.sums: dict[str, Tensor] = {}

    def start(self) -> None:
        if self.path is not None and self.path.exists():
            self._resume(load_checkpoint(self.path))
        elif self.record is not None and self.record.last_step is not None:
            raise ValueError(
                f"{self.record.folder} holds metrics up to step {self.record.last_step}, and there"
                f" is no checkpoint to resume from (checkpoint_path: {self.path}): choose another"
                " folder, or delete this one to start anew"
            )
        else:
            self.save()  # so that a run that is stopped before its first checkpoint can go on

    def _resume(self, state: dict[str, Any]) -> None:
        there = state.get("config")
        here = asdict(self.config)
        here["drops"] = list(self.config.drops)
        if there != here:
            known = there if isinstance(there, dict) else {}
            differing = [name for name in here if known.get(name) != here[name]]
            raise ValueError(
                f"the checkpoint {self.path} was made with other settings of"
                f" {', '.join(differing)}: use those, or a new folder"
            )
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.num_done, self.num_summed = state["num_done"], state["num_summed"]
        self.sums = {name: total.to(self.device) for name, total in state["sums"].items()}
        if self.record is not None:
            self.record.rewind(self.num_done)

    def update_(self, planes: Tensor, move: Tensor, outcome: Tensor) -> None:
        """One step of the optimizer."""
        size, count = planes.shape[-1], len(planes)
        if move.shape != (count,) or outcome.shape != (count,):
            raise ValueError(
                f"a sample of {count} positions needs as many moves and outcomes, got"
                f" {list(move.shape)} and {list(outcome.shape)}"
            )
        if bool(((move < 0) | (move > size**2)).any()):
            raise ValueError(f"a sample's moves must lie in [0, {size**2}], the pass: got others")
        if self.config.augment:
            symmetry = torch.randint(NUM_SYMMETRIES, (count,), generator=self.generator)
            planes = transform_planes(planes, symmetry.to(planes.device))
            move = transform_moves(move, symmetry.to(move.device), size)
        planes, outcome = (x.to(self.device, torch.float32) for x in (planes, outcome))
        with torch.autocast(self.device.type, torch.bfloat16, self.device.type == "cuda"):
            prediction = self.network(planes)
        loss, metrics = prediction_loss(
            prediction, move.to(self.device).long(), outcome, self.config.value_weight
        )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.config, self.num_done)
        self.optimizer.zero_grad()
        loss.backward()
        # Not to shorten it: a finite loss can have a gradient that is not, which must be seen.
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), math.inf)
        metrics["gradient_norm"] = norm.detach()
        self.optimizer.step()
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.num_done, self.num_summed = self.num_done + 1, self.num_summed + 1

    def log_(self, evaluate: Callable | None) -> dict[str, float]:
        """Writes and returns the means since the last call, and what `evaluate` finds."""
        means = {name: float(total) / self.num_summed for name, total in self.sums.items()}
        self.sums, self.num_summed = {}, 0
        found: Mapping[str, Metric] = {}
        if evaluate is not None and math.isfinite(means["loss"]):
            self.network.eval()
            with torch.no_grad():
                found = evaluate(self.network, self.num_done)
            self.network.train()
        rate = {"learning_rate": learning_rate_at(self.config, self.num_done - 1)}
        if self.record is not None:
            path = self.path if self.path is not None and self.path.exists() else None
            self.record.write(self.num_done, {**means, **rate, **found}, last_checkpoint=path)
        self._check_finite(means)
        return means

    def save(self) -> None:
        if self.path is None:
            return
        self._check_finite({name: float(total) for name, total in self.sums.items()})
        if self.record is not None:
            self.record.flush()
        config = {**asdict(self.config), "drops": list(self.config.drops)}
        state = {
            "config": config,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "num_done": self.num_done,
            "num_summed": self.num_summed,
            "sums": self.sums,
        }
        save_checkpoint(self.path, state)

    def _check_finite(self, metrics: Mapping[str, float]) -> None:
        """A NaN must not reach a checkpoint."""
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise NonFiniteMetric(
                    f"the metric {name!r} is {value} at step {self.num_done}: try a smaller"
                    f" learning rate; the checkpoint ({self.path}) is from before that"
                )


PRESETS = {
    "smoke": Config(channels=8, blocks=1, hidden=8, num_steps=20, batch_size=16, dim=8),
    "laptop": Config(channels=32, blocks=3, num_steps=3_000, batch_size=128),
    # The paper's sizes are not known; these are ours, for one GPU. On a 9x9 board the tower has
    # 64 * 81 = 5,184 activations, whose covariance takes 215 MB.
    "paper": Config(channels=64, blocks=12, num_steps=200_000, batch_size=1_024),
}
