"""Files that are complete or as before at every moment, and files of tensors that say so.

`run.files` has more of the first kind. This is below `run`, for the indexes of `data`.
"""

import hashlib
import json
import os
import pickle
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

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


def load_format(path: Path, form: str, kind: str, mend: str) -> dict[str, Any]:
    """A dict that `torch.save` wrote, whose "format" is `form`; on the CPU. Executes no code.

    Args:
        kind, mend: for the error: what the file should be, and what to do where it is not.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or of another format.
    """
    try:
        content = load_checked(path)
    except DAMAGE as error:
        raise ValueError(
            f"{path} is no {kind}, or damaged ({type(error).__name__}): {mend}"
        ) from error
    if not isinstance(content, dict) or content.get("format") != form:
        raise ValueError(f"{path} is no {kind} of this version: {mend}")
    return content


def tensors_fingerprint(about: dict[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """A hash of tensors, their names, types and shapes, and of what else is said `about` them.

    Raises:
        TypeError: `about` is nothing that JSON can hold.
    """
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
