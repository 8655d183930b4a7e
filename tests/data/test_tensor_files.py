"""Files of tensors: read back, damaged, foreign; and what tells tensors apart."""

import hashlib

import pytest
import torch

from rlcourse.data.files import DAMAGE, load_checked
from rlcourse.data.tensor_files import load_format, tensors_fingerprint


def test_what_was_saved_comes_back(tmp_path):
    path, weights = tmp_path / "a.pt", torch.arange(3.0)
    torch.save({"format": "a 1", "weights": weights}, path)
    for content in (load_checked(path), load_format(path, "a 1", "album", "draw it again")):
        assert content["format"] == "a 1"
        assert torch.equal(content["weights"], weights)
    for load in (load_checked, lambda path: load_format(path, "a 1", "album", "draw it again")):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "b.pt")


def test_one_wrong_bit_is_found(tmp_path):
    path, weights = tmp_path / "a.pt", torch.arange(300.0)
    torch.save({"format": "a 1", "weights": weights}, path)
    whole = path.read_bytes()
    at = whole.index(weights.numpy().tobytes()) + 600
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    torch.load(path, weights_only=True)  # does not notice
    with pytest.raises(ValueError, match=r"the checksum of .+ does not match"):
        load_checked(path)
    with pytest.raises(ValueError, match=r"a\.pt is no album, or damaged \(ValueError\): draw it$"):
        load_format(path, "a 1", "album", "draw it")


@pytest.mark.parametrize("length", [0, 1, 40, -200, -1])
def test_half_a_file_is_named(tmp_path, length):
    path = tmp_path / "a.pt"
    torch.save({"format": "a 1", "weights": torch.arange(300.0)}, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DAMAGE):
        load_checked(path)
    with pytest.raises(ValueError, match=r"a\.pt is no album, or damaged \(\w+\): draw it$"):
        load_format(path, "a 1", "album", "draw it")


@pytest.mark.parametrize("content", [{"format": "a 2"}, {"weights": 1}, [1, 2], torch.ones(2)])
def test_other_content_is_named(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt is no album of this version: draw it again$"):
        load_format(tmp_path / "a.pt", "a 1", "album", "draw it again")


def test_code_in_a_file_is_not_executed(tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"format": "a 1", "weights": Attack()}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="is no album, or damaged"):
        load_format(tmp_path / "a.pt", "a 1", "album", "draw it again")
    assert not (tmp_path / "executed").exists()


def test_a_fingerprint_by_hand():
    tensors = {"b": torch.tensor([1, 0]).byte(), "a": torch.tensor([[1.0]])}
    bytes_of_one = b"\x00\x00\x80\x3f"
    parts = b'{"x": 1, "y": null}', b"a torch.float32 [1, 1]", bytes_of_one, b"b torch.uint8 [2]"
    expected = hashlib.sha256(b"".join(parts) + b"\x01\x00").hexdigest()
    assert tensors_fingerprint({"y": None, "x": 1}, tensors) == expected


def test_a_fingerprint_changes_with_everything_but_the_order():
    about, a = {"x": 1}, torch.arange(6.0).view(2, 3)
    prints = [
        tensors_fingerprint(*given)
        for given in (
            (about, {"a": a}), (about, {"b": a}), (about, {}), ({"x": 2}, {"a": a}), ({}, {"a": a}),
            (about, {"a": a.view(3, 2)}), (about, {"a": a.double()}), (about, {"a": a + 1}),
            (about, {"a": a, "b": a}),
        )
    ]  # fmt: skip
    assert len(set(prints)) == len(prints)
    assert tensors_fingerprint(about, {"b": a, "a": a}) == prints[-1]
    assert tensors_fingerprint(about, {"a": a.t().contiguous().t()}) == prints[0]
