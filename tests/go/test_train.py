"""Runs that can be stopped and go on, and the evaluation over games."""

import dataclasses
import math
import signal

import pytest
import torch

from rlcourse.go.batches import TrainingBatch
from rlcourse.go.learn import Config, Learner
from rlcourse.go.model import Config as Sizes
from rlcourse.go.model import RetrievalModel
from rlcourse.go.train import Run, evaluate, train
from rlcourse.run.record import NonFiniteMetric, Record, load_metrics
from tests.go.retrieval import Answers, draw, random_batch

TINY = Sizes(1.0, 4, 4, 2, 0, 0, 0, 1, 2)
CONFIG = Config(num_unroll=1, dropout=0.2, randomization=0.2, average_rate=0.1)


def new_learner() -> Learner:
    return Learner(CONFIG, RetrievalModel(TINY, draw(0)), draw(1))


def run(folder, num_updates: int, source=None, learner=None, **others) -> tuple[Run, Learner]:
    learner = learner or new_learner()
    settings = {"checkpoint_path": folder / "checkpoint.pt", "checkpoint_every": 4}
    settings |= {"log_every": 3, "evaluate_every": 5, "progress": False, **others}
    done = train(
        learner,
        source or Answers(8),
        num_updates,
        record=Record(folder, CONFIG),
        **settings,
    )
    return done, learner


def test_a_run_writes_its_means(tmp_path):
    done, learner = run(tmp_path, 7, evaluate=lambda step: {"asked": step})
    assert done.num_updates == learner.num_updates == 7
    written = load_metrics(tmp_path)
    assert written["step"].tolist() == [0, 3, 5, 6]
    assert written["asked"][[0, 2]].tolist() == [0, 5]
    other, source = new_learner(), Answers(8)
    losses = [float(other.update(source.batch(step))["loss"]) for step in range(6)]
    means = [sum(losses[:3]) / 3, sum(losses[3:]) / 3]
    assert written["loss"][[1, 3]].tolist() == pytest.approx(means)


class Stopping(Answers):
    """A source that an interrupt hits, or that fails."""

    def __init__(self, step: int, error: Exception | None = None) -> None:
        super().__init__(8)
        self.step, self.error = step, error

    def batch(self, step: int) -> TrainingBatch:
        if step == self.step and self.error:
            raise self.error
        if step == self.step:
            signal.raise_signal(signal.SIGINT)
        return super().batch(step)


@pytest.mark.parametrize("stop", ["end", "interrupt", "crash"])
def test_a_resumed_run_is_an_uninterrupted_one(tmp_path, stop, capsys):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    _, expected = run(whole, 11)
    if stop == "end":
        run(stopped, 7)
    elif stop == "interrupt":
        done, _ = run(stopped, 11, Stopping(5))
        assert done.num_updates < 11
        assert "Run the same cell or command again" in capsys.readouterr().err
    else:
        with pytest.raises(RuntimeError, match="no more data"):
            run(stopped, 11, Stopping(6, RuntimeError("no more data")))
    _, found = run(stopped, 11)
    for name in ("metrics.jsonl", "config.json"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes()
    for learner in (expected, found):
        assert learner.num_updates == 11
    for mine, theirs in zip(expected.trained.parameters(), found.trained.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_run_that_is_done_stays_done(tmp_path):
    run(tmp_path, 4)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    done, _ = run(tmp_path, 4, Stopping(0, RuntimeError("asked for a batch")))
    assert done == Run(4, 0.0)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_a_nan_stops_the_run_before_it_is_kept(tmp_path):
    class Bad(Answers):
        def batch(self, step: int) -> TrainingBatch:
            batch = super().batch(step)
            return batch._replace(outcome=batch.outcome * math.nan) if step == 5 else batch

    with pytest.raises(NonFiniteMetric, match="last good checkpoint is .*checkpoint.pt"):
        run(tmp_path, 11, Bad(8), log_every=100)
    _, learner = run(tmp_path, 5)
    assert all(x.isfinite().all() for x in learner.model.parameters())


def test_what_does_not_belong_together_is_refused(tmp_path):
    run(tmp_path / "a", 6)
    changed = dataclasses.replace(CONFIG, dropout=0.5)
    other = Learner(changed, RetrievalModel(TINY, draw(0)), draw(1))
    with pytest.raises(ValueError, match="made with dropout=0.2, not 0.5: use those settings"):
        run(tmp_path / "a", 8, learner=other)
    with pytest.raises(ValueError, match="at update 6, beyond the num_updates asked for, 5"):
        run(tmp_path / "a", 5)
    (tmp_path / "a" / "checkpoint.pt").unlink()
    with pytest.raises(
        ValueError, match="holds metrics up to update 6, and there is no checkpoint"
    ):
        run(tmp_path / "a", 8)
    used = new_learner()
    used.update(Answers(8).batch(0))
    with pytest.raises(ValueError, match="has made 1 updates, and there is no checkpoint"):
        run(tmp_path / "b", 8, learner=used)


@pytest.mark.parametrize("name", ["num_updates", "log_every", "evaluate_every", "checkpoint_every"])
def test_counts_are_checked(tmp_path, name):
    others = {} if name == "num_updates" else {name: 0}
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        run(tmp_path, 0 if name == "num_updates" else 3, **others)


def test_without_a_checkpoint_nothing_is_kept(tmp_path):
    run(tmp_path, 4, checkpoint_path=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "metrics.jsonl"]


def test_evaluation_is_a_slow_loop_over_games():
    model = RetrievalModel(dataclasses.replace(TINY, num_encoder_blocks=1), draw(3))
    batches = [random_batch(20, seed=1), random_batch(7, seed=2)]
    found = evaluate(model, batches)
    sums: dict[int, list[float]] = {}
    with torch.no_grad():
        for batch in batches:
            logits, value = model.predict(model.represent(batch.planes, batch.neighbors))
            for i, game in enumerate(batch.game.tolist()):
                move = int(batch.next_moves[i, 0])
                entry = sums.setdefault(game, [0, 0.0, 0.0, 0.0])
                entry[0] += 1
                entry[1] += int(logits[i].argmax()) == move
                entry[2] -= float(logits[i].log_softmax(0)[move])
                entry[3] += float(value[i] - batch.outcome[i]) ** 2
    assert found["game"].tolist() == sorted(sums)
    rows = [sums[game] for game in sorted(sums)]
    assert found["count"].tolist() == [row[0] for row in rows]
    for column, name in enumerate(("accuracy", "cross_entropy", "value_error"), start=1):
        expected = [row[column] for row in rows]
        assert found[f"sum/{name}"].tolist() == pytest.approx(expected, rel=1e-5)
        assert float(found[name]) == pytest.approx(sum(expected) / 27, rel=1e-5)


def test_evaluation_asks_as_it_is_told():
    model, batches = RetrievalModel(TINY, draw(3)), [random_batch(20)]
    losses = [
        float(evaluate(model, batches, **how)["cross_entropy"])
        for how in (
            {},
            {"mode": "absent"},
            {"mode": "blank"},
            {"num_neighbors": 20},
            {"precision": "bfloat16"},
        )
    ]
    assert len(set(losses)) == 5
    assert losses[-1] == pytest.approx(losses[0], rel=0.02)


def test_impossible_evaluations_are_refused():
    model, batch = RetrievalModel(TINY, draw(3)), random_batch(4)
    with pytest.raises(ValueError, match="no batches came"):
        evaluate(model, [])
    with pytest.raises(ValueError, match="mode must be one of"):
        evaluate(model, [batch], mode="none")
    batch.next_moves[2, 0] = -1
    with pytest.raises(ValueError, match="without a next move"):
        evaluate(model, [batch])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_run_on_a_gpu_goes_on(tmp_path):
    def learner() -> Learner:
        return Learner(
            CONFIG, RetrievalModel(TINY, torch.Generator("cuda").manual_seed(0)), draw(1)
        )

    run(tmp_path, 5, learner=learner())
    done, there = run(tmp_path, 9, learner=learner())
    assert done.num_updates == 9
    found = evaluate(there.trained, [random_batch(20, size=3)])
    assert found["sum/accuracy"].device.type == "cpu"
