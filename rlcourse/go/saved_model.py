"""Models of Go in files, small enough to travel with the course: weights of half precision.

A file holds the configuration, the weights as float16, what the caller says about them, and a hash
over all of it. Weights of half precision are within 1 part in 2048 of those that were trained, or
within 3e-8 where they are tiny. A model that was loaded and saved again makes the same file.

Of Humphreys et al. 2022 ("Large-Scale Retrieval for Reinforcement Learning"), whose model this is,
no weights were released.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlcourse.data.files import replacing
from rlcourse.data.tensor_files import load_format, tensors_fingerprint
from rlcourse.go.model import Config, RetrievalModel

FORMAT = "rlcourse model 1"

_MEND = "save the model again"
_MISFIT = (RuntimeError, ValueError, KeyError, TypeError, AttributeError)


def save_model(path: str | Path, model: RetrievalModel, about: dict[str, Any]) -> None:
    """Writes a model to a file, which is complete or as it was before at every moment.

    Args:
        path: of the file, in a folder that exists.
        model: on any device; not changed.
        about: what else to know of it, as JSON can hold it: "keys", the fingerprint of the
            network whose keys found its neighbors, and "mode", see `batches.in_mode`, which
            `saved_agent` reads; on which games it was trained, for how many steps, and so on.

    Raises:
        ValueError: `about` is nothing that JSON can hold, or a weight is not finite as float16;
            names it.
        OSError: the folder is absent, or cannot be written.
    """
    kept = {
        "config": dataclasses.asdict(model.config),
        "num_planes": model.num_planes,
        "about": _plain(about),
    }
    weights = {name: _half(name, weight) for name, weight in model.state_dict().items()}
    content = {"format": FORMAT, **kept, "weights": weights}
    content["fingerprint"] = tensors_fingerprint(kept, weights)
    with replacing(Path(path)) as file:
        torch.save(content, file)


def load_model(path: str | Path, device: torch.device | str = "cpu") -> RetrievalModel:
    """What `save_model` wrote, with weights of float32, in the mode for evaluation.

    Executes no code.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged or foreign file.
    """
    content = _read(Path(path))
    try:
        config = Config(**content["config"])
        model = RetrievalModel(config, torch.Generator(), content["num_planes"])
        model.load_state_dict(content["weights"])
    except _MISFIT as error:  # whole, and of another version of the model
        raise ValueError(f"{path} does not fit this version's model ({error}): {_MEND}") from error
    return model.to(device).eval()


def read_about(path: str | Path) -> dict[str, Any]:
    """What `save_model` was told about the model.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged or foreign file.
    """
    return _read(Path(path))["about"]


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise FileNotFoundError(f"no model at {path}: make one with save_model")
    content = load_format(path, FORMAT, "model", _MEND)
    try:
        kept = {name: content[name] for name in ("config", "num_planes", "about")}
        same = tensors_fingerprint(kept, content["weights"]) == content["fingerprint"]
    except _MISFIT as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}): {_MEND}") from error
    if not same:
        raise ValueError(f"{path} is damaged (other fingerprint): {_MEND}")
    return content


def _plain(about: dict[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(about, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"about must be what JSON can hold ({error}): turn it into numbers and strings, got"
            f" {about!r}"
        ) from error


def _half(name: str, weight: Tensor) -> Tensor:
    half = weight.detach().cpu().half()
    if not bool(half.isfinite().all()):
        raise ValueError(
            f"the weight {name} is not finite as float16, which holds numbers up to 65504: train"
            " the model anew"
        )
    return half.clone()
