"""Files of tensors that say what they are, and a hash that says whether two hold the same."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from rlcourse.data.files import DAMAGE, load_checked


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
