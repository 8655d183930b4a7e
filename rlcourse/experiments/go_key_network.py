"""Make the key network that travels with the course.

    python -m rlcourse.experiments.go_key_network

takes the first seed of the experiment `go_keys` at laptop, which it runs where `folder` lacks it,
and writes the network with the components of one layer.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import tyro

from rlcourse.data.files import write_whole
from rlcourse.experiments import go_keys, go_lookup
from rlcourse.go import shipped
from rlcourse.go.keys import KeyNetwork
from rlcourse.go.prediction import LAYERS, Layer

MAX_BYTES = 1_500_000


@dataclass(frozen=True)
class Config:
    """Which keys.

    Attributes:
        layer: whose activations make them.
        preset: of `go_keys`.
        folder: of that experiment, with a finished or unfinished run, or none; its first seed
            counts.
        out: file to write.
    """

    layer: Layer = "policy"
    preset: str = "laptop"
    folder: Path = Path("runs/go_keys/laptop")
    out: Path = Path("data/go9x9") / shipped.KEY_NETWORK

    def __post_init__(self) -> None:
        if self.layer not in LAYERS:
            raise ValueError(f"layer must be one of {', '.join(LAYERS)}, got {self.layer!r}")
        if self.preset not in go_keys.PRESETS:
            raise ValueError(f"preset must be one of {list(go_keys.PRESETS)}, got {self.preset!r}")


def make(config: Config, device: torch.device | str = "cpu", progress: bool = True) -> KeyNetwork:
    """Trains the network if need be, fits the components and writes the file.

    Raises:
        ValueError: the file would be larger than the course can carry, and is not written.
        OSError: the file cannot be written.
    """
    settings = go_keys.PRESETS[config.preset]
    positions = go_keys.positions_for(settings, config.folder, progress)
    place = config.folder / "seed_0"
    network = go_keys.train(settings, 0, place, positions, device, progress)
    ids = go_keys.fitting_ids(settings, 0, positions)
    components = go_lookup.fit_components(
        network, [config.layer], settings.dim, positions, ids, progress
    )
    keys = KeyNetwork(network, config.layer, components[config.layer])
    with TemporaryDirectory() as elsewhere:
        path = Path(elsewhere) / shipped.KEY_NETWORK
        keys.save(path)
        content = path.read_bytes()
    if (size := len(content)) > MAX_BYTES:
        raise ValueError(
            f"{config.out} would have {size:,} bytes, more than {MAX_BYTES:,}: lower dim in the"
            f" preset {config.preset!r} of go_keys"
        )
    write_whole(config.out, content)
    return keys


def main() -> None:
    """The command line."""
    keys = make(tyro.cli(Config, description=__doc__))
    print(f"keys of {keys.dim} numbers, fingerprint {keys.fingerprint[:12]}")


if __name__ == "__main__":
    main()
