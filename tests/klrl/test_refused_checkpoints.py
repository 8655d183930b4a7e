"""A checkpoint that does not fit is refused, and the agent stays what it was, to the last bit."""

import copy

import pytest
import torch

from rlcourse.klrl import distral, distral_neural
from tests.klrl import continuous, test_distral, test_distral_neural, test_mpo, test_sac, test_svg0


def trained_sac(**changes):
    agent = test_sac.make_agent(**changes)
    agent.learn(test_sac.random_batch(torch.Generator().manual_seed(1)))
    return agent


def trained_mpo(num_actions=1, **changes):
    agent = test_mpo.make_agent(num_actions=num_actions, **changes)
    batch = test_mpo.random_batch(torch.Generator().manual_seed(1), num_actions=num_actions)
    agent.learn(batch)
    return agent


def trained_svg0(prior=None, **changes):
    agent = test_svg0.make_agent(prior=prior, sequence_length=test_svg0.UNROLL, **changes)
    agent.learn(*test_svg0.random_sequence(torch.Generator().manual_seed(1)))
    return agent


def trained_tables(sharing="distral", num_seeds=2, tasks=test_distral.TASKS, **changes):
    env, agent = test_distral.make(distral.Config(sharing, **changes), num_seeds, tasks)
    test_distral_neural.interact(env, agent, 20)
    return agent


def trained_networks(num_copies=2, **changes):
    env, agent = test_distral_neural.make(test_distral_neural.small(**changes), 2, num_copies)
    test_distral_neural.interact(env, agent, 10)
    return agent


OTHERS = {
    "sac": (
        trained_sac,
        [
            lambda: trained_sac(hidden_sizes=(16,)),
            lambda: trained_sac(hidden_sizes=(32, 32)),
            lambda: trained_sac(groups=("state",)),
            lambda: trained_sac(replay_capacity=500),
            lambda: trained_sac(groups=("time", "state")),  # of the same sizes, in another order
            trained_mpo,
            trained_svg0,
            trained_tables,
            trained_networks,
        ],
    ),
    "mpo": (
        trained_mpo,
        [
            lambda: trained_mpo(policy_sizes=(16,)),
            lambda: trained_mpo(critic_sizes=(32,)),
            lambda: trained_mpo(num_actions=2),
            lambda: trained_mpo(replay_capacity=500),
            trained_sac,
            trained_svg0,
            trained_tables,
            trained_networks,
        ],
    ),
    "svg0": (
        trained_svg0,
        [
            lambda: trained_svg0(policy_sizes=(16,)),
            lambda: trained_svg0(critic_sizes=(32,)),
            lambda: trained_svg0(replay_capacity=500),
            lambda: trained_svg0(prior=test_svg0.learned_prior()),
            lambda: test_svg0.make_agent(sequence_length=3),
            trained_sac,
            trained_mpo,
            trained_tables,
        ],
    ),
    "svg0, learned prior": (
        lambda: trained_svg0(prior=test_svg0.learned_prior()),
        [
            trained_svg0,
            lambda: trained_svg0(prior=test_svg0.learned_prior(groups=("state", "time"))),
        ],
    ),
    "tabular distral": (
        trained_tables,
        [
            lambda: trained_tables("separate"),
            lambda: trained_tables("shared"),
            lambda: trained_tables(num_seeds=3),
            lambda: trained_tables(prior_sees_action=False),
            trained_sac,
            trained_networks,
        ],
    ),
    "tabular separate": (
        lambda: trained_tables("separate"),
        [lambda: trained_networks(sharing="separate")],
    ),
    "tabular shared": (
        lambda: trained_tables("shared"),
        [lambda: trained_tables("shared", tasks=test_distral.TASKS[:2])],  # tables of one size
    ),
    "neural distral": (
        trained_networks,
        [
            lambda: trained_networks(sharing="one column"),
            lambda: trained_networks(hidden=(8,)),
            lambda: trained_networks(hidden=(16, 16)),
            lambda: trained_networks(rollout=5),
            lambda: trained_networks(num_copies=3),
            trained_sac,
            trained_tables,
        ],
    ),
    "neural separate": (
        lambda: trained_networks(sharing="separate"),
        [lambda: trained_tables("separate")],
    ),
}
CASES = [(name, number) for name, (_, others) in OTHERS.items() for number in range(len(others))]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_another_architecture_changes_nothing(name, number):
    make, others = OTHERS[name]
    agent, state = make(), others[number]().state_dict()
    before = copy.deepcopy(agent.state_dict())
    with pytest.raises(ValueError, match="the (checkpoint|state)"):
        agent.load_state_dict(state)
    continuous.assert_same_state(before, agent.state_dict())


@pytest.mark.parametrize("name", OTHERS)
def test_its_own_checkpoint_is_taken_and_not_shared(name):
    make, _ = OTHERS[name]
    agent, twin = make(), make()
    state = copy.deepcopy(agent.state_dict())
    twin.load_state_dict(state)
    continuous.assert_same_state(state, twin.state_dict())
    go_on(twin)
    continuous.assert_same_state(state, agent.state_dict())
    agent.load_state_dict(state)  # as if the twin had never been
    go_on(agent)
    continuous.assert_same_state(twin.state_dict(), agent.state_dict())


def go_on(agent):
    """The same experience for every agent of a kind."""
    generator = torch.Generator().manual_seed(2)
    if isinstance(agent, distral.TabularDistral):
        env, _ = test_distral.make(agent.config)
        test_distral_neural.interact(env, agent, 5)
    elif isinstance(agent, distral_neural.NeuralDistral):
        env, _ = test_distral_neural.make(agent.config)
        test_distral_neural.interact(env, agent, 5)
    elif isinstance(agent, test_svg0.svg0.SVG0):
        agent.learn(*test_svg0.random_sequence(generator))
    else:
        agent.learn(test_sac.random_batch(generator))
