"""Make the models that travel with the course.

    python -m rlcourse.experiments.go_retrieval_models

takes the first seed of the experiment `go_retrieval` at laptop, which it runs where `folder` lacks
it, and writes the network without neighbors and one that was trained with some.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from rlcourse.experiments import go_retrieval
from rlcourse.experiments.go_retrieval_data import prepare, shared_folder
from rlcourse.experiments.go_retrieval_study import config_of, finish, is_finished, place_of
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
        ValueError: a file would be larger than the course can carry, the run lacks the variant, or
            it was interrupted.
        OSError: a file cannot be written.
    """
    there = (config.folder / "config.json").exists()
    study = config_of(config.folder) if there else go_retrieval.PRESETS[config.preset]
    Record(config.folder, study)
    names = {"baseline": "baseline", "retrieval": config.retrieval}
    places = {name: place_of(config.folder, _SEED, name) for name in names.values()}
    if not all(is_finished(study, place, name) for name, place in places.items()):
        data = prepare(study.data, shared_folder(config.folder), progress, device=device)
        for name in places:
            finish(study, _SEED, name, config.folder, data, device, progress)
    made = {}
    for label, name in names.items():
        network = go_retrieval.model_of(config.folder, _SEED, name)
        path = config.out / shipped.model_path(label).name
        save_model(path, network, _about(study, name, places[name]))
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"{path} has {size:,} bytes, more than {MAX_BYTES:,}: train less wide")
        made[label] = path
    return made


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
