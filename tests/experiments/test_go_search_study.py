"""What notebook 16 runs, on small models and few games."""

import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rlcourse.experiments import go_growth
from rlcourse.experiments import go_search_study as study
from rlcourse.go import shipped
from rlcourse.go.arena import MatchRecord
from rlcourse.go.board import Go
from rlcourse.go.mcts import Search
from rlcourse.go.model import PRESETS, RetrievalModel
from rlcourse.go.plain_search import PlainSearch, backup_, expand_, puct
from rlcourse.go.positions import Positions
from rlcourse.go.records import GameFile
from rlcourse.go.rules import Rules
from rlcourse.go.worlds import Nim
from rlcourse.viz.agent_panel import ThinkingOpponent, retrieved_boards

STEPS = (puct, expand_, backup_)
CONFIG = study.Config(num_games=6, num_pairs=2, simulations=2, most_simulations=5, plies=(0, 9))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Rules, games, and a database over a few of them."""
    file = GameFile.open(shipped.games_folder() / "gnugo_000.games")
    games = list(itertools.islice(file, 60))
    rules = Rules(file.size, file.komi, superko=True, max_moves=6 * file.size**2)
    return rules, games, study.memory(CONFIG, tmp_path_factory.mktemp("world"), rules, games)


@pytest.fixture(scope="module")
def model():
    return RetrievalModel(PRESETS["smoke"], torch.Generator().manual_seed(0)).eval()


def test_stages_end_with_the_whole_search():
    nim = Nim()
    one, other = study.stages(nim.root([5, 6]), nim.recurrent, 20, *STEPS)
    assert [stage.num_simulations for stage in one] == [0, 1, 2, 4, 8, 16, 20]
    assert [int(stage.visits.sum()) for stage in other] == [0, 1, 2, 4, 8, 16, 20]
    whole = PlainSearch()(nim.root([5, 6]), nim.recurrent, Search(20))
    for game, own in enumerate((one, other)):
        assert own[-1].visits.tolist() == whole.visits[game].tolist()
        assert own[-1].value == pytest.approx(float(whole.value[game]))
        assert own[-1].line[0] == int(whole.visits[game].argmax())


def test_other_games_have_a_memory_of_their_own(world, tmp_path):
    """As after an update of the course."""
    rules, games, known = world
    later = study.memory(CONFIG, tmp_path, rules, games[12:])
    again = study.memory(CONFIG, tmp_path, rules, games)
    assert again.fingerprint == known.fingerprint != later.fingerprint


def test_positions_of_test_games_are_watched(world, model):
    rules, games, memory = world
    found = study.watch(CONFIG, games, model, memory, *STEPS, progress=False)
    assert [one.name for one in found] == ["0 moves, Black next", "9 moves, White next"]
    assert [int((one.stones != 0).sum()) for one in found][0] == 0
    for one in found:
        assert float(one.prior.sum()) == pytest.approx(1.0, abs=1e-5)
        assert [stage.num_simulations for stage in one.stages] == [0, 1, 2, 3, 4, 5]
        assert not bool(one.stages[-1].visits[:-1][one.stones != 0].any())


def test_a_match_and_a_memory_that_grows(world, model, tmp_path):
    rules, _, memory = world
    before = len(memory)
    found = study.match(CONFIG, tmp_path, rules, model, *STEPS, progress=False)
    assert found.num_games == 4
    assert study.match(CONFIG, tmp_path, rules, model, *STEPS, progress=False) == found
    near = study.grow(memory, tmp_path, progress=False)
    assert len(memory) == before
    assert near.before.shape == near.after.shape
    games = sorted(GameFile.open(tmp_path / "match.games"))
    others = games[2:]  # the second of two pairs
    met = [range(game.opening + game.opening % 2, len(game.moves), 2) for game in others]
    assert len(near.before) == sum(map(len, met))
    assert bool((near.after <= near.before + 1e-3).all())
    assert 0 < near.share_of_memory < 1
    assert near.share == pytest.approx(float((near.after < near.before).float().mean()))
    again = study.grow(memory, tmp_path, progress=False)
    torch.testing.assert_close(again.after, near.after)


def test_a_match_that_is_interrupted_goes_on_with_its_games(world, model, tmp_path, monkeypatch):
    rules, _, memory = world
    wanted, saved = 1, []
    save = MatchRecord.save

    def stop(record, game):
        if len(saved) == wanted:
            raise KeyboardInterrupt
        save(record, game)
        saved.append(game)

    with monkeypatch.context() as patch:
        patch.setattr(MatchRecord, "save", stop)
        assert study.match(CONFIG, tmp_path, rules, model, *STEPS, progress=False).num_games == 1
        with pytest.raises(ValueError, match="the match has games of 1 pairs, and growing"):
            study.grow(memory, tmp_path, progress=False)
        wanted = 3
        assert study.match(CONFIG, tmp_path, rules, model, *STEPS, progress=False).num_games == 3
        study.grow(memory, tmp_path, progress=False)
        wanted = len(saved)
        with pytest.raises(KeyboardInterrupt):
            study.match(CONFIG, tmp_path / "other", rules, model, *STEPS, progress=False)
    whole = study.match(CONFIG, tmp_path, rules, model, *STEPS, progress=False)
    straight = study.match(CONFIG, tmp_path / "new", rules, model, *STEPS, progress=False)
    assert whole == straight
    study.grow(memory, tmp_path, progress=False)
    grown = Positions.open(tmp_path / "grown_4" / "positions")  # not the copy of three games
    assert grown.numbers(go_growth.ADDED) == {0, 1}  # one of two pairs


def test_the_player_on_the_board_thinks_with_the_search_that_it_was_given(world, model):
    rules, _, memory = world
    calls = []

    def counted(*args):
        calls.append(args)
        return puct(*args)

    playing = study.player(CONFIG, model, memory, counted, *STEPS[1:])
    thinking = ThinkingOpponent(playing, go := Go(rules))
    assert 0 <= thinking.answer(go.new(1)) <= 81
    assert len(calls) >= CONFIG.most_simulations
    assert len(retrieved_boards(playing, thinking.last(go_on(go)))) == 2


def go_on(go):
    state = go.new(1)
    go.step_(state, torch.tensor([40]))
    return state


def test_the_keys_of_a_query_are_those_of_its_eight_images(world):
    memory = world[2]
    with FlopCounterMode(display=False) as counter:
        memory.keys(torch.zeros(1, 8, 9, 9))
    assert study.key_operations(memory) == 8 * counter.get_total_flops()


def test_met_positions_come_after_the_opening(world):
    rules, games, _ = world
    game = games[0]
    planes = study._met(rules, [game])
    go = Go(rules)
    first = game.opening + game.opening % 2
    state = study._after(go, game.moves[:first])
    assert torch.equal(planes[:1], go.planes(state))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_pairs": 0}, "num_pairs must be at least 1, got 0"),
        ({"plies": ()}, r"plies must name at least one, none negative, got \(\)"),
        ({"plies": (-1,)}, r"none negative, got \(-1,\)"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        study.Config(**change)
