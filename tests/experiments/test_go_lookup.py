"""Keys in memory: all eight images, canonical forms, and what is refused."""

import pytest
import torch

from rlcourse.experiments import go_lookup
from rlcourse.go.keys import KeyNetwork
from rlcourse.go.symmetry import NUM_SYMMETRIES, transform_planes
from tests.experiments.key_world import LAYERS, games, positions_in, small_network


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    positions, network = positions_in(tmp_path_factory.mktemp("w") / "positions"), small_network()
    ids = positions.of_split("train", "retrieval")
    components = go_lookup.fit_components(network, LAYERS, 16, positions, ids, progress=False)
    stored = go_lookup.store(network, components, positions, ids, progress=False)
    return positions, network, components, stored


def planes_of(world, split="test"):
    positions = world[0]
    return positions.batch(positions.of_split(split)[::9]).planes


def test_keys_are_those_of_key_networks(world):
    _, network, components, _ = world
    planes = planes_of(world)
    keys = go_lookup.keys_of(network, components, planes)
    assert list(keys) == ["raw", "policy", "value"]
    assert [keys[name].shape[1] for name in keys] == [81, 16, 8]  # no more than there are
    for layer in LAYERS:
        alone = KeyNetwork(network, layer, components[layer])(planes)
        torch.testing.assert_close(keys[layer], alone)
    assert torch.equal(keys["raw"], (planes[:, 0] - planes[:, 1]).flatten(1))


@pytest.mark.parametrize("name", ["raw", "policy"])
def test_all_eight_images_are_searched(name, world):
    _, network, components, stored = world
    planes = planes_of(world)
    asked = go_lookup.ask(network, components, planes)
    found = go_lookup.find(stored, asked, name, "query", 4)
    images = [transform_planes(planes, torch.full((len(planes),), g)) for g in range(8)]
    each = [go_lookup.keys_of(network, components, image)[name] for image in images]
    far = (torch.stack(each, 1)[:, :, None] - stored.keys[name]).square().sum(-1)  # [B, 8, N]
    best = far.min(1).values.sort(-1).values[:, :4]
    torch.testing.assert_close(found.distances, best, rtol=1e-3, atol=1e-3)
    rows = torch.searchsorted(stored.ids, found.ids)
    here = far[torch.arange(len(planes))[:, None], found.symmetry, rows]
    torch.testing.assert_close(here, best, rtol=1e-3, atol=1e-3)  # the symmetry is the right one


@pytest.mark.parametrize("how", ["canonical", "query"])
def test_a_turned_position_finds_itself_and_how_it_was_turned(how, world):
    positions, network, components, stored = world
    planes = positions.batch(stored.ids[40:48]).planes
    turned = transform_planes(planes, torch.arange(NUM_SYMMETRIES))
    asked = go_lookup.ask(network, components, turned)
    found = go_lookup.find(stored, asked, "raw", how, 1)
    assert found.distances.tolist() == [[0.0]] * 8
    near = positions.batch(found.ids[:, 0]).planes
    back = transform_planes(turned, found.symmetry[:, 0])
    assert torch.equal(back[:, :2], near[:, :2])  # the query under the symmetry is the neighbor


def test_the_share_that_is_found_is_one_for_all_eight_and_less_as_it_lies(world):
    _, network, components, stored = world
    asked = go_lookup.ask(network, components, planes_of(world))
    truth = go_lookup.find(stored, asked, "policy", "query", 5)
    assert go_lookup.share_found(stored, asked, "policy", truth, truth) == 1.0
    plain = go_lookup.find(stored, asked, "policy", "none", 5)
    ids = [set(row) for row in truth.ids.tolist()]
    hits = sum(len(set(row) & wanted) for row, wanted in zip(plain.ids.tolist(), ids, strict=True))
    share = go_lookup.share_found(stored, asked, "policy", plain, truth)
    assert share == pytest.approx(hits / truth.ids.numel(), abs=0.02)
    assert share < 0.9


def test_the_given_search_is_what_runs(world):
    _, network, components, stored = world
    asked, calls = go_lookup.ask(network, components, planes_of(world)), []

    def search(queries, keys, k, block):
        calls.append((len(queries), len(keys), k, block))
        return torch.zeros(len(queries), k), torch.arange(k).expand(len(queries), k)

    found = go_lookup.find(stored, asked, "raw", "none", 3, search, block=17)
    assert calls == [(len(found.ids), len(stored.ids), 3, 17)]
    assert found.ids[0].tolist() == stored.ids[:3].tolist()
    with pytest.raises(ValueError, match="there are keys .*got 'raw' and 'mirror'"):
        go_lookup.find(stored, asked, "raw", "mirror", 3)
    with pytest.raises(ValueError, match="got 'heads' and 'none'"):
        go_lookup.find(stored, asked, "heads", "none", 3)


def test_samples_depend_on_the_step_alone(world):
    positions = world[0]
    ids = positions.of_split("train")
    first, second = (go_lookup.training_sample(positions, ids, 3) for _ in range(2))
    forward = [first(step, 8) for step in (0, 1, 15, 16, 40)]
    backward = [second(step, 8) for step in (40, 16, 15, 1, 0)][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(forward[0][0], forward[1][0])
    assert [part.shape[0] for part in forward[0]] == [8, 8, 8]


def test_positions_are_made_once_and_belong_to_their_games(tmp_path):
    positions = positions_in(tmp_path)
    assert positions_in(tmp_path).fingerprint == positions.fingerprint
    rules, some = games()
    with pytest.raises(ValueError, match="another configuration .games: .*choose"):
        go_lookup.positions_of(tmp_path, rules, some[:3], progress=False)
    with pytest.raises(ValueError, match="there are 5 and 2: ask for fewer"):
        go_lookup.some_games(some, 6, 2)
