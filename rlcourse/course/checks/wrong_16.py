"""Plausible wrong answers to the exercises of notebook 16, by which a check names the mistake."""

import math

import torch
from torch import Tensor

from rlcourse.course.grading import Mistake
from rlcourse.go.arena import wilson_interval
from rlcourse.go.plain_search import Tree, backup_, expand_


def puct_with(
    unvisited: str = "value", count: str = "1 + sum", root: bool = True, grows: bool = True,
    below: int = 1, one: float = 1.0, sign: int = 1, wide: bool = False,
):  # fmt: skip
    """The score with one of its parts changed."""

    def wrong(
        prior: Tensor, visits: Tensor, q: Tensor, value: float, init: float, base: float
    ) -> Tensor:
        total = visits.sum() + (count == "1 + sum")
        total = visits if count == "own" else total
        rate = init + torch.log((total + base + one) / base) if grows else init
        known = q if unvisited == "zero" else torch.where(visits > 0, sign * q, value)
        much = total.double().sqrt() if root else total
        spread = (total / (1.0 + visits)).sqrt() if wide else much / (below + visits)
        return known + rate * prior * spread

    return wrong


def puct_without_prior(prior, visits, q, value, init, base):
    return puct_with()(torch.ones_like(prior), visits, q, value, init, base)


def puct_log_outside(prior, visits, q, value, init, base):
    total = 1.0 + visits.sum()
    rate = init + total.add(base + 1).log() / base
    return torch.where(visits > 0, q, value) + rate * prior * total.sqrt() / (1.0 + visits)


def expand_one_too_far(tree: Tree, parent: int, action: int, prior: Tensor) -> int:
    tree.num_nodes += 1
    node = tree.num_nodes
    tree.prior[node], tree.parent[node], tree.action[node] = prior, parent, action
    if parent >= 0:
        tree.child[parent, action] = node
    return node


def expand_without_link(tree: Tree, parent: int, action: int, prior: Tensor) -> int:
    before = tree.child.clone()
    node = expand_(tree, parent, action, prior)
    tree.child[:] = before
    return node


def expand_without_count(tree: Tree, parent: int, action: int, prior: Tensor) -> int:
    node = expand_(tree, parent, action, prior)
    tree.num_nodes -= 1
    return node


def expand_links_root(tree: Tree, parent: int, action: int, prior: Tensor) -> int:
    node = expand_(tree, parent, action, prior)
    tree.child[parent, action] = node
    return node


def expand_without_way_back(tree: Tree, parent: int, action: int, prior: Tensor) -> int:
    node = expand_(tree, parent, action, prior)
    tree.parent[node], tree.action[node] = -1, -1
    return node


def expand_returns_next(tree: Tree, parent: int, action: int, prior: Tensor) -> int:
    return expand_(tree, parent, action, prior) + 1


def expand_prior_above(tree: Tree, parent: int, action: int, prior: Tensor) -> int:
    node = expand_(tree, parent, action, prior)
    tree.prior[node] = 0.0
    tree.prior[parent] = prior
    return node


def backup_with(
    flips: bool = True, minus: bool = True, mean: bool = True, leaf: bool = True,
    root: bool = True, edges: bool = True, late: bool = False,
):  # fmt: skip
    """Adding a value with one of its parts changed."""

    def wrong(tree: Tree, node: int, value: float) -> None:
        first = True
        while True:
            if (leaf or not first) and (root or node != 0):
                tree.num_visits[node] += 1
                tree.value_sum[node] += -value if late else value
            first = False
            if node == 0:
                return
            parent, action = int(tree.parent[node]), int(tree.action[node])
            tree.visits[parent, action] += edges
            known = tree.value_sum[node] / tree.num_visits[node] if mean else value
            tree.q[parent, action] = -known if minus else known
            node, value = parent, -value if flips else value

    return wrong


def backup_q_only(tree: Tree, node: int, value: float) -> None:
    visits = tree.visits.clone(), tree.num_visits.clone()
    backup_(tree, node, value)
    tree.visits, tree.num_visits = visits


def backup_one_step(tree: Tree, node: int, value: float) -> None:
    tree.num_visits[node] += 1
    tree.value_sum[node] += value
    if node > 0:
        parent, action = int(tree.parent[node]), int(tree.action[node])
        tree.visits[parent, action] += 1
        tree.q[parent, action] = -tree.value_sum[node] / tree.num_visits[node]


def interval_wald(wins: float, num_games: int, z: float) -> tuple[float, float]:
    share = wins / num_games
    radius = z * math.sqrt(share * (1 - share) / num_games)
    return share - radius, share + radius


def interval_wald_clipped(wins: float, num_games: int, z: float) -> tuple[float, float]:
    low, high = interval_wald(wins, num_games, z)
    return max(0.0, low), min(1.0, high)


def interval_with(
    times: bool = True, root: bool = True, both: bool = True, squared: bool = True
):  # fmt: skip
    """Wilson's interval with one of its parts changed."""

    def wrong(wins: float, num_games: int, z: float) -> tuple[float, float]:
        share, shrink = wins / num_games, 1 + z**2 / num_games
        center = share + z**2 / (2 * num_games)
        spread = share * (1 - share) / num_games
        spread += z**2 / (4 * num_games ** (2 if squared else 1))
        radius = (z if times else 1.0) * (math.sqrt(spread) if root else spread)
        if not both:
            return center - radius / shrink, center + radius / shrink
        return (center - radius) / shrink, (center + radius) / shrink

    return wrong


def interval_around_share(wins: float, num_games: int, z: float) -> tuple[float, float]:
    low, high = _low_high(wins, num_games, z)
    share, radius = wins / num_games, (high - low) / 2
    return share - radius, share + radius


def interval_not_shrunk(wins: float, num_games: int, z: float) -> tuple[float, float]:
    low, high = _low_high(wins, num_games, z)
    shrink = 1 + z**2 / num_games
    return low * shrink, high * shrink


def interval_center(wins: float, num_games: int, z: float) -> tuple[float, float]:
    low, high = _low_high(wins, num_games, z)
    return (low + high) / 2, (high - low) / 2


def _low_high(wins: float, num_games: int, z: float) -> tuple[float, float]:
    found = wilson_interval(wins, num_games, z)
    return found.low, found.high


def needed_with(
    ten: float = 10.0, variance: str = "half", squared: bool = True, up: bool = True,
    pairs: bool = False, sides: int = 1,
):  # fmt: skip
    """The number of games with one of its parts changed."""

    def wrong(elo: float, z: float) -> int:
        share = 1 / (1 + ten ** (-elo / 400))
        error = 0.25 if variance == "half" else share * (1 - share)
        ratio = z * math.sqrt(error) / (share - 0.5) * sides
        number = (ratio**2 if squared else ratio) / (2 if pairs else 1)
        return math.ceil(number) if up else math.floor(number)

    return wrong


OF_PUCT = (
    Mistake(
        "A move that was not tried counts as 0: it counts as the mean value of the node, `value`",
        puct_with(unvisited="zero"),
    ),
    Mistake(
        "n(s) is the sum of the visits only: the node's own evaluation counts too, so add 1",
        puct_with(count="sum"),
    ),
    Mistake(
        "n(s) is taken from each move: it is 1 plus the visits of all moves together",
        puct_with(count="own"),
    ),
    Mistake("The root is missing: the prior is multiplied by sqrt(n(s))", puct_with(root=False)),
    Mistake(
        "c(s) does not grow: add log((n(s) + base + 1) / base) to init", puct_with(grows=False)
    ),
    Mistake(
        "The denominator is n(s, a), which is 0 for a move that was not tried: it is 1 + n(s, a)",
        puct_with(below=0),
    ),
    Mistake("The prior is missing: it says which moves to look at first", puct_without_prior),
    Mistake(
        "The logarithm is divided by base: base divides inside, log((n(s) + base + 1) / base)",
        puct_log_outside,
    ),
    Mistake(
        "The root covers the whole fraction: only n(s) stands under it, 1 + n(s, a) does not",
        puct_with(wide=True),
    ),
    Mistake(
        "A 1 is missing in the logarithm: it is log((n(s) + base + 1) / base)", puct_with(one=0.0)
    ),
    Mistake(
        "Q is taken away: `q` is for the player who chooses here already, so add it",
        puct_with(sign=-1),
    ),
)

OF_EXPAND = (
    Mistake(
        "The new node is written one row too far: rows count from 0, so take num_nodes before it is"
        " raised",
        expand_one_too_far,
    ),
    Mistake(
        "The parent does not know its child: without child[parent, action] no walk comes here",
        expand_without_link,
    ),
    Mistake(
        "The node is not counted: raise num_nodes by 1, or the next node overwrites this one",
        expand_without_count,
    ),
    Mistake(
        "The root is written as a child of node -1, which is the last row: it has no parent",
        expand_links_root,
    ),
    Mistake(
        "The node does not know where it came from: without parent and action no value finds its"
        " way up",
        expand_without_way_back,
    ),
    Mistake(
        "The prior is written into the parent's row: it is that of the new node",
        expand_prior_above,
    ),
    Mistake(
        "The number that is returned is that of the next free row: return that of the new node",
        expand_returns_next,
    ),
)

OF_BACKUP = (
    Mistake(
        "The value keeps its sign on the way up: what is good for one player is bad for the other",
        backup_with(flips=False),
    ),
    Mistake(
        "The sign of q is that of the player below: for the one who makes the move it is minus the"
        " mean value behind it",
        backup_with(minus=False),
    ),
    Mistake(
        "The last value alone makes q: it is minus the mean, value_sum / num_visits of the node"
        " below",
        backup_with(mean=False),
    ),
    Mistake(
        "The node itself is left out: its own value is added to it first", backup_with(leaf=False)
    ),
    Mistake("The root is left out: it gets its share as well", backup_with(root=False)),
    Mistake(
        "The moves are not counted: raise visits[parent, action] on the way",
        backup_with(edges=False),
    ),
    Mistake(
        "The sign changes too early: `value` is for the player to move at `node`, add it there as"
        " it is",
        backup_with(late=True),
    ),
    Mistake(
        "Neither the value nor q changes its sign, as if one player made all moves: both do at each"
        " step",
        backup_with(flips=False, minus=False),
    ),
    Mistake("The value stops at the first move: go on to the root", backup_one_step),
    Mistake("No visits are counted: those of nodes and of moves grow by 1", backup_q_only),
)

OF_WILSON = (
    Mistake(
        "This is the simple interval around the share, which has no width where all games were won"
        " or lost: use Wilson's",
        interval_wald,
    ),
    Mistake(
        "This is the simple interval, cut off at 0 and 1: where all games were won or lost it has"
        " no width; use Wilson's",
        interval_wald_clipped,
    ),
    Mistake(
        "This is one standard error: multiply the root by z, as in the formula",
        interval_with(times=False),
    ),
    Mistake("The square root is missing", interval_with(root=False)),
    Mistake(
        "The second term under the root is z^2 / (4 n^2): square n, too",
        interval_with(squared=False),
    ),
    Mistake(
        "Only the radius is divided: 1 + z^2 / n divides the center as well",
        interval_with(both=False),
    ),
    Mistake(
        "The interval lies around the share: its center is pulled toward 1/2, by z^2 / (2 n)",
        interval_around_share,
    ),
    Mistake("The division by 1 + z^2 / n is missing", interval_not_shrunk),
    Mistake("These are center and half width: return both ends", interval_center),
)

OF_NEEDED = (
    Mistake("This takes e for the base: Elo has powers of 10", needed_with(ten=math.e)),
    Mistake(
        "The error is that of the expected share: Wilson's interval leaves out 1/2 just where the"
        " distance exceeds z errors of a share of 1/2, whose variance is 1/4",
        needed_with(variance="share"),
    ),
    Mistake(
        "The ratio is not squared: errors fall with the root of the number of games",
        needed_with(squared=False),
    ),
    Mistake("These are pairs: count games", needed_with(pairs=True)),
    Mistake("Rounded down, the interval still holds 1/2: round up", needed_with(up=False)),
    Mistake(
        "These are four times too many: the variance of a fair coin is 1/4, and only the side of"
        " the interval toward 1/2 matters",
        needed_with(sides=2),
    ),
)
