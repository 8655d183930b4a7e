"""Learning the retrieval-augmented model from expert games.

Source: Humphreys et al. 2022, "Large-Scale Retrieval for Reinforcement Learning" (arXiv
2206.05314), section 2; the unroll is weighted as in MuZero (Schrittwieser et al. 2020). With the
expert's moves a_0, a_1, ... from an observation on and z the outcome for its player to move,

    L_policy = sum_k w_k m_k ( -log softmax(logits^k)[a_k] )              k = 0..K     (policy)
    L_value  = sum_k w_k n_k ( value^k - (-1)^k z )^2                                 (value)
    L_reg    = mean ( s^0 with neighbors - stop(s^0 without) )^2              (regularization)
    L        = L_policy + c_v L_value + c_r L_reg                                      (loss)

as means over the batch. Values are from the player to move, so that the target changes its sign
with every move. m_k is 0 where the game was over before move k; n_k is 1 one step longer, at the
position where the game is over: a search reaches it, and must know its value. w_0 = 1, and
w_k = 1/K for the moves after.

Three ways to make a network robust against neighbors that do not help: dropout and randomization
(`go.inputs`), and (regularization), in which `stop` lets no gradient through.

    symbol  name here               symbol    name here
    K       num_unroll              c_v, c_r  value_weight, regularization_weight
    w_k     1, then unroll_weight   m_k, n_k  Targets.has_move, Targets.has_value
    a_k     Targets.moves           z         TrainingBatch.outcome

**Deviations.** The paper's rates, weights, K, batch and learning rates are not in its main text:
all numbers here are ours. Boards are augmented by their symmetries. Illegal moves are not masked.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rlcourse.go.batches import MODES, RETRIEVED, TrainingBatch, augment, in_mode
from rlcourse.go.inputs import NeighborInput, drop, randomize
from rlcourse.go.model import RetrievalModel, Unroll
from rlcourse.go.symmetry import NUM_SYMMETRIES
from rlcourse.nets.precision import PRECISIONS, mixed_precision
from rlcourse.nets.state import (
    check_networks_state,
    load_networks_state_,
    networks_state,
    target_of,
    update_target_,
)

Losses = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
Randomize = Callable[[NeighborInput, Tensor, float, torch.Generator, Tensor], NeighborInput]


@dataclass(frozen=True)
class Config:
    """How the model learns. All numbers are ours; K and the weights of the unroll are MuZero's.

    Attributes:
        mode: "retrieved" with neighbors, or a baseline: "absent" or "blank"; see `in_mode`.
        num_unroll: K, moves after the observation.
        gradient_scale: of the gradient through each step of the dynamics.
        unroll_weight: w_k for k > 0; None: 1/K.
        value_weight, regularization_weight: c_v and c_r.
        dropout, randomization: probabilities of a neighbor, to be absent, and to be replaced by
            one of another observation; dropout_all: of all neighbors of one, to be absent.
        augment: show each observation under a random symmetry of the board.
        learning_rate: of AdamW at first.
        decay_steps: steps from which on the rate is multiplied by `decay_factor`, once for each.
        weight_decay: of weights, not of biases.
        max_gradient_norm: longer gradients are shortened to it; None: never.
        average_rate: the share of new weights in the running average of weights, per step, at
            least 1 / (step + 1); 0: no average is kept.
        precision: "float32", or "bfloat16": mixed, by autocast.
        compile: the forward pass, with `torch.compile`.
    """

    mode: str = RETRIEVED
    num_unroll: int = 5
    gradient_scale: float = 0.5
    unroll_weight: float | None = None
    value_weight: float = 1.0
    regularization_weight: float = 0.0
    dropout: float = 0.0
    dropout_all: float = 0.0
    randomization: float = 0.1
    augment: bool = True
    learning_rate: float = 1e-3
    decay_steps: tuple[int, ...] = ()
    decay_factor: float = 0.1
    weight_decay: float = 1e-4
    max_gradient_norm: float | None = 5.0
    average_rate: float = 0.0
    precision: str = "float32"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        if self.precision not in PRECISIONS:
            names = ", ".join(PRECISIONS)
            raise ValueError(f"precision must be one of {names}, got {self.precision!r}")
        for name in ("dropout", "dropout_all", "randomization", "average_rate", "gradient_scale"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in ("num_unroll", "value_weight", "regularization_weight", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0.0 <= (self.unroll_weight or 0.0) < math.inf:
            raise ValueError(f"unroll_weight must not be negative, got {self.unroll_weight}")
        norm = 1.0 if self.max_gradient_norm is None else self.max_gradient_norm
        rates = {"learning_rate": self.learning_rate, "decay_factor": self.decay_factor}
        for name, rate in {**rates, "max_gradient_norm": norm}.items():
            if not 0.0 < rate < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {rate}")

    def learning_rate_at(self, step: int) -> float:
        """Of the update that follows after `step` updates."""
        return self.learning_rate * self.decay_factor ** sum(step >= at for at in self.decay_steps)

    def weights(self) -> list[float]:
        """w_0 .. w_K."""
        later = self.unroll_weight
        if later is None:
            later = 1.0 / max(self.num_unroll, 1)
        return [1.0] + [later] * self.num_unroll


class Targets(NamedTuple):
    """What the K + 1 predictions should have been; K1 = K + 1."""

    moves: Int[Tensor, "B K1"]  # a_k; the pass where there is none
    value: Float[Tensor, "B K1"]  # (-1)^k z
    has_move: Bool[Tensor, "B K1"]  # m_k
    has_value: Bool[Tensor, "B K1"]  # n_k


def targets(
    next_moves: Int[Tensor, "B T"], outcome: Float[Tensor, " B"], num_unroll: int, num_points: int
) -> Targets:
    """The targets of an unroll.

    Args:
        next_moves: the expert's from here on, -1 after the end of the game.
        outcome: z.
        num_unroll: K.
        num_points: P, which is also the number of the pass.

    Raises:
        ValueError: fewer than K + 1 moves are stored.
    """
    if num_unroll >= next_moves.shape[1]:
        raise ValueError(
            f"num_unroll {num_unroll} needs {num_unroll + 1} next moves, {next_moves.shape[1]} are"
            " stored: unroll less"
        )
    moves = next_moves[:, : num_unroll + 1]
    has_move = moves >= 0
    begun = torch.ones_like(has_move[:, :1])
    sign = 1.0 - 2.0 * (torch.arange(num_unroll + 1, device=outcome.device) % 2)
    return Targets(
        moves=torch.where(has_move, moves, num_points).long(),
        value=outcome.unsqueeze(1) * sign,
        has_move=has_move,
        has_value=torch.cat([begun, has_move[:, :-1]], 1),
    )


def policy_loss(
    logits: Float[Tensor, "B K1 A"], wanted: Targets, weights: Float[Tensor, " K1"]
) -> Float[Tensor, ""]:
    """L_policy, in nats. (policy)"""
    lost = cross_entropy(logits.float().flatten(0, 1), wanted.moves.flatten(), reduction="none")
    return _weighted(lost.view_as(wanted.moves), wanted.has_move, weights)


def value_loss(
    value: Float[Tensor, "B K1"], wanted: Targets, weights: Float[Tensor, " K1"]
) -> Float[Tensor, ""]:
    """L_value. (value)"""
    return _weighted((value.float() - wanted.value).square(), wanted.has_value, weights)


def unrolled_losses(
    logits: Float[Tensor, "B K1 A"],
    value: Float[Tensor, "B K1"],
    next_moves: Int[Tensor, "B T"],
    outcome: Float[Tensor, " B"],
    weights: Float[Tensor, " K1"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """L_policy and L_value of predictions for an observation and after each of K moves.

    `next_moves` are the expert's from there on, more than K of them, -1 after the end of the game.
    """
    wanted = targets(next_moves, outcome, logits.shape[1] - 1, logits.shape[2] - 1)
    return policy_loss(logits, wanted, weights), value_loss(value, wanted, weights)


def regularization_loss(
    state: Float[Tensor, "B C H W"], without: Float[Tensor, "B C H W"]
) -> Float[Tensor, ""]:
    """L_reg; no gradient goes to the state without neighbors. (regularization)"""
    return (state.float() - without.detach().float()).square().mean()


class Learner:
    """Trains a model.

    Args:
        config: see `Config`.
        model: written in place; its device is the learner's.
        generator: of symmetries, dropout and randomization; on the CPU.
        losses, randomize: L_policy and L_value, from predictions in float32, and neighbor
            randomization; exercises of notebook 15.

    Raises:
        ValueError: the generator is not on the CPU.
    """

    def __init__(
        self,
        config: Config,
        model: RetrievalModel,
        generator: torch.Generator,
        *,
        losses: Losses = unrolled_losses,
        randomize: Randomize = randomize,
    ) -> None:
        if generator.device.type != "cpu":
            raise ValueError(f"the generator must be on the CPU, got one on {generator.device}")
        self.config, self.model, self._generator = config, model, generator
        self._losses, self._randomize = losses, randomize
        self.device = next(model.parameters()).device
        self.num_updates = 0
        self._networks: dict[str, nn.Module] = {"model": model}
        if config.average_rate:
            self._networks["average"] = target_of(model)
        self._optimizer = torch.optim.AdamW(
            _groups(model, config.weight_decay),
            config.learning_rate,
            fused=self.device.type == "cuda",
        )
        self._weights = torch.tensor(config.weights(), device=self.device)
        self._predict = torch.compile(self._forward) if config.compile else self._forward

    @property
    def trained(self) -> RetrievalModel:
        """The model to use: the average of the weights where one is kept, or else the last ones."""
        return self._networks.get("average", self.model)

    def update(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """One gradient step. The metrics, before the step, detached:

            loss, loss/policy, loss/value     L, L_policy, L_value of the module's docstring
            loss/regularization               L_reg, where c_r > 0 and there are neighbors
            accuracy                          share of observations with argmax logits^0 = a_0
            accuracy/unrolled                 the same over all k > 0 before the end of the game
            value_error                       mean (value^0 - z)^2
            neighbors                         present ones per observation, after dropout
            gradient_norm                     before it was shortened
            learning_rate                     of this step

        Raises:
            ValueError: a batch without neighbors, where the mode needs them, or with fewer next
                moves than K + 1.
        """
        batch = self._prepare(batch)
        wanted = targets(
            batch.next_moves, batch.outcome, self.config.num_unroll, batch.planes[0, 0].numel()
        )
        with mixed_precision(self.config.precision, self.device):
            unroll, without = self._predict(batch.planes, batch.neighbors, wanted.moves[:, :-1])
        loss, metrics = self._loss(unroll, without, batch, wanted)
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(self.num_updates)
        self._optimizer.zero_grad()
        loss.backward()
        metrics["gradient_norm"] = self._clip()
        metrics["learning_rate"] = torch.tensor(self.config.learning_rate_at(self.num_updates))
        if batch.neighbors is not None:
            metrics["neighbors"] = batch.neighbors.present.float().sum(1).mean()
        self._optimizer.step()
        self.num_updates += 1
        if "average" in self._networks:
            rate = max(self.config.average_rate, 1.0 / self.num_updates)
            update_target_(self._networks["average"], self.model, rate)
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {
            **networks_state(self._networks, {"model": self._optimizer}),
            "config": asdict(self.config),
            "num_updates": self.num_updates,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave; nothing is changed when that is refused.

        Raises:
            ValueError: it is of other settings than these, `compile` and `precision` apart, or of
                another architecture.
        """
        there, here = state.get("config", {}), asdict(self.config)
        machine = ("compile", "precision")  # may differ where the weights are read
        if names := [x for x in here if x not in machine and there.get(x) != here[x]]:
            said = ", ".join(f"{name}={there.get(name)!r}, not {here[name]!r}" for name in names)
            raise ValueError(
                f"the checkpoint was made with {said}: use those settings, or start anew in"
                " another folder"
            )
        check_networks_state(self._networks, state)
        load_networks_state_(self._networks, {"model": self._optimizer}, state)
        self.num_updates = state["num_updates"]
        self._generator.set_state(state["generator"].cpu())

    def _prepare(self, batch: TrainingBatch) -> TrainingBatch:
        """The batch on the device, as the network is to see it."""
        config, random = self.config, self._generator
        # Noise has a generator of its own: in every mode the same symmetries are drawn.
        noise = torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=random)))
        batch = in_mode(batch, config.mode).to(self.device, non_blocking=True)
        if config.augment:
            drawn = torch.randint(NUM_SYMMETRIES, (len(batch.planes),), generator=random)
            batch = augment(batch, drawn.to(self.device))
        neighbors = batch.neighbors
        if neighbors is None or config.mode != RETRIEVED:
            return batch
        if config.randomization:
            given = (neighbors, batch.planes, config.randomization, noise, batch.game)
            neighbors = self._randomize(*given)
        if config.dropout or config.dropout_all:
            neighbors = drop(neighbors, config.dropout, noise, config.dropout_all)
        return batch._replace(neighbors=neighbors)

    def _forward(
        self, planes: Tensor, neighbors: NeighborInput | None, moves: Tensor
    ) -> tuple[Unroll, Tensor | None]:
        """The unroll, and s^0 without neighbors where a loss asks for it."""
        model, without = self.model, None
        encoded = model.encode(planes)
        state = model.fuse(encoded, model.embed(encoded, neighbors))
        if self.config.regularization_weight and self.config.mode == RETRIEVED:
            with torch.no_grad():
                without = model.fuse(encoded, model.embed(encoded, None))
        return model.unroll(state, moves, self.config.gradient_scale), without

    def _loss(
        self, unroll: Unroll, without: Tensor | None, batch: TrainingBatch, wanted: Targets
    ) -> tuple[Tensor, dict[str, Tensor]]:
        said = (unroll.logits.float(), unroll.value.float())  # also after bfloat16
        policy, value = self._losses(*said, batch.next_moves, batch.outcome, self._weights)
        loss = policy + self.config.value_weight * value
        metrics = {"loss/policy": policy, "loss/value": value}
        if without is not None:
            metrics["loss/regularization"] = regularization_loss(unroll.state, without)
            loss = loss + self.config.regularization_weight * metrics["loss/regularization"]
        hit = (unroll.logits.argmax(-1) == wanted.moves) & wanted.has_move  # [B, K1]
        metrics["accuracy"] = hit[:, 0].float().mean()
        if self.config.num_unroll:
            later = wanted.has_move[:, 1:].sum().clamp(min=1)
            metrics["accuracy/unrolled"] = hit[:, 1:].sum() / later
        metrics["value_error"] = (unroll.value[:, 0].float() - wanted.value[:, 0]).square().mean()
        return loss, {name: x.detach() for name, x in {"loss": loss, **metrics}.items()}

    def _clip(self) -> Tensor:
        limit = math.inf if self.config.max_gradient_norm is None else self.config.max_gradient_norm
        return nn.utils.clip_grad_norm_(self.model.parameters(), limit).detach()


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    parameters = list(model.parameters())
    weights = [x for x in parameters if x.ndim > 1]
    biases = [x for x in parameters if x.ndim <= 1]
    return [
        {"params": weights, "weight_decay": weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]


def _weighted(
    lost: Float[Tensor, "B K1"], mask: Bool[Tensor, "B K1"], weights: Float[Tensor, " K1"]
) -> Float[Tensor, ""]:
    return (torch.where(mask, lost, 0.0) * weights).sum(1).mean()


PRESETS = {
    "smoke": Config(num_unroll=2),
    "laptop": Config(learning_rate=2e-3, decay_steps=(1_500, 2_000)),
    "paper": Config(  # numbers are ours
        regularization_weight=0.1,
        dropout=0.1,
        decay_steps=(200_000, 300_000),
        average_rate=1e-4,
        precision="bfloat16",
        compile=True,
    ),
}
