"""Files that are complete or as before at every moment, whatever crashes."""

import os
import pickle
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import torch

# What `load_checked` raises for a damaged file.
DAMAGE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, zipfile.BadZipFile)


@contextmanager
def replacing(path: Path, before: Callable[[], None] = lambda: None) -> Iterator[IO[bytes]]:
    """Yield a file beside `path` that takes its place once the block has ended without an error.

    Args:
        path: of the file to replace, in a folder that exists.
        before: called when the new file is on the disk and the old one still at `path`.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        before()
        os.replace(temporary, path)
    finally:
        with suppress(OSError):  # the folder itself may be the trouble
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`, in place of what was there before; text as UTF-8.

    Raises:
        OSError: the folder is absent or cannot be written; what was there is unharmed.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as file:
        file.write(data)


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold the file `path`, made if absent, against other processes that do the same.

    The hold ends with the block, or with the process. Systems without `fcntl` (Windows) hold
    nothing.

    Raises:
        BlockingIOError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"{path} is held by another process: wait until it is done, or stop it"
            ) from None
        yield


def load_checked(path: Path, device: torch.device | str = "cpu") -> Any:
    """What `torch.save` wrote, with its tensors on `device`. Executes no code.

    Compares the file with the checksums inside it, which `torch.load` does not look at.

    Raises:
        FileNotFoundError: no such file.
        one of DAMAGE: it is damaged, or was not written by `torch.save`.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} does not match")
    return torch.load(path, map_location=device, weights_only=True)
