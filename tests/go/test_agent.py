"""The agent: its search is that of a model, its moves are legal, its randomness its game's own."""

import pytest
import torch

from rlcourse.go.agent import (
    Config,
    SearchAgent,
    game_generator,
    initial,
    recurrent,
    weights_fingerprint,
)
from rlcourse.go.board import Go, Ongoing
from rlcourse.go.mcts import Search, search
from rlcourse.go.notation import RESIGN
from rlcourse.go.plain_search import PlainSearch
from rlcourse.go.rules import Rules
from tests.go.boards import play
from tests.go.models import Prefers, Shouts, Tiny, Wants

SIZE, PASS = 5, 25
RULES = Rules(SIZE, 0.5)


def boards(*lines: list[int]):
    """Go and one board for each line of moves."""
    go = Go(RULES)
    state = go.new(len(lines))
    for board, moves in enumerate(lines):
        one = go.new(1)
        play(go, one, *moves)
        state.put_(torch.tensor([board]), one)
    return go, state


def settled(num_simulations: int = 0, **others) -> Config:
    return Config(Search(num_simulations), **others)


@pytest.mark.parametrize("target", [7, 24])
def test_the_agent_finds_the_move_that_its_model_wants(target):
    go, state = boards([], [12])
    decision = SearchAgent(Wants(target, SIZE), config=settled(60)).act(go, state)
    assert decision.moves.tolist() == [target, target]
    assert decision.visits.sum(1).tolist() == [60, 60]
    assert bool((decision.value > 0).all())
    torch.testing.assert_close(decision.q[:, target], torch.full((2,), 0.9))
    assert (
        SearchAgent(Wants(target, SIZE), config=settled(60))(go, state.select(torch.tensor([1])))
        == target
    )


def test_the_search_is_the_searchs_own():
    go, state = boards([], [12, 13], [3])
    model, settings = Tiny(SIZE), Search(25)
    decision = SearchAgent(model, config=Config(settings)).act(go, state)
    root = initial(model, go.planes(state))._replace(legal=state.legal)
    with torch.no_grad():
        found = search(root, recurrent(model), settings)
    assert torch.equal(decision.visits, found.visits)
    assert torch.equal(decision.value, found.value)
    assert torch.equal(decision.moves, found.visits.argmax(-1))
    assert decision.retrieved is None
    assert decision.neighbors is None


def test_without_simulations_the_most_likely_legal_move_is_played():
    wish = [0.0] * 26
    wish[12], wish[3] = 5.0, 4.0
    go, state = boards([], [12])
    decision = SearchAgent(Prefers(wish, 0.25), config=settled()).act(go, state)
    assert decision.moves.tolist() == [12, 3]
    assert decision.value.tolist() == [0.25, 0.25]
    assert float(decision.prior[1, 12]) == 0.0


def test_neighbors_are_retrieved_once_and_seen_by_the_model():
    go, state = boards([], [12])
    retrieve, model = Shouts(), Tiny(SIZE)
    with_neighbors = SearchAgent(model, retrieve, settled(8)).act(go, state)
    without = SearchAgent(model, None, settled(8)).act(go, state)
    assert retrieve.num_calls == 1
    assert with_neighbors.neighbors.tolist() == [[0], [1]]
    assert not torch.equal(with_neighbors.prior, without.prior)
    root = initial(model, go.planes(state), retrieve(go, state).input)
    wanted = root.logits.masked_fill(~state.legal, -torch.inf).softmax(-1)
    torch.testing.assert_close(with_neighbors.prior, wanted)


def test_nothing_found_is_the_baseline():
    go, state = boards([], [12])
    found = SearchAgent(Tiny(SIZE), lambda go, state: None, settled(8)).act(go, state)
    wanted = SearchAgent(Tiny(SIZE), None, settled(8)).act(go, state)
    assert torch.equal(found.visits, wanted.visits)


def test_a_pass_that_wins_is_played():
    """Black has a stone and all the area, 25 to 0.5, and white has passed."""
    go, state = boards([12, PASS])
    agents = [
        SearchAgent(Wants(7, SIZE, -0.9), config=settled(30, passing_rule=rule, resign_below=-0.5))
        for rule in (True, False)
    ]
    assert [agent(go, state) for agent in agents] == [PASS, 7]
    gloomy = SearchAgent(Prefers([0.0] * 26, -0.9), config=settled(resign_below=-0.5))
    assert gloomy(go, state) == PASS


@pytest.mark.parametrize(("value", "considered"), [(0.4, False), (0.0, True), (-0.4, True)])
def test_a_pass_that_loses_is_left_out_while_the_model_hopes(value, considered):
    go = Go(Rules(SIZE, 30.0))  # black is behind with the whole board
    state = go.new(1)
    play(go, state, 12, PASS)
    likes_passing = Prefers([0.0] * 25 + [9.0], value)
    decision = SearchAgent(likes_passing, config=settled()).act(go, state)
    assert (int(decision.moves) == PASS) == considered
    assert (float(decision.prior[0, PASS]) > 0) == considered
    first = go.new(1)
    assert SearchAgent(likes_passing, config=settled())(go, first) == PASS  # nobody has passed


def test_a_pass_stays_where_nothing_else_is_legal():
    go = Go(Rules(2, 30.0))
    state = go.new(1)
    play(go, state, 0, 4, 1, 4, 2, 4)  # the fourth point would be suicide, or end in a repetition
    assert state.legal[0].tolist() == [False, False, False, False, True]
    assert SearchAgent(Prefers([0.0] * 5, 0.5), config=settled())(go, state) == 4


def test_the_agent_gives_up_below_its_threshold_only():
    go, state = boards([], [12])
    lost = Prefers([0.0] * 26, -0.6)
    assert SearchAgent(lost, config=settled(resign_below=-0.5)).act(go, state).moves.tolist() == [
        RESIGN,
        RESIGN,
    ]
    assert SearchAgent(lost, config=settled(resign_below=-0.7)).act(go, state).moves.min() >= 0
    assert SearchAgent(lost, config=settled()).act(go, state).moves.min() >= 0


def test_the_temperature_ends_with_the_opening():
    wish = [0.0] * 26
    wish[20] = 0.5
    go, state = boards(*[[12]] * 60, *[[12, 13]] * 60)
    config = settled(temperature=1.0, temperature_moves=2)
    generator = torch.Generator().manual_seed(3)
    moves = SearchAgent(Prefers(wish), None, config, generator).act(go, state).moves
    assert len(set(moves[:60].tolist())) > 10
    assert set(moves[60:].tolist()) == {20}
    assert bool(state.legal.gather(1, moves.unsqueeze(1)).all())


def test_a_game_does_not_depend_on_the_games_beside_it():
    settings = Search(16, noise_fraction=0.5)
    config = Config(settings, temperature=1.0, temperature_moves=2)
    agent = SearchAgent(Tiny(SIZE), None, config, torch.Generator().manual_seed(5))
    lines = [[], [12], [], [3, 4, 5]]
    go, state = boards(*lines)
    games = [Ongoing(10 + i, i, moves) for i, moves in enumerate(lines)]
    together = agent.moves(go, state, games)
    for i, game in enumerate(games):
        alone = agent.moves(go, state.select(torch.tensor([i])), [game])
        assert int(alone) == int(together[i])
    many = [Ongoing(number, number, []) for number in range(20)]
    moves = agent.moves(go, go.new(20), many)
    assert len(set(moves.tolist())) > 3  # the games differ
    other = SearchAgent(Tiny(SIZE), None, config, torch.Generator().manual_seed(6))
    assert not torch.equal(other.moves(go, go.new(20), many), moves)


def test_generators_of_games_differ():
    draws = {
        int(torch.randint(2**40, (), generator=game_generator(*which)))
        for which in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (2**40, 0, 0)]
    }
    assert len(draws) == 6
    with pytest.raises(ValueError, match="non-negative"):
        game_generator(-1, 0, 0)


def test_the_fingerprint_is_of_weights_settings_and_retrieval():
    plain = SearchAgent(Tiny(SIZE), None, settled(4)).fingerprint
    assert SearchAgent(Tiny(SIZE), None, settled(4), name="another").fingerprint == plain
    others = [
        SearchAgent(Tiny(SIZE, seed=1), None, settled(4)),
        SearchAgent(Tiny(SIZE), None, settled(5)),
        SearchAgent(Tiny(SIZE), Shouts(), settled(4)),
    ]
    assert len({plain, *(agent.fingerprint for agent in others)}) == 4
    unnamed = SearchAgent(Tiny(SIZE), lambda go, state: None, settled(4))
    with pytest.raises(TypeError, match=r"no fingerprint: give it that .* retrieve.FromDatabase"):
        _ = unnamed.fingerprint
    with pytest.raises(TypeError, match=r"a Prefers is no nn.Module"):
        weights_fingerprint(Prefers([0.0]))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_plays_too(precision):
    go, state = boards([], [12])
    full = SearchAgent(Tiny(SIZE), None, settled(8)).act(go, state)
    half = SearchAgent(Tiny(SIZE), None, settled(8, precision=precision)).act(go, state)
    assert half.visits.sum(1).tolist() == [8, 8]
    assert not torch.equal(half.prior, full.prior)
    torch.testing.assert_close(half.prior, full.prior, atol=0.05, rtol=0.0)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", -1.0),
        ("temperature_moves", -1),
        ("resign_below", 0.5),
        ("precision", "float8"),
    ],
)
def test_bad_settings_are_refused(setting, value):
    with pytest.raises(ValueError, match=f"{setting} must .*got '?{value}"):
        Config(**{setting: value})


def test_bad_boards_are_refused():
    go, state = boards([], [PASS, PASS])
    agent = SearchAgent(Tiny(SIZE), None, settled(2))
    with pytest.raises(ValueError, match="the game on board 1 is over: leave it out"):
        agent.act(go, state)
    with pytest.raises(ValueError, match="moves on one board, got 2"):
        agent(go, state)
    noisy = SearchAgent(Tiny(SIZE), None, Config(Search(2, noise_fraction=0.5)))
    with pytest.raises(ValueError, match="needs a generator"):
        noisy(go, go.new(1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("game_device", ["cpu", "cuda"])
def test_the_model_may_be_on_a_gpu(game_device):
    _, state = boards([], [12], [12, PASS])
    here = SearchAgent(Tiny(SIZE), Shouts(), settled(30)).act(Go(RULES), state)
    there = SearchAgent(Tiny(SIZE).cuda(), Shouts(), settled(30), device="cuda")
    found = there.act(Go(RULES, game_device), state.to(game_device))
    assert found.moves.device.type == "cpu"
    torch.testing.assert_close(found.value, here.value, atol=0.05, rtol=0.0)
    half = SearchAgent(Tiny(SIZE).cuda(), None, settled(9, precision="float16"), device="cuda")
    assert half.act(Go(RULES), state).visits.sum(1).tolist() == [9, 9, 9]


def test_another_search_plays_and_is_part_of_the_fingerprint():
    go, model, calls = Go(Rules(SIZE)), Tiny(SIZE), []

    def counted(*args):
        calls.append(args)
        return search(*args)

    usual = SearchAgent(model, None, settled(8))
    plain = SearchAgent(model, None, settled(8), search=PlainSearch())
    state = go.new(2)
    assert plain.act(go, state).visits.tolist() == usual.act(go, state).visits.tolist()
    assert plain.fingerprint != usual.fingerprint
    own = SearchAgent(model, None, settled(8), search=counted)
    own.act(go, state)
    assert len(calls) == 1
    with pytest.raises(TypeError, match="the search has no fingerprint"):
        _ = own.fingerprint
