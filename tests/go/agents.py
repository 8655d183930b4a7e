"""A small database of real games, a key network of its own and a model, in files."""

from pathlib import Path

import torch

from rlcourse.go.agent import Config
from rlcourse.go.keys import KeyNetwork
from rlcourse.go.mcts import Search
from rlcourse.go.prediction import PredictionNetwork
from rlcourse.go.rules import Rules
from rlcourse.go.saved_agent import AgentFiles
from rlcourse.go.saved_model import save_model
from rlcourse.go.stored_database import Config as Storing
from rlcourse.go.stored_database import DatabaseFiles, build_database
from tests.go.stored_games import TINY, random_game
from tests.go.test_model import SMALL, shaken

PLAY = Config(Search(6), temperature=0.5, temperature_moves=3)
STORING = Storing(symmetries="query")


def key_network(path: Path, seed: int = 0, size: int = 3) -> Path:
    """Writes one that was never trained."""
    generator = torch.Generator().manual_seed(seed)
    network = PredictionNetwork(4, 0, 2, generator).eval()
    sample = (torch.rand(40, 8, size, size, generator=generator) < 0.4).float()
    KeyNetwork.fit(network, "policy", 5, [sample], progress=False).save(path)
    return path


def database_files(folder: Path, config: Storing = STORING, rules: Rules = TINY) -> DatabaseFiles:
    """Builds a database of a dozen games below `folder`."""
    folder.mkdir(exist_ok=True)
    files = DatabaseFiles.below(folder, key_network(folder / "keys.pt", size=rules.size))
    games = [random_game(rules, number, 20) for number in range(12)]
    build_database(files, rules, games, config, progress=False)
    return files


def agent_files(folder: Path, rules: Rules = TINY, **changes) -> AgentFiles:
    """A model and a database below `folder`, and what an agent is made of."""
    database = database_files(folder / "data", rules=rules)
    save_model(folder / "model.pt", shaken(SMALL), {"keys": database.load_keys().fingerprint})
    parts = {"database": database, "k": 2, "play": PLAY, "name": "tiny", "seed": 3}
    return AgentFiles(folder / "model.pt", **parts | changes)
