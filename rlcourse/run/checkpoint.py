"""Checkpoints: the whole state of a run in one file, written so that a crash never costs it.

A state is made of tensors, numbers, strings, None, dicts, lists and tuples, so that loading never
executes code. A `torch.Generator` goes in as its `get_state()`, which is a tensor.
"""

import os
import shutil
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlcourse.data.files import DAMAGE, load_checked, replacing

FORMAT = 1

_LEAVES = (Tensor, bool, int, float, str, type(None))
_CONTAINERS = (dict, OrderedDict, list, tuple)


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write `state` to `path`; what was there before stays beside it as `previous_path(path)`.

    The file is complete or absent at every moment: it is written under another name in the same
    folder, flushed to the disk, and then renamed.

    Raises:
        TypeError: an entry that could not be loaded without executing code; names it.
        OSError: the folder cannot be written.
    """
    path = Path(path)
    _check_plain(state, "state")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, before=lambda: _keep_as(path, previous_path(path))) as file:
            torch.save({"format": FORMAT, "state": state}, file)
    except OSError as error:
        raise OSError(
            f"cannot write the checkpoint {path} ({error}); free space or choose a folder that"
            " you may write. An earlier checkpoint there is unharmed."
        ) from error


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return the state that `save_checkpoint` wrote, with its tensors on `device`.

    Leave `device` at "cpu" where the state holds generators: their states live there.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, or of another format; says what to do.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        content = load_checked(path, device)
    except DAMAGE as error:
        raise ValueError(f"the checkpoint {path} is damaged ({error}). {_mend(path)}") from error
    if not isinstance(content, dict) or "format" not in content:
        raise ValueError(f"{path} is not a checkpoint of this package. {_mend(path)}")
    if content["format"] != FORMAT:
        raise ValueError(
            f"{path} has checkpoint format {content['format']}, this version reads {FORMAT}: use"
            " the version of rlcourse that wrote it, or start the run in a new folder"
        )
    return content["state"]


def previous_path(path: str | Path) -> Path:
    """Return where the checkpoint before the newest one is kept."""
    path = Path(path)
    return path.with_name(path.name + ".previous")


def _mend(path: Path) -> str:
    previous = previous_path(path)
    if previous.exists():
        return f"To go on from the checkpoint before it, rename {previous} to {path.name}."
    return "Delete the run's folder to start anew."


def _keep_as(path: Path, kept: Path) -> None:
    """Give the file at `path`, if there is one, a second name; the first is never taken away."""
    if not path.exists():
        return
    temporary = kept.with_name(f".{kept.name}.{uuid.uuid4().hex}")
    try:
        os.link(path, temporary)
    except OSError:  # some network and cloud drives have no hard links
        shutil.copyfile(path, temporary)
    os.replace(temporary, kept)


def _check_plain(value: Any, name: str) -> None:
    """Refuse at saving what loading would refuse, naming the entry."""
    if isinstance(value, _LEAVES):
        return
    if type(value) not in _CONTAINERS:
        raise TypeError(
            f"{name} is a {type(value).__module__}.{type(value).__qualname__}, which a checkpoint"
            " cannot hold: turn it into tensors, numbers, strings, dicts, lists or tuples"
        )
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in entries:
        if not isinstance(key, (str, int)):
            raise TypeError(f"{name} has the key {key!r}: keys must be strings or integers")
        _check_plain(entry, f"{name}[{key!r}]")
