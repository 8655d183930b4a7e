# %% [markdown]
# ## What you will build
#
# A network for Go that looks positions up before it answers. Beside the board it is shown the most
# similar positions of other games, what was played there, and who won. The picture is its end: **how
# often networks with N neighbors predict the expert's move, against the same network without**.

# %%
import torch
from IPython.display import display

from rlcourse.course.exercise import check, exercise
from rlcourse.course.progress import progress
from rlcourse.course.results import results_folder
from rlcourse.course.setup import preset
from rlcourse.experiments import go_retrieval, go_retrieval_gain, reference
from rlcourse.experiments import go_retrieval_lesson as lesson
from rlcourse.experiments import go_retrieval_robustness as robustness
from rlcourse.experiments import go_retrieval_sizes as by_width
from rlcourse.go import saved_model, shipped
from rlcourse.go.agreement import expert_among
from rlcourse.go.model import measure_cost
from rlcourse.ops.neighbors import nearest
from rlcourse.viz import neighbor_pictures, retrieval_pictures

# %%
curves = reference.load_reference("go_retrieval")
go_retrieval.plot_shipped(curves)

# %% [markdown]
# How to read it: *baseline* sees no neighbors, *n4* four, *blank* an empty one. Left, over training,
# how often the likeliest move is the expert's in games not seen before. Right, the gain over the
# baseline, by the share of the games that can be looked up, **without training again**. Bands are
# 95% intervals, left over seeds, right over seeds and games.
#
# When you are done, you can
#
# * write the fusion of a position with any number of neighbors, and say what it costs;
# * keep a position's own game out of its neighbors, and measure what happens otherwise;
# * make a network robust against neighbors that mislead;
# * compute the loss of an unrolled model with its masks and signs;
# * say with an interval whether retrieval helped.

# %% [markdown]
# ## Warm-up
#
# 1. A key network is frozen. Why can the neighbors of all training positions be looked up once?
#    <details><summary>Answer</summary>Keys do not change while the model learns, so that neighbors do not
#    either.</details>
# 2. A neighbor was found under symmetry g. How does its next move come onto your board?
#    <details><summary>Answer</summary>By the inverse of g.</details>
# 3. Values are from the side to move. White to move has +0.3. What is the value for Black of the same
#    position? <details><summary>Answer</summary>−0.3: what one wins, the other loses.</details>

# %% [markdown]
# ## 1 What a network sees of a neighbor
#
# The next cell makes keys for the first few hundred games, half a minute or more. In what follows you
# look up among those.

# %%
config = lesson.SETTINGS[preset()]
folder = results_folder("go_retrieval_lesson", (config,))
world = lesson.prepare(config, folder)
positions, stored, test = world
print(f"{len(stored.ids):,} positions to learn from and to look up, {len(test.ids):,} to test on")

# %% [markdown]
# A neighbor is more than a move. It comes with what the query does not know yet: its future. Here is a
# test position and its nearest neighbor. **Predict**: which of these does a network profit from most, the
# next moves, the final board, or the winner?

# %%
found_for_test = lesson.for_test(world, config.k)
place = int((positions.plies[test.ids] - 30).abs().argmin())
near = neighbor_pictures.row_of(found_for_test, place)
retrieval_pictures.what_is_shown(positions, int(test.ids[place]), near)

# %% [markdown]
# How to read it: left, the position and the expert's move (green). In the middle, the neighbor as it
# lies on your board, with the moves that followed. Right, who owned each point at its end.
#
# <details><summary>Explanation</summary>A guess: for the policy the next moves, where the neighbor is
# close, and for the value the winner and the final board. The second stretch exercise at the end
# measures it. How far a network may trust them depends on how much the boards differ, so it is also
# shown where they do.</details>
#
# All of it becomes planes $x_i$. With the position $o$, the paper computes
#
# $$o^e = \mathrm{encoder}(o), \qquad e_i = p_\theta(o^e, x_i), \qquad
# s = \Big[\, o^e,\ \tfrac{1}{\sqrt{N}} \sum_{i=1}^{N} e_i \Big] \qquad \text{(Eq. 2)}$$
#
# | symbol | in code | |
# | --- | --- | --- |
# | $o^e$ | `encoded` | `[B, C, 9, 9]`, the position, encoded |
# | $e_i$ | `embedded` | `[B, K, D, 9, 9]`, each neighbor in view of the position |
# | $p_\theta$ | `network.embedding` | the same network for all $i$ |
# | $N$ | `num_neighbors` | |
# | $[\cdot, \cdot]$ | `torch.cat` | along the channels |
#
# In this course a few more layers follow before $s$ is complete.
#
# ### Exercise 15.fuse: A position and its neighbors
# difficulty 2 · importance 5 · 10 minutes
#
# A neighbor that is not `present` has $e_i = 0$, whatever `embedded` holds there.


# %%
@exercise("15.fuse")
def fuse(encoded, embedded, present, num_neighbors: int) -> torch.Tensor:
    """Eq. 2 for a batch of positions.

    Args:
        encoded: [B, C, H, W].
        embedded: [B, K, D, H, W]; where there is no neighbor, anything, even NaN.
        present: [B, K] bool.
        num_neighbors: N, by which the sum is scaled; K may be another number.

    Returns:
        [B, C + D, H, W].
    """
    ### BEGIN STUB
    # there = torch.where(present[..., None, None, None], ..., ...)
    # total = ...                              # [B, D, H, W]
    ### END STUB
    ### BEGIN SOLUTION
    there = torch.where(present[..., None, None, None], embedded, 0.0)
    total = there.sum(1) / num_neighbors**0.5
    return torch.cat([encoded, total], 1)
    ### END SOLUTION


# %%
check(fuse)

# %% [markdown] tags=["hints"]
# * Which axis holds the neighbors, and which the channels? What is 0 times NaN?
# * `torch.where(present[..., None, None, None], embedded, 0.0)` has zeros where there is no
#   neighbor. Sum it over axis 1, divide by `num_neighbors**0.5`, and set it behind `encoded` with
#   `torch.cat(..., 1)`.

# %% [markdown]
# Why the square root? **Predict** how the size of the sum grows with N, for embeddings that are
# independent, and for such that are all the same.

# %% tags=["nbval-check-output"]
generator = torch.Generator().manual_seed(0)
for number in (1, 4, 16):
    apart = torch.randn(1000, number, 1, 1, 1, generator=generator)
    alike = apart[:, :1].expand_as(apart)
    there = torch.ones(1000, number, dtype=torch.bool)
    sizes = [float(fuse(apart[:, 0], e, there, number)[:, 1].std()) for e in (apart, alike)]
    print(f"N = {number:2}: independent {sizes[0]:.1f}, all the same {sizes[1]:.1f}")

# %% [markdown]
# <details><summary>Explanation</summary>A sum of N independent numbers has a standard deviation of √N, so
# that the root keeps it at 1. Neighbors that agree add up: their sum grows as N, and after the division
# still as √N. So the size says how far neighbors agree.</details>
#
# A sum has no order and no fixed length: a network that learned with four neighbors can be asked with
# two, or with none.
#
# ## 2 Nobody may look at the answer
#
# Where do training positions find neighbors? Among training positions, which hold the very same game.
# **Predict**: of the neighbors of 3,000 positions among all, how many belong to the own game, and how
# often does the nearest "know" the expert's move?


# %%
def look(rows: torch.Tensor) -> None:
    asking = lesson.Memory(*(part[: len(rows)] for part in stored))
    near = lesson.as_neighbors(asking, stored, rows)
    moves = positions.batch(near.ids.flatten()).next_moves[:, 0].view_as(rows)
    expert = positions.batch(asking.ids).next_moves[:, 0]
    knows = expert_among(moves, near.symmetry, expert, 9)
    own = (stored.game[rows] == asking.game[:, None]).float().mean()
    print(f"own game {own:.0%}, nearest knows the move {knows[:, 0].mean():.0%}")


_, anywhere = nearest(stored.keys[:3000], stored.keys, config.k, 2048)
look(anywhere)

# %% [markdown]
# <details><summary>Explanation</summary>The nearest is the position itself, or one just like it in an
# opening, and its move is nearly always the answer. A network that trains with it learns to copy, which
# is of no use in a new game. Leaving out the position is not
# enough: two moves later in the same game the board is nearly the same, and the winner is.</details>
#
# The paper splits the data into two halves **by game**. A position is looked up in the half
# that does not hold its game. Here the halves are the games of even and of odd number.
#
# ### Exercise 15.in_halves: Ask the other half
# difficulty 3 · importance 5 · 12 minutes
#
# `nearest(queries, keys, k, block)` is notebook 14's search: it returns distances and ids, which are
# rows of the `keys` that you give it.


# %%
@exercise("15.in_halves")
def in_halves(keys: torch.Tensor, game: torch.Tensor, k: int) -> torch.Tensor:
    """For each position its k nearest in the half that does not hold its game.

    Args:
        keys: [N, D] of all positions.
        game: [N] number of the game of each; even and odd ones are the halves.
        k: neighbors.

    Returns:
        [N, k] rows of `keys`, nearest first.
    """
    ### BEGIN STUB
    # found = torch.empty(len(keys), k, dtype=torch.int64)
    # for half in (0, 1):
    #     asking = (...).nonzero().flatten()       # rows of the positions that ask
    #     answering = ...                          # rows of the other half
    #     _, places = nearest(..., ..., k, 2048)
    #     found[asking] = ...
    ### END STUB
    ### BEGIN SOLUTION
    found = torch.empty(len(keys), k, dtype=torch.int64)
    for half in (0, 1):
        asking = (game % 2 == half).nonzero().flatten()
        answering = (game % 2 != half).nonzero().flatten()
        _, places = nearest(keys[asking], keys[answering], k, 2048)
        found[asking] = answering[places]
    return found
    ### END SOLUTION


# %%
check(in_halves)

# %% [markdown] tags=["hints"]
# * Two searches, one for each half that asks. In which numbers does each of them answer?
# * `asking = (game % 2 == half).nonzero().flatten()`, and `answering` with `!=`. The ids that
#   `nearest(keys[asking], keys[answering], k, 2048)` returns count within `answering`:
#   `found[asking] = answering[ids]`.

# %% [markdown]
# Now all positions, with your function: ten seconds or more. **Predict** how often the nearest knows the
# move now.

# %%
rows = in_halves(stored.keys, stored.game, config.k)
look(rows[:3000])
found = lesson.as_neighbors(stored, stored, rows)

# %% [markdown]
# How to read it: what the nearest knows now is what it is worth where the answer is not in the data.
# For games that are not stored, both halves answer.
#
# ## 3 Neighbors that mislead
#
# A network that learns with good neighbors comes to rely on them. Some positions have none. Three
# remedies in the paper:
#
# * **dropout**: some neighbors are absent, $e_i = 0$;
# * **[randomization](glossary.md#neighbor-randomization)**: some become those of *another* observation;
# * **regularization**: the state is pulled toward the one without neighbors.
#
# Take care: the other observation's half need not be yours, so *its* neighbor may be from *your* game.
#
# ### Exercise 15.exchange: Somebody else's neighbors
# difficulty 3 · importance 4 · 12 minutes
#
# `neighbors` is a NamedTuple of `planes [B, K, C, H, W]`, `present [B, K]` and `game [B, K]`.
# `neighbors.each(f)` applies `f` to all three; `_replace(present=...)` changes one.


# %%
@exercise("15.exchange")
def exchange(neighbors, game, chosen, giver):
    """The chosen neighbors become those of the same rank of another observation.

    Args:
        neighbors: of B observations, K each.
        game: [B] of the observations.
        chosen: [B, K] bool: these are replaced.
        giver: [B, K] row of the observation whose neighbor of this rank is taken instead.

    Returns:
        Neighbors as before. A replaced one from the receiver's own game comes, but is not present.
    """
    ### BEGIN STUB
    # rows = torch.where(chosen, ..., ...)              # [B, K]: whose neighbor
    # ranks = torch.arange(...)
    # mixed = neighbors.each(lambda x: x[..., ...])
    # own = ...
    ### END STUB
    ### BEGIN SOLUTION
    num, count = chosen.shape
    rows = torch.where(chosen, giver, torch.arange(num)[:, None])
    mixed = neighbors.each(lambda x: x[rows, torch.arange(count)])
    own = chosen & (mixed.game == game[:, None])
    return mixed._replace(present=mixed.present & ~own)
    ### END SOLUTION


# %%
check(exchange)

# %% [markdown] tags=["hints"]
# * For each place `[b, i]` of the result: from which row does it come, and from which rank? Everything
#   that is known of a neighbor has to move with it.
# * `rows = torch.where(chosen, giver, torch.arange(B)[:, None])`, then `x[rows, torch.arange(K)]` for
#   each part. It is from the own game where `chosen & (mixed.game == game[:, None])`.

# %% [markdown]
# The planes that compare a neighbor with the position are made anew after the exchange. **Predict**: what
# would a network learn if they were not?
#
# <details><summary>Explanation</summary>To tell exchanged neighbors by planes that do not fit the boards,
# and to ignore those alone. The bad neighbors of play have planes that fit.</details>
#
# ## 4 Learning moves ahead
#
# The network is a *model*: after a state $s^0 = s$ it can go on without the board ($K$ counts moves
# from here on, not neighbors),
#
# $$s^{k+1} = h_\theta(s^k, a_k), \qquad (\pi^k, v^k) = \mathrm{heads}(s^k), \qquad k = 0 \ldots K,$$
#
# which notebook 16 uses to search. It is [unrolled](glossary.md#unroll) along the expert's moves:
#
# $$L_\pi = \sum_{k=0}^{K} w_k\, m_k \big(-\log \pi^k(a_k)\big), \qquad
# L_v = \sum_{k=0}^{K} w_k\, n_k \big(v^k - (-1)^k z\big)^2 ,$$
#
# | symbol | in code | |
# | --- | --- | --- |
# | $a_k$ | `moves` | `[B, K + 1]`, −1 after the end of the game |
# | $z$ | `outcome` | `[B]`, for the player to move at $k = 0$ |
# | $w_k$ | `weights` | `[K + 1]` |
# | $m_k$ | | 1 where there is a move |
# | $n_k$ | | 1 where there is a move, **and** one step longer |
#
# A search reaches the position where the game is over, and must know its value. By hand: two moves
# are left, the player to move wins, $K = 3$. Then $m = 1, 1, 0, 0$ and $n = 1, 1, 1, 0$, and the values
# should be 1, −1 and 1.
#
# ### Exercise 15.unrolled_losses: Masks and signs
# difficulty 3 · importance 5 · 15 minutes


# %%
@exercise("15.unrolled_losses")
def unrolled_losses(logits, value, next_moves, outcome, weights):
    """L_pi and L_v: sums over k, means over the batch.

    Args:
        logits: [B, K + 1, A].
        value: [B, K + 1], for the player to move there.
        next_moves: [B, T] the expert's, T > K; -1 after the end of the game.
        outcome: [B] z.
        weights: [K + 1] w_k.

    Returns:
        Two scalars.
    """
    ### BEGIN STUB
    # moves = next_moves[:, : logits.shape[1]]
    # has_move = ...
    # has_value = torch.cat([..., ...], 1)                    # one step longer
    # log_prob = logits.log_softmax(-1).gather(2, moves.clamp(min=0)[..., None])[..., 0]
    # sign = ...                                              # 1, -1, 1, ...
    ### END STUB
    ### BEGIN SOLUTION
    moves = next_moves[:, : logits.shape[1]]
    has_move = moves >= 0
    has_value = torch.cat([torch.ones_like(has_move[:, :1]), has_move[:, :-1]], 1)
    log_prob = logits.log_softmax(-1).gather(2, moves.clamp(min=0)[..., None])[..., 0]
    sign = 1.0 - 2.0 * (torch.arange(logits.shape[1]) % 2)
    error = (value - sign * outcome[:, None]).square()
    policy_loss = (-log_prob * has_move * weights).sum(1).mean()
    return policy_loss, (error * has_value * weights).sum(1).mean()
    ### END SOLUTION


# %%
check(unrolled_losses)

# %% [markdown] tags=["hints"]
# * Shift the mask of moves by one step: what must stand at k = 0? And who is to move at k = 1?
# * `has_move = moves >= 0`, `has_value` is a column of ones before `has_move[:, :-1]`, and `sign` is
#   `1 - 2 * (torch.arange(K + 1) % 2)`. Multiply each term by its mask and by `weights`, sum over
#   dim 1, take the mean.

# %% [markdown]
# ## The experiment
#
# Your pieces together: your halves found the neighbors, and your fusion, exchange and losses train two
# networks from the same first weights, one with neighbors, one without, both of *half* the width, to be
# quick. Of the remedies only randomization is on, for one neighbor in ten. At `laptop` each sees 120
# batches of 128 positions, **two minutes or so in all**; the stop button ends a training early, and the
# cells below go on.
#
# *Accuracy* is the share of positions whose likeliest move is the expert's, *value error* the mean of
# $(v^0 - z)^2$: to say 0 everywhere makes it 1.
#
# **Predict**: after so little training, which is ahead at the move, and which at the winner?

# %%
parts = lesson.Parts(fuse, exchange, unrolled_losses)
ours, baseline = config.variant, "baseline/half"
sizes = reference.load_reference("go_retrieval_sizes")
trained = {
    ours: lesson.train_briefly(config, world, found, found_for_test, parts, ours),
    baseline: lesson.train_briefly(config, world, None, None, parts, baseline),
}
go_retrieval_gain.plot_brief(trained, config, sizes)

# %% [markdown]
# How to read it: dots are your networks on some test positions; dashed, in the same colors, the
# shipped ones of this width, which saw more positions of more games.
#
# Is that a difference, or luck? Positions of one game are alike, so draw *games* anew, a
# [bootstrap](glossary.md#bootstrap). Both networks answered the same positions, so draw their
# *difference*.
#
# ### Exercise 15.gain: A difference with an interval
# difficulty 2 · importance 5 · 8 minutes
#
# A resample draws as many games as there are, some twice, some never, each with all of its positions.


# %%
@exercise("15.gain")
def gain(with_, without, count, drawn):
    """The mean difference over positions, and its 95% interval from a bootstrap over games.

    Args:
        with_, without: [G] sums over the positions of each game, such as of right answers.
        count: [G] positions of each game.
        drawn: [R, G] the games of each resample.

    Returns:
        Mean, low and high: scalars.
    """
    ### BEGIN STUB
    # change = ...                               # [G]
    # means = ...                                # [R]: of the positions of each resample
    # low, high = means.quantile(torch.tensor([..., ...], dtype=means.dtype))
    ### END STUB
    ### BEGIN SOLUTION
    change = with_ - without
    means = change[drawn].sum(1) / count[drawn].sum(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype))
    return change.sum() / count.sum(), low, high
    ### END SOLUTION


# %%
check(gain)

# %% [markdown] tags=["hints"]
# * A resample is a small test set: what is its sum of differences, and how many positions has it?
# * `change[drawn]` is `[R, G]`: sum it over dim 1, and divide by `count[drawn].sum(1)`. The interval
#   leaves 2.5% of the resamples out on each side.

# %% [markdown]
# Now the same network with other neighbors, **without training again**. **Predict** an order: the four
# that it retrieves, two of them, none, and four of random positions. Half a minute.

# %%
network, base = trained[ours].network, trained[baseline].network
two = lesson.Neighbors(*(part[:, :2] for part in found_for_test))
given = {"4 retrieved": found_for_test, "2 retrieved": two, "none": None}
given["4 random"] = lesson.at_random(world, config.k, seed=0)
plain = lesson.evaluate(base, world, None)
results = {label: (lesson.evaluate(network, world, given[label]), plain) for label in given}
print(go_retrieval_gain.gain_table({"baseline": (plain, plain), **results}, gain))

# %% [markdown]
# How to read it: accuracy in percent, its gain over the baseline in percentage points, value error and
# its change, each with a 95% interval over games. An interval that holds 0 settles nothing, and one that
# does not is for these two networks: other first weights make a difference too.
#
# <details><summary>Explanation</summary>Look for the intervals that leave 0 in the row of the
# retrieved ones: accuracy and value error need not agree. The winner of a neighbor's game is written
# on its plane; its next move is of use only where the boards agree, and a few hundred games hold few
# such boards. Then compare with *none* and *4 random*: as far as they are worse, the network has come
# to rely on its neighbors.</details>
#
# **Flip a switch**: set `exchanged = False`, which leaves randomization out. Do random neighbors hurt
# more? Another minute or so.

# %%
exchanged = True  # a switch
if not exchanged:
    keep = parts._replace(exchange=lambda neighbors, *_: neighbors)
    other = lesson.train_briefly(config, world, found, found_for_test, keep, "not exchanged")
    again = {k: (lesson.evaluate(other.network, world, given[k]), plain) for k in given}
    print(go_retrieval_gain.gain_table(again, gain))

# %% [markdown]
# <details><summary>Answer</summary>Compare the rows *4 random* of the two tables. Randomization is how a
# network meets neighbors that do not fit, and learns to doubt. But one in ten in a short training are
# few: as long as the intervals overlap, this does not settle it. Section 5 has longer trainings.
# </details>
#
# ## 5 What the trained networks say
#
# From here on the shipped results: networks trained longer, on positions of many more games, with
# several seeds. Dropout and randomization are on. First the number of neighbors. **Predict**: does the
# value gain as the policy does?

# %%
display(go_retrieval_gain.plot_by_number(curves))
display(go_retrieval_gain.plot_value_error(curves))
for number in (2, 4, 10):
    over = curves[f"n{number}/over_blank/accuracy"]
    mean, low, high = (100 * float(part[-1]) for part in over[1:])
    print(f"N = {number:2} over blank: {mean:+.1f} points [{low:+.1f}, {high:+.1f}]")

# %% [markdown]
# How to read it: above, the change from the baseline by N; accuracy is better above the line, value
# error below it. *Random* neighbors are those of another test position. Bars are 95% intervals. Below,
# the value error over training. Printed: the accuracy over *blank*, whose neighbor shows nothing.
#
# <details><summary>Explanation</summary>Read it off: a change counts where its interval leaves the line,
# and the two sides need not agree. *Blank* has all the layers for neighbors and nothing to see: what
# is gained over it comes from the neighbors themselves. *Random* and *absent* are the price of relying on neighbors, which
# the remedies are there to lower.</details>
#
# The same networks with other databases: each share of the games holds the smaller ones. **Predict**:
# with 1% of the games, is a network with neighbors better than the baseline, as good, or worse? At the
# move, and at the winner?

# %%
go_retrieval_gain.plot_by_share(curves)

# %% [markdown]
# How to read it: further right, there are more games to look up in; nothing was trained in between.
# Better than the baseline is above the line on the left, and below it on the right. Bands are 95%
# intervals.
#
# <details><summary>Explanation</summary>More games hold nearer neighbors, and a network makes use of them
# without training. With few games even the nearest are far, and it still listens to them. Where its band
# lies on the wrong side of the line, it would have been better without.</details>
#
# Each neighbor is embedded anew for each position. **Predict**: how much more does your network compute
# with four neighbors than without, and with ten?

# %%
for number in (0, 2, 4, 10):
    operations = measure_cost(network, number).represent / 1e6
    print(f"N = {number:2}: {operations:6.1f} million operations for the state of a position")

# %% [markdown]
# <details><summary>Explanation</summary>The part of $p_\theta$ that looks at the position is computed once,
# the rest N times: from N = 1 on a straight line. Looking the neighbors up comes on top.</details>
#
# A wider network costs more, too. **Predict**: do neighbors help the small network more, or the large one?

# %%
by_width.plot_shipped(sizes)

# %% [markdown]
# How to read it: width 1 is the network above, trained for fewer steps; at a half and a quarter all
# channels are fewer. Left, where *n4* is as high as a wider *baseline*, neighbors stand in for width.
# Right, the gain at each width. Bands are 95% intervals.
#
# <details><summary>Explanation</summary>A band that falls to the right says the small one, one that rises
# the large one. Where a level line fits into the band, these networks do not tell.</details>
#
# Last, the three remedies of section 3, each left out in turn, in trainings of their own. **Predict**
# which one matters, and under which neighbors.

# %%
robust = reference.load_reference("go_retrieval_robustness")
robustness.plot_shipped(robust)

# %% [markdown]
# How to read it: the gain over the baseline with the neighbors that are retrieved, with random ones, and
# with none; one column for each training. Bars are 95% intervals.
#
# <details><summary>Explanation</summary>Do not look for a gain where neighbors are good: there a remedy
# may even cost something. The remedies are for the other two colors: a network that never met an absent
# or a foreign neighbor was never taught what to do with it. Compare intervals before you call two columns
# different.</details>

# %% [markdown]
# ## The widget
#
# The shipped network with four neighbors, on test positions. It looks up in your stored games, far fewer
# than it learned with. Page, and switch what it is given. **Your tasks**: (1) Find a position in which
# retrieved neighbors raise the expert's move to the first rank. Was it played in one of them? (2) Find
# one in which they lower it. (3) Where does the value change sign with random neighbors?

# %%
model = saved_model.load_model(shipped.model_path("retrieval"))
wanted = model.config.num_neighbors
kinds = {"retrieved": lesson.for_test(world, wanted), "absent": None}
kinds["random"] = lesson.at_random(world, wanted, seed=0)
retrieval_pictures.RetrievalExplorer(model, positions, test.ids, kinds)

# %% [markdown]
# How to read it: the position with the expert's move (green), the policy as a heat map, and the neighbors
# that the network was given, with the moves played there.
#
# <details><summary>Answers</summary>(1) If it is one of the green dots of the neighbors, the network may
# have copied it: do the boards agree around that point? If it is not, their final boards and winners
# speak too. (2) Look for neighbors that seem alike while a single stone makes the difference, such as one
# in atari. (3) Begin with close games: a clear lead can be seen on the board itself.</details>

# %% [markdown]
# ## In the paper
#
# Humphreys et al. (2022) retrieve from some 50 million positions of an AlphaZero-style agent. With
# neighbors, accuracy and value error are better for every N, size and training time (Fig. 4); more data
# at evaluation is better still, without training, and with 1% of it the network falls **below** the
# baseline. Random neighbors at evaluation hurt the policy a lot. Of the three remedies, randomization
# matters in some contexts, the others not significantly (Fig. 7). The text has no numbers to set beside
# ours: compare signs and orders.
#
# | | paper | here |
# | --- | --- | --- |
# | positions | some 50 million | those of the shipped games |
# | expert | an agent in the style of AlphaZero | GNU Go at level 3 |
# | N | 2, 10 and others; mostly 10 | 2, 4, 10 |
# | sizes, K, rates, steps | not known to us | ours, small |
# | baseline | $x_i = 0$ | $e_i = 0$, and $x_i = 0$ as *blank* |
# | remedies | all three in the reported results | regularization only where each is left out in turn |
# | Eq. 2, halves, targets | | as in the paper |
#
# Deviations: boards are augmented by their symmetries; a neighbor in randomization that is from the own
# game is absent; planes that compare the boards, the layers after Eq. 2 and the weights $w_k$ are
# ours. Where an interval above holds 0, we did not find the paper's effect at this size; where one lies
# on the other side of 0, we found the opposite.

# %%
progress()

# %% [markdown]
# ## Recap
#
# * A neighbor brings its future: next moves, final board, winner.
# * Eq. 2 sums embeddings and divides by √N: any order, any number, and none is zero.
# * Data are split into halves by game, or the answer is among the neighbors.
# * Dropout, randomization and regularization are for neighbors that do not help.
# * The database can grow, shrink or change without training, and the network's answers follow.
#
# | what | function | file |
# | --- | --- | --- |
# | planes of a neighbor, randomization | `neighbor_planes`, `randomize` | `rlcourse/go/inputs.py` |
# | Eq. 2, the model | `join`, `RetrievalModel` | `rlcourse/go/model.py` |
# | halves | `half_of`, `Database` | `rlcourse/go/splits.py`, `database.py` |
# | losses | `unrolled_losses`, `Learner` | `rlcourse/go/learn.py` |
# | gain over games | `gain` | `rlcourse/experiments/go_retrieval_gain.py` |
# | gain over seeds and games | `gain` | `rlcourse/experiments/go_retrieval_results.py` |
# | all together | `run` | `rlcourse/experiments/go_retrieval.py` |

# %% [markdown]
# New in the [glossary](glossary.md): [bootstrap](glossary.md#bootstrap),
# [neighbor randomization](glossary.md#neighbor-randomization), [unroll](glossary.md#unroll).
#
# **Stretch** (no check). (1) Replace the sum of Eq. 2 by attention over neighbors. Does it need the √N? (2) Give
# the network only the next moves of its neighbors, or only the winner: set the other planes to zero.
# Which carries the gain? (3) Train with four neighbors, and evaluate with ten. What should
# `num_neighbors` be?
#
# **Further reading.** Humphreys et al., *Large-Scale Retrieval for Reinforcement Learning* (arXiv 2206.05314),
# section 2 and Fig. 4. Schrittwieser et al. (arXiv 1911.08265): MuZero, whose unroll this is. Goyal et
# al. (arXiv 2202.08417): retrieval by attention, notebook 10. Borgeaud et al. (arXiv 2112.04426): the
# same idea for language.
