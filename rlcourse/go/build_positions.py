"""Positions of all games in a folder: `python -m rlcourse.go.build_positions --help`."""

import sys
from dataclasses import dataclass
from pathlib import Path

from rlcourse.go.position_shards import ABOUT, Making
from rlcourse.go.positions import Positions
from rlcourse.go.records import GameFile
from rlcourse.go.rules import Rules


@dataclass(frozen=True)
class Config:
    """Which positions to make.

    Attributes:
        games: folder with files of games.
        out: folder for the positions.
        source, keep, seed: as for `Positions.append`.
        superko, max_moves: of the games' rules; None: 6 size^2 moves, as in `go.generate`.
    """

    games: Path = Path("data/go9x9")
    out: Path = Path("runs/positions")
    source: int = 0
    keep: float = 1.0  # the paper: 0.15
    seed: int = 0
    superko: bool = True
    max_moves: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep must lie in (0, 1], got {self.keep}")
        if self.source < 0:
            raise ValueError(f"source must be >= 0, got {self.source}")
        if self.max_moves is not None and self.max_moves < 1:
            raise ValueError(f"max_moves must be at least 1, got {self.max_moves}")


def build(config: Config, progress: bool = True) -> Positions:
    """Adds to `config.out` the positions of all games in `config.games` that it lacks.

    Raises:
        ValueError: there are no files of games, they are of several kinds, a game breaks the rules,
            or `config.out` was made with other settings.
        BlockingIOError: another process is adding positions there.
    """
    files = [GameFile.open(path) for path in sorted(config.games.glob("*.games"))]
    if not files:
        raise ValueError(f"no files of games (*.games) in {config.games}: make some, or look there")
    for file in files:
        if (file.size, file.komi) != (files[0].size, files[0].komi):
            raise ValueError(f"{file.path} is of another size or komi than {files[0].path}")
    size, komi = files[0].size, files[0].komi
    rules = Rules(size, komi, config.superko, config.max_moves or 6 * size**2)
    exists = (config.out / ABOUT).exists()
    positions = Positions.open(config.out) if exists else Positions.create(config.out, rules)
    if positions.rules != rules:
        raise ValueError(
            f"{config.out} was made by {positions.rules}, not by {rules}: choose another folder"
        )
    making = Making(config.source, config.keep, config.seed)
    for found in positions.makings(config.source) - {making}:
        raise ValueError(
            f"{config.out} was made with {found}, not with {making}: choose another folder, or"
            " another source"
        )
    known = positions.numbers(config.source)
    missing = (game for file in files for game in file if game.number not in known)
    positions.append(missing, **making._asdict(), progress=progress)
    return positions


def main() -> None:
    import tyro

    config = tyro.cli(Config, description=(__doc__ or "").split("\n\n")[0])
    try:
        positions = build(config)
    except KeyboardInterrupt:
        print("stopped: complete shards are on the disk, and the same command goes on from there")
        sys.exit(130)
    except (ValueError, BlockingIOError) as error:
        sys.exit(str(error))
    print(f"{len(positions):,} positions in {config.out}")


if __name__ == "__main__":
    main()
