"""Models in files."""

import dataclasses

import pytest
import torch

from rlcourse.go.agent import weights_fingerprint
from rlcourse.go.model import PRESETS
from rlcourse.go.saved_model import FORMAT, load_model, read_about, save_model
from tests.go.retrieval import random_batch
from tests.go.test_model import SMALL, shaken

ABOUT = {"mode": "retrieved", "steps": 300, "keys": "0123", "games": ["a", "b"], "note": None}


def test_a_model_comes_back_rounded_to_half_precision(tmp_path):
    path, model, batch = tmp_path / "model.pt", shaken(), random_batch(4, 3)
    before = weights_fingerprint(model)
    save_model(path, model, ABOUT)
    assert weights_fingerprint(model) == before
    loaded = load_model(path)
    assert (loaded.config, loaded.num_planes) == (model.config, model.num_planes)
    assert not loaded.training
    assert read_about(path) == ABOUT
    saved = model.state_dict()
    for name, weight in loaded.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, saved[name].half().float())
        torch.testing.assert_close(weight, saved[name], rtol=1 / 2048, atol=3e-8)
    for one, other in zip(
        loaded(batch.planes, batch.neighbors, batch.next_moves[:, :2]),
        model(batch.planes, batch.neighbors, batch.next_moves[:, :2]),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0.0, atol=0.01)


def test_saving_what_was_loaded_makes_the_same_file(tmp_path):
    model = shaken(dataclasses.replace(SMALL, num_next=4))
    save_model(tmp_path / "one.pt", model, ABOUT)
    save_model(tmp_path / "two.pt", load_model(tmp_path / "one.pt"), ABOUT)
    one, two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("one", "two"))
    assert one["fingerprint"] == two["fingerprint"]
    save_model(tmp_path / "two.pt", model, ABOUT | {"steps": 301})
    other = torch.load(tmp_path / "two.pt", weights_only=True)
    assert one["fingerprint"] != other["fingerprint"]


def test_the_laptop_model_is_small_enough_to_travel(tmp_path):
    save_model(tmp_path / "model.pt", shaken(PRESETS["laptop"]), ABOUT)
    assert (tmp_path / "model.pt").stat().st_size < 700_000


def test_what_cannot_be_kept_is_refused(tmp_path):
    path, model = tmp_path / "model.pt", shaken()
    for about in ({"path": tmp_path}, {"loss": float("nan")}):
        with pytest.raises(ValueError, match=r"about must be what JSON can hold .*, got \{"):
            save_model(path, model, about)
    model.policy.points.weight.data[0] = 1e5
    with pytest.raises(ValueError, match=r"the weight policy\.points\.weight is not finite as flo"):
        save_model(path, model, ABOUT)
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        save_model(tmp_path / "absent" / "model.pt", shaken(), ABOUT)


def test_files_that_are_damaged_or_foreign_are_named(tmp_path):
    path = tmp_path / "model.pt"
    for read in (load_model, read_about):
        with pytest.raises(FileNotFoundError, match=r"no model at .*model\.pt: make one with save"):
            read(path)
    model = shaken()
    save_model(path, model, ABOUT)
    whole = path.read_bytes()

    def refused(content: bytes, says: str) -> None:
        path.write_bytes(content)
        for read in (load_model, read_about):
            with pytest.raises(ValueError, match=f"model.pt {says}"):
                read(path)

    refused(whole[: len(whole) // 2], r"is no model, or damaged \(")
    refused(b"not a model", r"is no model, or damaged \(")
    weight = model.encoder.entry.weight.half().numpy().tobytes()
    assert whole.count(weight) == 1
    at = whole.index(weight)  # one bit of a weight, which torch does not notice
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    refused(flipped, r"is no model, or damaged \(ValueError\)")
    for foreign in ({"format": "another"}, [1, 2]):
        torch.save(foreign, path)
        refused(path.read_bytes(), "is no model of this version")
    path.write_bytes(whole)
    content = torch.load(path, weights_only=True)
    for damage in ({"weights": 3}, {"weights": {"a": 1}}):
        torch.save(content | damage, path)
        refused(path.read_bytes(), r"is damaged \([A-Z]\w*\): save the model again")
    torch.save({"format": FORMAT}, path)
    refused(path.read_bytes(), r"is damaged \(KeyError\)")
    for damage in ({"about": {}}, {"config": {}}, {"num_planes": 1}):
        torch.save(content | damage, path)
        refused(path.read_bytes(), r"is damaged \(other fingerprint\)")


def test_a_model_of_another_version_is_named(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    save_model(path, shaken(), ABOUT)
    older = dataclasses.make_dataclass("Config", [("width", float)], frozen=True)
    monkeypatch.setattr("rlcourse.go.saved_model.Config", older)
    with pytest.raises(ValueError, match=r"model\.pt does not fit this version's model \(.*: save"):
        load_model(path)


def test_an_interrupted_write_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    save_model(path, shaken(), ABOUT)
    whole = path.read_bytes()

    def breaks(content, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", breaks)
    with pytest.raises(KeyboardInterrupt):
        save_model(path, shaken(seed=1), ABOUT)
    assert path.read_bytes() == whole
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.pt"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_model_on_a_gpu(tmp_path):
    path, model = tmp_path / "model.pt", shaken()
    save_model(path, model.cuda(), ABOUT)
    loaded = load_model(path, "cuda")
    assert {weight.device.type for weight in loaded.parameters()} == {"cuda"}
    assert load_model(path).state_dict().keys() == loaded.state_dict().keys()
