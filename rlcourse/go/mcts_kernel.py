"""What a search does in its trees: one compiled loop per game. See `mcts`.

A walk down a tree reads one row of A numbers, then goes where they say: nothing can be batched
along it, and games end their walks at different depths. So each game walks alone, and one deep tree
costs its own depth only. Numbers are float64, summed in the order of the moves, so that a slow
oracle gets the same bits. Ties go to the lowest action.

One thread: a batch takes microseconds between two calls of the model, and threads that wait for
such a loop keep the cores from the model.
"""

import math

import numpy as np
from numba import njit


@njit(cache=True, inline="always")
def _best_action(prior, visits, q, num_visits, value, init, base):
    """The action with the highest pUCT score; -1 where none is allowed."""
    explore = (init + math.log((num_visits + base + 1.0) / base)) * math.sqrt(num_visits)
    best, highest = -1, -np.inf
    for a in range(prior.shape[0]):
        if prior[a] < 0.0:
            continue
        known = q[a] if visits[a] > 0 else value
        score = known + explore * prior[a] / (1.0 + visits[a])
        if score > highest:
            best, highest = a, score
    return best


@njit(cache=True, inline="always")
def _walk(prior, child, visits, q, node_visits, value_sum, discount, init, base):
    """From the root of one tree: the last node, the action there, the end that it leads to or -1,
    and the number of moves.
    """
    node, depth = 0, 0
    while True:
        mean = value_sum[node] / node_visits[node]
        action = _best_action(
            prior[node], visits[node], q[node], node_visits[node], mean, init, base
        )
        depth += 1
        below = child[node, action]
        if below < 0:
            return node, action, -1, depth
        if discount[below] == 0.0:
            return node, action, below, depth
        node = below


@njit(cache=True)
def walk(edges, nodes, constants, found):
    prior, child, visits, q = edges
    node_visits, value_sum, _, discount, _, _ = nodes
    for b in range(prior.shape[0]):
        found[b, 0], found[b, 1], found[b, 2], found[b, 3] = _walk(
            prior[b], child[b], visits[b], q[b], node_visits[b], value_sum[b], discount[b],
            constants[0], constants[1],
        )  # fmt: skip


@njit(cache=True)
def add(edges, nodes, num_nodes, found, new_prior, new_reward, new_discount):
    """Writes a node for each game whose walk left its tree. The rows had not been written yet."""
    prior, child, visits, q = edges
    node_visits, value_sum, reward, discount, parent, action = nodes
    for b in range(prior.shape[0]):
        if found[b, 2] >= 0:
            continue
        node = num_nodes[b]
        num_nodes[b] = node + 1
        prior[b, node] = new_prior[b]
        child[b, node] = -1
        visits[b, node] = 0
        q[b, node] = 0.0
        node_visits[b, node] = 0
        value_sum[b, node] = 0.0
        reward[b, node] = new_reward[b]
        discount[b, node] = new_discount[b]
        parent[b, node] = found[b, 0]
        action[b, node] = found[b, 1]
        if node > 0:
            child[b, found[b, 0], found[b, 1]] = node


@njit(cache=True)
def backward(edges, nodes, leaf, leaf_value):
    """Adds a value to every node from the leaf to the root."""
    _, _, visits, q = edges
    node_visits, value_sum, reward, discount, parent, action = nodes
    for b in range(leaf.shape[0]):
        node, value = leaf[b], leaf_value[b]
        node_visits[b, node] += 1
        value_sum[b, node] += value
        while node > 0:
            value = reward[b, node] + discount[b, node] * value
            mean = value_sum[b, node] / node_visits[b, node]
            above, by = parent[b, node], action[b, node]
            visits[b, above, by] += 1
            q[b, above, by] = reward[b, node] + discount[b, node] * mean
            node_visits[b, above] += 1
            value_sum[b, above] += value
            node = above
