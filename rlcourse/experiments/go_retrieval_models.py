"""Make the models that travel with the course.

    python -m rlcourse.experiments.go_retrieval_models

takes the first seed of the experiment `go_retrieval` at laptop, which it runs where `folder` lacks
it, and writes the network without neighbors and one that was trained with some.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import tyro

from rlcourse.data.files import write_whole
from rlcourse.experiments import go_retrieval
from rlcourse.experiments.go_retrieval_data import prepare, shared_folder
from rlcourse.experiments.go_retrieval_study import (
    config_of,
    data_of,
    finish,
    is_finished,
    place_of,
)
from rlcourse.experiments.go_retrieval_variants import variant_of
from rlcourse.go import shipped
from rlcourse.go.saved_model import save_model
from rlcourse.run.record import Record, load_config

MAX_BYTES = 700_000  # of each
_SEED = 0


@dataclass(frozen=True)
class Config:
    """Which models.

    Attributes:
        retrieval: the variant that is shipped as "retrieval".
        preset: of `go_retrieval`, where `folder` has no run.
        folder: of that experiment, with a finished or unfinished run, or none; its first seed
            counts.
        out: folder to write to.
    """

    retrieval: str = "n4"
    preset: str = "laptop"
    folder: Path = Path("runs/go_retrieval/laptop")
    out: Path = Path("data/go9x9")

    def __post_init__(self) -> None:
        if not variant_of(self.retrieval).num_neighbors:
            raise ValueError(f"retrieval must be a variant with neighbors, got {self.retrieval!r}")
        if self.preset not in go_retrieval.PRESETS:
            known = list(go_retrieval.PRESETS)
            raise ValueError(f"preset must be one of {known}, got {self.preset!r}")


def make(
    config: Config, device: torch.device | str = "cpu", progress: bool = True
) -> dict[str, Path]:
    """Trains if need be, and writes a file for each model.

    Returns:
        The files by the names of `shipped.model_path`.

    Raises:
        ValueError: a file would be larger than the course can carry, and none is written; the run
            lacks the variant, was interrupted, or has learned from other games.
        BlockingIOError: another process trains the same.
        OSError: a file cannot be written.
    """
    there = (config.folder / "config.json").exists()
    study = config_of(config.folder) if there else go_retrieval.PRESETS[config.preset]
    Record(config.folder, study)
    names = {"baseline": "baseline", "retrieval": config.retrieval}
    places = {name: place_of(config.folder, _SEED, name) for name in names.values()}
    if not all(is_finished(study, place, name) for name, place in places.items()):
        known, shared = data_of(config.folder), shared_folder(config.folder)
        data = prepare(study.data, shared, progress, device=device, known=known)
        for name in places:
            finish(study, _SEED, name, config.folder, data, device, progress)
    made = {}
    for label, name in names.items():
        path = config.out / shipped.model_path(label).name
        made[path] = _file_of(config.folder, study, name)
        if (size := len(made[path])) > MAX_BYTES:
            raise ValueError(f"{path} has {size:,} bytes, more than {MAX_BYTES:,}: train less wide")
    for path, content in made.items():
        write_whole(path, content)
    return dict(zip(names, made, strict=True))


def _file_of(folder: Path, study: go_retrieval.Config, name: str) -> bytes:
    network, place = go_retrieval.model_of(folder, _SEED, name), place_of(folder, _SEED, name)
    with TemporaryDirectory() as elsewhere:
        path = Path(elsewhere) / "model.pt"
        save_model(path, network, _about(study, name, place))
        return path.read_bytes()


def _about(study: go_retrieval.Config, name: str, place: Path) -> dict[str, Any]:
    trained = load_config(place)  # games may have been added since
    kept = {key: trained[key] for key in ("variant", "seed", "games", "keys")}
    return kept | {"mode": variant_of(name).mode, "steps": study.num_steps}


def main() -> None:
    """The command line."""
    for label, path in make(tyro.cli(Config, description=__doc__)).items():
        print(f"{label}: {path}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
