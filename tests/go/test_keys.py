"""Keys of positions: canonical forms, raw boards, and networks that are frozen and saved."""

import numpy as np
import pytest
import torch

from rlcourse.go.board import Go
from rlcourse.go.keys import KeyNetwork, RawKeys, canonical_symmetry, raw_keys
from rlcourse.go.pca import PCA
from rlcourse.go.prediction import LAYERS, PredictionNetwork
from rlcourse.go.rules import Rules
from rlcourse.go.symmetry import transform_planes

SIZE = 5


def network(seed: int = 0, **sizes: int) -> PredictionNetwork:
    generator = torch.Generator().manual_seed(seed)
    net = PredictionNetwork(
        **{"channels": 4, "blocks": 1, "hidden": 3} | sizes, generator=generator
    )
    for block in net.tower.blocks:  # which start as the identity
        torch.nn.init.normal_(block.second.weight, 0.0, 0.1, generator=generator)
    return net


def positions(count: int, seed: int = 0, num_moves: int = 12, size: int = SIZE) -> torch.Tensor:
    """Planes of games that were played at random, each for another number of moves."""
    go, boards = Go(Rules(size)), []
    for moves in range(num_moves):
        state = go.new(-(-count // num_moves))
        go.random_games_(state, moves, seed + moves)
        boards.append(go.planes(state))
    return torch.cat(boards)[:count]


def images(planes: torch.Tensor) -> torch.Tensor:
    """[8, B, C, H, W]"""
    count = len(planes)
    return torch.stack([transform_planes(planes, torch.full((count,), g)) for g in range(8)])


def keys_of(layer="tower", dim=3, seed=0, **options) -> KeyNetwork:
    batches = positions(60).split(16)
    return KeyNetwork.fit(network(seed), layer, dim, batches, progress=False, **options)


def test_the_canonical_form_is_the_smallest_image():
    planes = positions(50)
    symmetry = canonical_symmetry(planes)
    for board, found in zip(planes, symmetry.tolist(), strict=True):
        seen = [tuple(image.flatten().tolist()) for image in images(board[None])[:, 0]]
        assert found == seen.index(min(seen))
    assert set(symmetry.tolist()) == set(range(8))


def test_all_images_share_their_canonical_form():
    planes = positions(50)
    form = transform_planes(planes, canonical_symmetry(planes))
    for image in images(planes):
        assert torch.equal(transform_planes(image, canonical_symmetry(image)), form)


def test_of_a_board_that_is_its_own_image_the_least_symmetry_is_named():
    planes = torch.zeros(2, 8, 3, 3)
    planes[1, 0, 1, 1] = 1.0
    assert canonical_symmetry(planes).tolist() == [0, 0]
    planes[0, 1, 0, :] = 1.0  # a wall on top; at the bottom it comes last
    symmetry = canonical_symmetry(planes)[:1]
    assert transform_planes(planes[:1], symmetry)[0, 1].tolist()[2] == [1.0, 1.0, 1.0]
    others = [
        g for g in range(8) if torch.equal(images(planes[:1])[g], images(planes[:1])[symmetry[0]])
    ]
    assert others[0] == symmetry.item()
    assert len(others) == 2


def test_a_canonical_form_is_decided_by_a_later_plane_where_stones_agree():
    planes = torch.zeros(1, 8, 3, 3)
    planes[0, 0, 1, 1] = 1.0
    planes[0, 4, 0, 0] = 1.0  # the last move, in a corner
    form = transform_planes(planes, canonical_symmetry(planes))
    assert form[0, 4].flatten().tolist() == [0.0] * 8 + [1.0]


def test_of_no_positions_there_are_no_symmetries():
    assert canonical_symmetry(torch.zeros(0, 8, 3, 3)).shape == (0,)


def test_distances_of_raw_keys_count_stones():
    planes = torch.zeros(3, 8, 3, 3)
    planes[1, 0, 0, 0] = 1.0  # one stone more
    planes[2, 1, 0, 0] = planes[2, 0, 2, 2] = 1.0  # that stone in the other color, and another one
    keys = RawKeys(3)
    found = keys(planes)
    assert found.shape == (3, keys.dim) == (3, 9)
    distances = (found[:, None] - found[None]).square().sum(-1)
    assert distances.tolist() == [[0.0, 1.0, 2.0], [1.0, 0.0, 5.0], [2.0, 5.0, 0.0]]


def test_raw_keys_are_from_the_side_to_play():
    go = Go(Rules(3))
    state = go.new(1)
    go.step_(state, torch.tensor([4]))
    assert raw_keys(go.planes(state))[0].tolist() == [0.0] * 4 + [-1.0] + [0.0] * 4
    go.step_(state, torch.tensor([9]))  # a pass: it is black's turn again
    assert raw_keys(go.planes(state))[0, 4] == 1.0


@pytest.mark.parametrize("layer", LAYERS)
def test_keys_are_components_of_the_layer(layer):
    planes, net = positions(60), network()
    keys = keys_of(layer)
    with torch.no_grad():
        x = net.activations(planes, layer).double()
    if layer == "heads":  # each head's variances sum to 1: here from the definition
        policy, value = x[:, : 3 * SIZE**2], x[:, 3 * SIZE**2 :]
        x = torch.cat([part / part.var(0).sum().sqrt() for part in (policy, value)], 1)
    centered = (x - x.mean(0)).numpy()
    _, _, rows = np.linalg.svd(centered, full_matrices=False)
    expected = torch.tensor(centered @ rows[:3].T)  # up to the signs of the columns
    found = keys(planes)
    assert found.shape == (60, keys.dim) == (60, 3)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    torch.testing.assert_close(found.abs(), expected.abs().float(), rtol=1e-3, atol=1e-4)


def test_keys_do_not_depend_on_the_batch():
    keys, planes = keys_of(), positions(40)
    few = KeyNetwork(keys.network, keys.layer, keys.pca, batch_size=7)
    torch.testing.assert_close(few(planes), keys(planes), rtol=1e-4, atol=1e-5)
    assert few.fingerprint == keys.fingerprint
    assert keys(planes[:0]).shape == (0, 3)


def test_training_the_network_on_changes_no_key():
    net, planes = network(), positions(60)
    keys = KeyNetwork.fit(net, "tower", 3, [planes], progress=False)
    before = keys(planes)
    torch.nn.init.zeros_(net.tower.entry.weight)
    assert torch.equal(keys(planes), before)
    assert all(weight.requires_grad for weight in net.parameters())
    assert not any(weight.requires_grad for weight in keys.network.parameters())


@pytest.mark.parametrize("kind", ["network", "raw"])
def test_keys_of_canonical_forms_are_those_of_all_images(kind):
    keys = keys_of(canonical=True) if kind == "network" else RawKeys(SIZE, canonical=True)
    plain = keys_of() if kind == "network" else RawKeys(SIZE)
    planes = positions(60)
    assert (plain(images(planes)[1]) - plain(planes)).abs().max() > 0.1
    for image in images(planes):
        torch.testing.assert_close(keys(image), keys(planes), rtol=1e-4, atol=1e-5)
    assert keys.fingerprint != plain.fingerprint
    with pytest.raises(ValueError, match="the same under all symmetries"):
        keys.keys_of_symmetries(planes)


@pytest.mark.parametrize("kind", ["network", "raw"])
def test_keys_of_symmetries_are_those_of_the_images_in_their_order(kind):
    keys = keys_of() if kind == "network" else RawKeys(SIZE)
    planes = positions(20)
    found = keys.keys_of_symmetries(planes)
    assert found.shape == (20, 8, keys.dim)
    expected = torch.stack([keys(image) for image in images(planes)], 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_stored_image_is_found_by_the_symmetry_that_makes_it():
    """The contract of a search: the query under symmetry g resembles what is stored."""
    keys, planes = keys_of(), positions(60)[-12:]
    for g in range(8):
        stored = keys(images(planes)[g])
        distances = (keys.keys_of_symmetries(planes) - stored[:, None]).square().sum(-1)
        assert distances[:, g].max() < 1e-6


def test_whitened_keys_have_variance_one():
    found = keys_of(whiten=True)(positions(60))
    torch.testing.assert_close(found.T.cov(), torch.eye(3), atol=1e-3, rtol=0.0)


def test_they_come_back_from_a_file(tmp_path):
    keys, planes = keys_of("heads", canonical=True, whiten=True), positions(30)
    path = tmp_path / "keys.pt"
    keys.save(path)
    again = KeyNetwork.load(path, batch_size=4)
    torch.testing.assert_close(again(planes), keys(planes), rtol=1e-4, atol=1e-5)
    assert again.fingerprint == keys.fingerprint
    assert (again.layer, again.canonical, again.dim) == ("heads", True, 3)
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.pt"]


def test_the_fingerprint_tells_key_functions_apart():
    keys = keys_of()
    assert keys.fingerprint == keys_of().fingerprint
    others = [
        keys_of(dim=2),
        keys_of("policy"),
        keys_of(seed=1),
        keys_of(canonical=True),
        keys_of(whiten=True),
        KeyNetwork(keys.network, "tower", keys.pca, canonical=True),
        RawKeys(3),
        RawKeys(4),
        RawKeys(4, canonical=True),
    ]
    assert len({keys.fingerprint, *(other.fingerprint for other in others)}) == 10


def test_files_that_are_damaged_or_foreign_are_named(tmp_path):
    path = tmp_path / "keys.pt"
    with pytest.raises(FileNotFoundError, match=r"no key network at .*keys\.pt"):
        KeyNetwork.load(path)
    keys = keys_of()
    keys.save(path)
    whole = path.read_bytes()

    def refused(content: bytes, says: str) -> None:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"keys.pt {says}"):
            KeyNetwork.load(path)

    refused(whole[: len(whole) // 2], r"is no key network, or damaged \(")
    refused(b"not a key network", r"is no key network, or damaged \(")
    # One bit of a weight, which torch does not notice.
    weight = keys.network.tower.entry.weight.numpy().tobytes()
    assert whole.count(weight) == 1
    at = whole.index(weight)
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    refused(flipped, r"is no key network, or damaged \(ValueError\)")
    torch.save({"format": "another"}, path)
    refused(path.read_bytes(), "is no key network of this version")
    torch.save([1, 2], path)
    refused(path.read_bytes(), "is no key network of this version")
    path.write_bytes(whole)
    content = torch.load(path, weights_only=True)
    for damage in ({"pca": {}}, {"about": {}}, {"network": {}}, {"about": 3}):
        torch.save(content | damage, path)
        refused(path.read_bytes(), r"is damaged \([A-Z]\w*\): fit and save")
    content["network"]["tower.entry.bias"][0] += 1.0  # by hand: the archive is whole
    torch.save(content, path)
    refused(path.read_bytes(), r"is damaged \(other fingerprint\)")


def test_an_interrupted_write_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path, keys = tmp_path / "keys.pt", keys_of()
    keys.save(path)

    def breaks(content, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", breaks)
    with pytest.raises(KeyboardInterrupt):
        keys_of(seed=1).save(path)
    monkeypatch.undo()
    assert KeyNetwork.load(path).fingerprint == keys.fingerprint
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.pt"]


def test_impossible_input_is_refused():
    keys, planes = keys_of(), positions(4)
    with pytest.raises(ValueError, match="no positions to fit"):
        KeyNetwork.fit(network(), "tower", 3, [], progress=False)
    with pytest.raises(ValueError, match="got 100 features and 4 samples"):
        KeyNetwork.fit(network(), "tower", 4, [planes], progress=False)
    with pytest.raises(ValueError, match="layer must be one of"):
        KeyNetwork.fit(network(), "top", 3, [planes], progress=False)
    with pytest.raises(ValueError, match="layer must be one of"):
        KeyNetwork(network(), "top", keys.pca)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        KeyNetwork(network(), "tower", keys.pca, batch_size=0)
    with pytest.raises(ValueError, match="another size of the board"):
        keys(torch.zeros(2, 8, 4, 4))
    with pytest.raises(ValueError, match=r"planes must be \[B, 8, H, W\]"):
        keys(planes[:, :4])
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        RawKeys(0)
    with pytest.raises(ValueError, match=r"planes must be \[B, C, 4, 4\], got \[4, 8, 5, 5\]"):
        RawKeys(4)(planes)
    with pytest.raises(ValueError, match="must be square"):
        canonical_symmetry(torch.zeros(1, 8, 3, 4))


def test_the_components_of_another_layer_are_refused_at_the_first_key():
    pca = PCA.fit([torch.randn(9, 7, generator=torch.Generator().manual_seed(0))], 2)
    with pytest.raises(ValueError, match=r"features must be \[B, 7\], got \[4, 100\]"):
        KeyNetwork(network(), "tower", pca)(positions(4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu(tmp_path):
    planes = positions(120)
    here = KeyNetwork.fit(network(), "heads", 3, planes.split(50), progress=False)
    there = KeyNetwork.fit(network().cuda(), "heads", 3, planes.split(50), progress=False)
    assert there.pca.components.device.type == "cuda"
    assert there(planes).device.type == "cpu"
    assert there(planes.cuda()).device.type == "cuda"
    # Convolutions are in TF32 there.
    torch.testing.assert_close(there(planes), here(planes), rtol=0.0, atol=0.02)
    assert torch.equal(canonical_symmetry(planes.cuda()).cpu(), canonical_symmetry(planes))
    here.save(tmp_path / "keys.pt")
    moved = KeyNetwork.load(tmp_path / "keys.pt", "cuda")
    assert moved.fingerprint == here.fingerprint
    found = moved.keys_of_symmetries(planes.cuda()).cpu()
    torch.testing.assert_close(found, here.keys_of_symmetries(planes), rtol=0.0, atol=0.02)
