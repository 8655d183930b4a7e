"""The short training of notebook 15 runs a learner's parts, and its gain has an honest interval."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rlcourse.experiments import go_retrieval_gain, go_retrieval_lesson
from rlcourse.experiments.reference import Curve
from rlcourse.go import inputs, learn, model
from rlcourse.go.batches import make_batch
from rlcourse.go.symmetry import transform_planes

SMALL = replace(go_retrieval_lesson.SETTINGS["smoke"], num_stored=6, num_test=2, num_queries=20)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return go_retrieval_lesson.prepare(SMALL, tmp_path_factory.mktemp("w"), progress=False)


@pytest.fixture(scope="module")
def found(world):
    stored = world.stored
    rows = go_retrieval_lesson.neighbors_in_halves(stored.keys, stored.game, SMALL.k)
    return go_retrieval_lesson.as_neighbors(stored, stored, rows)


def test_the_other_half_answers_with_its_nearest(world):
    stored = world.stored
    rows = go_retrieval_lesson.neighbors_in_halves(stored.keys, stored.game, 3)
    assert ((stored.game[rows] + stored.game[:, None]) % 2 == 1).all()
    far = torch.cdist(stored.keys.double(), stored.keys.double())
    far[stored.game[:, None] % 2 == stored.game % 2] = torch.inf
    nearest = far.topk(3, largest=False).values
    torch.testing.assert_close(far.gather(1, rows), nearest, rtol=1e-4, atol=1e-3)
    assert not set(world.test.game.tolist()) & set(stored.game.tolist())


def test_a_symmetry_leads_from_the_query_to_the_neighbor(world):
    """A turned copy of a stored position finds it, and the symmetry found turns it back."""
    ids = world.stored.ids[[40, 60]]
    planes = world.positions.batch(ids).planes
    for g in range(8):
        turned = transform_planes(planes, torch.full((2,), g))
        canonical = go_retrieval_lesson.canonical_symmetry(turned)
        asking = world.stored._replace(keys=world.stored.keys[[40, 60]], canonical=canonical)
        near = go_retrieval_lesson.as_neighbors(asking, world.stored, torch.tensor([[40], [60]]))
        assert torch.equal(transform_planes(turned, near.symmetry[:, 0]), planes)
        assert near.ids[:, 0].tolist() == ids.tolist()


def test_exchanged_does_what_randomize_does(world, found):
    table = go_retrieval_lesson.Table(world.stored.ids, found)
    batch = make_batch(world.positions, world.stored.ids[::9], table)
    ours = go_retrieval_lesson.randomize_by(go_retrieval_lesson.exchanged)
    given = (batch.neighbors, batch.planes, 0.6)
    for seed in range(3):
        one, other = (torch.Generator().manual_seed(seed) for _ in range(2))
        mine = ours(*given, one, batch.game)
        theirs = inputs.randomize(*given, other, batch.game)
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert not torch.equal(mine.planes, batch.neighbors.planes)


def test_a_training_runs_the_parts_that_it_is_given(world, found):
    called = set()

    def noting(name, function):
        def wrapped(*args):
            called.add(name)
            return function(*args)

        return wrapped

    parts = go_retrieval_lesson.Parts(
        noting("join", model.join),
        noting("exchange", go_retrieval_lesson.exchanged),
        noting("losses", learn.unrolled_losses),
    )
    test = go_retrieval_lesson.for_test(world, SMALL.k)
    ours = go_retrieval_lesson.train_briefly(SMALL, world, found, test, parts, progress=False)
    assert called == {"join", "exchange", "losses"}
    plain = go_retrieval_lesson.train_briefly(SMALL, world, found, test, progress=False)
    assert ours.accuracy == plain.accuracy
    assert ours.value_error == plain.value_error
    assert ours.step == [0, 2, 4]
    base = go_retrieval_lesson.train_briefly(SMALL, world, None, None, progress=False)
    weights = [run.network.embedding.observation.weight for run in (plain, base)]
    assert not torch.equal(*weights)  # only with neighbors is p_theta trained
    one, other = (
        go_retrieval_lesson.evaluate(plain.network, world, given)
        for given in (test, go_retrieval_lesson.at_random(world, SMALL.k, 0))
    )
    assert float(one["cross_entropy"]) != float(other["cross_entropy"])


def test_an_interrupt_keeps_what_was_learned(world, found, monkeypatch, capsys):
    real = learn.Learner.update

    def interrupted(self, batch):
        if self.num_updates == 3:
            raise KeyboardInterrupt
        return real(self, batch)

    monkeypatch.setattr(learn.Learner, "update", interrupted)
    test = go_retrieval_lesson.for_test(world, SMALL.k)
    run = go_retrieval_lesson.train_briefly(SMALL, world, found, test, progress=False)
    assert run.step == [0, 2]
    assert "go on with what was learned" in capsys.readouterr().out


def test_a_gain_by_hand():
    with_, without = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0])
    count = torch.tensor([4, 1])
    drawn = torch.tensor([[0, 0], [0, 1], [1, 1]])  # means 0.5, 0.4, 0
    mean, low, high = go_retrieval_gain.gain(with_, without, count, drawn)
    assert float(mean) == pytest.approx(0.4)
    assert float(low) == pytest.approx(0.05 * 0.4)
    assert float(high) == pytest.approx(0.4 + 0.95 * 0.1)


def test_the_pictures_and_the_table(world, found):
    sizes = {
        f"{kind}/half/{metric}": Curve(np.array([0.0, 100.0, 200.0]), *[np.full(3, 0.5)] * 3)
        for kind in ("n4", "baseline")
        for metric in ("accuracy", "value_error")
    }
    run = go_retrieval_lesson.Trained(None, [0, 2, 4], [0.0, 0.25, 0.5], [1.0, 0.5, 0.25])
    figure = go_retrieval_gain.plot_brief({"n4/half": run}, SMALL, sizes)
    shipped, mine = figure.axes[0].get_lines()
    assert list(shipped.get_xdata()) == [25.6, 51.2]
    assert list(mine.get_ydata()) == [25.0, 50.0]
    assert list(mine.get_xdata()) == [0.016, 0.032]
    assert shipped.get_color() == mine.get_color()
    curves = {
        f"n{n}/{group}/{metric}": Curve(np.ones(1), *(np.array([x]) for x in (0.02, 0.01, 0.04)))
        for n in (2, 4)
        for group in ("gain", "gain_random", "gain_absent")
        for metric in ("accuracy", "value_error")
    }
    figure = go_retrieval_gain.plot_by_number(curves)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["2", "4"]
    assert figure.axes[0].get_lines()[1].get_ydata()[0] == pytest.approx(2.0)
    shares = Curve(np.array([0.1, 1.0]), *(np.array(x) for x in ([0, 2], [-1, 1], [1, 3])))
    curves |= {f"n2/gain/{metric}": shares for metric in ("accuracy", "value_error")}
    figure = go_retrieval_gain.plot_by_share({k: x for k, x in curves.items() if k[:2] == "n2"})
    titles = [ax.get_title(loc="left") or ax.get_title() for ax in figure.axes]
    assert titles == ["Expert's move", "Winner"]
    for ax, factor in zip(figure.axes, (100, 1), strict=True):
        assert list(ax.get_lines()[1].get_ydata()) == [0, 2 * factor]
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["10", "100"]
    game = torch.arange(2)
    right = {"accuracy": torch.tensor(0.8), "value_error": torch.tensor(0.25), "game": game}
    right |= {"count": torch.tensor([4, 1]), "sum/value_error": torch.tensor([1.0, 0.25])}
    right["sum/accuracy"] = torch.tensor([3.0, 1.0])
    base = right | {"sum/accuracy": torch.tensor([1.0, 1.0])}
    lines = go_retrieval_gain.gain_table({"base": (base, base), "ours": (right, base)}).split("\n")
    assert "+40.0 [" in lines[2]
    assert "[" not in lines[1]


def test_other_games_have_positions_of_their_own(world, tmp_path, monkeypatch):
    """When games were added, the folder of an earlier call does not stand in the way."""
    rules, games = go_retrieval_lesson.shipped.load_games()
    few = replace(SMALL, num_stored=2, num_test=1, num_queries=5)
    first = go_retrieval_lesson.prepare(few, tmp_path, progress=False)
    later = lambda: (rules, games[10:])  # noqa: E731
    monkeypatch.setattr(go_retrieval_lesson.shipped, "load_games", later)
    other = go_retrieval_lesson.prepare(few, tmp_path, progress=False)
    assert not set(first.stored.game.tolist()) & set(other.stored.game.tolist())
    assert len(list(tmp_path.iterdir())) == 2


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
        replace(SMALL, num_steps=0)
