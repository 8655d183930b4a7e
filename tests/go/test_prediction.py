"""The network that predicts moves and outcomes, and its training."""

import dataclasses
import math

import pytest
import torch

from rlcourse.go import prediction
from rlcourse.go.board import Go
from rlcourse.go.prediction import (
    LAYERS,
    PRESETS,
    Config,
    Prediction,
    PredictionNetwork,
    learning_rate_at,
    prediction_loss,
    train_network,
)
from rlcourse.go.rules import Rules
from rlcourse.go.symmetry import transform_moves, transform_planes
from rlcourse.run.record import NonFiniteMetric, Record, load_metrics

TINY = Config(channels=4, blocks=1, hidden=4, num_steps=12, batch_size=8, dim=4)


def network(seed: int = 0, **sizes: int) -> PredictionNetwork:
    sizes = {"channels": 4, "blocks": 1, "hidden": 3} | sizes
    return PredictionNetwork(**sizes, generator=torch.Generator().manual_seed(seed))


def sample(step: int, count: int, size: int = 3) -> tuple[torch.Tensor, ...]:
    """The expert takes the one point where the opponent has a stone; black wins."""
    generator = torch.Generator().manual_seed(step)
    move = torch.randint(size**2, (count,), generator=generator)
    planes = torch.zeros(count, 8, size, size)
    planes[:, 1].view(count, -1)[torch.arange(count), move] = 1.0
    black = torch.rand(count, generator=generator) < 0.5
    planes[:, 7] = black.view(-1, 1, 1)
    return planes, move, torch.where(black, 1.0, -1.0)


def test_a_prediction_has_a_logit_for_each_move_and_a_value():
    go = Go(Rules(5))
    found = network()(go.planes(go.new(3)))
    assert found.logits.shape == (3, 26)
    assert found.value.shape == (3,)
    assert found.value.abs().max() < 1.0


@pytest.mark.parametrize("layer", LAYERS)
def test_activations_are_those_that_the_heads_work_on(layer):
    net, planes = network(), torch.rand(2, 8, 3, 3, generator=torch.Generator().manual_seed(1))
    tower = net.tower(planes)
    policy, value = net.policy.features(tower).flatten(1), net.value.features(tower)
    expected = {
        "tower": tower.flatten(1),
        "policy": policy,
        "value": value,
        "heads": torch.cat([policy, value], 1),
    }[layer]
    assert torch.equal(net.activations(planes, layer), expected)
    assert sum(net.activation_blocks(layer, 9)) == expected.shape[1]
    assert len(net.activation_blocks(layer, 9)) == (2 if layer == "heads" else 1)


def test_loss_by_hand():
    """Two positions of two moves: probabilities 3/4 and 1/2 of the expert's, values 1 and 0.5."""
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    found = Prediction(logits, torch.tensor([1.0, 0.5]))
    loss, metrics = prediction_loss(found, torch.tensor([0, 1]), torch.tensor([-1.0, 1.0]), 2.0)
    policy, value = (math.log(4 / 3) + math.log(2)) / 2, (4.0 + 0.25) / 2
    assert metrics["policy_loss"].item() == pytest.approx(policy)
    assert metrics["value_loss"].item() == pytest.approx(value)
    assert loss.item() == metrics["loss"].item() == pytest.approx(policy + 2.0 * value)
    assert metrics["accuracy"].item() == 0.5  # a tie goes to the first move


def test_the_learning_rate_falls_in_steps():
    config = Config(num_steps=100, learning_rate=1.0, drops=(0.5, 0.75), drop_factor=0.1)
    rates = [learning_rate_at(config, step) for step in (0, 49, 50, 74, 75, 99)]
    assert rates == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01, 0.01])


def test_it_learns_a_rule(tmp_path):
    config = dataclasses.replace(TINY, num_steps=60, batch_size=32, learning_rate=3e-2, blocks=0)
    record = Record(tmp_path, config)
    seen = []
    net = train_network(
        config,
        sample,
        record=record,
        log_every=20,
        evaluate=lambda net, step: seen.append((net.training, step)) or {"test": step},
        progress=False,
    )
    planes, move, outcome = sample(10_000, 64)
    with torch.no_grad():
        found = net(planes)
    assert (found.logits.argmax(-1) == move).float().mean() > 0.95
    assert (found.value - outcome).square().mean() < 0.1
    assert not net.training
    assert seen == [(False, 20), (False, 40), (False, 60)]
    metrics = load_metrics(tmp_path)
    assert metrics["step"].tolist() == [20, 40, 60]
    assert metrics["test"].tolist() == [20, 40, 60]
    assert metrics["loss"][-1] < metrics["loss"][0]
    # The rates of updates 19, 39 and 59, counted from 0: it falls at 36 and at 51.
    assert metrics["learning_rate"].tolist() == pytest.approx([3e-2, 3e-3, 3e-4])


def test_each_example_is_seen_under_a_symmetry_of_its_own(monkeypatch):
    """Boards and moves go together, and without `augment` nothing is moved."""
    batches = []

    def keep(found, move, outcome, weight):
        batches.append(move)
        return prediction_loss(found, move, outcome, weight)

    planes_seen = []

    def keep_planes(planes, symmetry):
        planes_seen.append((planes, symmetry))
        return transform_planes(planes, symmetry)

    monkeypatch.setattr(prediction, "prediction_loss", keep)
    monkeypatch.setattr(prediction, "transform_planes", keep_planes)
    config = dataclasses.replace(TINY, num_steps=1, batch_size=256)
    train_network(config, sample, progress=False)
    _, symmetry = planes_seen[0]
    assert set(symmetry.tolist()) == set(range(8))
    assert torch.equal(batches[0], transform_moves(sample(0, 256)[1], symmetry, 3))
    train_network(dataclasses.replace(config, augment=False), sample, progress=False)
    assert torch.equal(batches[1], sample(0, 256)[1])
    assert len(planes_seen) == 1


def stops_at(step: int):
    def stopping(now: int, count: int):
        if now == step:
            raise KeyboardInterrupt
        return sample(now, count)

    return stopping


def test_a_resumed_run_does_what_an_uninterrupted_one_does(tmp_path):
    every = {"log_every": 3, "checkpoint_every": 5, "progress": False}

    def train(folder, source):
        record, path = Record(tmp_path / folder, TINY), tmp_path / folder / "checkpoint.pt"
        return train_network(TINY, source, record=record, checkpoint_path=path, **every)

    whole = train("whole", sample)
    for stop in (4, 7, 11):  # past the checkpoints at 0, 5 and 10, the second within a line's sums
        with pytest.raises(KeyboardInterrupt):
            train("parts", stops_at(stop))
    parts = train("parts", sample)
    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, parts.state_dict()[name])
    lines = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "parts")]
    assert lines[0] == lines[1]
    again = train("whole", stops_at(0))  # done: nothing is asked for
    assert torch.equal(again.tower.entry.weight, whole.tower.entry.weight)


def test_a_run_that_does_not_belong_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    train_network(TINY, sample, checkpoint_path=path, progress=False)
    other = dataclasses.replace(TINY, channels=5, drops=(0.5,))
    with pytest.raises(ValueError, match="other settings of channels, drops: use those"):
        train_network(other, sample, checkpoint_path=path, progress=False)
    train_network(TINY, sample, record=Record(tmp_path / "run", TINY), progress=False)
    with pytest.raises(ValueError, match="holds metrics up to step 12, and there is no checkpoint"):
        train_network(TINY, sample, record=Record(tmp_path / "run", TINY), progress=False)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_loss_that_is_not_finite_stops_the_run_and_reaches_no_checkpoint(tmp_path, recorded):
    path = tmp_path / "checkpoint.pt"
    record = Record(tmp_path, TINY) if recorded else None

    def breaks(step, count):
        planes, move, outcome = sample(step, count)
        return planes, move, outcome * (math.nan if step >= 5 else 1.0)

    with pytest.raises(NonFiniteMetric, match=r"is nan at step 8.*checkpoint"):
        train_network(
            TINY,
            breaks,
            record=record,
            checkpoint_path=path,
            checkpoint_every=4,
            log_every=100,
            progress=False,
        )
    assert torch.load(path, weights_only=True)["state"]["num_done"] == 4


def test_a_gradient_that_is_not_finite_reaches_no_checkpoint(tmp_path, monkeypatch):
    """The loss is finite, and its gradient 0 * inf."""
    losses = []

    def breaks(found, move, outcome, weight):
        loss, metrics = prediction_loss(found, move, outcome, weight)
        losses.append(loss.item())
        if len(losses) > 7:
            loss = loss + 0.0 * (found.value - found.value.detach()).square().sum().sqrt()
        return loss, metrics

    monkeypatch.setattr(prediction, "prediction_loss", breaks)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(NonFiniteMetric, match="'gradient_norm' is nan at step 8"):
        train_network(TINY, sample, checkpoint_path=path, checkpoint_every=4, progress=False)
    assert all(map(math.isfinite, losses))
    state = torch.load(path, weights_only=True)["state"]
    assert state["num_done"] == 4
    assert all(x.isfinite().all() for x in state["network"].values())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"hidden": 0}, "hidden must be at least 1"),
        ({"num_steps": 0}, "num_steps must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"dim": 0}, "dim must be at least 1"),
        ({"blocks": -1}, "blocks must not be negative, got -1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"weight_decay": -0.1}, "weight_decay must not be negative, got -0.1"),
        ({"value_weight": math.nan}, "value_weight must not be negative, got nan"),
        ({"drop_factor": 0.0}, r"drop_factor must lie in \(0, 1\], got 0.0"),
        ({"drops": (0.8, 0.5)}, r"drops must be rising shares in \(0, 1\), got \(0.8, 0.5\)"),
        ({"drops": (1.0,)}, "drops must be rising"),
        ({"layer": "top"}, "layer must be one of tower, policy, value, heads, got 'top'"),
    ],
)
def test_impossible_settings_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        Config(**change)


def test_impossible_input_is_refused():
    net, planes = network(), torch.zeros(2, 7, 3, 3)
    with pytest.raises(ValueError, match=r"planes must be \[B, 8, H, W\], got \[2, 7, 3, 3\]"):
        net(planes)
    with pytest.raises(ValueError, match="layer must be one of"):
        net.activations(torch.zeros(2, 8, 3, 3), "top")
    for name in ("log_every", "checkpoint_every"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            train_network(TINY, sample, progress=False, **{name: 0})

    def bad(change):
        def source(step, count):
            return change(*sample(step, count))

        return source

    with pytest.raises(ValueError, match=r"as many moves and outcomes, got \[7\] and \[8\]"):
        train_network(TINY, bad(lambda x, a, z: (x, a[1:], z)), progress=False)
    with pytest.raises(ValueError, match=r"moves must lie in \[0, 9\]"):
        train_network(TINY, bad(lambda x, a, z: (x, a - 10, z)), progress=False)


def test_presets_are_named_and_the_smallest_trains():
    assert set(PRESETS) == {"smoke", "laptop", "paper"}
    net = train_network(PRESETS["smoke"], sample, progress=False)
    assert net.sizes == {"channels": 8, "blocks": 1, "hidden": 8, "num_planes": 8}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_on_a_gpu(tmp_path):
    config = dataclasses.replace(TINY, num_steps=200, batch_size=64, learning_rate=1e-2)
    path = tmp_path / "checkpoint.pt"
    net = train_network(config, sample, checkpoint_path=path, device="cuda", progress=False)
    assert net.device.type == "cuda"
    planes, move, _ = sample(10_000, 64)
    accuracy = (net(planes.cuda()).logits.argmax(-1).cpu() == move).float().mean()
    assert accuracy > 0.9
    again = train_network(config, stops_at(0), checkpoint_path=path, device="cuda", progress=False)
    assert torch.equal(again.tower.entry.weight, net.tower.entry.weight)
