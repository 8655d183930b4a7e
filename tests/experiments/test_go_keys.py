"""The comparison of keys: refused, interrupted, read, as the course ships it."""

from dataclasses import replace

import pytest
import torch

from rlcourse.experiments import go_key_network, go_key_study, go_keys, go_lookup, reference
from rlcourse.go import prediction, shipped
from rlcourse.go.keys import KeyNetwork
from rlcourse.go.pca import PCA
from rlcourse.go.splits import split_of
from tests.experiments.key_world import positions_in, small_network

SMALL = replace(go_keys.PRESETS["smoke"], num_seeds=1, num_steps=10, evaluate_every=5)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("k", 0, "k must be at least 1, got 0"),
        ("num_stored", -1, "num_stored must be at least 1, got -1"),
        ("num_train", 0, "num_train must be at least 1, or None for all, got 0"),
        ("layers", (), "layers must name at least one"),
        ("layers", ("tower", "roof"), r"unknown layers \['roof'\]"),
        ("num_fit", 16, "num_fit must exceed dim, got 16 and 16"),
        ("channels", 0, "channels must be at least 1, got 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **{field: value})


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert go_keys.run(SMALL, whole, progress=False)
    update, find, calls = prediction._Training.update_, go_lookup.find, []

    def stop_update(self, *sample):
        calls.append(self.num_done)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return update(self, *sample)

    def stop_find(stored, asked, name, how, *rest):
        if (name, how) == ("policy", "canonical"):
            raise KeyboardInterrupt
        return find(stored, asked, name, how, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(prediction._Training, "update_", stop_update)
        assert not go_keys.run(SMALL, broken, progress=False)
    with pytest.raises(ValueError, match="was interrupted: run it again"):
        go_keys.load(broken)
    with monkeypatch.context() as patch:
        patch.setattr(go_lookup, "find", stop_find)
        assert not go_keys.run(SMALL, broken, progress=False)
    with pytest.raises(ValueError, match="was interrupted: run it again"):
        go_keys.load(broken)
    assert go_keys.run(SMALL, broken, progress=False)
    for name in ("seed_0/metrics.jsonl", "seed_0/keys/metrics.jsonl"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()
    result = go_keys.load(whole)
    assert list(result.agreement) == [
        (name, how)
        for name in ("raw", "tower", "policy", "value")
        for how in ("none", "canonical", "query")
    ]
    assert all((found == 1.0).all() for (_, how), found in result.found.items() if how == "query")
    assert go_keys.table(whole).count("all eight images") == 4
    made = go_key_network.Config(
        layer="value", preset="smoke", folder=tmp_path / "keys", out=tmp_path / "keys.pt"
    )
    keys = go_key_network.make(made, progress=False)
    assert (keys.layer, keys.dim) == ("value", 8)
    assert KeyNetwork.load(made.out).fingerprint == keys.fingerprint
    before = made.out.read_bytes()
    monkeypatch.setattr(go_key_network, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="would have .* bytes, more than 10: lower dim in the pre"):
        go_key_network.make(made, progress=False)
    assert made.out.read_bytes() == before


def test_games_that_ask_are_not_stored(tmp_path):
    positions = positions_in(tmp_path)
    config = replace(SMALL, num_stored=3, num_test=1, num_queries=1_000)
    stored, asked = go_keys.chosen(config, 0, positions)
    held, tests = (set(positions.games[ids].tolist()) for ids in (stored, asked))
    assert len(held) == 3
    assert len(tests) == 1
    assert {split_of(number) for number in tests} == {"test"}
    assert "test" not in {split_of(number) for number in held}
    assert set(positions.games[go_keys.fitting_ids(config, 0, positions)].tolist()) & tests == set()


def test_a_network_to_ship_is_of_a_known_layer_and_preset():
    with pytest.raises(ValueError, match="layer must be one of .*got 'roof'"):
        go_key_network.Config(layer="roof")
    with pytest.raises(ValueError, match="preset must be one of .*got 'large'"):
        go_key_network.Config(preset="large")


def test_the_shipped_keys_are_small_and_of_the_laptop_network():
    path = shipped.key_network_path()
    assert path.stat().st_size < go_key_network.MAX_BYTES
    keys = KeyNetwork.load(path)
    laptop = go_keys.PRESETS["laptop"]
    assert keys.dim == laptop.dim
    assert not keys.canonical
    assert keys.network.sizes["channels"] == laptop.channels


def test_the_effects_of_notebook_14_are_in_the_shipped_curves():
    curves = reference.load_reference("go_keys")
    nearest = {name: curve.mean[0] for name, curve in curves.items()}
    assert nearest["policy/query"] > 1.5 * nearest["raw/query"]
    assert nearest["raw/query"] > nearest["raw/none"]
    assert nearest["policy/query"] > nearest["policy/none"]
    for name in ("raw", "policy"):  # the canonical form gains much of what all eight gain
        gain = nearest[f"{name}/query"] - nearest[f"{name}/none"]
        assert nearest[f"{name}/canonical"] - nearest[f"{name}/none"] > 0.4 * gain > 0
    assert nearest["value/none"] < 0.75 * nearest["policy/none"]
    accuracy = curves["accuracy"]
    assert accuracy.mean[-1] > 0.4 > 0.3 > accuracy.mean[0]


def test_intervals_come_from_games():
    games = torch.tensor([0, 0, 1, 1, 2, 2])
    same = torch.tensor([1.0, 0.0] * 3)[:, None]  # each game has a mean of one half
    rate = go_key_study.by_games(same, games)
    assert (rate.mean[0], rate.low[0], rate.high[0]) == (0.5, 0.5, 0.5)
    whole = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.0])[:, None]  # one game knows all
    rate = go_key_study.by_games(whole, games)
    assert (rate.low[0], rate.high[0]) == (0.0, 1.0)
    with pytest.raises(ValueError, match="at least two games, got one"):
        go_key_study.by_games(same, torch.zeros(6, dtype=torch.int64))


def test_components_from_elsewhere_are_those_of_pca():
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(1)) * torch.arange(1.0, 7.0)
    fitted = PCA.fit([x], 3)
    made = go_key_study.as_pca(fitted.mean, fitted.components, x)
    torch.testing.assert_close(made.transform(x), fitted.transform(x))
    torch.testing.assert_close(made.explained, fitted.explained)


def test_a_short_training_is_drawn_and_keys_are_looked_up(tmp_path):
    positions, curves = positions_in(tmp_path / "positions"), reference.load_reference("go_keys")
    assert go_key_study.train_briefly(SMALL, tmp_path / "short", positions, 4, 2)
    (ax,) = go_key_study.plot_training(tmp_path / "short", curves).axes
    assert list(ax.get_lines()[1].get_xdata()) == [2, 4]
    network = small_network()
    stored_ids, query_ids = go_keys.chosen(replace(SMALL, num_stored=5, num_test=2), 0, positions)
    components = go_lookup.fit_components(network, ["value"], 4, positions, stored_ids, False)
    stored = go_lookup.store(network, components, positions, stored_ids, progress=False)
    asked = go_lookup.ask(network, components, positions.batch(query_ids).planes)
    seen = []

    def agree(moves, symmetry, expert, size):
        seen.append(moves.shape)
        return torch.ones(moves.shape)

    looked = go_key_study.look_all(
        positions, stored, asked, query_ids, k=4, agree=agree, progress=False
    )
    ways = [(name, how) for name in ("raw", "value") for how in ("none", "canonical", "query")]
    assert list(looked) == ways
    assert seen == [(30, 4)] * 6  # the learner's function is what runs
    assert looked["raw", "query"].share == 1.0
    games = positions.games[query_ids]
    text = go_key_study.table(looked, games)
    assert text.count("100.0%") == 6 * 4
    figure = go_key_study.plot(looked, games, curves)
    assert [ax.get_title(loc="left") or ax.get_title() for ax in figure.axes] == [
        "as it lies",
        "all eight images",
    ]
