"""The search: against a recursive oracle, and in worlds whose value is known."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcourse.go.mcts import (
    Evaluation,
    Search,
    action_weights,
    backward_,
    choose,
    expand_,
    plant,
    search,
    simulate,
)
from rlcourse.go.worlds import Nim, race
from tests.go.worlds import Bandit, Table, TicTacToe
from tests.oracles.slow_mcts import SlowSearch

FIELDS = ("visits", "q", "value", "prior", "mean_depth")


def moves_to(tree, game: int, walk) -> list[int]:
    """The actions of one walk, from the root."""
    node, path = int(walk.node[game]), [int(walk.action[game])]
    while node > 0:
        path.append(int(tree.action[game, node]))
        node = int(tree.parent[game, node])
    return path[::-1]


@settings(max_examples=25)
@given(
    st.integers(0, 2**20),
    st.integers(1, 6),
    st.booleans(),
    st.sampled_from([(1.25, 19652), (3, 7)]),
)
def test_every_simulation_is_that_of_the_oracle(seed, num_actions, masked, constants):
    table = Table(6, num_actions, seed, masked)
    wanted = Search(60, *constants)
    starts = [0, 3, 5]
    oracles = [
        SlowSearch((s, table.prior(s), float(table.value[s])), table.evaluate, *constants)
        for s in starts
    ]
    tree = plant(table.root(starts), wanted)
    for _ in range(wanted.num_simulations):
        walk = simulate(tree, wanted)
        here = tree.embedding[torch.arange(3), walk.node]
        leaf, value = expand_(tree, walk, table.recurrent(here, walk.action))
        backward_(tree, leaf, value)
        for game, slow in enumerate(oracles):
            slow.simulate()
            assert moves_to(tree, game, walk) == slow.paths[-1]
            assert int(walk.depth[game]) == len(slow.paths[-1])
            assert tree.visits[game, 0].tolist() == slow.visits()
            assert float(tree.value_sum[game, 0]) == slow.root.value_sum
    found = search(table.root(starts), table.recurrent, wanted)
    for game, slow in enumerate(oracles):
        assert found.visits[game].tolist() == slow.visits()
        assert float(found.value[game]) == pytest.approx(slow.root.mean, abs=1e-6)
        depth = sum(map(len, slow.paths)) / len(slow.paths)
        assert float(found.mean_depth[game]) == pytest.approx(depth)
        for action, child in slow.root.children.items():
            q = child.reward + child.discount * child.mean
            assert float(found.q[game, action]) == pytest.approx(q, abs=1e-6)


def test_the_best_arm_of_a_bandit_is_found_and_its_value():
    bandit = Bandit([0.1, -0.5, 0.8, 0.3])
    found = search(bandit.root(), bandit.recurrent, Search(2000))
    assert int(found.visits.argmax()) == 2
    assert found.visits[0, 2] > 1900
    torch.testing.assert_close(found.q, bandit.rewards.unsqueeze(0))  # every arm was tried
    assert float(found.value) == pytest.approx(0.8, abs=0.03)
    assert float(found.mean_depth) == 1.0


def test_nim_is_played_perfectly():
    piles = list(range(1, 14))
    found = search(Nim().root(piles), Nim().recurrent, Search(3000))
    for pile, visits, value in zip(piles, found.visits, found.value, strict=True):
        if pile % 4 == 0:  # lost against perfect play
            assert value < -0.5, (pile, value)
        else:
            assert value > 0.5, (pile, value)
            assert int(visits.argmax()) + 1 == pile % 4, (pile, visits)


@pytest.mark.parametrize(
    ("board", "moves", "low", "high"),
    [
        ("XX. OO. ...", {2}, 0.8, 1.0),  # wins at once
        ("OO. X.. .X.", {2}, -0.2, 1.0),  # must block
        ("O.. .X. ..O", {1, 3, 5, 7}, -0.2, 0.2),  # a corner loses to a fork
        ("... ... ...", set(range(9)), -0.2, 0.2),  # a draw
        ("O.O .XX O..", {3}, 0.8, 1.0),
        ("O.O .X. O.X", set(range(9)), -1.0, -0.8),  # two threats at once
    ],
)
def test_tic_tac_toe(board, moves, low, high):
    world = TicTacToe()
    found = search(world.root(board), world.recurrent, Search(2000))
    assert int(found.visits.argmax()) in moves
    assert low <= float(found.value) <= high


# Each color has one chain. Black is to move; a chain with two liberties in one eye is two moves
# from capture, one with a single liberty is captured at once.
WON_RACE = """
    O O O . .
    O O O O O
    X X X X X
    X X X X X
    X X X . .
"""
LOST_RACE = """
    O O O . .
    O O O O O
    X X X X X
    X X X X X
    X X X X .
"""


def solved(model: Callable, at: Evaluation) -> list[float | None]:
    """The outcome of each move for its player, by trying everything."""
    outcomes: list[float | None] = []
    for move, fine in enumerate(at.legal[0].tolist()):
        if not fine:
            outcomes.append(None)
            continue
        new = model(at.embedding, torch.tensor([move]))
        if float(new.discount) == 0:
            outcomes.append(float(new.reward))
        else:
            outcomes.append(-max(x for x in solved(model, new) if x is not None))
    return outcomes


@pytest.mark.parametrize(
    ("text", "outcome"), [(WON_RACE, 1.0), (LOST_RACE, -1.0)], ids=["won", "lost"]
)
def test_capture_races(text, outcome):
    world, state = race(text, moves_left=4)
    root = world.root(state)
    truth = solved(world.recurrent, root)
    assert max(x for x in truth if x is not None) == outcome
    found = search(root, world.recurrent, Search(1500))
    assert float(found.value) * outcome > 0.7
    assert float(root.value) > 0.7  # before the search black looks well ahead in both
    if outcome > 0:
        wrong = [move for move, x in enumerate(truth) if x is not None and x < 0]
        assert wrong  # there is something to get wrong
        assert truth[int(found.visits.argmax())] == 1.0
    assert not bool(found.visits[~root.legal].any())


def test_without_noise_a_search_repeats_itself_and_with_noise_it_does_not():
    table = Table(20, 8, 0)
    root = table.root([0, 1])
    once, again = (search(root, table.recurrent, Search(50)) for _ in range(2))
    assert all(torch.equal(getattr(once, n), getattr(again, n)) for n in FIELDS)
    noisy = Search(50, noise_fraction=0.25)
    drawn = [
        search(root, table.recurrent, noisy, torch.Generator().manual_seed(s)) for s in (0, 0, 1)
    ]
    assert torch.equal(drawn[0].prior, drawn[1].prior)
    assert torch.equal(drawn[0].visits, drawn[1].visits)
    assert not torch.equal(drawn[0].prior, drawn[2].prior)


@pytest.mark.parametrize("alpha", [0.001, 0.15, 10.0])
def test_noise_is_a_distribution_over_the_allowed_actions(alpha, generator):
    table = Table(30, 8, 1)
    root = table.root(list(range(30)))
    noisy = Search(1, noise_fraction=0.4, noise_alpha=alpha)
    plain = search(root, table.recurrent, Search(1)).prior
    found = search(root, table.recurrent, noisy, generator).prior
    assert not bool(found[~root.legal].any())
    torch.testing.assert_close(found.sum(1), torch.ones(30))
    assert bool((found[root.legal] >= 0.6 * plain[root.legal] - 1e-6).all())


@given(st.integers(0, 2**20))
def test_actions_that_are_not_allowed_are_never_taken(seed):
    table = Table(10, 6, seed)
    root = table.root(list(range(10)))
    asked = []

    def recurrent(state, action):
        asked.append(bool(table.legal[state, action].all()))
        return table.recurrent(state, action)

    noisy = Search(40, noise_fraction=0.5, noise_alpha=0.02)
    found = search(root, recurrent, noisy, torch.Generator().manual_seed(seed))
    assert len(asked) == 40
    assert all(asked)
    assert not bool(found.visits[~root.legal].any())
    assert found.visits.sum(1).tolist() == [40] * 10


@pytest.mark.parametrize("masked", [True, False])
def test_a_game_alone_is_its_row_in_a_batch(masked):
    table = Table(40, 7, 2, masked)
    many = search(table.root(list(range(40))), table.recurrent, Search(80))
    for state in range(40):
        alone = search(table.root([state]), table.recurrent, Search(80))
        for name in FIELDS:
            assert torch.equal(getattr(alone, name)[0], getattr(many, name)[state])


def test_a_network_in_bfloat16_with_gradients_is_searched():
    table = Table(10, 5, 4)
    weight = torch.ones((), requires_grad=True)

    def as_network(found: Evaluation) -> Evaluation:
        logits, value = ((x * weight).bfloat16() for x in (found.logits, found.value))
        return found._replace(logits=logits, value=value)

    def recurrent(state, action):
        return as_network(table.recurrent(state, action))

    found = search(as_network(table.root([0, 1])), recurrent, Search(20))
    assert found.visits.sum(1).tolist() == [20, 20]
    assert not found.value.requires_grad
    tree = plant(as_network(table.root([0, 1])))
    walk = simulate(tree)
    leaf, value = expand_(tree, walk, recurrent(torch.tensor([0, 1]), walk.action))
    backward_(tree, leaf, value)
    assert tree.node_visits[:, 0].tolist() == [2, 2]


def test_a_mask_at_the_root_only_holds_at_the_root_only():
    table = Table(10, 5, 3, masked=False)
    legal = torch.tensor([[True, False, False, True, False]])
    root = table.root([0])._replace(legal=legal)
    seen = []

    def recurrent(state, action):
        seen.append(int(action))
        return table.recurrent(state, action)

    found = search(root, recurrent, Search(300))
    assert not bool(found.visits[~legal].any())
    assert set(seen) == set(range(5))


def test_weights_follow_the_temperature():
    visits = torch.tensor([[1, 0, 3], [5, 5, 0]], dtype=torch.int32)
    torch.testing.assert_close(
        action_weights(visits), torch.tensor([[0.25, 0.0, 0.75], [0.5, 0.5, 0.0]])
    )
    half = action_weights(visits, 0.5)
    torch.testing.assert_close(half[0], torch.tensor([0.1, 0.0, 0.9]))
    assert action_weights(visits, 0.0).tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    assert bool(action_weights(visits, 1e-4).isfinite().all())
    assert choose(visits, 0.0).tolist() == [2, 0]


def test_actions_are_drawn_by_their_weights(generator):
    visits = torch.tensor([[1, 0, 3]], dtype=torch.int32).expand(20_000, 3)
    share = choose(visits, 1.0, generator).bincount(minlength=3) / 20_000
    torch.testing.assert_close(share, torch.tensor([0.25, 0.0, 0.75]), atol=0.02, rtol=0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": torch.tensor([0.0, torch.nan])}, "value for game 1 are not finite"),
        ({"logits": torch.full((2, 4), torch.nan)}, "logits for game 0 are not finite"),
        ({"legal": torch.tensor([[True] * 4, [False] * 4])}, "game 1 has no legal move"),
        ({"legal": torch.ones(2, 3, dtype=torch.bool)}, r"legal must be of shape \(2, 4\)"),
        ({"value": torch.zeros(2, 1)}, r"value must be of shape \(2,\)"),
        ({"logits": torch.zeros(2)}, r"shape \[B, A\], got \(2,\)"),
        ({"embedding": torch.zeros(3)}, "2 rows of logits, but 3 of embeddings"),
    ],
)
def test_a_bad_root_is_named(change, message):
    table = Table(5, 4, 0, masked=False)
    with pytest.raises(ValueError, match=message):
        search(table.root([0, 1])._replace(**change), table.recurrent, Search(2))


def test_a_bad_model_is_named():
    table = Table(5, 4, 0, masked=False)

    def model(**change):
        return lambda state, action: table.recurrent(state, action)._replace(**change)

    for change, message in (
        ({"reward": torch.tensor([torch.inf])}, "reward for game 0"),
        ({"logits": torch.zeros(1, 3)}, r"logits must be of shape \(1, 4\)"),
        (
            {"legal": torch.zeros(1, 4, dtype=torch.bool), "discount": torch.tensor([-1.0])},
            "game 0 has no legal move",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            search(table.root([0]), model(**change), Search(2))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("num_simulations", -1),
        ("pb_c_base", 0.0),
        ("pb_c_init", -1.0),
        ("noise_fraction", 1.5),
        ("noise_alpha", 0.0),
    ],
)
def test_bad_settings_are_refused(setting, value):
    with pytest.raises(ValueError, match=f"{setting} must .*got {value}"):
        Search(**{setting: value})


def test_randomness_needs_a_generator_and_temperature_a_sign():
    table = Table(5, 4, 0)
    with pytest.raises(ValueError, match="needs a generator"):
        search(table.root([0]), table.recurrent, Search(2, noise_fraction=0.25))
    visits = torch.ones(1, 4, dtype=torch.int32)
    with pytest.raises(ValueError, match="needs a generator"):
        choose(visits, 1.0)
    with pytest.raises(ValueError, match=r"temperature must not be negative, got -1.0"):
        action_weights(visits, -1.0)


def test_no_simulations_give_the_roots_own_evaluation():
    table = Table(5, 4, 0)
    found = search(table.root([0, 3]), table.recurrent, Search(0))
    assert int(found.visits.sum()) == 0
    torch.testing.assert_close(found.value, table.value[[0, 3]])
    wanted = [[p or 0.0 for p in table.prior(state)] for state in (0, 3)]
    torch.testing.assert_close(found.prior, torch.tensor(wanted))
    assert found.mean_depth.tolist() == [0.0, 0.0]


def test_a_game_with_its_own_generator_does_not_depend_on_the_batch():
    table, settings = Table(9, 4, 1), Search(12, noise_fraction=0.5)

    def generators(*seeds: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    states, draws = [2, 2, 5], generators(7, 8, 9)
    many = search(table.root(states), table.recurrent, settings, draws)
    moves = choose(many.visits, 1.0, draws)
    assert not torch.equal(many.prior[0], many.prior[1])  # the same state, other noise
    for game, seed in enumerate((7, 8, 9)):
        draw = generators(seed)
        one = search(table.root([states[game]]), table.recurrent, settings, draw)
        assert torch.equal(one.visits[0], many.visits[game])
        assert torch.equal(one.prior[0], many.prior[game])
        assert int(choose(one.visits, 1.0, draw)) == int(moves[game])
    for wrong in (
        lambda: search(table.root([0]), table.recurrent, settings, generators(1, 2)),
        lambda: choose(many.visits[:1], 1.0, generators(1, 2)),
    ):
        with pytest.raises(ValueError, match="2 generators for 1 games"):
            wrong()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_model_on_a_gpu_gives_the_same_search():
    table = Table(40, 7, 2)
    here = search(table.root(list(range(40))), table.recurrent, Search(60))

    def moved(found: Evaluation, device: str) -> Evaluation:
        return Evaluation(*(x if x is None else x.to(device) for x in found))

    def recurrent(state, action):
        assert state.device.type == action.device.type == "cuda"
        return moved(table.recurrent(state.cpu(), action.cpu()), "cuda")

    there = search(moved(table.root(list(range(40))), "cuda"), recurrent, Search(60))
    torch.testing.assert_close(here.value, there.value, atol=0.05, rtol=0.0)
    assert there.visits.sum(1).tolist() == [60] * 40
