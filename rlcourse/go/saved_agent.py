"""An agent in a folder: agent.json says which model, which database and how to play.

agent.json names files by paths relative to its own folder, so that the folder can move together
with what it names:

    model       a file of `saved_model`
    retrieval   null for the baseline; else the folders of the database (`stored_database`), the
                file of the network that makes its keys, the fingerprint of that network, and k.
                "key_network": null stands for the network that is shipped.
    play        the settings of `agent.Config`
    name, seed  for records; of the agent's random numbers

The database may grow after agent.json was written: the agent then finds what was added. It refuses
a network of other keys than those that the database holds. A model's file may say of which keys its
neighbors were ("keys", a fingerprint) and how it was trained ("mode"): then it refuses one of
other keys, and any for a model that was trained without neighbors.
"""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rlcourse.data.files import write_whole
from rlcourse.go import shipped
from rlcourse.go.agent import Config, SearchAgent
from rlcourse.go.batches import RETRIEVED
from rlcourse.go.database import Database
from rlcourse.go.mcts import Search
from rlcourse.go.model import RetrievalModel
from rlcourse.go.retrieve import FromDatabase
from rlcourse.go.rules import Rules
from rlcourse.go.saved_model import load_model, read_about
from rlcourse.go.stored_database import DatabaseFiles, open_database

NAME = "agent.json"
FORMAT = "rlcourse agent 1"

_PLACES = ("positions", "keys", "index", "key_network")


@dataclass(frozen=True)
class AgentFiles:
    """What an agent is made of.

    Attributes:
        model: file.
        database: None: without retrieval.
        k: neighbors of a position; None: as many as the model was made for.
        play: see `agent.Config`.
        name: for records.
        seed: of random numbers, where the settings ask for any.
    """

    model: Path
    database: DatabaseFiles | None = None
    k: int | None = None
    play: Config = Config()
    name: str = "agent"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k is not None and (self.k < 1 or self.database is None):
            raise ValueError(f"k must be at least 1, and goes with a database, got {self.k}")
        if not self.name.strip():
            raise ValueError(f"name must not be empty, got {self.name!r}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")


def save_agent(folder: str | Path, files: AgentFiles) -> None:
    """Writes agent.json, which is complete or as it was before at every moment.

    Args:
        folder: is made if need be.
        files: what to name there. The files themselves stay where they are.

    Raises:
        FileNotFoundError: the model, the database or the network of its keys does not exist.
        ValueError: one of them is damaged, or they do not belong together.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    load_model(files.model)
    content: dict[str, Any] = {
        "format": FORMAT,
        "name": files.name,
        "model": _relative(files.model, folder),
        "retrieval": None,
        "play": dataclasses.asdict(files.play),
        "seed": files.seed,
    }
    if files.database is not None:
        made = open_database(files.database, progress=False)
        check_fits(files.model, made)
        places = {name: getattr(files.database, name) for name in _PLACES}
        if places["key_network"] is not None and _is_shipped(places["key_network"]):
            places["key_network"] = None
        retrieval = {name: path and _relative(path, folder) for name, path in places.items()}
        retrieval |= {"key_fingerprint": made.keys.fingerprint, "k": files.k}
        content["retrieval"] = retrieval | {
            "nprobe": files.database.nprobe,
            "ef": files.database.ef,
        }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / NAME, json.dumps(content, indent=1) + "\n")


def read_agent(folder: str | Path) -> AgentFiles:
    """What `save_agent` wrote.

    Raises:
        FileNotFoundError: there is no agent, or the network of its keys is gone.
        ValueError: agent.json is damaged, or that network is another one.
    """
    path = Path(folder) / NAME
    if not path.exists():
        raise FileNotFoundError(f"no agent in {folder}: {path} is missing; make it with save_agent")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}, not {FORMAT!r}")
        files = _files_of(content, path.parent)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): make it anew with save_agent") from error
    retrieval = content["retrieval"]
    if retrieval is not None:
        found = files.database.load_keys().fingerprint
        if found != retrieval["key_fingerprint"]:
            raise ValueError(
                f"{path} was made with the key network {retrieval['key_fingerprint']!r}, and"
                f" {files.database.key_network or shipped.key_network_path()} is {found!r}: put"
                " the right network there, or make database and agent anew"
            )
    return files


def load_agent(
    folder: str | Path,
    rules: Rules | None = None,
    device: torch.device | str = "cpu",
    *,
    seed: int | None = None,
    progress: bool = True,
) -> SearchAgent:
    """The agent of a folder, ready to play.

    Args:
        folder: with agent.json.
        rules: of the games to come; None: whatever it is asked about.
        device: of the model and of the network of the keys.
        seed: of its random numbers; None: the one in agent.json.
        progress: draw a bar where an exact index is filled.

    Raises:
        FileNotFoundError: there is no agent, or a file that it names is missing.
        ValueError: a file is damaged, files do not belong together, or the database holds
            positions of other rules.
    """
    files = read_agent(folder)
    model = load_model(files.model, device)
    database = None
    if files.database is not None:
        database = open_database(files.database, device, progress)
        check_fits(files.model, database)
    return make_agent(
        model,
        database,
        rules,
        k=files.k,
        play=files.play,
        seed=files.seed if seed is None else seed,
        device=device,
        name=files.name,
    )


def make_agent(
    model: RetrievalModel,
    database: Database | None,
    rules: Rules | None,
    *,
    k: int | None = None,
    play: Config | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    name: str = "agent",
) -> SearchAgent:
    """An agent of a model on `device`, and of a database or none; arguments as in `AgentFiles`.

    Raises:
        ValueError: the database holds positions of other rules.
    """
    generator, play = torch.Generator().manual_seed(seed), play or Config()
    if database is None:
        return SearchAgent(model, None, play, generator, device, name)
    stored = database.positions.rules
    if rules is not None and (rules.size, rules.komi) != (stored.size, stored.komi):
        raise ValueError(
            f"{name} has a database of games on {stored.size}x{stored.size} with komi"
            f" {stored.komi:g}: play by these rules, not on {rules.size}x{rules.size} with komi"
            f" {rules.komi:g}"
        )
    count = model.config.num_neighbors if k is None else k
    retrieve = FromDatabase(database, count, model.config.num_next)
    return SearchAgent(model, retrieve, play, generator, device, name)


def check_fits(path: Path, database: Database) -> None:
    """Compares a model's file with the database that it is to be shown neighbors from.

    Raises:
        ValueError: they do not belong together.
    """
    about, found = read_about(path), database.keys.fingerprint
    if about.get("keys", found) != found:
        raise ValueError(
            f"the model {path} was trained with neighbors by the key network {about['keys']!r}, and"
            f" the database in {database.folder} is by {found!r}: choose the database of its keys"
        )
    if about.get("mode", RETRIEVED) != RETRIEVED:
        raise ValueError(
            f"the model {path} was trained without neighbors (mode {about['mode']!r}): leave the"
            " database out"
        )


def _files_of(content: dict[str, Any], folder: Path) -> AgentFiles:
    play = dict(content["play"])
    play["search"] = Search(**play["search"])
    found = content["retrieval"]
    database = None
    if found is not None:
        places = {name: found[name] for name in _PLACES}
        paths = {name: None if path is None else folder / path for name, path in places.items()}
        database = DatabaseFiles(**paths, nprobe=found["nprobe"], ef=found["ef"])
        found["key_fingerprint"]  # a KeyError where it is missing
    return AgentFiles(
        folder / content["model"],
        database,
        None if found is None else found["k"],
        Config(**play),
        content["name"],
        content["seed"],
    )


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()


def _is_shipped(path: Path) -> bool:
    return path.resolve() == shipped.key_network_path().resolve()
