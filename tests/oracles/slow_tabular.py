"""Tabular KL-regularized RL in plain Python loops, to test the tensors against."""

import math

from rlcourse.envs.mdp import TabularMDP


def soft_value_iteration(mdp: TabularMDP, log_prior, alpha: float, discount: float, sweeps: int):
    """V [S] after so many sweeps, as a list."""
    value = [0.0] * mdp.num_states
    for _ in range(sweeps):
        value = [
            _soft_value(
                [q_value(mdp, s, a, value, discount) for a in range(mdp.num_actions)],
                log_prior[s],
                alpha,
            )
            * float(mdp.continues[s])
            for s in range(mdp.num_states)
        ]
    return value


def q_value(mdp: TabularMDP, state: int, action: int, value, discount: float) -> float:
    """r(s, a) + gamma sum p V, one successor at a time."""
    total = 0.0
    for k in range(mdp.successors.shape[2]):
        probability = float(mdp.probabilities[state, action, k])
        reward = float(mdp.reward[state, action, k])
        successor = int(mdp.successors[state, action, k])
        total += probability * (reward + discount * value[successor])
    return total


def _soft_value(q, log_prior, alpha: float) -> float:
    return alpha * math.log(
        sum(math.exp(float(log_prior[a]) + q[a] / alpha) for a in range(len(q)))
    )
