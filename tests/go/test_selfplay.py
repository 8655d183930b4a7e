"""Self-play: games that can be made again, whatever is played beside them, and interruption."""

import sys
import types

import pytest
import torch

from rlcourse.data.files import exclusively
from rlcourse.go import selfplay
from rlcourse.go.agent import Config as AgentConfig
from rlcourse.go.agent import SearchAgent
from rlcourse.go.board import Go, random_opening
from rlcourse.go.mcts import Search
from rlcourse.go.notation import RESIGN
from rlcourse.go.records import GameFile
from rlcourse.go.selfplay import Config, find_loader, self_play
from tests.go.models import Tiny

SIZE = 3
SMALL = Config(num_games=7, size=SIZE, komi=0.5, num_parallel=3, save_every=2)


def agent(seed: int = 0, **others) -> SearchAgent:
    config = AgentConfig(Search(4, noise_fraction=0.5), 1.0, 6, **others)
    return SearchAgent(Tiny(SIZE), None, config, torch.Generator().manual_seed(seed))


class Stops:
    """An agent that is interrupted after so many calls."""

    def __init__(self, after: int) -> None:
        self._agent, self._left = agent(), after
        self.name, self.fingerprint = self._agent.name, self._agent.fingerprint
        self.seed = self._agent.seed

    def moves(self, go, state, games):
        assert state.num_boards == len(games) == SMALL.num_parallel  # the batch keeps its shape
        assert all(game.number % 3 == game.slot for game in games if game.moves)
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._agent.moves(go, state, games)


def changed(**others) -> Config:
    return Config(**{**SMALL.__dict__, **others})


def games_of(path) -> dict[int, tuple]:
    games = list(GameFile.open(path))
    assert len({game.number for game in games}) == len(games)
    return {game.number: game for game in games}


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    path = tmp_path_factory.mktemp("selfplay") / "new" / "seven.games"
    self_play(agent(), SMALL, path, progress=False)
    return games_of(path)


def test_games_are_legal_scored_and_not_all_the_same(seven):
    assert sorted(seven) == list(range(7))
    assert len({game.moves for game in seven.values()}) == 7
    go = Go(SMALL.rules)
    for game in seven.values():
        state = go.new(1)
        for move in game.moves:
            go.step_(state, torch.tensor([move]))  # refuses illegal moves
        assert bool(go.is_over(state))
        assert game.margin == float(go.score(state))


def test_a_run_that_was_interrupted_makes_the_same_games(seven, tmp_path):
    path, found = tmp_path / "cut.games", set()
    for after in (12, 20, 31):
        with pytest.raises(KeyboardInterrupt):
            self_play(Stops(after), SMALL, path, progress=False)
        assert found <= set(games_of(path)) < set(range(7))
        found = set(games_of(path))
    assert found
    self_play(agent(), SMALL, path, progress=False)
    assert games_of(path) == seven
    self_play(Stops(0), SMALL, path, progress=False)  # nothing is left to do


def test_a_game_depends_on_its_number_only(seven, tmp_path):
    self_play(agent(), changed(num_games=4), tmp_path / "a", progress=False)
    four = games_of(tmp_path / "a")
    assert four == {number: seven[number] for number in range(4)}
    self_play(agent(), SMALL, tmp_path / "a", progress=False)  # the file may grow
    assert games_of(tmp_path / "a") == seven
    self_play(agent(seed=1), SMALL, tmp_path / "b", progress=False)
    assert games_of(tmp_path / "b") != seven


def test_openings_and_numbers(tmp_path):
    config = Config(3, 5, 0.5, 2, least_random=2, most_random=3, first_number=100, seed=4)
    player = Stops(0)
    player.moves = lambda go, state, games: torch.tensor([go.rules.num_points] * len(games))
    self_play(player, config, tmp_path / "a", progress=False)
    games = games_of(tmp_path / "a")
    assert sorted(games) == [100, 101, 102]
    for game in games.values():
        assert game.opening in (2, 3)
        for which in (game.number, (9 << 64) + game.number):  # `generate`; the match of this seed
            assert list(game.moves[: game.opening]) != random_opening(config.rules, which, 2, 3)
        assert game.moves[game.opening :] == (25, 25)
    other = Config(**{**config.__dict__, "seed": 5})
    self_play(player, other, tmp_path / "b", progress=False)
    assert {g.moves for g in games_of(tmp_path / "b").values()} != {g.moves for g in games.values()}


def test_rows_are_counted_from_the_first_number(tmp_path):
    player, seen = agent(), set()

    class Looks(Stops):
        def moves(self, go, state, games):
            seen.update((game.number, game.slot) for game in games if game.moves)
            return player.moves(go, state, games)

    self_play(Looks(0), changed(first_number=100), tmp_path / "a", progress=False)
    assert seen == {(number, (number - 100) % 3) for number in range(100, 107)}


def test_resignation_is_recorded(tmp_path):
    player = Stops(0)

    def moves(go, state, games):
        """Black gives up at once in games of odd number, white in the others."""
        gone = [len(game.moves) == (game.number + 1) % 2 for game in games]
        return torch.where(torch.tensor(gone), RESIGN, go.rules.num_points)

    player.moves = moves
    self_play(player, changed(num_games=4), tmp_path / "a", progress=False)
    found = [(g.margin, g.resigned, g.moves) for _, g in sorted(games_of(tmp_path / "a").items())]
    assert found == [(0.5, True, (9,)), (-0.5, True, ())] * 2


def test_the_file_knows_its_agent(tmp_path):
    path = tmp_path / "a.games"
    self_play(agent(), changed(num_games=1), path, progress=False)
    about = GameFile.open(path).about
    assert about["fingerprint"] == agent().fingerprint
    assert about["seed"] == 0
    for other, config in (
        (agent(passing_rule=False), SMALL),
        (agent(seed=1), SMALL),
        (agent(), changed(seed=1)),
        (agent(), changed(komi=1.5)),
        (agent(), changed(num_parallel=2)),
    ):
        with pytest.raises(ValueError, match="choose another folder"):
            self_play(other, config, path, progress=False)
    with exclusively(tmp_path / "a.games.lock"), pytest.raises(BlockingIOError, match="held by"):
        self_play(agent(), SMALL, path, progress=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_games": 0}, {"num_parallel": 0}, {"save_every": 0}, {"seed": -1},
        {"first_number": -1}, {"least_random": 2}, {"size": 1},
    ],
)  # fmt: skip
def test_bad_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        _ = Config(**wrong).rules


def test_the_command_line(monkeypatch, tmp_path, seven, capsys):
    loaders = types.ModuleType("loaders")
    loaders.load = lambda name, rules, device: agent(int(name))
    monkeypatch.setitem(sys.modules, "loaders", loaders)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.__dict__.items()]
    options += ["--loader=loaders:load", "--agent=0", f"--out={tmp_path / 'a'}"]
    selfplay.main(options)
    assert games_of(tmp_path / "a") == seven
    with pytest.raises(SystemExit, match="choose another folder"):
        selfplay.main([*options, "--komi=1.5"])
    loaders.load = lambda name, rules, device: Stops(1)
    with pytest.raises(SystemExit, match="130"):
        selfplay.main([*options, f"--out={tmp_path / 'b'}"])
    assert "the same command goes on" in capsys.readouterr().out
    for name in ("", "loaders", "loaders:", "loaders:nothing", "no.such.module:load"):
        with pytest.raises(ValueError, match="names no function: give package.module:function"):
            find_loader(name)


def test_a_loader_whose_module_cannot_be_imported_says_so(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needs_more.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        find_loader("needs_more:load")
    (tmp_path / "wants_a_name.py").write_text("from json import no_such_name\n")
    with pytest.raises(ImportError, match="no_such_name"):
        find_loader("wants_a_name:load")
    with pytest.raises(ValueError, match=r"'.needs_more:load' names no function"):
        find_loader(".needs_more:load")
