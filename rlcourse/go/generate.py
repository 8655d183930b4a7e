"""Games of an engine against itself, for a data set: `python -m rlcourse.go.generate --help`.

GNU Go plays both sides at one level. Each game begins with a few random stones: left alone, GNU Go
repeats itself (LOG.md: 46 of 853 games were copies with 0 to 8 random stones). A game's seed is its
number, so that it can be made again. GNU Go takes dead stones before it passes: the area on the
final board is the result. Where the engine counts another score, as it may in a seki, the game is
marked as disputed.

Games go into files of `games_per_file`. A run that was interrupted goes on with the numbers that
are missing.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import local

import torch
from tqdm.auto import tqdm

from rlcourse.data.files import exclusively
from rlcourse.go.board import Go, random_opening
from rlcourse.go.gtp import Engine, EngineError, gnu_go_command
from rlcourse.go.records import Game, GameFile
from rlcourse.go.rules import BLACK, Rules

NAME, LOCK = "gnugo_{:03}.games", ".lock"


@dataclass(frozen=True)
class Config:
    """Which games to make.

    Attributes:
        num_games: in all files together.
        level: of GNU Go, 1 to 10.
        size, komi: of the board.
        least_random, most_random: a game begins with so many random stones off the edge.
        games_per_file: numbers 0, 1, ... of games go into the first file, and so on.
        num_engines: that run at the same time; each keeps a core busy.
        timeout: seconds that an engine may take for a move.
        save_every: games between two writes.
    """

    num_games: int = 30_000
    level: int = 3
    size: int = 9
    komi: float = 7.5
    least_random: int = 4
    most_random: int = 8
    games_per_file: int = 5_000
    num_engines: int = 2
    timeout: float = 120.0
    save_every: int = 20

    def __post_init__(self) -> None:
        for name in ("num_games", "level", "games_per_file", "num_engines", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.least_random <= self.most_random:
            raise ValueError(
                "least_random must lie between 0 and most_random, got "
                f"{self.least_random} and {self.most_random}"
            )
        if self.timeout <= 0:
            raise ValueError(f"timeout must be positive, got {self.timeout}")

    @property
    def rules(self) -> Rules:
        return Rules(self.size, self.komi, superko=True, max_moves=6 * self.size**2)


def generate(config: Config, folder: Path, progress: bool = True) -> None:
    """Plays the games that are missing in `folder`.

    Raises:
        EngineError: GNU Go is missing or failed; the games played before are on the disk.
        BlockingIOError: another process is making games there.
        ValueError: a file in the folder is damaged, or was made with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with exclusively(folder / LOCK):
        files = _files(config, folder)
        done = {number for file in files for number in file.numbers()}
        missing = [number for number in range(config.num_games) if number not in done]
        bar = tqdm(desc="games", total=config.num_games, initial=len(done), disable=not progress)
        waiting: list[Game] = []
        try:
            for game in _played(config, missing):
                waiting.append(game)
                bar.update()
                if len(waiting) >= config.save_every:
                    _save(config, files, waiting)
        finally:
            _save(config, files, waiting)
            bar.close()


def play_game(config: Config, number: int, engine: Engine) -> Game:
    """The game of this number.

    Raises:
        EngineError: the engine failed, or played an illegal move.
    """
    go = Go(config.rules)
    state, color = go.new(1), BLACK
    engine.new_game(seed=number + 1, level=config.level)
    moves: list[int] = []
    opening = random_opening(config.rules, number, config.least_random, config.most_random)
    while not bool(go.is_over(state)):
        if len(moves) < len(opening):
            move = opening[len(moves)]
            engine.play(color, move)
        else:
            move = engine.genmove(color)
        if not 0 <= move < state.legal.shape[1] or not bool(state.legal[0, move]):
            raise EngineError(f"{engine.name} played the illegal move {move} in game {number}")
        go.step_(state, torch.tensor([move]))
        moves.append(move)
        color = -color
    score = float(go.score(state))
    disputed = score != engine.final_score()
    return Game(number, tuple(moves), score, opening=len(opening), disputed=disputed)


def _played(config: Config, numbers: list[int]) -> Iterator[Game]:
    """The games of these numbers, as they finish. Each thread has an engine of its own."""
    mine, engines = local(), []

    def play(number: int) -> Game:
        if not hasattr(mine, "engine"):
            command = gnu_go_command(config.level, config.rules)
            mine.engine = Engine(command, config.rules, config.timeout)
            engines.append(mine.engine)
        return play_game(config, number, mine.engine)

    with ThreadPoolExecutor(config.num_engines) as pool:
        try:
            for start in range(0, len(numbers), 16 * config.num_engines):
                some = numbers[start : start + 16 * config.num_engines]
                for future in as_completed([pool.submit(play, number) for number in some]):
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
            for engine in engines:
                engine.close()


def _files(config: Config, folder: Path) -> list[GameFile]:
    random_stones = [config.least_random, config.most_random]
    about = {"engine": "GNU Go", "level": config.level, "random_stones": random_stones}
    files = []
    for i in range(-(-config.num_games // config.games_per_file)):
        path = folder / NAME.format(i)
        files.append(GameFile.open_or_create(path, config.size, config.komi, about))
    return files


def _save(config: Config, files: list[GameFile], games: list[Game]) -> None:
    """Writes the games, and empties the list."""
    for i, file in enumerate(files):
        mine = [game for game in games if game.number // config.games_per_file == i]
        if mine:
            file.append(mine)
    games.clear()


def main() -> None:
    import tyro

    @dataclass(frozen=True)
    class Options(Config):
        out: Path = Path("data/go9x9")

    options = tyro.cli(Options, description=(__doc__ or "").split("\n\n")[0])
    config = Config(**{name: getattr(options, name) for name in Config.__dataclass_fields__})
    try:
        generate(config, options.out)
    except KeyboardInterrupt:
        print("stopped: the games so far are on the disk, and the same command goes on from there")
        sys.exit(130)
    except BlockingIOError as error:
        sys.exit(str(error))
    except EngineError as error:
        sys.exit(
            f"{error}\nthe games so far are on the disk, and the same command goes on from there"
        )


if __name__ == "__main__":
    main()
