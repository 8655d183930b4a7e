# %% [markdown]
# ## What you will build
#
# A player. It looks up what happened in similar positions, looks ahead in a tree of its own
# thoughts, and plays Go. Then you find out whether it is stronger, and how sure you can be. The
# picture is the end of this notebook: **games won against the same opponent**, with more search and
# with more neighbors.

# %%

from dataclasses import replace

import torch
from IPython.display import display

from rlcourse.course.exercise import check, exercise
from rlcourse.course.progress import progress
from rlcourse.course.results import results_folder
from rlcourse.course.setup import preset
from rlcourse.experiments import go_play, go_search_study, reference
from rlcourse.go import shipped
from rlcourse.go.model import measure_cost
from rlcourse.go.plain_search import Tree, plant, simulate_
from rlcourse.go.worlds import Nim, race
from rlcourse.viz import go_pictures, search_pictures
from rlcourse.viz.opponent_board import OpponentBoard
from rlcourse.viz.search_widget import SearchExplorer

# %%
curves = reference.load_reference("go_play")
go_play.plot_shipped(curves)

# %% [markdown]
# How to read it: higher is better; bars are 95% intervals over games. Left, more simulations; in
# the middle, more neighbors; right, both against what the networks compute for a move, those of the
# lookup included.
#
# When you are done, you can
#
# * compute the score by which a search chooses what to look at;
# * write a tree into arrays, and carry a value up it for two players in turn;
# * say what is retrieved, what is searched, and what each costs;
# * put an interval around a win rate, and say how many games a comparison needs;
# * make a player better, or not, by adding games to its memory, without training.

# %% [markdown]
# ## Warm-up
#
# 1. In notebook 15, what does the network see of a neighbor?
#    <details><summary>Answer</summary>Its board beside the query's, the moves that followed, who
#    won, and the final board, all turned into the query's frame.</details>
# 2. Values here are for the player to move. White is to move and has a value of +0.7. What is the
#    value for Black?
#    <details><summary>Answer</summary>−0.7: what one wins, the other loses. Between two moves the
#    discount is −1.</details>
# 3. What does the model need for the position after a move: the board?
#    <details><summary>Answer</summary>No. h<sub>θ</sub>(s, a), in code <code>dynamics(state,
#    move)</code>, makes the next state from a state; the rules are not asked, and no neighbor is
#    looked up.</details>

# %% [markdown]
# ## 1 What to look at next
#
# A policy answers at first sight. If the reply to its favorite move captures everything, it does
# not look. A *search* plays on in thought. Its [tree](glossary.md#search-tree) has positions as
# nodes and moves as edges, and each *simulation* walks down from the root and adds one node. At
# each node it must choose: a move that proved good, one that the policy likes, or one that it knows
# little about? [pUCT](glossary.md#puct) adds these up, and follows the highest
#
# $$Q(s,a) + c(s)\, P(s,a)\, \frac{\sqrt{n(s)}}{1 + n(s,a)}, \qquad
# c(s) = c_1 + \log \frac{n(s) + c_2 + 1}{c_2} .$$
#
# | symbol | in code | |
# | --- | --- | --- |
# | $Q(s,a)$ | `q` | mean value behind the move, for who makes it |
# | $P(s,a)$ | `prior` | the policy's probability |
# | $n(s,a)$ | `visits` | how often the move was taken |
# | $n(s)$ | | 1 + all visits: the node's own evaluation counts |
# | $c_1, c_2$ | `init`, `base` | 1.25 and 19,652, as in MuZero |
#
# A move that was not tried has no $Q$. Let it count as the mean value of its node.
#
# **Predict** which move is next, by what each has going for it, where the node's mean value is 0.12:
#
# | move | prior | visits | q |
# | --- | --- | --- | --- |
# | a | 0.6 | 6 | 0.10 |
# | b | 0.3 | 1 | 0.25 |
# | c | 0.1 | 0 | – |
#
# ### Exercise 16.puct: A score for each move
# difficulty 2 · importance 5 · 10 minutes


# %%
@exercise("16.puct")
def puct(prior, visits, q, value: float, init: float = 1.25, base: float = 19_652.0):
    """The score of each move at a node.

    Args:
        prior: [A] probabilities.
        visits: [A] counts.
        q: [A] for the player to move; 0 where there is no visit.
        value: mean value of the node, for the same player.
        init, base: c_1 and c_2.

    Returns:
        [A] scores, of the type of `q`.
    """
    ### BEGIN STUB
    # num_visits = ...                        # n(s)
    # rate = init + torch.log(...)            # c(s)
    # known = torch.where(visits > 0, ...)
    ### END STUB
    ### BEGIN SOLUTION
    num_visits = 1 + visits.sum()
    rate = init + torch.log((num_visits + base + 1) / base)
    known = torch.where(visits > 0, q, value)
    return known + rate * prior * num_visits.sqrt() / (1 + visits)
    ### END SOLUTION


# %%
check(puct)

# %% [markdown] tags=["hints"]
# * Three parts: what n(s) is, what stands for Q where there is none, and the sum. Which of them are
#   one number, and which have one for each move?
# * `num_visits = 1 + visits.sum()`, `known = torch.where(visits > 0, q, value)`, then `known + rate
#   * prior * num_visits.sqrt() / (1 + visits)` with `rate = init + torch.log((num_visits + base +
#   1) / base)`.

# %%
prior, visits = torch.tensor([0.6, 0.3, 0.1]).double(), torch.tensor([6, 1, 0])
q, value = torch.tensor([0.10, 0.25, 0.0]).double(), 0.12
scores = puct(prior, visits, q, value)
search_pictures.score_parts(list("abc"), q.where(visits > 0, value), scores)

# %% [markdown]
# How to read it: orange is what is known of a move, blue what the policy adds as long as the move
# has few visits.
#
# <details><summary>Explanation</summary>b. The policy's favorite a was looked at six times, and its
# bonus is divided by seven. The bonus of b is divided by two, and it has the better value. Even c,
# which the policy hardly considers, is ahead of a.</details>
#
# ## 2 A tree in arrays
#
# The tree has room for $N$ nodes, set aside at the start. A node is a row, the root is row 0.
#
# | in `Tree` | shape | |
# | --- | --- | --- |
# | `prior`, `visits`, `q` | `[N, A]` | as above, one number for each move |
# | `child` | `[N, A]` | the node that a move leads to; −1: none yet |
# | `parent`, `action` | `[N]` | from where, and by which move; the root has −1 |
# | `num_visits`, `value_sum` | `[N]` | of the node itself |
# | `num_nodes` | | rows that are in use |
#
# Each simulation has three steps: **walk** by your scores until a move leads nowhere; **expand**,
# write the node behind it; **back up** its value.
#
# ### Exercise 16.expand: A new node
# difficulty 2 · importance 3 · 6 minutes
#
# The tree is written to in place. The last line of the docstring matters: `child[-1]` is a valid
# row in Python, and a wrong one here.


# %%
@exercise("16.expand")
def expand_(tree: Tree, parent: int, action: int, prior: torch.Tensor) -> int:
    """Writes the node behind a move.

    Args:
        tree: changed in place: prior, parent, action, child, num_nodes.
        parent: the node where the move was made.
        action: the move.
        prior: [A] of the new node.

    Returns:
        The number of the new node. For the root, which is first, parent and action are -1.
    """
    ### BEGIN STUB
    # node = ...                # the next free row
    # ...
    # if parent >= 0: ...
    # return node
    ### END STUB
    ### BEGIN SOLUTION
    node = tree.num_nodes
    tree.num_nodes += 1
    tree.prior[node] = prior
    tree.parent[node], tree.action[node] = parent, action
    if parent >= 0:
        tree.child[parent, action] = node
    return node
    ### END SOLUTION


# %%
check(expand_)

# %% [markdown] tags=["hints"]
# * Rows in use are 0 to num_nodes − 1. Who has to know of the new node, so that a walk finds the
#   way down, and a value the way up?
# * The node is row `tree.num_nodes`; raise that by one. Write `prior`, `parent` and `action` into
#   the row, and the node's number into `tree.child[parent, action]`, but not for the root.

# %% [markdown]
# Now the value. The network says of the new node how well its *player to move* is doing. One step
# up the opponent is to move, and so on: the value changes its sign at each step. **Predict**: a
# node at depth 2 has a value of +0.8. What is added to its parent, and what to the root?
#
# <details><summary>Answer</summary>−0.8 and +0.8. The player to move at depth 2 is the one at the
# root.</details>
#
# On the way, a node gets the value in `value_sum` and one more visit, and the move into it one more
# visit, too. With $w$ the node behind the move, and both sums already new,
#
# $$Q(s,a) = - \frac{\texttt{value\_sum}(w)}{\texttt{num\_visits}(w)} .$$
#
# ### Exercise 16.backup: Good for me is bad for you
# difficulty 4 · importance 5 · 15 minutes


# %%
@exercise("16.backup")
def backup_(tree: Tree, node: int, value: float) -> None:
    """Adds a value to a node and to all nodes and moves between it and the root.

    Args:
        tree: changed in place: num_visits, value_sum, visits, q.
        node: the one that was evaluated.
        value: for the player to move there.
    """
    ### BEGIN STUB
    # while True:
    #     ...                       # the node's sum and visits
    #     if node == 0:
    #         return
    #     parent, action = int(tree.parent[node]), int(tree.action[node])
    #     ...                       # the move's visits and q
    #     node, value = ...
    ### END STUB
    ### BEGIN SOLUTION
    while True:
        tree.num_visits[node] += 1
        tree.value_sum[node] += value
        if node == 0:
            return
        parent, action = int(tree.parent[node]), int(tree.action[node])
        tree.visits[parent, action] += 1
        tree.q[parent, action] = -tree.value_sum[node] / tree.num_visits[node]
        node, value = parent, -value
    ### END SOLUTION


# %%
check(backup_)

# %% [markdown] tags=["hints"]
# * Three questions at each node: what is added here, what is known of the move into it, and whose
#   value goes on to the parent?
# * In the loop: add to `num_visits[node]` and `value_sum[node]`; stop at node 0; add 1 to
#   `visits[parent, action]`, write minus the mean of the node into `q[parent, action]`; go on with
#   `node, value = parent, -value`.

# %% [markdown]
# A first game: five matches, each player takes one, two or three, and who takes the last one wins.
# The model knows the rules and nothing else: all moves are as likely, and nobody is ahead until it
# is over. Where a game is over, the player who would be next has lost: −1.
#
# **Predict** which move gets the visits. And how often is a losing move looked at?

# %%
nim, steps = Nim(), (puct, expand_, backup_)
forest = plant(nim.root([5]), 100, expand_, backup_)
for _ in range(14):
    simulate_(forest, nim.recurrent, *steps)
search_pictures.tree_picture(forest.trees[0], ["1", "2", "3"])

# %% [markdown]
# How to read it: the number on an edge is what was taken; black discs are you, white ones the
# opponent. A value is for the player to move, so −1.00 at the bottom means that the other one has
# just won.

# %%
(stages,) = go_search_study.stages(nim.root([5]), nim.recurrent, 256, *steps)
history = torch.stack([stage.visits for stage in stages[1:]])
counts = [stage.num_simulations for stage in stages[1:]]
names = ["take 1", "take 2", "take 3"]
search_pictures.visits_over_simulations(counts, history, names, "A pile of five")

# %% [markdown]
# How to read it: the share of all visits so far that went to each move, after more and more
# simulations.
#
# <details><summary>Explanation</summary>Take one, and leave four: whatever the opponent takes, you
# take the rest. After 2 or 3 the opponent wins at once, so these moves get few visits more. At
# first all moves look alike; as soon as one simulation has seen a refutation, the values above it
# change, and the walks turn. A losing move is never given up for good: its bonus grows slowly as
# others are visited.</details>
#
# ## 3 The same search on Go
#
# Two positions on a 5x5 board, Black to move, four moves to the end. The model here knows the
# rules, has no policy, and believes that who has more points is ahead: Black, with +0.76, on both
# boards. **Predict** who wins each.

# %%
won = "OOO..\nOOOOO\nXXXXX\nXXXXX\nXXX.."
lost = "OOO..\nOOOOO\nXXXXX\nXXXXX\nXXXX."
go_pictures.row([go_pictures.drawn(won, title="first"), go_pictures.drawn(lost, title="second")])

# %% [markdown]
# Your search, with 256 simulations each, up to ten seconds:

# %%
values = {}
for name, text in {"first": won, "second": lost}.items():
    real, start = race(text, moves_left=4)
    (seen,) = go_search_study.stages(real.root(start), real.recurrent, 256, *steps)
    values[name] = [f"{stage.value:+.2f}" for stage in seen]
print("simulations", [stage.num_simulations for stage in seen])
for name, row in values.items():
    print(f"{name:11}", row)

# %% [markdown]
# How to read it: below each number of simulations, the mean value of the position for Black.
#
# <details><summary>Explanation</summary>Each chain has few liberties. On the first board Black and
# White have two each, and Black is to move: Black captures first. On the second Black has one, and
# White takes all of Black's stones with the next move. Counting points does not see that; eight
# simulations begin to.</details>
#
# ### Retrieve once, then think
#
# A real game is too long to reach its end, so a learned model says who is ahead. For each move of a
# game (notebook 15's $f_\theta$ and $h_\theta$):
#
# $$s^0 = f_\theta(o_t, x^1, \ldots, x^N), \qquad s^{k+1} = h_\theta(s^k, a) .$$
#
# From here on $N$ counts neighbors. They are looked up **at the root only**. The search goes on
# from $s^0$ in the model's own space. The next cell stores several hundred games and loads the
# shipped networks: about a minute the first time.

# %%
config = go_search_study.SETTINGS[preset()]
rules, games = shipped.load_games()
folder = results_folder("go_search_study", (config, shipped.fingerprint(games)))
memory = go_search_study.memory(config, folder, rules, games)
models = go_search_study.models()
model = models["retrieval"]
N = model.config.num_neighbors
print(f"{len(memory):,} positions to look up, {N} neighbors")

# %% [markdown]
# **Predict**: which costs more, a neighbor or a simulation? And what else does a lookup cost?

# %%
alone, helped = measure_cost(model, 0), measure_cost(model, N)
costs = {
    "the position, no neighbor": alone.represent + alone.predict,
    "each simulation": alone.search,
    "each neighbor": (helped.represent - alone.represent) / N,
    "the query's keys": go_search_study.key_operations(memory),
}
for name, operations in costs.items():
    simulations = operations / alone.search
    print(f"{name:26}{operations / 1e6:7.1f} million operations = {simulations:5.1f} simulations")

# %% [markdown]
# <details><summary>Explanation</summary>A neighbor passes once through a narrow network, a
# simulation through the dynamics and both heads. So more neighbors are cheap. But the first has a
# price: the key network of notebook 14 looks at all eight images of the query. That is paid once
# for each move, however many neighbors and simulations there are. Comparing the keys, which is not
# in the list, comes on top.</details>
#
# Now watch your search on positions of test games, with the retrieval model. Half a minute at most.

# %%
watched = go_search_study.watch(config, games, model, memory, *steps)

# %% [markdown]
# How to read it: left, the policy; in the middle, where the visits went; right, the line that both
# players' most visited moves make. Values are for who is next; the button of a position says who.
# Page through the positions, and move the slider. **Predict** which move the first simulation
# visits, and why. Then: where does the search turn away from the policy's favorite, and after how
# many simulations?

# %%
SearchExplorer(watched)

# %% [markdown]
# <details><summary>Explanation</summary>The first visit goes to the policy's favorite: all moves
# have the same value then, and the prior decides. Look for turns where the policy is undecided:
# where it gives one move 80%, only a clear difference in value turns the search away. Now read the
# line: how far down does it make sense? The model was trained to look K moves ahead (notebook 15),
# and was never shown what lies further. Where a line ends in senseless passes, or a clear value
# drifts toward 0, the search has left what the model knows, and believes its errors.</details>
#
# ## 4 Who is stronger?
#
# Two players play $n$ games, and one wins $w$ of them. The [win rate](glossary.md#win-rate) $p =
# w/n$ is an estimate. **Predict**: 13 of 20 games are won. Is the winner stronger? Could a fair
# coin do that?
#
# *Wilson's interval* holds all rates under which a result like this is not surprising, with $z =
# 1.96$ for 95%:
#
# $$\frac{p + \frac{z^2}{2n} \pm z \sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4 n^2}}}{1 + \frac{z^2}{n}} .$$
#
# The simple interval, $p \pm z\sqrt{p(1-p)/n}$, has no width where all games were won.
#
# ### Exercise 16.wilson: An honest interval
# difficulty 2 · importance 4 · 8 minutes


# %%
@exercise("16.wilson")
def wilson(wins: float, num_games: int, z: float = 1.96) -> tuple[float, float]:
    """Both ends of Wilson's interval for a win rate.

    Args:
        wins: a draw is half a win.
        num_games: at least 1.
        z: of the normal distribution.

    Returns:
        Low and high end, floats in [0, 1].
    """
    ### BEGIN STUB
    # share = ...
    # center = ...
    # radius = z * (...) ** 0.5
    # return (center - radius) / ..., ...
    ### END STUB
    ### BEGIN SOLUTION
    share = wins / num_games
    center = share + z**2 / (2 * num_games)
    radius = z * (share * (1 - share) / num_games + z**2 / (4 * num_games**2)) ** 0.5
    shrink = 1 + z**2 / num_games
    return (center - radius) / shrink, (center + radius) / shrink
    ### END SOLUTION


# %%
check(wilson)

# %% [markdown] tags=["hints"]
# * Three parts: the center, what is added and taken away, and the division, which holds for both.
# * With `share = wins / num_games`: `center = share + z**2 / (2 * num_games)`, `radius = z * (share
#   * (1 - share) / num_games + z**2 / (4 * num_games**2)) ** 0.5`; divide `center - radius` and
#   `center + radius` by `1 + z**2 / num_games`.

# %% tags=["nbval-check-output"]
for wins, num_games in ((13, 20), (65, 100), (20, 20)):
    low, high = wilson(wins, num_games)
    print(f"{wins:3} of {num_games:3}: {low:.1%} to {high:.1%}")

# %% [markdown]
# <details><summary>Explanation</summary>13 of 20 is compatible with a weaker player, 65 of 100 is
# not. And whoever wins 20 of 20 may well lose one game in ten.</details>
#
# Strength is measured in [Elo](glossary.md#elo): a player who is $d$ points stronger scores
#
# $$p = \frac{1}{1 + 10^{-d/400}} .$$
#
# How many games must a match have, so that the interval around that score leaves out 1/2? A little
# algebra on Wilson's formula: just when the distance exceeds $z$ standard errors of a *fair* coin,
#
# $$p - \tfrac12 > z \sqrt{\frac{1/4}{n}} .$$
#
# ### Exercise 16.games_needed: Before you start a match
# difficulty 2 · importance 4 · 8 minutes


# %%
@exercise("16.games_needed")
def games_needed(elo: float, z: float = 1.96) -> int:
    """The fewest games at which a player of this strength is seen to be stronger.

    Args:
        elo: how much stronger, positive.
        z: of the normal distribution.

    Returns:
        Games, not pairs, for a score that is just as expected.
    """
    ### BEGIN STUB
    # share = ...
    # return int(...) + 1       # rounded up
    ### END STUB
    ### BEGIN SOLUTION
    share = 1 / (1 + 10 ** (-elo / 400))
    return int((z / (2 * share - 1)) ** 2) + 1
    ### END SOLUTION


# %%
check(games_needed)

# %% [markdown] tags=["hints"]
# * Solve the inequality for n. What happens to the square root?
# * `n > z**2 / (4 * (share - 0.5) ** 2)`, which is `(z / (2 * share - 1)) ** 2`; take the next
#   integer.

# %%
search_pictures.needed(games_needed)

# %% [markdown]
# How to read it: both axes are logarithmic; half the difference takes about four times the games.
# And with so many, only every second match comes out as clearly: plan for two to four times as
# many.
#
# ## The experiment
#
# Your search against no search: the same network, without neighbors, with 16 simulations against
# its policy alone. Games come in pairs: two games from the same random opening, with colors
# swapped. A minute or two at `laptop`; stop it once some games are finished, and the cells below go
# on with those. **Predict** the share of games that the search wins, and the width of its interval.

# %%
simulations, network = config.simulations, models["baseline"]  # two switches
settings = replace(config, simulations=simulations)
about = (settings, shipped.fingerprint(games), network is model)
own = results_folder("go_search_match", about, *steps)
match = go_search_study.match(settings, own, rules, network, *steps)
print(match)

# %%
name = f"{simulations} simulations against none"
played = {name: (match.wins + match.draws / 2, match.num_games)}
search_pictures.win_rates(played, wilson)

# %% [markdown]
# How to read it: the dot is the share of games won, the bar your Wilson interval; left of the
# dotted line the search loses more often than it wins.
#
# <details><summary>Explanation</summary>A few simulations can be worth a lot: many mistakes of the
# policy show a move or two later. Does your interval leave out 50%? For a score of two games in
# three, which is 120 Elo, <code>games_needed(120)</code> says 35 games, and twice as many are wise.
# Most effects are far smaller.</details>
#
# **Flip a switch**: set `simulations` to 64, which takes some minutes, or `network` to
# `models["retrieval"]`, which was trained with neighbors and plays here without. **Predict** first:
# does more search win more games? Can you see it in so few?
#
# <details><summary>Explanation</summary>With so few games an interval is some 20 points wide: where
# those of two matches overlap widely, nobody can tell. More search helps as long as the model can
# be trusted where it leads. More simulations go deeper, and a search is as good as what the model
# says of the deepest nodes that it visits. Beyond the K moves that it was trained to look ahead, it
# guesses: with a small K a deep search can even lose to a shallow one.</details>
#
# Now the question of this part of the course: **does retrieval win games?** That took many more
# games than you have time for. **Predict**: at equal cost, are neighbors or simulations the better
# buy? The shipped matches, all on the same openings:

# %%
display(go_play.plot_shipped(curves))
display(search_pictures.gains(curves["gain"]))

# %% [markdown]
# How to read it: above, as at the start. Below, what retrieval adds at the same number of
# simulations, with 95% intervals over pairs of games; an interval that holds 0 shows nothing. All
# hold for these trained networks; another training may come out differently.
#
# <details><summary>Explanation</summary>In the panel on the right, go up at one cost: the higher
# curve is the better buy there. Retrieval begins further right, since the keys of its query cost as
# much as many simulations, whatever comes after; from there on, a further neighbor costs less than
# a further simulation. Where bars overlap, these games do not tell.</details>

# %%
print("simulations  retrieval minus baseline (points)")
for x, mean, low, high in zip(*curves["gain"], strict=True):
    print(f"{x:11.0f}  {100 * mean:+5.1f}  [{100 * low:+.1f}, {100 * high:+.1f}]")
mean, low, high = (float(part[0]) for part in curves["direct"][1:])
print(f"retrieval against baseline directly: {mean:.1%} [{low:.1%}, {high:.1%}]")

# %% [markdown]
# ## 5 New games, no training
#
# A player meets positions that no expert's game has: its own mistakes lead there, and the
# opponent's. What is looked up there may be far away. But memory is easy to change: **add the games
# that were played**, as another source, and the next game finds them. No weight changes.
#
# **Predict**: three quarters of your match's pairs of games are added. For what share of the
# positions in its other games is the nearest neighbor now one of these? Some ten seconds.

# %%
print(f"your match: {match.num_games} games")
near = go_search_study.grow(memory, own)
print(f"added: {near.share_of_memory:.1%} of the memory")
print(f"one of these is the nearest of {near.share:.1%} of the positions")
search_pictures.distances(near.before, near.after, ("as it was", "with the games"))

# %% [markdown]
# How to read it: the share of positions whose nearest stored one is at most so far; further left is
# nearer.
#
# <details><summary>Explanation</summary>The line can only move to the left. How far? Games of Go
# part ways after a few moves, these begin with random stones, and a few dozen games are few beside
# this memory. If they were like all others, one of them would be the nearest just as often as they
# make up of the memory: compare the two numbers. The paper added several hundred thousand
# positions.</details>
#
# Nearer neighbors, better play? In the shipped run all games of one training's agents were added,
# and the agent played another match, on openings that none of them had:

# %%
display(go_play.plot_shipped(curves, "growth"))
kinds = {"test_before": "test games", "met_before": "met in play"}
kinds |= {"met_after": "games added", "met_removed": "and removed again"}
for kind, words in kinds.items():
    mean, low, high = (float(part[0]) for part in curves[f"distance/{kind}"][1:])
    print(f"{words:18} nearest at {mean:8,.0f} on average [{low:,.0f}, {high:,.0f}]")
for kind, words in {"test": "test games", "met": "met in play"}.items():
    mean, low, high = (float(part[0]) for part in curves[f"change/{kind}"][1:])
    print(f"{words:18} after minus before {mean:+,.1f} [{low:+,.1f}, {high:+,.1f}]")
mean, low, high = (100 * float(part[0]) for part in curves["grown/gain"][1:])
print(f"win rate, after minus before: {mean:+.1f} points [{low:+.1f}, {high:+.1f}]")

# %% [markdown]
# How to read it: left, distances by the moves played: black, positions of test games; orange-red,
# those met in play; blue, the same positions once the games were added. Right, the win rates before
# and after. Printed, squared distances: means over games with 95% intervals, and what the added
# games change for the very same positions. For test games they are just some games more.
#
# <details><summary>Explanation</summary>Two questions, two answers. Nearer or not: compare blue
# with orange-red. Nothing was learned, so removing the games undoes it. Better or not: read the
# interval of the difference; if it holds 0, this run does not tell. An effect of 20 Elo would take
# over a thousand games, as your function says.</details>
#
# ## The widget
#
# Play against your search: the retrieval model, your three functions, and what it looked up beside
# the board. You have Black; click on a point. A move takes it up to two seconds. **Your tasks**:
# (1) Play your first five moves along the edge, begin again, and play them in the middle. How far
# is the nearest position that it retrieves, after five moves each? (2) After ten moves or so: are
# the next moves of its neighbors among those that it visited most? (3) Attack a stone. Does its
# value fall before you capture it, or only after?

# %%
playing = go_search_study.player(config, model, memory, *steps)
OpponentBoard(rules, agents={"your search, with neighbors": playing})

# %% [markdown]
# <details><summary>Answers</summary>(1) Further after moves along the edge: no stored game begins
# like that. What is retrieved differs from the board, and says less. (2) Compare a calm position
# with a fight: a neighbor's move is advice for its own board, and in a fight one stone more makes
# it bad advice. (3) With luck, before: a capture one or two moves away is within reach of the
# search, if the network has seen such captures.</details>
#
# ## In the paper
#
# Humphreys et al. (2022) play their agent with 200 simulations against Pachi with 400,000. They
# report a clear gain from retrieval with search (their Fig. 5), a much smaller one with the policy
# alone (Fig. 8), and more neighbors as a way to save compute beside more simulations (Fig. 10).
# Adding some 600,000 positions of games against Pachi raised the win rate without training (Figs.
# 6b and 9). The values are in figures only, so ours stand beside them as effects: is there a gain,
# and does its interval leave out 0?
#
# | | paper | here |
# | --- | --- | --- |
# | data | some 50 million positions, an expert in the style of AlphaZero | far fewer, of GNU Go |
# | opponent | Pachi, 400,000 simulations | far weaker: GNU Go that makes random moves now and then |
# | neighbors | 2 to 10, mostly 10 | 2, 4 and 10, mostly 4 |
# | simulations | 200 | fewer, see the axis |
# | games added | of the agent against Pachi | of all agents of one training |
# | pUCT's constants, temperature, noise | not known to us | MuZero's, 0, none |
# | number of games | not known to us | enough for the intervals shown |
# | a move that was not tried | not known to us | its node's mean value |
# | passing | not known to us | by our rule: after a pass, where that wins by area |
#
# Where they see a clear gain and our interval holds 0, suspect our data first: fewer positions of a
# weaker expert.

# %%
progress()

# %% [markdown]
# ## Recap
#
# * pUCT adds what is known of a move and what the policy expects of it; the second fades with
#   visits.
# * A simulation walks, expands one node, and backs its value up with a sign that changes at each
#   step.
# * Neighbors are looked up once for each move; the search unrolls the model from there.
# * A win rate without its interval says little; half the difference takes four times the games.
# * Memory can grow without training: nearer neighbors can come at once, wins have to be
#   shown.
#
# | what | function | file |
# | --- | --- | --- |
# | pUCT, expand, back up | `puct`, `expand_`, `backup_` | `rlcourse/go/plain_search.py` |
# | the same, compiled | `search` | `rlcourse/go/mcts.py`, `mcts_kernel.py` |
# | the player | `SearchAgent` | `rlcourse/go/agent.py` |
# | neighbors for it | `FromDatabase` | `rlcourse/go/retrieve.py` |
# | matches | `play_batch_match` | `rlcourse/go/batch_match.py` |
# | intervals, number of games | `wilson_interval`, `games_needed` | `rlcourse/go/arena.py` |
# | a memory that grows | `Database.add` | `rlcourse/go/database.py` |

# %% [markdown]
# New in the [glossary](glossary.md): [Elo](glossary.md#elo), [pUCT](glossary.md#puct), [search
# tree](glossary.md#search-tree), [win rate](glossary.md#win-rate).
#
# **Stretch** (no check). (1) Let a move that was not tried count as −1 instead of its node's mean.
# How does the tree of the five matches change? (2) Play by visits with a temperature: draw moves in
# proportion to `visits ** (1 / tau)`. How many points of win rate does tau = 1 cost? (3) Play a
# game yourself: `python -m rlcourse play agent`.
#
# **Further reading.** Humphreys et al., *Large-Scale Retrieval for Reinforcement Learning* (arXiv
# 2206.05314), section 4: the results beside which ours stand. Schrittwieser et al., *Mastering
# Atari, Go, Chess and Shogi by Planning with a Learned Model* (arXiv 1911.08265): MuZero, appendix
# B has the search. Wilson, *Probable Inference, the Law of Succession, and Statistical Inference*
# (1927): four pages, and the interval of exercise 16.wilson.
