from collections import OrderedDict

import numpy as np
import pytest
import torch

from rlcourse.run import checkpoint
from rlcourse.run.checkpoint import load_checkpoint, previous_path, save_checkpoint


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "checkpoint.pt"


def test_everything_comes_back(path):
    generator = torch.Generator().manual_seed(3)
    state = {
        "tensor": torch.arange(3.0),
        "nested": {"list": [1, 2.5, None, True, "text"], "tuple": (1, 2), 7: 2**100},
        "ordered": OrderedDict(a=torch.ones(2, dtype=torch.int64)),
        "generator": generator.get_state(),
    }
    save_checkpoint(path, state)
    loaded = load_checkpoint(path)
    assert loaded["nested"] == state["nested"]
    assert torch.equal(loaded["tensor"], state["tensor"])
    assert torch.equal(loaded["ordered"]["a"], state["ordered"]["a"])
    again = torch.Generator()
    again.set_state(loaded["generator"])
    assert torch.equal(torch.rand(5, generator=generator), torch.rand(5, generator=again))


def test_a_module_and_its_optimizer_come_back(path):
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(3)).sum().backward()
    optimizer.step()
    save_checkpoint(path, {"net": net.state_dict(), "optimizer": optimizer.state_dict()})
    loaded = load_checkpoint(path)
    other = torch.nn.Linear(3, 2)
    other.load_state_dict(loaded["net"])
    assert torch.equal(other.weight, net.weight)
    torch.optim.Adam(other.parameters()).load_state_dict(loaded["optimizer"])


def test_the_previous_one_is_kept_and_nothing_else(path):
    for number in range(3):
        save_checkpoint(path, {"number": number})
    assert load_checkpoint(path) == {"number": 2}
    assert load_checkpoint(previous_path(path)) == {"number": 1}
    assert len(list(path.parent.iterdir())) == 2


def test_without_hard_links(path, monkeypatch):
    def no_links(*_):
        raise OSError("not supported")

    monkeypatch.setattr(checkpoint.os, "link", no_links)
    for number in range(2):
        save_checkpoint(path, {"number": number})
    assert load_checkpoint(previous_path(path)) == {"number": 0}


def test_a_failed_save_leaves_the_old_one(path, monkeypatch):
    save_checkpoint(path, {"number": 0})

    def disk_full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", disk_full)
    with pytest.raises(OSError, match="cannot write the checkpoint.*No space left.*unharmed"):
        save_checkpoint(path, {"number": 1})
    assert load_checkpoint(path) == {"number": 0}
    assert len(list(path.parent.iterdir())) == 1


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="choose a folder that you may write"):
        save_checkpoint(tmp_path / "file" / "checkpoint.pt", {})


@pytest.mark.parametrize("position", [0.0, 0.1, 0.5, 0.9])
def test_one_wrong_byte_in_the_data_is_found(path, position):
    save_checkpoint(path, {"x": torch.arange(10_000.0)})
    start = 1_000 + int(position * 30_000)  # inside the tensor, past the zip's own headers
    content = bytearray(path.read_bytes())
    content[start] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path} is damaged.*Delete the run's folder"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04"])
def test_a_corrupt_file_names_the_previous_one(path, content):
    save_checkpoint(path, {"number": 0})
    save_checkpoint(path, {"number": 1})
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"rename .*{previous_path(path).name} to {path.name}"):
        load_checkpoint(path)


def test_a_truncated_file(path):
    save_checkpoint(path, {"x": torch.arange(1000.0)})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(path)


def test_other_files_and_formats(path):
    path.parent.mkdir()
    torch.save({"weights": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="not a checkpoint of this package"):
        load_checkpoint(path)
    torch.save({"format": 99, "state": {}}, path)
    with pytest.raises(ValueError, match="format 99, this version reads 1"):
        load_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_checkpoint(path.parent / "other.pt")


def test_code_in_a_file_is_not_executed(path, tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    path.parent.mkdir()
    torch.save({"format": 1, "state": Attack()}, path)
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"q": np.zeros(2)}, r"state\['agent'\]\['q'\] is a numpy.ndarray"),
        ([torch.Generator()], r"state\['agent'\]\[0\] is a torch.*Generator"),
        ({1.5: 0}, "keys must be strings or integers"),
    ],
)
def test_what_cannot_be_loaded_is_refused_at_saving(path, entry, named):
    with pytest.raises(TypeError, match=named):
        save_checkpoint(path, {"agent": entry})
    assert not path.exists()
