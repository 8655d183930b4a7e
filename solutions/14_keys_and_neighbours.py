# %% [markdown]
# ## What you will build
#
# A memory for Go. Faced with a new position, you look up the most similar ones among tens of
# thousands, and see what an expert played there and who won. The question of this notebook is what
# *similar* means. The picture is its end: **how often the expert's move is among the moves of the
# nearest neighbors**, by what they are compared with.

# %%
from dataclasses import replace

import torch
from IPython.display import display

from rlcourse.course.exercise import check, exercise
from rlcourse.course.progress import progress
from rlcourse.course.results import results_folder
from rlcourse.course.setup import preset
from rlcourse.experiments import go_indexes, go_key_study, go_keys, go_lookup, reference
from rlcourse.go import shipped
from rlcourse.go.flood import from_text
from rlcourse.go.keys import KeyNetwork, raw_keys
from rlcourse.go.neighbors import Neighbors, inverse
from rlcourse.go.pca import fixed_signs
from rlcourse.go.symmetry import transform_moves
from rlcourse.viz import neighbor_pictures

# %%
curves = reference.load_reference("go_keys")
go_keys.plot_shipped(curves)

# %% [markdown]
# How to read it: further right, more neighbors are looked at; higher, the expert's move is among
# theirs more often. Bands, where several networks were trained, are 95% intervals over them. *Raw*
# compares the stones; the others compare what a layer of a network makes of them (section 2).
#
# When you are done, you can
#
# * find exact neighbors of a batch of queries, in a memory that does not grow with the data;
# * make short keys from a network's activations with principal components;
# * bring what a mirrored neighbor knows back to your board;
# * measure what an approximate index misses, and choose its settings from a curve.

# %% [markdown]
# ## Warm-up
#
# 1. `planes` of a Go position are drawn from the side to play. What does that spare a network?
#    <details><summary>Answer</summary>Learning everything twice: a position with all colors swapped
#    looks the same.</details>
# 2. `x` has shape `[B, D]` and `y` has `[N, D]`. Which product gives all pairs of inner products,
#    `[B, N]`?
#    <details><summary>Answer</summary><code>x @ y.T</code></details>
# 3. Why are Go games split whole, and not by position?
#    <details><summary>Answer</summary>Positions of one game have the same winner, and those two moves
#    apart differ by two stones. A test position would find its own game.</details>

# %% [markdown]
# ## 1 The nearest of many
#
# Describe each position by a vector, its [key](glossary.md#key). Near keys should mean similar
# positions. The simplest key has a number for each point, from the side to play: +1 for an own
# stone, −1 for one of the opponent's, 0 for none. Distances are *squared*:
#
# $$d(o, o') = |k - k'|^2 = \sum_j (k_j - k'_j)^2 .$$
#
# **Predict** the distances of the second and the third board from the first.

# %% tags=["nbval-check-output"]
boards = [from_text(text) for text in ("X..\n.O.\n...", "X..\n.O.\n..X", "X..\n.X.\n...")]
keys = torch.stack(boards).flatten(1)
print((keys - keys[0]).square().sum(-1).tolist())

# %% [markdown]
# <details><summary>Explanation</summary>1 and 4: a stone more counts 1, a stone of the other color
# counts 2² = 4.</details>
#
# The neighbors of a query $q$ are the $K$ stored positions with the smallest distance (`k` in the
# code). For 1,000 queries, 40,000 keys and 64 numbers, the differences alone would be 10 GB.
# Multiply it out instead:
#
# $$|q - k|^2 = |q|^2 - 2\, q \cdot k + |k|^2 .$$
#
# Now one matrix product gives all pairs. That table grows with the data too, so go through the keys
# in *blocks*, and keep only the $K$ best so far.
#
# ### Exercise 14.nearest: Exact neighbors, block by block
# difficulty 3 · importance 5 · 15 minutes
#
# In each round, join the block's distances with the best so far, and keep the best of both. Ids are
# rows of `keys`, not of the block. In the first rounds there may be fewer than `k` to keep.


# %%
@exercise("14.nearest")
def nearest(queries: torch.Tensor, keys: torch.Tensor, k: int, block: int):
    """The k nearest keys of each query, nearest first.

    Args:
        queries: [B, D].
        keys: [N, D], N at least k.
        block: keys that are compared at a time.

    Returns:
        Squared distances [B, k], not negative, and ids [B, k] from 0 to N - 1.
    """
    ### BEGIN STUB
    # best = queries.new_zeros(len(queries), 0)             # nothing yet
    # ids = torch.zeros(len(queries), 0, dtype=torch.int64)
    # for start in range(0, len(keys), block):
    #     part = keys[start : start + block]
    #     squares = ...                                     # [B, block]
    #     places = ...                                      # [B, block]
    #     best, order = torch.cat([best, squares], 1).topk(..., largest=False)
    ### END STUB
    ### BEGIN SOLUTION
    best = queries.new_zeros(len(queries), 0)
    ids = torch.zeros(len(queries), 0, dtype=torch.int64)
    norms = queries.square().sum(1, keepdim=True)
    for start in range(0, len(keys), block):
        part = keys[start : start + block]
        squares = norms - 2 * queries @ part.T + part.square().sum(1)
        places = torch.arange(start, start + len(part)).expand(len(queries), -1)
        best, places = torch.cat([best, squares], 1), torch.cat([ids, places], 1)
        best, order = best.topk(min(k, best.shape[1]), largest=False)
        ids = places.gather(1, order)
    return best.clamp(min=0), ids
    ### END SOLUTION


# %%
check(nearest)

# %% [markdown] tags=["hints"]
# * What must survive from one block to the next? For each query at most k numbers, and where they
#   came from.
# * Concatenate `best` with the block's squares and `ids` with
#   `torch.arange(start, start + len(part))`, expanded to `[B, block]`. `topk(..., largest=False)`
#   gives values and places, at most `min(k, best.shape[1])` of them; `gather` the ids by the
#   places. Clamp at 0 at the end: rounding can make a distance slightly negative.

# %% [markdown]
# The first games of *train* and *retrieval* are stored, and positions of *test* games ask. The next
# cell replays the games, ten seconds or so.

# %%
_, games = shipped.load_games()
config = go_keys.PRESETS[preset()]
config = replace(config, num_train=config.num_stored)  # the first games only
folder = results_folder("go_keys", (config, shipped.fingerprint(games)))
positions = go_keys.positions_for(config, folder)
stored_ids, query_ids = go_keys.chosen(config, 0, positions)
queries = positions.batch(query_ids)
print(f"{len(stored_ids):,} positions to look up in, {len(query_ids):,} that ask")

# %% [markdown]
# Here your search finds the nearest boards for one of them, after 36 moves. **Predict**: how many
# stones do its neighbors have?

# %%
stones = raw_keys(positions.batch(stored_ids).planes)  # [N, 81]
distances, rows = nearest(raw_keys(queries.planes), stones, 10, 2048)
by_stones = Neighbors(stored_ids[rows], distances, torch.zeros_like(rows))
place = int((queries.ply - 36).abs().argmin())
neighbor_pictures.neighbor_rows(positions, query_ids, {"stones": by_stones}, place)

# %% [markdown]
# How to read it: the query comes first, then its neighbors with their distance. The green dot is the
# move played next, the frame has the winner's color. Colors are swapped where needed, so that the player
# to move has the same color in a row.
#
# <details><summary>Explanation</summary>Far fewer than the query. A stone that is missing costs 1, one
# of the wrong color costs 4, and two boards that were filled independently have many of those. So a
# board that is half empty is nearer than most full ones, and has little to say about the query.
# </details>

# %% [markdown]
# ## 2 Keys that a network learns
#
# Two positions that differ by one stone can be worlds apart: with that stone a group lives, without
# it it dies. And two that differ in ten stones can ask for the same move. What matters is what a
# player would *do*. So train a network to predict the expert's move and the winner. What it computes on
# the way, its *activations*, must hold what decides those. Freeze it, and let $g_\phi$ be the
# activations of a layer, shortened to $D$ numbers as below:
#
# $$k = g_\phi(o), \qquad d(o, o') = |g_\phi(o) - g_\phi(o')|^2 .$$
#
# | symbol | in code | |
# | --- | --- | --- |
# | $o$ | `planes` | `[B, 8, 9, 9]`, from the side to play |
# | $g_\phi$ | `KeyNetwork` | layer and components; $\phi$ are the weights |
# | $k$ | `keys` | `[N, D]` |
#
# First see that the training works: 120 steps at `laptop`, about half a minute. **Predict**:
# there are 82 moves. How often is the network right after 120 batches of 256?

# %%
training = folder / "short"
num_steps = 120 if preset() != "smoke" else 20
go_key_study.train_briefly(config, training, positions, num_steps, every=num_steps // 4)
go_key_study.plot_training(training, curves)

# %% [markdown]
# How to read it: blue is your run, dashed the shipped training on more games, to its end. A legal move
# at random is right in about 2% of the cases.
#
# <details><summary>Explanation</summary>The last blue point says it: many times as often as a guess. The
# first steps bring the most; the dashed line rises more and more slowly.</details>
#
# From here on you use the shipped network, trained to the end. Its *tower* of residual blocks feeds
# two *heads*, one for the move and one for the winner. Keys can come from the tower, or from what a
# head makes of it before its last layer, *policy* and *value*:

# %%
shipped_keys = KeyNetwork.load(shipped.key_network_path())
network = shipped_keys.network
for layer in ("tower", "policy", "value"):
    activations = network.activations(queries.planes[:1], layer)
    print(f"{layer:8}{activations.shape[1]:>6,} numbers for each position")
print(f"The shipped keys are {shipped_keys.dim} numbers, of the layer {shipped_keys.layer!r}.")

# %% [markdown]
# Thousands of floats for each of 50 million positions would take over 500 GB. Many vary
# together. [PCA](glossary.md#pca), principal component analysis, turns the data so that the first axis has
# the largest variance, the next the largest of the rest, and so on, and drops all but $D$ axes. With
# samples $x_n$, their mean $m$, and the singular value decomposition of the centered data,
#
# $$X - m = U\, S\, V^\top, \qquad k = V_D^\top (x - m),$$
#
# where the rows of $V^\top$ are the axes, sorted, and $V_D^\top$ are its first $D$ rows. An axis may
# point either way; `fixed_signs` settles that.
#
# ### Exercise 14.pca: Components from an SVD
# difficulty 2 · importance 4 · 8 minutes


# %%
@exercise("14.pca")
def pca(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and the main components of samples.

    Args:
        x: [N, F] one sample in each row.
        dim: D, components to keep.

    Returns:
        The mean [F], and the components [D, F], the largest variance first, after `fixed_signs`.
    """
    ### BEGIN STUB
    # mean = ...
    # u, s, vh = torch.linalg.svd(..., full_matrices=False)
    # return mean, fixed_signs(...)
    ### END STUB
    ### BEGIN SOLUTION
    mean = x.mean(0)
    _, _, vh = torch.linalg.svd(x - mean, full_matrices=False)
    return mean, fixed_signs(vh[:dim])
    ### END SOLUTION


# %%
check(pca)

# %% [markdown] tags=["hints"]
# * Over which axis does the mean of the samples run? What does the SVD see if you forget it?
# * `torch.linalg.svd` returns `U, S, Vh`, and `Vh` is transposed already: the components are its
#   first `dim` rows.

# %% [markdown]
# **Predict**: some 1,200 positions, thousands of numbers each, in the policy layer. What share of
# their variance do 64 components hold? And 64 components of the 81 raw numbers? How many hold half?

# %%
sample = positions.batch(stored_ids[:: max(1, len(stored_ids) // 1200)])
policy, raw = network.activations(sample.planes, "policy"), raw_keys(sample.planes)
policy_pca = go_key_study.as_pca(*pca(policy, 64), policy)
raw_pca = go_key_study.as_pca(*pca(raw, 64), raw)
neighbor_pictures.explained({"policy layer": policy_pca.explained, "stones": raw_pca.explained})

# %% [markdown]
# How to read it: further right, more components are kept; the height is the share of the variance that
# they hold.
#
# <details><summary>Explanation</summary>At the right end both hold most of it. But 64 of 81 is nearly all
# of the stones: each point varies nearly for itself, every axis counts, and half takes many of them. Of
# thousands of activations a handful of axes hold half: what a network says about a board has far fewer
# dimensions than it has numbers.</details>
#
# Now all keys: those of *your* components on the policy layer, and the stones. Each position passes
# through the network twice, the second time in a form that section 4 explains: about a minute.

# %%
components = {"policy": policy_pca}
stored = go_lookup.store(network, components, positions, stored_ids)
asked = go_lookup.ask(network, components, queries.planes)
print({name: list(keys.shape) for name, keys in stored.keys.items()})

# %% [markdown]
# Two positions, after 28 and after 36 moves, each with its five nearest neighbors by stones and by
# learned keys. **Predict**: in which row do more neighbors play as the expert did?

# %%
by_policy = go_lookup.find(stored, asked, "policy", "none", 10, nearest)
plain = {"stones": by_stones, "learned keys": by_policy}
for ply in (28, 36):
    place = int((queries.ply - ply).abs().argmin())
    display(neighbor_pictures.neighbor_rows(positions, query_ids, plain, place))

# %% [markdown]
# How to read it: as before; distances of different keys do not compare.
#
# <details><summary>Explanation</summary>Neighbors by learned keys have walls in the same places and are
# about as full as the query, though many single stones differ. Two positions prove nothing about their
# moves; the experiment counts. It will say: more often than by stones, and far from always.</details>

# %% [markdown]
# ## 3 Searching faster
#
# Exact search compares with every key. For 50 million that is too slow, and too large. An
# [inverted file](glossary.md#inverted-file), IVF, puts the keys into `nlist` lists, each with a center
# found by k-means. A query compares with all centers, and then only with the keys in the `nprobe`
# nearest lists. With lists of equal length that makes
#
# $$\text{cost} = \text{nlist} + \text{nprobe} \cdot \frac{N}{\text{nlist}}$$
#
# distances instead of $N$. A true neighbor in a list that is not visited is missed. The measure is
# [recall](glossary.md#recall): of the true $K$ nearest, the share that was found.
#
# ### Exercise 14.recall: What share was found?
# difficulty 2 · importance 5 · 6 minutes
#
# The order does not matter. Places without a neighbor hold −1, in either list.


# %%
@exercise("14.recall")
def recall(found: torch.Tensor, true: torch.Tensor) -> float:
    """The share of true neighbors that are among those found.

    Args:
        found: [B, F] ids that an index returned for each query; -1: none.
        true: [B, K] ids of the true neighbors; -1: none.

    Returns:
        A float from 0 to 1.
    """
    ### BEGIN STUB
    # hit = (true[:, :, None] == ...).any(...)     # [B, K]
    # real = ...                                   # true neighbors that are there
    ### END STUB
    ### BEGIN SOLUTION
    hit = (true[:, :, None] == found[:, None, :]).any(-1)
    real = true >= 0
    return ((hit & real).sum() / real.sum()).item()
    ### END SOLUTION


# %%
check(recall)

# %% [markdown] tags=["hints"]
# * Every pair of a true and a found id of the same row may match. Which axis of the table of pairs
#   do you reduce, and how?
# * `(true[:, :, None] == found[:, None, :]).any(-1)` is `[B, K]`. Count it only where `true >= 0`,
#   divide by the number of those, and end with `.item()`.

# %% [markdown]
# The next cell builds three IVFs over your keys and visits more and more of their lists, half a minute.
# **Predict**: at the same cost, are few long lists better, or many short ones?

# %%
keys, asking = stored.keys["policy"], asked.keys["policy"][:, 0].contiguous()
_, true = nearest(asking, keys, 10, 8192)
nlists = (32, 128, 512) if preset() != "smoke" else (4, 8, 16)
settings = go_indexes.sweep(keys, asking, true, nlists, (1, 2, 4, 8, 16, 32, 64), recall)
wanted = 0.95
go_indexes.plot_sweep(settings, len(keys), wanted)

# %% [markdown]
# How to read it: each line is an index; its points visit 1, 2, 4 … lists. To the left is cheap. The dotted
# line is the recall that we want, the dashed one the cost of exact search.
#
# <details><summary>Explanation</summary>Many short lists fit the data more closely, and win where a high
# recall is wanted. But all centers have to be compared first, which costs the more the more there are:
# for a low recall fewer lists are cheaper. A common rule is nlist from √N to 4 √N. Curves depend on the
# keys, so measure on your own.</details>
#
# ### Exercise 14.choose_lists: Settings from a curve
# difficulty 2 · importance 3 · 8 minutes
#
# Of the settings that reach the recall, take the one of the least cost, by the formula above. If none
# reaches it, the cheapest of those with the highest recall.


# %%
@exercise("14.choose_lists")
def choose_lists(settings, num_keys: int, wanted: float) -> tuple[int, int]:
    """nlist and nprobe for a recall at the least cost.

    Args:
        settings: (nlist, nprobe, recall) as measured.
        num_keys: N.
        wanted: recall.

    Returns:
        (nlist, nprobe).
    """
    ### BEGIN STUB
    # highest = ...
    # reach = [... for setting in settings if ...]
    ### END STUB
    ### BEGIN SOLUTION
    highest = max(recall for _, _, recall in settings)
    reach = [setting for setting in settings if setting[2] >= min(wanted, highest)]
    nlist, nprobe, _ = min(reach, key=lambda s: s[0] + s[1] * num_keys / s[0])
    return nlist, nprobe
    ### END SOLUTION


# %%
check(choose_lists)

# %% [markdown] tags=["hints"]
# * Two cases become one: which recall do you ask for if the wanted one is out of reach?
# * Keep the settings whose recall is at least `min(wanted, highest)`, and take the `min` of them
#   with `key=lambda s: s[0] + s[1] * num_keys / s[0]`.

# %% [markdown]
# Lists save time, not memory. *Product quantization* saves memory: cut a key into 32 pieces of two
# numbers, and store for each the nearest of 16 prototypes: 4 bits instead of 64. The best are then
# compared again by finer codes, the *refinement*. Another way is a *graph*, HNSW: walk from neighbor to
# neighbor towards the query. **Predict** an order by speed, and one by memory. About a minute.

# %%
nlist, nprobe = choose_lists(settings, len(keys), wanted)
print(f"your choice: {nlist} lists, {nprobe} of them visited")
measured = go_indexes.measure(keys, asking, true, go_indexes.kinds(nlist), recall)
display(go_indexes.plot(measured))
print(go_indexes.table(measured, wanted))

# %% [markdown]
# How to read it: left, up and to the right is better; each point is a setting. Right, the bytes that a key
# takes. One run on your machine, an example: `benchmarks/` compares with care.
#
# <details><summary>Explanation</summary>Lists and graph are several times as fast as exact search at a
# recall near 1, and their lead grows with N. The graph takes most memory, for its edges. Short codes
# take less than half of the memory of whole keys; what they blur costs some recall, however many lists
# are visited.</details>

# %% [markdown]
# For the paper's 50 million positions that would be, or a little less, as centers count less there:

# %%
for row in {row.kind.name: row for row in measured}.values():
    print(f"{row.kind.name:28} 50 million keys: {50e6 * row.num_bytes / 1e9:5.1f} GB")

# %% [markdown]
# ## 4 Eight boards in one
#
# Turn or mirror a board: to a player nothing has changed, to a key everything has. There
# are eight such [symmetries](glossary.md#symmetry), numbered 0 to 7. Three ways to treat them:
#
# * **none**: search for the position as it lies;
# * **canonical**: replace each position by that of its eight images which a fixed rule puts first;
# * **all eight**: search for every image of the query, at eight times the work.
#
# A neighbor found with symmetry $g$ resembles the query *under* $g$. Before you compare its next
# move with the expert's, or play it, bring it back by the *inverse* of $g$.
#
# ### Exercise 14.expert_among: Does one of them know the move?
# difficulty 3 · importance 5 · 10 minutes
#
# `inverse(symmetry)` gives what undoes each. `transform_moves(moves, symmetry, size)` takes
# one symmetry for each move: flatten both. Moves of −1 stay.


# %%
@exercise("14.expert_among")
def expert_among(moves, symmetry, expert, size: int) -> torch.Tensor:
    """1.0 where one of the n nearest neighbors played the expert's move, for n = 1 ... K.

    Args:
        moves: [B, K] next moves of the neighbors, nearest first, on their own boards; -1: none.
        symmetry: [B, K] the query under this one resembles the neighbor.
        expert: [B] the expert's moves on the queries' boards.
        size: of the board.

    Returns:
        [B, K] floats: column n - 1 looks at the n nearest; else 0.0.
    """
    ### BEGIN STUB
    # here = transform_moves(..., ..., size).view_as(moves)    # on the queries' boards
    # same = ...                                               # [B, K]
    ### END STUB
    ### BEGIN SOLUTION
    here = transform_moves(moves.flatten(), inverse(symmetry).flatten(), size).view_as(moves)
    same = here == expert[:, None]
    return same.int().cummax(1).values.float()
    ### END SOLUTION


# %%
check(expert_among)

# %% [markdown] tags=["hints"]
# * The symmetry leads from the query to the neighbor. Which way does the move have to go? And once
#   one neighbor knew, what is true of all later columns?
# * `transform_moves(moves.flatten(), inverse(symmetry).flatten(), size).view_as(moves)` are the moves
#   on the queries' boards. Compare with `expert[:, None]`, and carry a hit on to the right:
#   `.int().cummax(1).values`.

# %% [markdown]
# ## The experiment
#
# Your pieces together: keys by your components, neighbors by your search, moves brought back by your
# function. **Predict** an order: raw or learned keys; none, canonical or all eight. The network has seen
# each training position under random symmetries. Does that make its keys the same for all eight?
# About a minute.

# %%
looked = go_key_study.look_all(
    positions, stored, asked, query_ids, search=nearest, agree=expert_among
)  # by (keys, symmetries)
display(go_key_study.plot(looked, queries.game, curves))
print(go_key_study.table(looked, queries.game))

# %% [markdown]
# How to read it: your lines lie near the dashed ones. Bands and intervals are 95%, from drawing
# *games* anew: positions of one game are alike, and must not be counted as if they were not.
# *Found* is a recall: the share of the neighbors of the eight-fold search that a cheaper one has.
#
# <details><summary>Explanation</summary>Learned keys know the move far more often: compare the rows.
# Searching all eight images helps both: in effect there are eight times as many stored positions. The
# canonical form costs one search, and gains much of that, though *found* says that it misses many of the
# same neighbors: which image comes first hangs on a few points, and one stone more can change it.
# It finds others that are nearly as good. Augmentation makes a network predict well under every
# symmetry; it does not make its activations equal, or "as it lies" would find all.</details>
#
# **Flip a switch**: the value layer says who wins. Run the cell, some 20 seconds, then set
# `layer = "value"` and run it again. Does it find the move less often? And does the neighbor's winner
# agree more often? (To be quick, it looks in a quarter of the positions.)

# %%
layer = "policy"  # a switch: "value" or "policy"
chosen = go_lookup.fit_components(network, [layer], 64, positions, stored_ids[::40], progress=False)
other = go_lookup.store(network, chosen, positions, stored_ids[::4])
asked_other = go_lookup.ask(network, chosen, queries.planes)
near = go_lookup.find(other, asked_other, layer, "none", 10, nearest)
batch = positions.batch(near.ids[:, 0])
same_move = batch.next_moves[:, 0] == queries.next_moves[:, 0]
same_winner = batch.outcome == queries.outcome
shares = [f"{same.float().mean():.1%}" for same in (same_move, same_winner)]
print(f"{layer}: the nearest has the same move {shares[0]}, the same winner {shares[1]}")

# %% [markdown]
# <details><summary>Answer</summary>The move much less often, the winner more often. A key answers the
# question that its layer was trained for. Look for both lines in the first picture.</details>

# %% [markdown]
# ## The widget
#
# Page through the positions that asked, and switch between stones and learned keys, here under all
# eight symmetries. **Your tasks**: (1) Find a position where learned keys agree with the expert and
# stones do not. What do the neighbors share? (2) Find one where both fail although the neighbors look
# alike. (3) Go to an opening position. Why are the distances of the stones small there, and the neighbors
# of little use?

# %%
labels = {"learned keys": "policy", "stones": "raw"}
all_eight = {label: looked[name, "query"].found for label, name in labels.items()}
explorer = neighbor_pictures.NeighborExplorer(positions, query_ids, all_eight)
explorer.slider.value = int(looked["policy", "query"].knows[:, 4].argmax())  # one of five knows
explorer

# %% [markdown]
# <details><summary>Answers</summary>(1) Often a local fight: a stone in atari, a cut, or the last
# points of a border, on a board that differs elsewhere. (2) Where a move depends on the whole board, such
# as who is ahead. (3) With few stones there is little to differ in: the distance of two boards with
# four stones each is at most 16, and says nothing.</details>

# %% [markdown]
# ## In the paper
#
# Humphreys et al. (2022) look up neighbors for each observation among some 50 million. The keys are the
# activations of a network trained in advance, compressed by PCA; distances are squared; neighbors
# are found by an approximate index, in the half of the data that does not hold the game. Their Fig. 3
# shows neighbors in a row, as you saw them.
#
# | | paper | here |
# | --- | --- | --- |
# | positions | some 50 million | all of several hundred games |
# | expert | an agent in the style of AlphaZero | GNU Go at level 3 |
# | layer and $D$ | not known to us | the policy head's features, 64 |
# | index | ScaNN, settings not known to us | exact, or FAISS |
# | symmetries | not known to us | three ways compared |
#
# The paper reports no agreement of neighbors' moves, so there is nothing of theirs to lay beside our
# curves. What it measures is the next notebook's question: does a network play better with neighbors?

# %%
progress()

# %% [markdown]
# ## Recap
#
# * A key is a vector that is near where positions are alike; what *alike* means is learned from what a
#   player would do.
# * Squared distances of all pairs are one matrix product; in blocks, memory does not grow.
# * PCA keeps the axes of the largest variance; 64 numbers stand for thousands.
# * An approximate index trades recall for time and memory: measure the curve, then choose.
# * A neighbor found with a symmetry is brought back by its inverse; eight searches find more than a
#   canonical form.
#
# | what | function | file |
# | --- | --- | --- |
# | exact search | `nearest`; `ExactIndex` | `rlcourse/ops/neighbors.py`; `rlcourse/data/index.py` |
# | components | `PCA` | `rlcourse/go/pca.py` |
# | keys | `KeyNetwork`, `canonical_symmetry` | `rlcourse/go/keys.py` |
# | agreement | `expert_among` | `rlcourse/go/agreement.py` |
# | recall, indexes | `recall`, `FaissIndex` | `rlcourse/data/index.py`, `faiss_index.py` |
# | settings | `choose_lists` is `cheapest` | `rlcourse/experiments/go_indexes.py` |
# | all together, on disk | `Database` | `rlcourse/go/database.py` |

# %% [markdown]
# New in the [glossary](glossary.md): [inverted file](glossary.md#inverted-file),
# [key](glossary.md#key), [PCA](glossary.md#pca), [recall](glossary.md#recall),
# [symmetry](glossary.md#symmetry).
#
# **Stretch** (no check). (1) Sum the keys of the policy and the value layer, each divided by its
# standard deviation. Do its neighbors know both the move and the winner? (2) Average the activations
# over the eight images of a position before the PCA. Such keys are the same for all eight: how do they
# compare with the eight-fold search? (3) Whiten the keys: divide each component by its standard
# deviation. Better or worse?
#
# **Further reading.** Humphreys et al., *Large-Scale Retrieval for Reinforcement Learning* (arXiv
# 2206.05314), section 3. Jégou, Douze and Schmid, *Product Quantization for Nearest Neighbor Search*
# (2011): the short codes. Malkov and Yashunin (arXiv 1603.09320): the graph. Guo et al. (arXiv
# 1908.10396): ScaNN, which the paper uses.
