# %% [markdown]
# ## What you will build
#
# The rules of Go on thousands of boards at once, a reader for what Go engines say, and an answer to
# an old question: **how many points is it worth to move first?** White gets that many, the *komi*,
# so that the game is even. The picture is the end of this notebook.

# %%
from dataclasses import replace

import torch
from IPython.display import display

from rlcourse.course.exercise import check, exercise
from rlcourse.course.progress import progress
from rlcourse.course.results import results_folder
from rlcourse.course.setup import preset
from rlcourse.experiments import fair_komi, go_speed, reference
from rlcourse.go import conversation, shipped
from rlcourse.go.flood import beside, marked
from rlcourse.go.notation import COLUMNS, RESIGN
from rlcourse.go.sgf import to_sgf
from rlcourse.viz import go_pictures
from rlcourse.viz.opponent_board import OpponentBoard

# %%
fair_komi.plot_shipped(reference.load_reference("fair_komi"))

# %% [markdown]
# How to read it: each line is Black's share of won games if White got that komi, the band its 95%
# interval. The fair komi is where a line crosses the dotted one, and the two kinds of players do not
# agree on it.
#
# When you are done, you can
#
# * find chains and count liberties on a batch of boards with a single idea, the flood;
# * play a move with captures, suicide and ko, and say what superko adds;
# * score a board by area, and say what the komi is for;
# * read what an engine answers over GTP;
# * say what a set of games holds, and why it is split by game.

# %% [markdown]
# ## Warm-up
#
# 1. `stones` has shape `[B, H, W]` and `color` has shape `[B]`. How do you compare each board with
#    its own color?
#    <details><summary>Answer</summary><code>stones == color[:, None, None]</code>: the two new axes
#    are broadcast over the board.</details>
# 2. `mask` is a boolean tensor `[B, H, W]`. What does `mask.sum((1, 2))` give?
#    <details><summary>Answer</summary>The number of marked points on each board,
#    <code>[B]</code>.</details>
# 3. Players take turns, and the reward of the one is the loss of the other. If values are always
#    those of the player to move, what is the discount from one move to the next?
#    <details><summary>Answer</summary>−1: what is good for the next player is bad for this one.
#    </details>

# %% [markdown]
# ## 1 Chains and liberties
#
# Black and White take turns to put a stone on an empty point of a 9x9 grid. Stones do not move.
# Stones of one color that touch along a line form a [chain](glossary.md#chain). The empty points
# beside a chain are its [liberties](glossary.md#liberty). A chain without any is taken off the
# board. That is nearly all there is to the rules.
#
# A board is a tensor of +1 for black, −1 for white and 0 for empty, and a batch is `[B, H, W]`.
# Which stones form the chain of the one on C4? Start there, and add what lies beside it and has its
# color, again and again, until nothing changes. This is a *flood*.

# %%
chain = """
    . . X . .
    . X X O .
    . O X O .
    . . X X .
    . . . . .
"""
go_pictures.growing_chain(chain, "C4")

# %% [markdown]
# How to read it: left, the round in which the flood reaches each stone; right, the empty points
# beside the chain, its seven liberties.
#
# One round needs the points *beside* a set, for all boards at once. The package's `beside` shifts
# the mask in four directions. **Predict**: how many points lie beside the top left corner of a
# 9x9 board? And how many would `torch.roll` give, the usual way to shift a tensor?

# %% tags=["nbval-check-output"]
corner = marked(torch.tensor([0]), torch.zeros(1, 9, 9))
rolled = sum(corner.int().roll(shift, axis) for shift in (-1, 1) for axis in (1, 2))
print("beside:", int(beside(corner).sum()), " torch.roll:", int((rolled > 0).sum()))

# %% [markdown]
# <details><summary>Explanation</summary>2 and 4. A roll wraps around: it finds neighbors on the
# opposite edge, and boards turn into doughnuts. Nothing raises an error, and most positions look
# right.</details>
#
# ### Exercise 13.flood: Grow until nothing changes
# difficulty 2 · importance 5 · 10 minutes
#
# You will use this function for chains, for captures and for the score. All boards of the batch grow
# side by side; the last one to finish decides when it ends.


# %%
@exercise("13.flood")
def flood(seeds: torch.Tensor, within: torch.Tensor) -> torch.Tensor:
    """The points of `within` that steps inside `within` reach from a seed.

    Args:
        seeds: [B, H, W] booleans; seeds outside of `within` do not count.
        within: [B, H, W] booleans.

    Returns:
        [B, H, W] booleans.
    """
    ### BEGIN STUB
    # reached = ...                # to begin with
    # while True:
    #     grown = ...              # with beside(reached)
    #     if torch.equal(grown, reached):
    #         ...
    ### END STUB
    ### BEGIN SOLUTION
    reached = seeds & within
    while True:
        grown = reached | (beside(reached) & within)
        if torch.equal(grown, reached):
            return reached
        reached = grown
    ### END SOLUTION


# %%
check(flood)

# %% [markdown] tags=["hints"]
# * Which points may be reached in the next round? Those beside what is reached already, but not all
#   of them.
# * Start from `seeds & within`. In a loop, take the union (`|`) of what is reached and of
#   `beside(reached) & within`. Return when a round adds nothing.

# %% [markdown]
# ### Exercise 13.liberties: Room to breathe
# difficulty 2 · importance 4 · 8 minutes
#
# Points have numbers: row times width plus column, from the top left. `marked(point, stones)` turns
# one number per board into a mask `[B, H, W]`. An empty point that two stones of a chain see is
# *one* liberty.


# %%
@exercise("13.liberties")
def liberties(stones: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
    """How many liberties the chain on a point has.

    Args:
        stones: [B, H, W] +1 black, -1 white, 0 empty.
        point: [B] a point on each board.

    Returns:
        [B] integers; 0 where no stone is on the point.
    """
    ### BEGIN STUB
    # start = marked(point, stones)
    # color = (stones * start).sum((1, 2))    # [B], 0 where the point is empty
    # chain = ...                             # [B, H, W]
    ### END STUB
    ### BEGIN SOLUTION
    start = marked(point, stones)
    color = (stones * start).sum((1, 2))  # [B], 0 where the point is empty
    own = (stones == color[:, None, None]) & (stones != 0)
    chain = flood(start, own)
    return (beside(chain) & (stones == 0)).sum((1, 2))
    ### END SOLUTION


# %%
check(liberties)

# %% [markdown] tags=["hints"]
# * Flood from the one point, within the stones of its color. What is beside the chain, and empty?
# * `own = (stones == color[:, None, None]) & (stones != 0)`; then `flood(start, own)`, `beside` of
#   it, only where `stones == 0`, summed over the axes `(1, 2)`.

# %% [markdown]
# ### How a fast engine avoids the flood
#
# It mostly asks one question: has this chain exactly *one* liberty left? The package's engine keeps
# three sums for each chain, over all pairs of a stone and an empty point $p$ beside it: their number
# $n$, the sum $s$ of the $p$, and the sum $q$ of the $p^2$. These are
# [pseudo-liberties](glossary.md#pseudo-liberty): a liberty that two stones see counts twice. So a new
# stone only adds, and two chains that join add up their sums.

# %%
go_pictures.pseudo_liberties("OX.O\nOXXO\n.OO.\n....", "OX.O\nOXXO\n.O..\n....")

# %% [markdown]
# How to read it: the numbers say how many black stones see each liberty; above stand $n q$ and $s^2$.
# Left, one liberty at point 2, seen twice: $n = 2$, $s = 4$, $q = 8$. Right, there is point 10 too:
# $n = 3$, $s = 14$, $q = 108$.
#
# <details><summary>Why are they equal exactly for one liberty?</summary>s/n is the mean of p over
# the pairs, and q/n the mean of p². Their difference q/n − (s/n)² is the variance of p. It is 0
# exactly where all pairs name the same point.</details>

# %% [markdown]
# ## 2 Captures, suicide and ko
#
# Four moves, each marked by a letter. **Predict** for each: is it legal, and what does it take? Black
# plays *a* and *c*, White plays *b* and *d*.

# %%
go_pictures.rules_of_capture()

# %% [markdown]
# How to read it: Black plays **a** and takes two white stones, which have no liberty left. White may not
# play **b**: its stone would have none, which is *suicide*. Black may play **c**, though all around is
# white: it takes three stones *first*, and then has liberties. White may play **d** and takes one
# stone. Could Black take back at once? The board would be as before, and so on forever. This is a
# [ko](glossary.md#ko), and taking back at once is illegal.
#
# <details><summary>When exactly?</summary>A move makes a ko if its stone is alone in its chain, has
# exactly one liberty, and took exactly one stone. The point of that stone is forbidden to the
# opponent for one move. If the stone had joined a chain, or taken two, taking back would give
# another board: a <i>snapback</i> is legal.</details>

# %% [markdown]
# | symbol | in code | |
# | --- | --- | --- |
# | board | `stones` | `[B, H, W]`, +1 black, −1 white, 0 empty |
# | player | `color` | `[B]`, +1 or −1 |
# | move | `point` | `[B]`, row · W + column |
# | ko | `ko` | `[B]`, the forbidden point, or −1 |
#
# ### Exercise 13.play: One move on every board
# difficulty 4 · importance 5 · 22 minutes
#
# In this order: put the stone, take the opponent's chains without liberties, look at your own chain.
# Which chains have a liberty? Flood the opponent's stones from those *beside an empty point*; what is
# not reached is taken. No loop over chains is needed.


# %%
@exercise("13.play")
def play(stones, color, point, ko):
    """A stone of `color` on `point` of each board, under the simple ko rule.

    Args:
        stones, color, point, ko: as in the table; passes do not occur.

    Returns:
        The boards after the move [B, H, W]; whether it was legal [B] booleans; and the point that
        is forbidden next [B], or -1. Where it was illegal, board and ko come back as they were.
    """
    ### BEGIN STUB
    # start = marked(point, stones)
    # new = torch.where(start, color[:, None, None], stones)
    # other = new == -color[:, None, None]
    # taken = ...                  # those of `other` that no flood reaches
    # new = ...                    # without them
    # chain = ...                  # of the new stone
    # free = ...                   # [B] its liberties now
    # legal = ...                  # empty before, free > 0, not the ko
    # next_ko = ...                # taken.flatten(1).int().argmax(1) is the first taken point
    ### END STUB
    ### BEGIN SOLUTION
    start = marked(point, stones)
    new = torch.where(start, color[:, None, None], stones)
    other = new == -color[:, None, None]
    taken = other & ~flood(other & beside(new == 0), other)
    new = torch.where(taken, 0, new)

    chain = flood(start, new == color[:, None, None])
    free = (beside(chain) & (new == 0)).sum((1, 2))
    was_empty = ((stones == 0) & start).any(2).any(1)
    legal = was_empty & (free > 0) & (point != ko)

    makes_ko = (taken.sum((1, 2)) == 1) & (chain.sum((1, 2)) == 1) & (free == 1)
    next_ko = torch.where(makes_ko, taken.flatten(1).int().argmax(1), -1)
    new = torch.where(legal[:, None, None], new, stones)
    return new, legal, torch.where(legal, next_ko, ko)
    ### END SOLUTION


# %%
check(play)

# %% [markdown] tags=["hints"]
# * A stone of `other` stays if its chain touches an empty point. Which stones touch one themselves,
#   and whom do they save?
# * `alive = flood(other & beside(new == 0), other)`, and `taken = other & ~alive`. Set the taken
#   points to 0. Your chain is `flood(start, new == color[:, None, None])`; count its liberties, its
#   stones, and the stones taken. All three counts are 1 where a ko arises.

# %% [markdown]
# ### Predict, run, explain
#
# Do your rules and the package's compiled engine agree? The next cell plays the same random games
# with both, and compares the boards at the end. Then it measures moves per second with 1, 8, 64 and
# 512 boards at once, ten to twenty seconds. **Predict**: is a call on 64 boards 64 times as slow as a
# call on one?

# %%
rules, games = shipped.load_games()
ways = {
    "your floods": lambda moves: go_speed.flood_boards(play, rules, moves),
    "the compiled engine": lambda moves: go_speed.engine_boards(rules, moves),
}
moves = go_speed.random_moves(rules, num_boards=100, num_moves=60, seed=0)
same = (ways["your floods"](moves) == ways["the compiled engine"](moves)).flatten(1).all(1)
print(f"{int(same.sum())} of {len(same)} games end on the same board")
num_boards = (1, 8) if preset() == "smoke" else (1, 8, 64, 512)
go_speed.plot(num_boards, go_speed.moves_per_second(ways, rules, num_boards))

# %% [markdown]
# How to read it: up is fast, and both axes are logarithmic. One run on your machine, an example and
# no benchmark: those are in `benchmarks/`.
#
# <details><summary>Explanation</summary>Far from it. A tensor operation on one board costs mostly the
# call itself, so the first boards that join come almost for free. Then the work counts: a flood
# looks at every point of every board, and goes on until the slowest board is done. The engine keeps
# sums instead, which a new stone changes only around it. Agents that learn from millions of games
# need both: many boards at once, and little work for each.</details>

# %% [markdown]
# ### Every earlier position
#
# The simple ko rule only looks one move back; three kos at once can still go round forever.
# [Superko](glossary.md#superko) forbids *every* earlier position of the whole board. Comparing with
# all of them would be slow. So give each point and color a random number of 64 bits, once. The
# [Zobrist key](glossary.md#zobrist-key) of a position is the sum over its stones, modulo $2^{64}$.
# A stone that comes or goes is one addition, and equal positions have equal keys.

# %%
go_pictures.keys_of_a_ko()

# %% [markdown]
# How to read it: the last four of sixteen digits of each key. White takes, the key changes; if Black
# took back, the first key would be there again, and the engine forbids it.
#
# <details><summary>Could two different positions have the same key?</summary>Yes, with a chance of
# about 1 in 2⁶⁴ for each pair. Among the 500 positions of a game there are about 125,000 pairs, so
# in some 10¹⁴ games it happens once.</details>

# %% [markdown]
# ## 3 Who has won?
#
# Players may pass, and two passes in a row end the game. Then points are counted by
# [area](glossary.md#area-score): your stones, and the empty regions that touch *only* your color. A
# region that touches both colors is nobody's. White gets the [komi](glossary.md#komi) on top:
#
# $$\text{score} = \text{Black's area} - \text{White's area} - \text{komi} ,$$
#
# and Black wins where it is positive. Here are the ends of four games that GNU Go played against
# itself; the course brings some thousands of them.

# %%
few = games[2:6]
titles = [f"recorded: {game.margin:+g}" for game in few]
go_pictures.final_area(rules, shipped.boards_after(rules, few), titles)

# %% [markdown]
# How to read it: small squares show whose each point is; above, the recorded score with a komi of
# 7.5. These engines take dead stones off before they pass, so the board alone decides.
#
# ### Exercise 13.area_score: Count it
# difficulty 2 · importance 5 · 9 minutes
#
# One flood per color: from the empty points beside its stones, within the empty points.


# %%
@exercise("13.area_score")
def area_score(stones: torch.Tensor, komi: float) -> torch.Tensor:
    """Black's area minus White's, minus the komi.

    Args:
        stones: [B, H, W] +1 black, -1 white, 0 empty.
        komi: points for White.

    Returns:
        [B] floats, positive where Black wins.
    """
    ### BEGIN STUB
    # empty = stones == 0
    # black = ...                  # the empty points that Black's stones reach
    # white = ...
    ### END STUB
    ### BEGIN SOLUTION
    empty = stones == 0
    black = flood(beside(stones == 1), empty)
    white = flood(beside(stones == -1), empty)
    territory = black.int() - white.int()  # 0 where both reach, or nobody
    return (stones + territory).sum((1, 2)).float() - komi
    ### END SOLUTION


# %%
check(area_score)

# %% [markdown] tags=["hints"]
# * A point that both colors reach should add nothing. What is 1 − 1?
# * `flood(beside(stones == 1), empty)` are the empty points that Black reaches. Subtract White's as
#   integers, add the stones themselves, and sum over the board. `.float()` before the komi.

# %% [markdown]
# **Predict**: you have never seen these games. On how many of them does your score agree with the
# record, to the point?

# %%
ends = shipped.boards_after(rules, games)
recorded = torch.tensor([game.margin for game in games])
agree = area_score(ends, rules.komi) == recorded
print(f"{len(games):,} games; your score agrees with the record in {agree.float().mean():.1%}")
print(f"in {sum(game.disputed for game in games)} of them GNU Go itself counted another score")

# %% [markdown]
# <details><summary>Explanation</summary>In all of them: the record is the area on the final board.
# GNU Go disagrees in a few, where it passed although stones that it takes for dead were still
# there, or where both sides live without counting (<i>seki</i>). Such games are marked as
# disputed.</details>

# %% [markdown]
# ## 4 Talking to engines
#
# Go programs speak [GTP](glossary.md#gtp), the Go Text Protocol: a line of text is a command, and may
# start with a number; the answer starts with `=` or, for a refusal, with `?`, then that number, and
# ends with an empty line. Columns are letters *without I*, rows are numbers *from the bottom*. Here
# is GNU Go if you have it, and else the course's own server, which moves at random.

# %%
missing = conversation.gnu_go_missing(rules)
ask = conversation.ask_server if missing else conversation.ask_gnu_go
commands = ["name", "1 komi 7.5", "2 play b D4", "3 genmove w", "4 play b I5", "genmove b"]
answers = ask(commands, rules)
for command, answer in zip(commands, answers, strict=True):
    print(f"{command:14}{answer!r}")
print(missing or "This is GNU Go, on this machine.")

# %% [markdown]
# ### Exercise 13.read_gtp: A move from a line of text
# difficulty 2 · importance 3 · 10 minutes
#
# Read the answer to `genmove`. `COLUMNS` is the string of column letters, and `RESIGN` is −1. Engines
# write in either case.


# %%
@exercise("13.read_gtp")
def read_gtp(answer: str, size: int) -> tuple[int | None, str]:
    """The move in an answer to `genmove`.

    Args:
        answer: such as "= D4", "=3 pass", "=12 resign" or "?1 illegal move", and an empty line.
        size: of the board.

    Returns:
        (row * size + column with rows from the top, "") for a point; (size^2, "") for a pass;
        (RESIGN, "") to resign; (None, what the engine says) for a refusal.
    """
    ### BEGIN STUB
    # head, *words = answer.split()     # "=3" and ["D4"]
    # vertex = words[0].upper()
    ### END STUB
    ### BEGIN SOLUTION
    head, *words = answer.split()  # "=3" and ["D4"]
    if head[0] == "?":
        return None, " ".join(words)
    vertex = words[0].upper()
    if vertex == "PASS":
        return size**2, ""
    if vertex == "RESIGN":
        return RESIGN, ""
    row, column = size - int(vertex[1:]), COLUMNS.index(vertex[0])
    return row * size + column, ""
    ### END SOLUTION


# %%
check(read_gtp)

# %% [markdown] tags=["hints"]
# * Split at spaces first. Where does the command's number end up, and when is there none?
# * `answer.split()` puts the sign and the number into one word. The row from the top is
#   `size - int(vertex[1:])`, and the column is `COLUMNS.index(vertex[0])`.

# %%
for answer in (answers[3], answers[4], "=7 A9\n\n", "= j1\n\n"):
    print(f"{answer!r:40}{read_gtp(answer, rules.size)}")

# %% [markdown]
# ## The widget
#
# A board to play on, and a menu of opponents. Click a point to play. **Your tasks**: (1) Choose
# *yourself, both colors*. Build a ko, take it, and try to take back at once. What does the message
# say? Play elsewhere with both colors, and try again. (2) Find a point where your stone would be
# suicide. (3) Build a *snapback*: give up one stone so that the chain that takes it is left with one
# liberty, and take it all. (4) Beat the random player, then try GNU Go.

# %%
board = OpponentBoard(rules, level=3)
board

# %% [markdown]
# <details><summary>Answers</summary>(1) For example B D6, W E6, B C5, W F5, B D4, W E4, B E5, W D5.
# White's last stone takes E5, and E5 is refused with "that is the ko rule". After one move elsewhere
# by each side it is legal: the whole board is another one. (2) Any empty point whose four neighbors
# are the opponent's, and where you take nothing. (3) Black C9, A8, B8, C8; White D9, D8, A7, B7, C7,
# D7. White throws in at B9, Black takes it from A9, and White takes five stones at B9. (4) Random
# moves fill their own eyes: live with two eyes, and wait.</details>

# %% [markdown]
# ## 5 What a set of games looks like
#
# The expert of this part of the course is GNU Go at level 3, playing itself. Each game begins with 4
# to 8 random stones: left alone, GNU Go plays the same few dozen games again and again. Dead stones
# are taken before both pass.

# %%
game = games[4]
go_pictures.game_in_pictures(rules, game, plies=(game.opening, 20, 32, 44))

# %% [markdown]
# How to read it: the first board shows the random opening; a ring marks the last move, and the
# frame has the winner's color. As SGF, the Smart Game Format, any Go program opens it. There columns
# and rows are letters from the top left, *with* I, and an empty move is a pass.

# %%
print(to_sgf(game, rules.size, rules.komi, black="GNU Go", white="GNU Go").decode())

# %%
go_pictures.lengths_and_winners(games)

# %% [markdown]
# How to read it: left, games by length; right, the three splits, and in black the games that Black
# won. With a komi of 7.5 it is less than half, and you will soon see why.
#
# Later a network will predict moves and winners from positions, and *look up* similar positions. The
# *train* games teach it, the *retrieval* games are what it looks things up in, and *test* games
# measure it. Why not shuffle the positions and split those? **Predict**: take the board after 30
# moves. On how many points does it differ from the board two moves later? And from the nearest of
# 399 other games?

# %%
sample = games[:400]
here = shipped.boards_after(rules, sample, 30).flatten(1)
later = shipped.boards_after(rules, sample, 32).flatten(1)
differ = (here[:, None] != here).sum(-1).fill_diagonal_(rules.num_points)
distances = {
    "same game, two moves later": (here != later).sum(1),
    "nearest of 399 other games": differ.amin(1),
}
go_pictures.nearest_distances(distances)

# %% [markdown]
# How to read it: to the left is similar; each histogram sums to 100%.
#
# <details><summary>Explanation</summary>Two moves change two points, or a few more after a capture. The
# nearest other game is 24 points away, in the median. Split by position, nearly every test position
# would have a twin among the training positions, with the same winner and almost the same next
# moves. A network, or a look-up, could remember instead of understand, and the test score would not
# tell. All positions of a game share one outcome, so a game is split whole.</details>

# %% [markdown]
# ## The experiment
#
# Which komi is fair? The area on the board does not depend on the komi. So one set of games answers
# for every komi: count how often Black is ahead by *more* than that, and half of the draws. First for
# players who draw a legal move at random, the pass among them: 20,000 games at `laptop`, scored by
# your function, in about ten seconds. Then for GNU Go: the margins recorded with its games.
#
# The intervals are Wilson's: the shares that would not be surprising to see with so many games,
# at 95%. Unlike the mean ± 2 standard errors it stays inside 0 and 1. You build it in notebook 16.
#
# **Predict**: you have seen the lines at the top. Why is the one of random players so flat, and why
# does the other have steps?

# %%
config = fair_komi.PRESETS[preset()]
folder = results_folder("fair_komi", (config, shipped.fingerprint(games)), area_score)
fair_komi.run(config, folder, score=area_score)
display(fair_komi.plot(folder, reference.load_reference("fair_komi")))
print(fair_komi.table(folder))

# %% [markdown]
# How to read it: left, Black's win rate against the komi, with its interval as a band; your lines
# should lie on the dashed ones. Right, the margins without komi. In the table, the fair komis are
# those whose interval holds one half.
#
# <details><summary>Why are there steps in GNU Go's line?</summary>Where every point belongs to
# somebody, the areas sum to 81, so Black's margin is odd. A komi of 5.5, 6 or 6.5 then gives the
# same winners, but for the few boards with points that are nobody's. Half points rule out
# draws.</details>
#
# <details><summary>Why do they differ?</summary>To move first is to be half a move ahead, on
# average over the game. If half a move is worth 6 points to GNU Go, a whole one is worth a dozen. A
# random move is worth little more than the stone itself. And the margins of random games are spread
# so widely that a point more or less decides few of them: the line is flat.</details>

# %% [markdown]
# **Flip a switch.** Test that explanation: stop random games after at most 80 moves, when both have
# moved 40 times, or after at most 81, when Black has moved once more. The difference of the mean
# margins is what one random move is worth. **Predict**: is the fair komi half of it?

# %%
for max_moves in (80, 81):
    cut = replace(config, max_moves=max_moves)
    folder = results_folder("fair_komi", (cut, shipped.fingerprint(games)), area_score)
    fair_komi.run(cut, folder, score=area_score, progress=False)
    margins = fair_komi.load(folder)["random"]
    error = margins.std / margins.num_games**0.5
    print(f"{max_moves} moves: mean margin {margins.mean:+.2f} ± {1.96 * error:.2f}")

# %% [markdown]
# <details><summary>Answer</summary>At <code>laptop</code> the two means are about 2.4 apart, and half
# of that is 1.2, the mean margin of the full random games. With 40 moves each, Black is even a
# little behind: White moved last. So the komi pays for half a move, and what a move is worth is up
# to the players. No rule book can derive it: in tournaments, too, it was raised more than once, from
# the records of games.</details>

# %% [markdown]
# ## In the paper
#
# Humphreys et al. (2022) look positions up in a set of 9x9 games like this one. In numbers: if the
# 50 million positions are 15% of all, how long are their games?

# %%
positions = sum(len(game.moves) - game.opening for game in games)
print(f"paper: 3.5 M games, about {50e6 / 0.15 / 3.5e6:.0f} positions each, 15% of them kept: 50 M")
print(f"here:  {len(games):,} games, {positions / len(games):.0f} positions each, all kept: {positions:,}")

# %% [markdown]
# | | paper | here |
# | --- | --- | --- |
# | expert | an agent in the style of AlphaZero | GNU Go at level 3, far weaker |
# | openings | not known to us | 4 to 8 random stones |
# | look-up | in the half of the games without the position | in games of another split |
# | rules | not known to us | Tromp-Taylor area, superko, no suicide |
#
# So nothing here says how strong the paper's expert is, and the paper says nothing of the fair komi.
# Ours holds for *this* engine, which played all games knowing that White gets 7.5, from openings that
# no player chose.

# %%
progress()

# %% [markdown]
# ## Recap
#
# * A flood within a mask gives chains, captures and territory, on all boards of a batch at once.
# * The opponent's stones are taken first, then suicide and ko are judged.
# * A fast engine keeps sums instead of flooding, and keys instead of comparing boards.
# * GTP and SGF count rows and name columns differently; read them in one place only.
# * The komi pays for half a move, so it depends on who plays. Games are split whole.
#
# | what | function | file |
# | --- | --- | --- |
# | flood, liberties, a move, the score | `flood`, `liberties`, `play`, `area_score` | `rlcourse/go/flood.py` |
# | the engine | `Go`, `State` | `rlcourse/go/board.py`, `kernel_cpu.py`, `kernel_torch.py` |
# | names of moves; GTP | `move_of`; `Engine`, `GtpServer` | `rlcourse/go/notation.py`; `gtp.py`, `gtp_server.py` |
# | games; SGF | `GameFile`, `split_of`; `to_sgf` | `rlcourse/go/records.py`; `sgf.py` |
# | Wilson's interval | `wilson_interval` | `rlcourse/go/arena.py` |

# %% [markdown]
# New in the [glossary](glossary.md): [area score](glossary.md#area-score),
# [chain](glossary.md#chain), [GTP](glossary.md#gtp), [ko](glossary.md#ko),
# [komi](glossary.md#komi), [liberty](glossary.md#liberty),
# [pseudo-liberty](glossary.md#pseudo-liberty), [superko](glossary.md#superko),
# [Zobrist key](glossary.md#zobrist-key).
#
# **Stretch** (no check). (1) Add superko to your `play`: keep all earlier boards, or their keys. In
# what share of random 5x5 games does it forbid a move that the simple ko allows? (2) Let two random
# players never fill a point whose four neighbors are their own. What is their fair komi? (3) Make
# games of another level with `python -m rlcourse.go.generate --level 1 --num-games 500 --out
# my_games`. Does a weaker engine have a smaller fair komi? How many games do you need to tell?
#
# **Further reading.** Tromp and Taylor, *The game of Go* (1995): the rules in ten sentences.
# Farnebäck, *GTP version 2* (draft 2, 2002): all commands. Zobrist, *A new hashing method with
# application for game playing* (1970). Humphreys et al., *Large-Scale Retrieval for Reinforcement
# Learning* (arXiv 2206.05314): what the games are for, from notebook 14 on.
