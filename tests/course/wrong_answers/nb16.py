"""Wrong answers to the exercises of notebook 16, as a learner would write them."""

import math

import torch

from tests.course.wrong_answers.wrong import Wrong


def score(prior, visits, q, value, init, base, known=None, total=None, rate=None, spread=None):
    total = 1 + visits.sum() if total is None else total
    known = torch.where(visits == 0, value, q) if known is None else known
    rate = init + math.log((float(total) + base + 1) / base) if rate is None else rate
    spread = total**0.5 / (visits + 1) if spread is None else spread
    return known + rate * prior * spread


def score_untried_zero(prior, visits, q, value, init, base):
    return score(prior, visits, q, value, init, base, known=q)


def score_own_not_counted(prior, visits, q, value, init, base):
    return score(prior, visits, q, value, init, base, total=visits.sum())


def score_without_root(prior, visits, q, value, init, base):
    spread = (1 + visits.sum()) / (1 + visits)
    return score(prior, visits, q, value, init, base, spread=spread)


def score_constant(prior, visits, q, value, init, base):
    return score(prior, visits, q, value, init, base, rate=init)


def score_root_over_all(prior, visits, q, value, init, base):
    spread = ((1 + visits.sum()) / (1 + visits)) ** 0.5
    return score(prior, visits, q, value, init, base, spread=spread)


def score_no_one_inside(prior, visits, q, value, init, base):
    rate = init + torch.log(1 + (1 + visits.sum()) / base)
    return score(prior, visits, q, value, init, base, rate=rate)


def score_best_only(prior, visits, q, value, init, base):
    return score(prior, visits, q, value, init, base).argmax()


def score_minus_q(prior, visits, q, value, init, base):
    return score(prior, visits, -q, value, init, base)


def score_floats(prior, visits, q, value, init, base):
    return score(prior, visits, q, value, init, base).float()


def new_node(tree, parent, action, prior):
    node = tree.num_nodes
    tree.num_nodes = node + 1
    tree.prior[node] = prior
    tree.parent[node] = parent
    tree.action[node] = action
    if node:
        tree.child[parent, action] = node
    return node


def node_from_one(tree, parent, action, prior):
    number = 1 + tree.num_nodes  # the root is the first node
    for table, entry in ((tree.parent, parent), (tree.action, action), (tree.prior, prior)):
        table[number] = entry
    if number > 1:
        tree.child[parent][action] = number
    tree.num_nodes = number
    return number


def node_unlinked(tree, parent, action, prior):
    node = tree.num_nodes
    tree.num_nodes += 1
    tree.prior[node], tree.parent[node], tree.action[node] = prior, parent, action
    return node


def node_of_root_linked(tree, parent, action, prior):
    node = tree.num_nodes
    tree.num_nodes += 1
    tree.prior[node], tree.parent[node], tree.action[node] = prior, parent, action
    tree.child[parent, action] = node
    return node


def node_not_returned(tree, parent, action, prior):
    new_node(tree, parent, action, prior)


def node_counted_returned(tree, parent, action, prior):
    new_node(tree, parent, action, prior)
    return tree.num_nodes


def node_linked_backwards(tree, parent, action, prior):
    node = tree.num_nodes
    tree.num_nodes += 1
    tree.prior[node], tree.parent[node], tree.action[node] = prior, parent, action
    if parent >= 0:
        tree.child[node, action] = parent
    return node


def node_not_counted(tree, parent, action, prior):
    node = new_node(tree, parent, action, prior)
    tree.num_nodes = node
    return node


def climb(tree, node, value, sign=-1, q_sign=-1, to_root=True):
    while node > 0:
        tree.num_visits[node] += 1
        tree.value_sum[node] += value
        above, by = tree.parent[node].item(), tree.action[node].item()
        tree.visits[above, by] += 1
        tree.q[above, by] = q_sign * tree.value_sum[node] / tree.num_visits[node]
        node, value = above, sign * value
    if to_root:
        tree.num_visits[0] += 1
        tree.value_sum[0] += value


def climb_same_sign(tree, node, value):
    climb(tree, node, value, sign=1)


def climb_q_of_opponent(tree, node, value):
    climb(tree, node, value, q_sign=1)


def climb_not_to_root(tree, node, value):
    climb(tree, node, value, to_root=False)


def climb_one_player(tree, node, value):
    climb(tree, node, value, sign=1, q_sign=1)


def climb_last_value(tree, node, value):
    while True:
        tree.num_visits[node] += 1
        tree.value_sum[node] += value
        value = -value
        if node == 0:
            break
        above, by = int(tree.parent[node]), int(tree.action[node])
        tree.visits[above, by] += 1
        tree.q[above, by] = value
        node = above


def climb_once(tree, node, value):
    tree.value_sum[node] = tree.value_sum[node] + value
    tree.num_visits[node] = tree.num_visits[node] + 1
    if node == 0:
        return
    edge = tree.parent[node], tree.action[node]
    tree.q[edge] = -tree.value(node)
    tree.visits[edge] = tree.visits[edge] + 1


def climb_returns(tree, node, value):
    climb(tree, node, value)
    return tree


def ends_simple(wins, num_games, z):
    p = wins / num_games
    error = z * (p * (1 - p) / num_games) ** 0.5
    return p - error, p + error


def ends_cut(wins, num_games, z):
    low, high = ends_simple(wins, num_games, z)
    return min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0)


def _parts(wins, num_games, z):
    p = wins / num_games
    center = p + z * z / (2 * num_games)
    radius = z * (p * (1 - p) / num_games + z * z / (4 * num_games**2)) ** 0.5
    return center, radius, 1 + z * z / num_games


def ends_not_divided(wins, num_games, z):
    center, radius, _ = _parts(wins, num_games, z)
    return center - radius, center + radius


def ends_not_centered(wins, num_games, z):
    _, radius, shrink = _parts(wins, num_games, z)
    return wins / num_games - radius / shrink, wins / num_games + radius / shrink


def ends_one_error(wins, num_games, z):
    center, radius, shrink = _parts(wins, num_games, z)
    return (center - radius / z) / shrink, (center + radius / z) / shrink


def ends_no_root(wins, num_games, z):
    center, radius, shrink = _parts(wins, num_games, z)
    return (center - radius**2 / z) / shrink, (center + radius**2 / z) / shrink


def ends_n_not_squared(wins, num_games, z):
    center, _, shrink = _parts(wins, num_games, z)
    p = wins / num_games
    radius = z * ((p * (1 - p) + z * z / 4) / num_games) ** 0.5
    return (center - radius) / shrink, (center + radius) / shrink


def ends_radius_divided(wins, num_games, z):
    center, radius, shrink = _parts(wins, num_games, z)
    return center - radius / shrink, center + radius / shrink


def ends_percent(wins, num_games, z):
    center, radius, shrink = _parts(wins, num_games, z)
    return 100 * (center - radius) / shrink, 100 * (center + radius) / shrink


def ends_as_center(wins, num_games, z):
    center, radius, shrink = _parts(wins, num_games, z)
    return center / shrink, radius / shrink


def _expected(elo, base=10):
    return 1 / (1 + base ** (-elo / 400))


def games_natural(elo, z):
    return math.ceil((z / (2 * _expected(elo, math.e) - 1)) ** 2)


def games_simple(elo, z):
    p = _expected(elo)
    return math.ceil(z**2 * p * (1 - p) / (p - 0.5) ** 2)


def games_no_square(elo, z):
    return math.ceil(z * 0.5 / (_expected(elo) - 0.5))


def games_float(elo, z):
    return (z / (2 * _expected(elo) - 1)) ** 2


def games_pairs(elo, z):
    return math.ceil((z / (2 * _expected(elo) - 1)) ** 2 / 2)


def games_no_quarter(elo, z):
    return math.ceil((z / (_expected(elo) - 0.5)) ** 2)


def games_weaker(elo, z):
    return math.ceil(z**2 / 4 / _expected(-elo) ** 2)


WRONG = {
    "16.puct": (
        Wrong(score_untried_zero, "not tried counts as 0"),
        Wrong(score_own_not_counted, "own evaluation counts too"),
        Wrong(score_without_root, "root is missing"),
        Wrong(score_constant, "does not grow"),
        Wrong(score_best_only, "shape"),
        Wrong(score_root_over_all, r"only n\(s\) stands under it"),
        Wrong(score_no_one_inside, "A 1 is missing in the logarithm"),
        Wrong(score_minus_q, "Q is taken away"),
        Wrong(score_floats, "dtype"),
    ),
    "16.expand": (
        Wrong(node_from_one, "one row too far"),
        Wrong(node_unlinked, "does not know its child"),
        Wrong(node_of_root_linked, "no parent"),
        Wrong(node_not_returned, "nothing"),
        Wrong(node_counted_returned, "next free row"),
        Wrong(node_linked_backwards, r"tree\.child"),
        Wrong(node_not_counted, "not counted"),
    ),
    "16.backup": (
        Wrong(climb_same_sign, "keeps its sign"),
        Wrong(climb_q_of_opponent, "player below"),
        Wrong(climb_not_to_root, "root is left out"),
        Wrong(climb_one_player, "as if one player made all moves"),
        Wrong(climb_last_value, "last value alone"),
        Wrong(climb_once, "stops at the first move"),
        Wrong(climb_returns, r"returned"),
    ),
    "16.wilson": (
        Wrong(ends_simple, "no width"),
        Wrong(ends_cut, "cut off at 0 and 1"),
        Wrong(ends_not_divided, r"division by 1 \+ z\^2 / n is missing"),
        Wrong(ends_not_centered, "pulled toward 1/2"),
        Wrong(ends_one_error, "multiply the root by z"),
        Wrong(ends_no_root, "square root is missing"),
        Wrong(ends_n_not_squared, "square n, too"),
        Wrong(ends_radius_divided, "divides the center as well"),
        Wrong(ends_percent, "is wanted"),
        Wrong(ends_as_center, "both ends"),
    ),
    "16.games_needed": (
        Wrong(games_natural, "powers of 10"),
        Wrong(games_simple, "variance is 1/4"),
        Wrong(games_no_square, "not squared"),
        Wrong(games_float, "is wanted"),
        Wrong(games_no_quarter, "variance of a fair coin is 1/4"),
        Wrong(games_pairs, "These are pairs"),
        Wrong(games_weaker, "is wanted"),
    ),
}
