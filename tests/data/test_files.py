import pytest

from rlcourse.data.files import replacing, write_whole


@pytest.mark.parametrize("content", ["é\n", b"\x00\xff"])
def test_text_and_bytes(tmp_path, content):
    path = tmp_path / "file"
    path.write_text("before")
    write_whole(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, failing):
    path = tmp_path / "file"
    path.write_text("before")

    def disk_full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(f"os.{failing}", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"half", None])
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_absent_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "absent" / "file", "text")
