# %% [markdown]
# ## What you will build
#
# Over this course you build agents that start from habits, remember what worked, and look up what
# others did. The picture shows the first of them: **one agent on one map, three strengths of
# habit**. You solve for such policies exactly in notebook 01. In this notebook you learn how the
# course works, and write its first function.
#
# When you are done, you can
#
# * write, check, skip and come back to an exercise, and say what PASS, FAIL and NOT YET mean;
# * compute discounted returns backwards for a whole batch, across the ends of episodes;
# * read a shape such as `[T, B]` and predict the shape of a result;
# * choose a preset, and say on which device you run.

# %%
import torch
from matplotlib import pyplot as plt

from rlcourse.course.exercise import check, exercise
from rlcourse.course.progress import progress
from rlcourse.course.results import results_folder
from rlcourse.course.setup import device, preset
from rlcourse.envs.gridworld import Gridworld
from rlcourse.experiments import course_picture, monte_carlo_value
from rlcourse.experiments.reference import load_reference
from rlcourse.viz.grids import draw_values
from rlcourse.viz.return_widget import ReturnExplorer
from rlcourse.viz.sketches import draw_parts, draw_returns

course_picture.plot_policies()

# %% [markdown]
# How to read it: an agent starts at the ring and is paid for reaching the star, which ends the
# **episode**; a cross is a pit and ends it too. Its **state** is the cell it stands in, and a
# **policy** says how likely each move is in each state: the arrows. Color is how often the policy
# visits. With a weak habit (left) it takes the bridge; the stronger the habit of moving at random
# (right), the more it prefers the way around, where a random step does no harm.

# %% [markdown]
# ## Warm-up
#
# Three questions on what the course builds on. Answer each in your head before you unfold it.
#
# 1. A coin pays 1 with probability 0.25 and 0 otherwise. What is its expected payment?
#    <details><summary>Answer</summary>0.25: the sum over outcomes of probability times
#    payment.</details>
# 2. `x` is a tensor of shape `[3, 4]`. What is the shape of `x.sum(-1)`?
#    <details><summary>Answer</summary><code>[3]</code>: the last axis is summed away.</details>
# 3. You may have 1 now, or 1 in two steps at a discount of 0.9 per step. What is the second offer
#    worth?
#    <details><summary>Answer</summary>0.9 × 0.9 = 0.81.</details>

# %% [markdown]
# ## The rewards to come
#
# An agent acts at steps 0, 1, 2, … and receives a **reward** after each. The
# [return](glossary.md#return) of a step is what the agent will collect from there on, where a
# reward counts less the later it comes: each step that passes multiplies it by the
# [discount](glossary.md#discount), a number between 0 and 1.
#
# Take the rewards 0, 0, 8 and the discount 0.5. The last step is worth 8. The one before is worth
# half of that, 4, and the first one 2.

# %%
draw_returns(reward=[0.0, 0.0, 8.0], discount=0.5)

# %% [markdown]
# How to read it: bars are rewards, dots are returns, and an arrow carries half of a return one
# step back. In symbols, with $r_t$ the reward after step $t$ and $\gamma_t$ the discount there,
#
# $$G_t = r_t + \gamma_t\, G_{t+1}, \qquad G_T = 0.$$
#
# | symbol | in code | meaning |
# | --- | --- | --- |
# | $G_t$ | `returns[t]` | return of step $t$ |
# | $r_t$ | `reward[t]` | reward received after step $t$ |
# | $\gamma_t$ | `discount[t]` | discount; **0 where the episode ended**, so nothing flows across |
# | $T$ | `len(reward)` | number of steps |
#
# The course has no flag called *done*. An end is a discount of 0: the equation above then stops by
# itself.

# %% [markdown]
# ### Predict, run, explain
#
# Episodes rarely have the same length, so one column of a batch can hold the end of one episode
# and the start of the next. Below, an episode ends after step 1. What is the return of step 0?

# %%
reward = torch.tensor([1.0, 2.0, 100.0])
discount = torch.tensor([0.5, 0.0, 0.5])
print("return of step 0:", (reward[0] + discount[0] * (reward[1] + discount[1] * reward[2])).item())

# %% [markdown]
# <details><summary>Explanation</summary>2. The reward of 100 belongs to the next episode. The
# discount of 0 after step 1 keeps it out: 1 + 0.5 · (2 + 0 · 100) = 2.</details>
#
# ### Exercise 00.discounted_returns: Discounted returns, backwards
# difficulty 1 · importance 5 · 8 minutes
#
# Write the function below. It computes the returns of B episodes at once, so every row
# `reward[t]` is a vector of B numbers, and no loop over B is needed. Then run its cell and the
# check. Try the check before you write anything, too, to see what it says.

# %%
@exercise("00.discounted_returns")
def discounted_returns(reward: torch.Tensor, discount: torch.Tensor) -> torch.Tensor:
    """The return of each step, G[t] = reward[t] + discount[t] * G[t + 1], with G[T] = 0.

    Args:
        reward: [T, B] received after step t.
        discount: [T, B] what follows step t counts times this; 0.0 where an episode ended.

    Returns:
        [T, B] returns, in the order of time.
    """
    ### BEGIN STUB
    # following = ...              # G[T], a vector of B zeros
    # returns = []
    # for t in ...:                # from the last step to the first
    #     ...
    ### END STUB
    ### BEGIN SOLUTION
    following = torch.zeros_like(reward[0])  # [B]
    returns = []
    for t in reversed(range(len(reward))):
        following = reward[t] + discount[t] * following
        returns.append(following)
    return torch.stack(returns[::-1])
    ### END SOLUTION


# %%
check(discounted_returns)

# %% [markdown] tags=["hints"]
# * The return of the last step needs nothing but its reward. Which return do you know next?
# * Loop over `t` from `T - 1` down to 0, and keep the return of the step after in one variable,
#   which starts as zeros of shape `[B]`. Collect the returns, and reverse the list before you
#   stack it.

# %% [markdown]
# What the three answers mean:
#
# * **PASS**: it agrees with the package on random inputs, and with facts that must hold.
# * **FAIL**: one sentence says what is wrong and names the likely mistake. Mend it and run both
#   cells again, as often as you like.
# * **NOT YET**: nothing is written, and the stub still fails. The package's own function stands in, so that you can read on
#   and come back. From here on, the notebook uses whatever you wrote.
#
# Progress is kept in a file on your machine, across restarts. `progress()` draws it.

# %%
progress()

# %% [markdown]
# ## How to read shapes
#
# Most mistakes in this field are mistakes about axes, so every function says what its axes are.
# Letters always mean the same: **B** entries of a batch, **T** time, **A** actions, **S** states.
# Time is the first axis and features come last: `[T, B]`, `[B, A]`.
#
# ### Predict, run, explain
#
# `score` holds one number for each of 3 actions, in each of 5 situations: `[B=5, A=3]`. What is
# the shape of each line below, and what do the rows of the second one sum to?

# %% tags=["nbval-check-output"]
score = torch.arange(15.0).reshape(5, 3)  # [B, A]
policy = score.softmax(-1)  # over the last axis, the actions
print(list(score.amax(-1).shape))
print(list(policy.shape), [round(total, 3) for total in policy.sum(-1).tolist()])
print(list((policy * score).sum(-1, keepdim=True).shape))

# %% [markdown]
# <details><summary>Explanation</summary>[5]: the maximum removes the action axis. [5, 3], and each
# row sums to 1: a softmax over the last axis makes one distribution per situation. [5, 1]:
# <code>keepdim</code> leaves an axis of length 1, which then broadcasts against
# <code>[5, 3]</code>. A softmax over axis 0 would run without an error and be wrong, which is why
# the checks look at axes.</details>

# %% [markdown]
# ## Presets and devices
#
# Every experiment comes in three sizes, with the same code.
#
# | preset | runs on | for |
# | --- | --- | --- |
# | `smoke` | anything, seconds | seeing that the code runs |
# | `laptop` | 2 CPU cores, minutes | seeing the effect |
# | `paper` | a GPU or a cluster | the published settings |
#
# The notebooks run at `laptop`. To choose another one for a whole session, set the environment
# variable `RLCOURSE_PRESET` before you start JupyterLab. From a terminal,
# `python -m rlcourse run monte_carlo_value --preset smoke` runs an experiment without a notebook,
# and `python -m rlcourse doctor` says what is installed and what is missing.

# %%
print("preset:", preset(), "· device:", device())

# %% [markdown]
# ## The experiment
#
# Your returns can already estimate something unknown: the [value](glossary.md#value) of a state, the
# return to expect from there. Two thousand walkers start at the ring and move at random; `walks.obs`
# tells in which cell each is at each step. Each return is one sample of the value of its cell, and
# the mean of many is an estimate: **Monte Carlo prediction**. The discount of the environment, 1 or 0
# at an end, is multiplied by the agent's $\gamma$. For a map this small the truth can be computed
# exactly.

# %%
config = monte_carlo_value.PRESETS[preset()]
walks = monte_carlo_value.random_walks(config, num_walks=2000, seed=0)
returns = discounted_returns(walks.reward, config.discount * walks.discount)  # [T, B]

grid = Gridworld.named(config.map)
estimate = monte_carlo_value.mean_by_state(walks, returns, len(grid.cells))  # [S]

# %%
exact = monte_carlo_value.exact_value(config)
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
for ax, values, title in zip(axes, (estimate, exact), ("Your estimate", "Exact"), strict=True):
    draw_values(ax, grid, values, limits=(-1, 1), colormap="RdBu")
    ax.set_title(title)

# %% [markdown]
# How to read it: blue places are worth something to a random walker, red ones cost. The two maps
# should look alike. If yours is all white or all one color, check the exercise again.
#
# How many walks does it take? The next cell (under ten seconds at `laptop`) repeats the estimate
# for the start cell with 1 to 4,096 walks and 20 seeds each. **Predict**: with 100 times as many
# walks, how much smaller is the error?

# %%
folder = results_folder("monte_carlo_value", config, discounted_returns)
monte_carlo_value.run(config, folder, returns=discounted_returns)
monte_carlo_value.plot(folder, load_reference("monte_carlo_value"))

# %% [markdown]
# How to read it: both axes are logarithmic, and the band is the 95% interval of the mean over
# seeds. Your line should lie on the dashed one, which was made with the package's function.
#
# <details><summary>Explanation</summary>Ten times smaller. The error of a mean of n samples falls
# with 1 / √n, the dotted line. This is the price of learning from samples, and a reason why the
# course cares so much about knowing something beforehand.</details>
#
# **Flip a switch**: in the cell that computes `returns`, replace `config.discount` by 0.5, and run
# it and the maps again. Your estimate now answers another question than the exact map. Which one?
#
# <details><summary>Answer</summary>The value for a more impatient agent: rewards more than a few
# steps away fade, and only places next to the goal or a pit keep a color.</details>

# %% [markdown]
# ## A widget: how far does an agent look?
#
# The slider sets the discount, and the picture shows how much a reward of 1 counts when it comes 0
# to 60 steps from now (the height of a bar; 20 steps is marked). **Your task**: find the discount at which a reward 20 steps away counts one
# tenth. Then look at the number called *horizon*, $1 / (1 - \gamma)$.

# %%
ReturnExplorer()

# %% [markdown]
# <details><summary>Answer</summary>About 0.89, since 0.89<sup>20</sup> ≈ 0.1. The horizon is then
# about 9 steps: the sum of all weights, and so the number of steps that count "in full".</details>

# %% [markdown]
# ## Where the course goes
#
# Six parts, 18 notebooks. These are drawings, not results. The results are yours to make.

# %%
draw_parts()

# %% [markdown]
# From left to right: **I** prices a habit in units of reward. **II** learns habits, by hiding part of
# the situation from them. **III** remembers what happened instead of only learning from it. **IV**
# lets an agent query a memory of other agents' experience. **V** does it for Go, among millions of
# positions, with search. **VI** spreads all of it over many machines.

# %% [markdown]
# ## Recap
#
# * An exercise is a function: write it, check it, or let the package's own stand in.
# * A return is what is still to come, and is computed backwards in one pass over time.
# * An episode's end is a discount of 0; there is no *done*.
# * Axes have letters: time first, features last, and a wrong axis is the most common mistake.
# * The mean of many returns estimates a value, with an error that falls like 1 / √n.
#
# | equation | function | file |
# | --- | --- | --- |
# | $G_t = r_t + \gamma_t G_{t+1}$ | `discounted_returns` | `rlcourse/ops/targets.py` |
# | exact value of a policy | `evaluate_policy` | `rlcourse/klrl/tabular.py` |
# | Monte Carlo prediction | `run` | `rlcourse/experiments/monte_carlo_value.py` |
#
# New in the [glossary](glossary.md): [return](glossary.md#return),
# [discount](glossary.md#discount), [value](glossary.md#value), [preset](glossary.md#preset).
#
# **Stretch** (no check). (1) Write the returns without a loop over time, with `torch.cumsum` and
# powers of a constant discount; find out at which length it breaks in float32, and why. (2) The
# estimate above drops the last half of each walk. Keep it, and measure the bias.
#
# **Further reading.** Sutton and Barto, *Reinforcement Learning: An Introduction* (2018), chapters
# 3 and 5: returns and Monte Carlo prediction, for whoever meets them here for the first time.
