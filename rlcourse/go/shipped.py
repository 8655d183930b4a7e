"""What travels with the course in data/go9x9: games, a network that makes keys, and two models.

They are in the checkout, and a copy is inside an installed wheel, so that Colab has them too.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

import rlcourse
from rlcourse.go.board import Go
from rlcourse.go.records import Game, GameFile
from rlcourse.go.rules import Rules

KEY_NETWORK = "key_network.pt"
MODELS = ("baseline", "retrieval")


def games_folder() -> Path:
    """data/go9x9 of the checkout, or the copy inside an installed wheel."""
    package = Path(rlcourse.__file__).parent
    inside = package / "_data" / "go9x9"
    return inside if inside.is_dir() else package.parent / "data" / "go9x9"


def load_games(folder: Path | None = None) -> tuple[Rules, list[Game]]:
    """The rules and all games, in the order of their numbers.

    Args:
        folder: with files of games; None: `games_folder()`.

    Raises:
        FileNotFoundError: there are no games; the message says which command makes them.
        ValueError: a file is damaged, or the files were made for different boards.
    """
    folder = folder or games_folder()
    files = [GameFile.open(path) for path in sorted(folder.glob("*.games"))]
    games = sorted((game for file in files for game in file), key=lambda game: game.number)
    if not games:
        raise FileNotFoundError(
            f"there are no games in {folder}: restore it with `git checkout -- data/go9x9`, or "
            "make games with `python -m rlcourse.go.generate`"
        )
    boards = {(file.size, file.komi) for file in files}
    if len(boards) > 1:
        raise ValueError(
            f"{folder} mixes games of size and komi {sorted(boards)}: keep one kind in a folder"
        )
    ((size, komi),) = boards
    return Rules(size, komi, superko=True, max_moves=6 * size**2), games


def boards_after(
    rules: Rules, games: Sequence[Game], num_moves: int | None = None
) -> Int[Tensor, "G H W"]:
    """The board of each game after so many moves, or at its end if that comes first; int32.

    Args:
        rules: of the games.
        games: at least one.
        num_moves: None: all of them.

    Raises:
        ValueError: a game has an illegal move.
    """
    go = Go(rules)
    state = go.new(len(games))
    rows = [torch.tensor(game.moves[:num_moves], dtype=torch.long) for game in games]
    for move in pad_sequence(rows, padding_value=rules.num_points):  # [G]; shorter games pass on
        go.step_(state, move)
    return state.stones.view(-1, rules.size, rules.size).clone()


def fingerprint(games: list[Game]) -> str:
    """The same for the same games, in whatever order; another one for any others."""
    whole = hashlib.sha256()
    for game in sorted(games):
        whole.update(repr(tuple(game)).encode())
    return whole.hexdigest()[:16]


def key_network_path() -> Path:
    """The file of the key network that travels with the games, for `keys.KeyNetwork.load`."""
    return games_folder() / KEY_NETWORK


def model_path(name: str) -> Path:
    """The file of a trained model, for `saved_model.load_model`: "retrieval", or "baseline", which
    was trained without neighbors.

    Raises:
        ValueError: no model has this name.
    """
    if name not in MODELS:
        raise ValueError(f"the models that travel are {', '.join(MODELS)}, got {name!r}")
    return games_folder() / f"model_{name}.pt"
