"""The learner: losses by hand, switches one by one, and a task that only neighbors can solve."""

import dataclasses
import math
import subprocess
import sys

import pytest
import torch

from rlcourse.go.inputs import drop, randomize
from rlcourse.go.learn import (
    PRESETS,
    Config,
    Learner,
    policy_loss,
    targets,
    unrolled_losses,
    value_loss,
)
from rlcourse.go.model import PRESETS as SIZES
from rlcourse.go.model import Config as Sizes
from rlcourse.go.model import RetrievalModel, Unroll
from rlcourse.go.train import evaluate
from rlcourse.nets.precision import mixed_precision
from tests.go.retrieval import Answers, draw, random_batch

TINY = Sizes(1.0, 8, 6, 4, 1, 1, 1, 1, 2)
PLAIN = Config(num_unroll=2, randomization=0.0, augment=False)


def new_learner(config: Config = PLAIN, sizes: Sizes = TINY, **changes) -> Learner:
    config = dataclasses.replace(config, **changes)
    return Learner(config, RetrievalModel(sizes, draw(0)), draw(1))


def flat(learner: Learner) -> torch.Tensor:
    return torch.cat([x.detach().flatten() for x in learner.model.parameters()])


def test_weights_and_rates_by_hand():
    config = Config(num_unroll=4, decay_steps=(10, 20), decay_factor=0.5, learning_rate=8.0)
    assert config.weights() == [1.0, 0.25, 0.25, 0.25, 0.25]
    assert Config(num_unroll=2, unroll_weight=0.0).weights() == [1.0, 0.0, 0.0]
    assert Config(num_unroll=0).weights() == [1.0]
    assert [config.learning_rate_at(step) for step in (0, 9, 10, 19, 20)] == [8, 8, 4, 4, 2]


def test_metrics_are_what_the_docstring_says():
    learner, batch = new_learner(value_weight=0.5, regularization_weight=3.0), random_batch(6)
    batch.next_moves[:2, 1:] = -1
    unroll = learner.model(batch.planes, batch.neighbors, batch.next_moves[:, :2].clamp(min=0))
    without = learner.model.represent(batch.planes, None)
    metrics = {name: float(x) for name, x in learner.update(batch).items()}
    wanted = targets(batch.next_moves, batch.outcome, 2, 25)
    weights = torch.tensor([1.0, 0.5, 0.5])
    policy = policy_loss(unroll.logits, wanted, weights).item()
    value = value_loss(unroll.value, wanted, weights).item()
    distance = (unroll.state - without).square().mean().item()
    assert metrics["loss/policy"] == pytest.approx(policy, rel=1e-4)
    assert metrics["loss/value"] == pytest.approx(value, rel=1e-4)
    assert metrics["loss/regularization"] == pytest.approx(distance, rel=1e-4)
    assert distance > 0.01
    assert metrics["loss"] == pytest.approx(policy + 0.5 * value + 3.0 * distance, rel=1e-4)
    hits = unroll.logits.argmax(-1) == batch.next_moves[:, :3]
    assert metrics["accuracy"] == pytest.approx(hits[:, 0].float().mean().item())
    assert metrics["accuracy/unrolled"] == pytest.approx(hits[:, 1:].sum().item() / 8)
    error = (unroll.value[:, 0] - batch.outcome).square().mean().item()
    assert metrics["value_error"] == pytest.approx(error, rel=1e-4)
    assert metrics["neighbors"] == 2.0
    assert metrics["learning_rate"] == pytest.approx(1e-3)
    assert not any(x.requires_grad for x in learner.update(batch).values())


def test_accuracy_counts_hits():
    learner, batch = new_learner(), random_batch(4)
    batch.next_moves[1, 2:] = -1
    wanted = targets(batch.next_moves, batch.outcome, 2, 25)
    logits = torch.nn.functional.one_hot(wanted.moves, 26).float()
    logits[0, 0] = -logits[0, 0]
    logits[2, 1:] = -logits[2, 1:]
    unroll = Unroll(logits, wanted.value, torch.zeros(4, 1, 5, 5))
    _, metrics = learner._loss(unroll, None, batch, wanted)
    assert metrics["accuracy"].item() == 0.75
    assert metrics["accuracy/unrolled"].item() == pytest.approx(5 / 7)
    assert metrics["value_error"].item() == 0.0


def test_what_comes_after_the_game_does_not_matter():
    """Neither the recorded -1 nor what the model says there moves a weight."""
    learners, batch = [new_learner(), new_learner(num_unroll=1)], random_batch(4)
    batch.next_moves[:, 1:] = -1
    for learner in learners:
        learner._weights = torch.ones_like(learner._weights)
        learner.update(batch)
    torch.testing.assert_close(flat(learners[0]), flat(learners[1]))
    longer = new_learner()
    longer._weights = torch.ones(3)
    longer.update(random_batch(4))
    assert not torch.allclose(flat(longer), flat(learners[0]))


def test_the_mode_decides_what_is_seen():
    batch = random_batch(6)
    seen = {mode: new_learner(mode=mode).update(batch) for mode in ("retrieved", "absent", "blank")}
    assert len({float(x["loss"]) for x in seen.values()}) == 3
    assert "neighbors" not in seen["absent"]
    alone = new_learner(mode="absent").update(batch._replace(neighbors=None))
    assert torch.equal(alone["loss"], seen["absent"]["loss"])
    with pytest.raises(ValueError, match="needs neighbors"):
        new_learner().update(batch._replace(neighbors=None))
    # Robustness is about neighbors: a baseline has nothing to drop, mix or pull.
    shielded = {"dropout": 1.0, "randomization": 1.0, "regularization_weight": 5.0}
    for mode in ("absent", "blank"):
        again = new_learner(mode=mode, **shielded).update(batch)
        assert torch.equal(again["loss"], seen[mode]["loss"])
        assert "loss/regularization" not in again


def test_dropout_reaches_the_network():
    batch = random_batch(64)
    metrics = new_learner(dropout=0.5).update(batch)
    noise = draw(int(torch.randint(2**62, (), generator=draw(1))))
    expected = drop(batch.neighbors, 0.5, noise).present.float().sum(1).mean()
    assert metrics["neighbors"] == expected
    assert 0.5 < expected < 1.5
    none = new_learner(dropout=1.0).update(batch)
    torch.testing.assert_close(none["loss"], new_learner(mode="absent").update(batch)["loss"])


def test_randomization_reaches_the_network():
    batch = random_batch(2)  # of two observations, each gets the other's, but for its own game's
    batch.game[:] = torch.tensor([20, 21])
    batch.neighbors.game[1, 0] = 20
    given = new_learner(randomization=1.0).update(batch)["loss"]
    swapped = randomize(batch.neighbors, batch.planes, 1.0, draw(5), batch.game)
    assert swapped.present.tolist() == [[False, True], [True, True]]
    assert torch.equal(swapped.planes[:, :, 4:], batch.neighbors.planes.flip(0)[:, :, 4:])
    torch.testing.assert_close(
        given, new_learner().update(batch._replace(neighbors=swapped))["loss"]
    )
    assert not torch.allclose(given, new_learner().update(batch)["loss"])


def test_all_modes_see_the_same_symmetries():
    """Noise takes nothing from the stream that symmetries are drawn from."""
    seen, batch = [], random_batch(6)
    for mode in ("retrieved", "absent", "blank"):
        noise = {"dropout": 0.5, "randomization": 0.5}
        learner = new_learner(mode=mode, augment=True, **noise)
        seen.append([learner._prepare(batch).planes for _ in range(4)])
    for first, *others in zip(*seen, strict=True):
        assert all(torch.equal(first, other) for other in others)
    assert not torch.equal(seen[0][0], seen[0][1])


def test_augmentation_turns_the_batch():
    """One point of the board is played; turned, its eight images are."""
    learner, batch = new_learner(augment=True), random_batch(64)
    batch.next_moves.fill_(1)
    seen = learner._prepare(batch)
    assert seen.next_moves.unique().tolist() == [1, 3, 5, 9, 15, 19, 21, 23]
    assert torch.equal(seen.planes.sum((2, 3)), batch.planes.sum((2, 3)))
    assert new_learner()._prepare(batch).next_moves.unique().tolist() == [1]


def test_regularization_brings_the_states_together():
    batch = random_batch(8, size=3)
    distance = {}
    for weight in (1e-9, 100.0):
        learner = new_learner(regularization_weight=weight, learning_rate=3e-3)
        for _ in range(20):
            metrics = learner.update(batch)
        distance[weight] = float(metrics["loss/regularization"])
    assert distance[100.0] < 0.5 * distance[1e-9]


def test_the_gradient_is_shortened():
    batch = random_batch(6)
    metrics = new_learner(max_gradient_norm=None).update(batch)
    learner = new_learner(max_gradient_norm=0.01)
    assert torch.equal(learner.update(batch)["gradient_norm"], metrics["gradient_norm"])
    assert metrics["gradient_norm"] > 0.1
    squares = sum(x.grad.square().sum() for x in learner.model.parameters())
    assert squares.sqrt().item() == pytest.approx(0.01, rel=1e-3)


def test_the_learning_rate_takes_its_steps():
    learner, batch = new_learner(decay_steps=(1,), decay_factor=1e-9), random_batch(4)
    start = flat(learner)
    rates = [float(learner.update(batch)["learning_rate"])]
    after = flat(learner)
    rates.append(float(learner.update(batch)["learning_rate"]))
    assert rates == pytest.approx([1e-3, 1e-12])
    assert (after - start).abs().max() > 1e-4
    assert (flat(learner) - after).abs().max() < 1e-6


def test_only_weights_decay():
    learner = new_learner(weight_decay=0.5)
    decay = {
        id(x): group["weight_decay"]
        for group in learner._optimizer.param_groups
        for x in group["params"]
    }
    for name, x in learner.model.named_parameters():
        assert decay[id(x)] == (0.0 if name.endswith("bias") else 0.5), name


def test_the_average_of_the_weights():
    learner, batch = new_learner(average_rate=0.4), random_batch(4)
    expected, plain = None, new_learner()
    assert plain.trained is plain.model
    for rate in (1.0, 0.5, 0.4, 0.4):
        learner.update(batch)
        expected = flat(learner) if expected is None else expected.lerp(flat(learner), rate)
    averaged = torch.cat([x.flatten() for x in learner.trained.parameters()])
    torch.testing.assert_close(averaged, expected)
    assert not torch.allclose(averaged, flat(learner))


@pytest.mark.parametrize("average_rate", [0.0, 0.1])
def test_going_on_from_a_state_is_going_on(average_rate):
    config = {"dropout": 0.3, "randomization": 0.3, "augment": True, "average_rate": average_rate}
    one, source = new_learner(**config, decay_steps=(3,)), Answers(16)
    for step in range(2):
        one.update(source.batch(step))
    other = new_learner(**config, decay_steps=(3,))
    other.model.requires_grad_(True)
    other.load_state_dict(one.state_dict())
    for step in range(2, 5):
        expected, found = one.update(source.batch(step)), other.update(source.batch(step))
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert torch.equal(flat(one), flat(other))
    assert other.num_updates == 5
    for mine, theirs in zip(one.trained.parameters(), other.trained.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_state_of_another_learner_is_refused(monkeypatch):
    state = new_learner().state_dict()
    wider = new_learner(sizes=dataclasses.replace(TINY, num_channels=9))
    before = flat(wider)
    with pytest.raises(ValueError, match="another architecture"):
        wider.load_state_dict(state)
    assert torch.equal(flat(wider), before)
    other = new_learner(average_rate=0.1, num_unroll=1)
    before = flat(other)
    says = "made with num_unroll=2, not 1, average_rate=0.0, not 0.1: use those settings"
    with pytest.raises(ValueError, match=says):
        other.load_state_dict(state)
    assert torch.equal(flat(other), before)
    with pytest.raises(ValueError, match="made with mode=None, not 'retrieved'"):
        new_learner().load_state_dict({name: x for name, x in state.items() if name != "config"})
    monkeypatch.setattr(torch, "compile", lambda function: function)
    new_learner(compile=True).load_state_dict(state)  # how it is run may change


def test_mixed_precision_on_the_way_and_whole_losses():
    batch, seen = random_batch(8), []
    whole, mixed = (new_learner(precision=x).update(batch) for x in ("float32", "bfloat16"))
    assert mixed["loss"].dtype == torch.float32
    assert mixed["loss"] != whole["loss"]
    assert float(mixed["loss"]) == pytest.approx(float(whole["loss"]), rel=0.02)

    def losses(logits, value, *known):
        seen.extend([logits.dtype, value.dtype])
        return unrolled_losses(logits, value, *known)

    config = dataclasses.replace(PLAIN, precision="bfloat16")
    Learner(config, RetrievalModel(TINY, draw(0)), draw(1), losses=losses).update(batch)
    assert seen == [torch.float32] * 2
    with pytest.raises(ValueError, match="float32, bfloat16, float16, got 'half'"):
        mixed_precision("half", torch.device("cpu"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mode": "none"}, "mode must be one of retrieved, absent, blank, got 'none'"),
        ({"precision": "half"}, "precision must be one of float32, bfloat16, got 'half'"),
        ({"dropout": 1.1}, r"dropout must lie in \[0, 1\], got 1.1"),
        ({"randomization": -0.1}, r"randomization must lie in \[0, 1\], got -0.1"),
        ({"average_rate": 2.0}, r"average_rate must lie in \[0, 1\], got 2.0"),
        ({"gradient_scale": 1.5}, r"gradient_scale must lie in \[0, 1\], got 1.5"),
        ({"num_unroll": -1}, "num_unroll must not be negative, got -1"),
        ({"value_weight": -1.0}, "value_weight must not be negative, got -1.0"),
        ({"regularization_weight": math.inf}, "regularization_weight must not be neg.*inf"),
        ({"unroll_weight": -0.5}, "unroll_weight must not be negative, got -0.5"),
        ({"learning_rate": 0.0}, "learning_rate must be positive and finite, got 0.0"),
        ({"decay_factor": 0.0}, "decay_factor must be positive and finite, got 0.0"),
        ({"max_gradient_norm": 0.0}, "max_gradient_norm must be positive and finite, got 0.0"),
    ],
)
def test_impossible_settings_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        Config(**change)


def test_the_generator_must_be_on_the_cpu():
    class Elsewhere:
        device = torch.device("cuda")

    with pytest.raises(ValueError, match="must be on the CPU, got one on cuda"):
        Learner(PLAIN, RetrievalModel(TINY, draw(0)), Elsewhere())


@pytest.mark.parametrize("name", ["smoke", "laptop", "paper"])
def test_presets_learn(name):
    assert list(PRESETS) == list(SIZES) == ["smoke", "laptop", "paper"]
    sizes = dataclasses.replace(SIZES[name], width=0.0625)
    learner = new_learner(PRESETS[name], sizes, compile=False)
    before = flat(learner)
    assert learner.update(random_batch(2))["loss"].isfinite()
    assert not torch.equal(flat(learner), before)


@pytest.mark.parametrize("mode", ["retrieved", "absent"])
def test_it_learns_what_only_neighbors_know(mode):
    """One of 10 moves is right, and its outcome too is written in the neighbors alone."""
    config = {"learning_rate": 5e-3, "num_unroll": 1, "augment": True, "mode": mode}
    learner = new_learner(sizes=dataclasses.replace(TINY, num_channels=16), **config)
    source = Answers(48)
    for step in range(140 if mode == "retrieved" else 40):
        learner.update(source.batch(step))
    unseen = [source.batch(step) for step in range(1_000, 1_004)]
    found = evaluate(learner.model, unseen, mode=mode)
    if mode == "retrieved":
        assert found["accuracy"] > 0.9
        assert found["value_error"] < 0.2
        without = evaluate(learner.model, unseen, mode="absent")
        assert without["accuracy"] < 0.3
        # Trained with 2 neighbors, it can read 10.
        many = [Answers(k=10).batch(step) for step in range(1_000, 1_004)]
        assert evaluate(learner.model, many, num_neighbors=10)["accuracy"] > 0.8
    else:
        assert found["accuracy"] < 0.3


COMPILED = """
import functools, torch
from tests.go.test_learn import new_learner
from tests.go.retrieval import random_batch

torch.compile = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
config, batch = {"regularization_weight": 1.0, "randomization": 0.5}, random_batch(8)
config["num_unroll"] = 1
one, other = (new_learner(**config, compile=compiled) for compiled in (False, True))
assert one._predict == one._forward and other._predict != other._forward
for _ in range(2):
    expected, found = one.update(batch), other.update(batch)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4)
other.load_state_dict(one.state_dict())
"""


@pytest.mark.slow
def test_the_forward_pass_is_one_graph_and_compiled_it_learns_the_same():
    """In a process of its own, as the checks of shapes in these tests cannot be compiled; traced,
    but not translated to machine code, which takes minutes on a CPU.
    """
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu(precision):
    model = RetrievalModel(TINY, torch.Generator("cuda").manual_seed(0))
    config = dataclasses.replace(PRESETS["paper"], precision=precision, num_unroll=2)
    learner, source = Learner(config, model, draw(1)), Answers(32)
    for step in range(5):
        metrics = learner.update(source.batch(step))
    assert metrics["loss"].is_cuda
    assert metrics["loss"].isfinite()
    learner.load_state_dict(learner.state_dict())
    assert learner.update(source.batch(5))["loss"].isfinite()


def test_the_losses_and_the_randomization_of_a_learner_may_be_others():
    batch, seen = random_batch(6), []

    def losses(logits, value, next_moves, outcome, weights):
        policy, error = unrolled_losses(logits, value, next_moves, outcome, weights)
        return 2 * policy, 3 * error

    def swap(neighbors, query_planes, probability, generator, own_game):
        seen.append((probability, torch.equal(own_game, batch.game)))
        return neighbors

    config = dataclasses.replace(PLAIN, randomization=0.25)
    plain = Learner(PLAIN, RetrievalModel(TINY, draw(0)), draw(1)).update(batch)
    model = RetrievalModel(TINY, draw(0))
    other = Learner(config, model, draw(1), losses=losses, randomize=swap).update(batch)
    for name, factor in (("loss/policy", 2), ("loss/value", 3)):
        torch.testing.assert_close(other[name], factor * plain[name])
    assert seen == [(0.25, True)]
