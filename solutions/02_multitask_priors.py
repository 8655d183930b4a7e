# %% [markdown]
# ## What you will build
#
# In notebook 01 a prior came from tasks that somebody had solved before. Here nobody has. Eight
# tasks are learned at once, and while they are learned they make the prior that guides them. You
# find out which prior serves many tasks best, write the lines of DISTRAL that use it, and race it
# against agents that share nothing and agents that share everything. **The picture is the end of
# this notebook.**

# %%
from dataclasses import replace

import torch
from IPython.display import display
from matplotlib import pyplot as plt

from rlcourse.course.exercise import check, exercise
from rlcourse.course.progress import progress
from rlcourse.course.results import results_folder
from rlcourse.course.setup import preset
from rlcourse.experiments import course_picture, distral_gridworlds, distral_two_rooms
from rlcourse.experiments.reference import load_reference
from rlcourse.klrl import distral_neural, grid_priors
from rlcourse.ops.kl import categorical_kl
from rlcourse.viz import multitask_pictures
from rlcourse.viz.grids import draw_policy
from rlcourse.viz.kl_widget import KLExplorer

# %%
course_picture.plot_distral()

# %% [markdown]
# How to read it: lines are means over eight tasks that are learned at once, bands 95% intervals
# over seeds; 1 is the best possible return. Blue agents share a prior, pink ones a prior that sees
# too little. Pale orange agents share nothing, dark orange ones everything.
#
# When you are done, you can
#
# * compute the prior that costs many tasks least, and say why it is a mixture;
# * explain which of the two KL divergences covers, and which one seeks;
# * write DISTRAL's soft value and policy, and the logits of its two columns;
# * derive the gradient that distills policies into a prior, and its fixed point;
# * show, with 10 and 20 seeds, when sharing helps, and when it hurts.

# %% [markdown]
# ## Warm-up
#
# 1. In one state the best compromise between a prior $\pi_0$ and values $Q$ is $\pi^* \propto \;?$
#    <details><summary>Answer</summary>π* ∝ π₀ exp(Q / α): the prior, tilted toward high
#    values.</details>
# 2. A prior gives an action probability 0. Which α makes the agent take it?
#    <details><summary>Answer</summary>None. A policy may drop actions of its prior, never add
#    one.</details>
# 3. What does the visitation $d(s)$ count?
#    <details><summary>Answer</summary>How often a policy is in each state, later steps counting
#    less, by γ for each step.</details>

# %% [markdown]
# ## 1 One prior for many tasks
#
# Two tasks, A and B, meet in one state. In each episode A comes by three times, and goes right with
# probability 0.9. B comes by once, and goes right with 0.1. One prior must serve both, and does
# **not see which task it is in**. Each visit costs $\mathrm{KL}(\pi\,\|\,\pi_0)$. Which prior is
# cheapest?
#
# On paper: the plain average, 0.5, costs 0.37 nats at each of the four visits, 1.47 in all. A prior
# of 0.7 costs A $3 \cdot 0.12$ and B $0.79$, together 1.14. It is worse for B, but B is seldom
# here.

# %%
multitask_pictures.two_opinions(right=(0.9, 0.1), visits=(3, 1))

# %% [markdown]
# How to read it: the green and the pink curve are what each task pays, over all priors; the blue
# one is their sum. It is least at $0.7 = \frac34 \cdot 0.9 + \frac14 \cdot 0.1$: the average of the
# two policies, weighted by *who is likely to be here*. In general, for tasks $w$ with policies
# $\pi_w$, the [optimal prior](glossary.md#optimal-prior) is
#
# $$\pi_0^*(a|s) = \sum_w p(w|s)\, \pi_w(a|s), \qquad
#   p(w|s) = \frac{p(w)\, d_w(s)}{\sum_{w'} p(w')\, d_{w'}(s)} .$$
#
# | symbol | in code | meaning |
# | --- | --- | --- |
# | $\pi_w$ | `log_policies` | log-probabilities of each task's policy `[M, S, A]` |
# | $d_w(s)$ | `visits` | how often the policy of task $w$ is in $s$ `[M, S]` |
# | $p(w)$ | `task_weights` | how frequent task $w$ is `[M]` |
# | $p(w \mid s)$ | `posterior` | what somebody who only sees $s$ knows about the task `[M, S]` |
#
# <details><summary>Why is the average best?</summary>In one state the cost is a constant minus
# Σ_w p(w|s) Σ_a π_w(a) log π₀(a). That sum is Σ_a m(a) log π₀(a), where m is the weighted average,
# and it equals a constant minus KL(m ‖ π₀). So the cost is a constant <b>plus</b> KL(m ‖ π₀), which
# is never negative, and 0 only for π₀ = m.</details>

# %% [markdown]
# ### Exercise 02.optimal_prior: The prior of least cost
# difficulty 2 · importance 5 · 12 minutes
#
# Average *probabilities*, and return their logarithm. A state that nobody visits has no posterior:
# let all tasks count alike there, whatever their `task_weights`.


# %%
@exercise("02.optimal_prior")
def optimal_prior(log_policies, visits, task_weights) -> torch.Tensor:
    """The mixture of task policies, weighted by the posterior over tasks.

    Args:
        log_policies: [M, S, A] log-probabilities of the M policies.
        visits: [M, S] how often each task is in each state, >= 0.
        task_weights: [M] how frequent each task is, > 0.

    Returns:
        [S, A] normalized log-probabilities of the prior.
    """
    ### BEGIN STUB
    # weights = ...                           # p(w) d_w(s)  [M, S]
    # weights = torch.where(..., 1.0, weights)  # where nobody comes
    # posterior = ...                         # [M, S], sums to 1 over tasks
    # return ...                              # log of the weighted average  [S, A]
    ### END STUB
    ### BEGIN SOLUTION
    weights = task_weights[:, None] * visits  # [M, S]
    weights = torch.where(weights.sum(0) == 0, 1.0, weights)
    log_posterior = weights.log() - weights.sum(0).log()  # [M, S]
    return torch.logsumexp(log_policies + log_posterior[..., None], 0)
    ### END SOLUTION


# %%
check(optimal_prior)

# %% [markdown] tags=["hints"]
# * Which axis holds the tasks? Over that axis the posterior sums to 1, and over that axis you
#   average.
# * Multiply the visits by `task_weights[:, None]`, put 1 into every column whose sum is 0, divide
#   by the sum over dim 0. The logarithm of a weighted sum of exponentials is
#   `torch.logsumexp(log_policies + log_posterior[..., None], 0)`.

# %% [markdown]
# ### Eight tasks in two rooms
#
# Four tasks start in the left room and have their goal in the right one; four go the other way.
# Each is solved exactly, as in notebook 01, from the uniform prior. Here is one of each kind:

# %%
two_rooms = distral_two_rooms.PRESETS["laptop"]
maps = distral_two_rooms.tasks_of(two_rooms)  # one map, eight goals
uniform = grid_priors.uniform(maps[0])
mdps = [grid.mdp() for grid in maps]
log_policies, visits = grid_priors.solve_tasks(mdps, uniform, alpha=0.02, discount=0.95)
figure, axes = plt.subplots(1, 2, figsize=(9, 2.2))
for ax, task in zip(axes, (0, 4), strict=True):
    draw_policy(ax, maps[task], log_policies[task].exp())
    ax.set_title(f"task {task}")

# %% [markdown]
# How to read it: rings are starts, the star is the goal, arrows are probabilities of moves.
#
# ### Predict, run, explain
#
# Compare the plain average of the eight policies with yours. Where will they differ: in the
# corridor, or in the rooms? And by how much does the total cost fall, a little or to nothing?

# %%
weights = torch.full((8,), 1 / 8, dtype=torch.float64)
plain = optimal_prior(log_policies, torch.ones_like(visits), weights)
weighted = optimal_prior(log_policies, visits, weights)
steps = visits / (1 - 0.95)  # expected discounted steps in each state  [M, S]


def cost(log_prior):  # nats that a task pays in each state, mean over tasks  [S]
    return (steps * categorical_kl(log_policies, log_prior)).mean(0)


multitask_pictures.two_priors(maps[0], plain.exp(), weighted.exp(), cost(plain) - cost(weighted))

# %% tags=["nbval-check-output"]
corridor = [maps[0].state_at[(3, column)] for column in range(5, 9)]
for name, log_prior in (("uniform", uniform), ("plain", plain), ("weighted", weighted)):
    paid = cost(log_prior)
    share = float(paid[corridor].sum())
    print(f"{name:9} {float(paid.sum()):5.2f} nats per task, {share:.2f} of them in the corridor")

# %% [markdown]
# How to read it: above, arrows are the two priors; below, a cell is orange where the weights save
# nats. The table adds up all cells.
#
# <details><summary>Explanation</summary>They differ in the rooms. A policy also has an opinion
# about cells to which its own task hardly ever comes, and the plain average counts that opinion in
# full. Every task crosses the corridor, so both priors say nearly the same there, about half right
# and half left: right has 0.44 to 0.46 under the plain one, 0.41 to 0.49 under yours. The uniform
# prior has no opinion, and every opinion of a task costs nats: 8.43. The average takes that to
# 6.04, your weights to 5.71. For these eight policies, 5.71 is the least there is for a prior that
# sees only the cell. More than a third of it, 2.03, is paid in four cells of corridor. A prior that
# also saw the last move would know which way the agent is going. Section 3 gives it that.</details>

# %% [markdown]
# ## 2 Which way round?
#
# The mixture is optimal if the prior can be any distribution. A network cannot: it has a shape of
# its own. Then it matters *which* KL you make small, the forward $\mathrm{KL}(p\,\|\,q)$ or the
# reverse $\mathrm{KL}(q\,\|\,p)$, if $p$ is what the tasks do and $q$ the prior.
#
# ### Predict, run, explain
#
# Two actions, $p = (0.5, 0.5)$ and $q = (0.9, 0.1)$. Which KL is larger? And which action makes it
# so?

# %%
multitask_pictures.two_directions((0.5, 0.5), (0.9, 0.1))

# %% [markdown]
# How to read it: each bar on the right is one term of a KL, and the terms of one color add up to
# it.
#
# <details><summary>Explanation</summary>The forward one: 0.5 log(0.5 / 0.9) + 0.5 log(0.5 / 0.1) =
# −0.29 + 0.80 = 0.51. The reverse: 0.9 log(0.9 / 0.5) + 0.1 log(0.1 / 0.5) = 0.53 − 0.16 = 0.37.
# Action 2 makes the difference. The tasks often take it, q seldom expects it, and the forward KL
# weighs that with p. The reverse weighs it with q, to which action 2 hardly matters.</details>
#
# ### On a line
#
# Half of the tasks act around $-2$, half around $2$: together they are $p$, with two bumps, its
# *modes*. Let the prior $q$ be a single Gaussian. On a line sums become integrals, and an integral
# is, nearly, a sum over narrow cells of width $\Delta$ with middles $x_n$:
#
# $$\mathrm{KL}(p\,\|\,q) = \int p(x) \log\frac{p(x)}{q(x)}\, dx \approx
#   \sum_n p(x_n) \log\frac{p(x_n)}{q(x_n)}\, \Delta .$$
#
# ### Exercise 02.two_kls: Both directions
# difficulty 1 · importance 4 · 8 minutes
#
# The inputs are log-densities at $x_n$. All are finite, so nothing needs a mask. There may be many
# $q$ at once.


# %%
@exercise("02.two_kls")
def two_kls(log_p: torch.Tensor, log_q: torch.Tensor, width: float):
    """KL(p || q) and KL(q || p) of densities on a line.

    Args:
        log_p: [N] log-density of p in the middle of each cell.
        log_q: [..., N] log-densities of one or many q.
        width: of a cell.

    Returns:
        Two tensors [...], in nats: (forward, reverse).
    """
    ### BEGIN STUB
    # forward = ...                # weighted by p
    # reverse = ...                # weighted by q
    ### END STUB
    ### BEGIN SOLUTION
    forward = (log_p.exp() * (log_p - log_q)).sum(-1) * width
    reverse = (log_q.exp() * (log_q - log_p)).sum(-1) * width
    return forward, reverse
    ### END SOLUTION


# %%
check(two_kls)

# %% [markdown] tags=["hints"]
# * In each direction, which density is the weight, and which comes first under the logarithm?
# * Forward: `log_p.exp() * (log_p - log_q)`, summed over the last axis, times `width`. For the
#   reverse, exchange the two everywhere.

# %% [markdown]
# ### The widget
#
# Your function computes both KLs and the maps. Left: the densities, and what each KL adds up. Right:
# each KL for all means and widths of $q$; pale is small, the blue dot is your $q$.
#
# **Your tasks**: (1) Move $q$ until the forward KL is least, then until the reverse one is. Only
# then tick the box: crosses appear there. (2) Put $q$ on one bump. Which term explodes, and where?
# (3) Shrink the gap of $p$. When do the two agree? (4) Which of the two makes a good prior?

# %%
explorer = KLExplorer(two_kls)
explorer

# %% [markdown]
# <details><summary>Answers</summary>(1) Forward: mean 0 and width 2.1, the mean and the standard
# deviation of p, at 0.56 nats. Reverse: one of the bumps, mean ±2 and width 0.6, at 0.69 nats,
# which is log 2: q finds p half as high as itself wherever q is. (2) The forward one, at the other
# bump: p is there and q is not, so log(p / q) is huge. (3) From a gap of 2 downward the
# crosses nearly coincide, in the middle. At 3.5 the reverse one has let go of it. (4) The forward
# one. A task whose actions the prior has given up pays for that at every visit, and what a prior
# holds impossible nobody tries.</details>
#
# The forward KL is [mode-covering](glossary.md#mode-covering): $q$ must be wherever $p$ is. The
# reverse one is [mode-seeking](glossary.md#mode-seeking): $q$ must not be where $p$ is not. In our
# objective tasks pay $\mathrm{KL}(\pi_w\,\|\,\pi_0)$, weighted by what *they* do. Seen from the
# prior that is the forward direction, so a prior covers.

# %% [markdown]
# ## 3 DISTRAL, on tables
#
# So far the tasks were solved before the prior was made. DISTRAL does both at once: each task leans
# on the prior, and the prior is [distilled](glossary.md#distillation) from the tasks.

# %%
multitask_pictures.draw_alternation()

# %% [markdown]
# How to read it: only the prior connects the tasks. It guides each (blue), and each is distilled
# into it (orange). Policies $\pi_i$ and prior $\pi_0$ together maximize
#
# $$J = \sum_i \mathbb{E}_{\pi_i} \sum_t \gamma^t \Big( R_i
#   - c_\text{KL} \log\frac{\pi_i(a_t|s_t)}{\pi_0(a_t|s_t)}
#   - c_\text{Ent} \log \pi_i(a_t|s_t) \Big) .$$
#
# A task pays $c_\text{KL}$ per nat for leaving the prior. It earns $c_\text{Ent}$ per nat of
# entropy, so a prior that is wrong early does not freeze it. Collect the logarithms: both costs are
# $\frac1\beta (\log \pi_i - \alpha \log \pi_0)$ with
#
# $$\alpha = \frac{c_\text{KL}}{c_\text{KL} + c_\text{Ent}}, \quad
#   \beta = \frac{1}{c_\text{KL} + c_\text{Ent}}, \quad \text{so} \quad
#   c_\text{KL} = \frac{\alpha}{\beta}, \quad c_\text{KL} + c_\text{Ent} = \frac{1}{\beta} .$$
#
# $\alpha$ is the prior's share of the costs, and $\beta$ the nats that a unit of reward buys. (In
# notebook 01 $\alpha$ was the temperature; that is $1/\beta$ here, as in this paper.)

# %% tags=["nbval-check-output"]
cost_kl, cost_entropy = 0.1, 0.1
share = cost_kl / (cost_kl + cost_entropy)
print(f"alpha = {share:.1f}, beta = {1 / (cost_kl + cost_entropy):.1f}")

# %% [markdown]
# For a fixed prior $J$ is the objective of notebook 01, with $\pi_0^\alpha$ in the place of
# $\pi_0$ and $1/\beta$ in the place of its $\alpha$. So its two formulas hold again, for each task
# $i$:
#
# $$V_i(s) = \frac1\beta \log \sum_a \pi_0(a|s)^\alpha e^{\beta Q_i(s,a)}, \qquad
#   \pi_i(a|s) = \pi_0(a|s)^\alpha e^{\beta (Q_i(s,a) - V_i(s))} .$$
#
# | symbol | in code | meaning |
# | --- | --- | --- |
# | $\pi_0$ | `log_prior` | log-probabilities of the prior `[..., A]` |
# | $Q_i, V_i$ | `q`, `value` | of one task `[..., A]`, `[...]` |
# | $\alpha$ | `alpha` | share of the KL in the costs, 0 to 1 |
# | $\beta$ | `beta` | nats per unit of reward, > 0 |
#
# On paper, with $\alpha = 0.5$ and $\beta = 5$: for two actions with $Q = (0.2, 0)$ and a prior
# $(0.2, 0.8)$ the weights are $\sqrt{0.2} \cdot e^1 = 1.22$ and $\sqrt{0.8} = 0.89$. So $V =
# \log(2.11) / 5 = 0.15$ and $\pi = (0.58, 0.42)$.

# %% [markdown]
# ### Exercise 02.distral_policy: Leaning on the prior
# difficulty 2 · importance 5 · 8 minutes
#
# Stay in log space: below, $\beta Q$ reaches $5 \cdot 50 = 250$, and $e^{250}$ overflows in
# single precision.


# %%
@exercise("02.distral_policy")
def distral_policy(q, log_prior, alpha: float, beta: float):
    """DISTRAL's soft value and policy in each state.

    Args:
        q: [..., A] action values of a task.
        log_prior: [..., A] log-probabilities of the prior.
        alpha: share of the KL in the costs, in [0, 1].
        beta: nats per unit of reward, > 0.

    Returns:
        The value [...] and the normalized log-policy [..., A].
    """
    ### BEGIN STUB
    # logits = ...                 # log of pi_0^alpha exp(beta Q)
    # value = ...
    # log_policy = ...
    ### END STUB
    ### BEGIN SOLUTION
    logits = alpha * log_prior + beta * q
    log_total = logits.logsumexp(-1)  # beta V
    return log_total / beta, logits - log_total[..., None]
    ### END SOLUTION


# %%
check(distral_policy)

# %% [markdown] tags=["hints"]
# * What is the logarithm of $\pi_0^\alpha\, e^{\beta Q}$? Both results need its logsumexp over
#   actions.
# * With `logits = alpha * log_prior + beta * q` and its logsumexp `z`, the value is `z / beta` and
#   the log-policy `logits - z[..., None]`.

# %% [markdown]
# ### Predict, run, explain
#
# The prior favors the first of three actions, the values favor the last, and $\beta$ stays 2. What
# is the policy at $\alpha = 0$? Which policy of notebook 01 is it at $\alpha = 1$?

# %%
q, log_prior = torch.tensor([0.0, 0.6, 1.0]), torch.tensor([0.7, 0.2, 0.1]).log()
multitask_pictures.policy_against_share(distral_policy, q, log_prior, beta=2.0)

# %% [markdown]
# How to read it: each line is the probability of one action.
#
# <details><summary>Explanation</summary>At α = 0 the prior does not matter: the tasks share
# nothing, and each is entropy-regularized. At α = 1 it is the Boltzmann policy of notebook 01 with
# the temperature 1/β: entropy costs nothing, and the prior counts in full.</details>

# %% [markdown]
# ## The experiment with tables
#
# The eight tasks are learned at once by soft Q-learning, one step in each in turn, with your two
# formulas. The prior is the mixture of section 1, kept as decaying counts: each visit to $s$ adds
# $\gamma^t \pi_i(\cdot|s)$ to the counts of (last move, $s$). Those of the blind prior know only
# $s$. Four ways to learn:
#
# | | what is shared |
# | --- | --- |
# | DISTRAL | a prior that sees the cell **and the last move** |
# | prior blind to the last action | a prior that sees only the cell |
# | separate agents | nothing: the prior stays uniform |
# | one agent for all | everything: one table $Q$ |
#
# One change: the experiment takes $(1-\alpha) \log A / \beta$ off each $V_i$, with $A = 4$ actions.
# That is the most that entropy can earn in a step. Without it each visited state looks better than
# the zeros with which the tables start, and nobody goes where nobody has been.
#
# **Predict**: the first picture shows the order. *Why* does the blind prior stop at half: does each
# task get half of its return, or half of the tasks all of it? And what does the prior of DISTRAL do
# in the corridor?
#
# The next cell takes about one and a half minutes at `laptop` and shows its progress. If you stop
# it and run it again, it goes on where it was.

# %%
alpha = 0.5  # a switch: set it to 0.0, then to 1.0, after the first run
chosen = replace(distral_two_rooms.PRESETS[preset()], alpha=alpha)
folder = results_folder("distral_two_rooms", chosen, distral_policy)
pieces = {
    "value": lambda *inputs: distral_policy(*inputs)[0],
    "policy": lambda *inputs: distral_policy(*inputs)[1],
}
crossings, shares, finished = {}, {}, distral_two_rooms.run(chosen, folder, **pieces)
if finished:
    crossings = distral_two_rooms.corridor_crossings(folder)
    shares = distral_two_rooms.load(folder).share
    display(distral_two_rooms.plot(folder, load_reference("distral_two_rooms")))

# %%
for way, found in crossings.items():
    print(f"DISTRAL's prior alone goes {way:5} through the corridor: {found.mean:.3f}")
if shares:
    ends = shares["distral, state only"][:, :, -1]  # [seeds, tasks]
    print("\nblind prior, end of training: a seed in each row, a task in each column")
    print(ends[:6].round(2))
    halves = ((ends > 0.8).sum(1) == 4) & ((ends < 0.01).sum(1) == 4)
    print(f"four tasks learned, four lost: {halves.sum()} of {len(ends)} seeds")

# %% [markdown]
# How to read it: the names over the bars hold for the lines too. Your lines should lie on the
# dashed shipped ones if `alpha` is 0.5. The bars count steps until a task earns 80% of its best
# return, and a task that never does counts with all steps. Below, the arrows are the prior of the
# first seed after a move to the right and to the left.
#
# <details><summary>Why is DISTRAL faster?</summary>About 8,900 steps against 12,200. A task that
# has found its goal teaches the prior the corridor, and the three others that go its way need not
# find it again. After a step right the prior goes on to the right, after a step left to the left:
# alone it walks through with a probability of more than 0.99.</details>
#
# <details><summary>Why does "one agent for all" fail?</summary>It does not see the task either. One
# table must say what an action is worth, and the same move leads one task to its goal and another
# away from it.</details>
#
# <details><summary>Why does the blind prior stop at half?</summary>Look at the rows: four tasks at
# 1, four at 0. In the corridor one direction gets ahead by chance, the prior takes it up, and it
# helps the tasks that go this way until the others never cross. That happens in 19 of 20 seeds, to
# the right in 12 and to the left in 7. Sharing the wrong thing is worse than sharing nothing.
# Notebook 04 is about what a prior should see.</details>

# %% [markdown]
# **Flip the switch**: predict what `alpha = 0.0` and `alpha = 1.0` do to DISTRAL and to the
# separate agents. Then set it, and run the last two cells again.
#
# <details><summary>Answer</summary>With 0.0 DISTRAL and the separate agents are the same algorithm,
# and with the same seeds their lines are equal: 12,232 steps both. The prior is still distilled,
# and nobody listens. With 1.0 DISTRAL is still faster than separate agents, 9,805 steps against
# 12,232, and the intervals do not touch. But it ends lower, at 0.88 of the best, where it ended at
# 1.00 with 0.5, and separate agents end at 0.94. Nothing pays for staying undecided any more: prior
# and policies confirm each other, and in 4 of 20 seeds the prior loses one of the two ways through
# the corridor, and with it four tasks. That is what the entropy cost is for. The separate agents do
# not change: for a uniform prior both costs differ by exactly the constant that the experiment
# takes off V_i, and with it they are the same.</details>

# %% [markdown]
# ## 4 DISTRAL, with networks
#
# A table has one number for each state. A network sees features of a state, here its row, its
# column and the walls nearby, and can carry over what it learns to maps it has never seen. The
# policy of a task then has **two columns**: $h_0$, whose outputs all tasks share, and $f_i$, its
# own.

# %%
multitask_pictures.draw_columns()

# %% [markdown]
# How to read it: boxes are networks and their outputs. The logits of a policy are
# $\alpha h_0 + \beta f_i$, so
#
# $$\pi_0(a|s) = \mathrm{softmax}_a\, h_0(a|s), \qquad
#   \pi_i(a|s) = \mathrm{softmax}_a\big(\alpha h_0(a|s) + \beta f_i(a|s)\big) .$$
#
# It is the policy of section 3 with $f_i$ in the place of $Q_i - V_i$. The task column learns only
# how its task *differs* from the habit: with $h_0 = (2, 0)$, $\alpha = 0.5$, $\beta = 10$ and
# $f_i = (0, 0)$ the policy is a softened prior, $(0.73, 0.27)$ instead of $(0.88, 0.12)$. With
# $f_i = (0, 0.1)$ the logits are $(1, 1)$, and the habit is cancelled. In the *one-column* variant
# the policy is $\mathrm{softmax}(\beta f_i)$ alone, and feels the prior only through its costs.
#
# | symbol | in code | meaning |
# | --- | --- | --- |
# | $f_i$ | `task_logits` | output of the column of task $i$ `[..., A]` |
# | $h_0$ | `prior_logits` | output of the column of all tasks `[..., A]` |
#
# ### Exercise 02.two_columns: What is shared and what is not
# difficulty 1 · importance 4 · 6 minutes
#
# Write both variants.


# %%
@exercise("02.two_columns")
def two_columns_policies(task_logits, prior_logits, alpha: float, beta: float, two_columns: bool):
    """The policy of a task and the prior, from the outputs of their networks.

    Args:
        task_logits: [..., A] f_i.
        prior_logits: [..., A] h_0.
        alpha, beta: as in `distral_policy`.
        two_columns: whether h_0 is part of the policy; if not, f_i stands alone.

    Returns:
        log pi_i and log pi_0, each [..., A], normalized, both with gradients.
    """
    ### BEGIN STUB
    # logits = ...
    # if two_columns:
    #     logits = ...
    ### END STUB
    ### BEGIN SOLUTION
    logits = beta * task_logits
    if two_columns:
        logits = logits + alpha * prior_logits
    return logits.log_softmax(-1), prior_logits.log_softmax(-1)
    ### END SOLUTION


# %%
check(two_columns_policies)

# %% [markdown] tags=["hints"]
# * Which part of the sum is there in both variants? Does $\alpha$ appear in the prior?
# * Begin with `beta * task_logits`, add `alpha * prior_logits` if there are two columns, and return
#   the `log_softmax` over the last axis of these logits and of `prior_logits`.

# %% [markdown]
# ### What distills
#
# Averages over states are for tables. A network takes steps along a gradient. For each state $s_n$
# that a task comes to, $J$ holds both costs, here averaged over actions. With a minus before them
# they are the *regularizer*
#
# $$\mathrm{reg}_n = \sum_a \pi_i(a|s_n)\Big(\frac{\alpha}{\beta} \log \pi_0(a|s_n)
#   - \frac1\beta \log \pi_i(a|s_n)\Big) .$$
#
# | symbol | in code | meaning |
# | --- | --- | --- |
# | $s_n$ | `states` | the state of sample $n$ `[N]` |
# | $\pi_i(\cdot \mid s_n)$ | `log_policy` | logarithm of the policy that was there `[N, A]` |
# | $\mathrm{reg}_n$ | `regularizer` | in the package, in units of reward `[N]` |
#
# Hold the policies fixed, as in section 1. Then only the first term moves with the logits
# $h_0(\cdot|s)$ of one state. The derivative of $\log \mathrm{softmax}_a h$ in $h_b$ is
# $1_{a=b} - \pi_0(b)$. Weighted by $\pi_i$ and summed over $a$ that leaves a difference of two
# distributions:
#
# $$\frac{\partial}{\partial h_0(\cdot|s)} \sum_n \mathrm{reg}_n =
#   \frac{\alpha}{\beta} \sum_{n:\, s_n = s} \big( \pi_i(\cdot|s_n) - \pi_0(\cdot|s_n) \big) .$$
#
# In words: every visit pulls the prior toward the policy of the visitor. (With two columns $h_0$
# also gets a gradient through $\pi_i$, which automatic differentiation adds.)
#
# ### Exercise 02.distillation_gradient: Every visit pulls
# difficulty 3 · importance 5 · 12 minutes
#
# Write it out, without automatic differentiation. Let the prior be a table of logits. The same
# state can occur many times in `states`.


# %%
@exercise("02.distillation_gradient")
def distillation_gradient(prior_logits, states, log_policy, alpha: float, beta: float):
    """The gradient of the summed regularizer in the prior's logits, for fixed policies.

    Args:
        prior_logits: [S, A] h_0 of each state.
        states: [N] where each sample was taken, by any task.
        log_policy: [N, A] the log-policy there of the task that was there.
        alpha, beta: as in `distral_policy`.

    Returns:
        [S, A], 0 in states without a sample.
    """
    ### BEGIN STUB
    # difference = ...             # pi_i minus pi_0, of each sample  [N, A]
    # gradient = torch.zeros_like(prior_logits)
    # ...                          # add the samples to the rows of their states
    ### END STUB
    ### BEGIN SOLUTION
    difference = log_policy.exp() - prior_logits.softmax(-1)[states]  # [N, A]
    gradient = torch.zeros_like(prior_logits)
    gradient.index_add_(0, states, difference)
    return alpha / beta * gradient
    ### END SOLUTION


# %%
check(distillation_gradient)

# %% [markdown] tags=["hints"]
# * First one row for each sample, then sum the rows that belong to the same state. What does
#   `gradient[states] += ...` do when a state occurs twice?
# * It adds only once. `gradient.index_add_(0, states, difference)` adds every row to its state. The
#   difference is between probabilities: `log_policy.exp()` and the softmax of
#   `prior_logits[states]`.

# %% [markdown]
# ### Predict, run, explain
#
# One state, two tasks: A comes three times and mostly goes right, B comes once and mostly goes
# left. First automatic differentiation tests your formula. Then the prior takes 120 steps along it.
# Where does it end? You have met the answer before.

# %% tags=["nbval-check-output"]
task_a = torch.tensor([0.1, 0.7, 0.1, 0.1], dtype=torch.float64).log()
task_b = torch.tensor([0.1, 0.1, 0.1, 0.7], dtype=torch.float64).log()
samples = torch.stack([task_a, task_a, task_a, task_b])  # [N, A]
states = torch.zeros(4, dtype=torch.int64)
logits = torch.tensor([[1.0, 0.0, 0.0, 0.5]], dtype=torch.float64, requires_grad=True)
log_prior = logits.log_softmax(-1)[states]
distral_neural.regularizer(samples, log_prior, 0.5, 5.0).sum().backward()
written_out = distillation_gradient(logits.detach(), states, samples, 0.5, 5.0)
print("automatic  ", logits.grad[0].numpy().round(4))
print("written out", written_out[0].numpy().round(4))

# %%
logits, history = logits.detach(), []
for _ in range(120):
    history.append(logits[0].softmax(-1))
    logits = logits + 0.5 * distillation_gradient(logits, states, samples, 0.5, 5.0)
counts = torch.tensor([[3.0], [1.0]], dtype=torch.float64)
policies = torch.stack([task_a, task_b])[:, None]  # [M, S, A]
target = optimal_prior(policies, counts, torch.ones(2, dtype=torch.float64))
multitask_pictures.prior_on_its_way(torch.stack(history), target[0].exp())

# %% [markdown]
# How to read it: lines are the prior's probabilities; the dotted ones are your `optimal_prior` with
# the visits 3 and 1.
#
# <details><summary>Explanation</summary>It ends at the mixture of section 1, since the two policies
# stand still. The gradient is 0 when the pulls cancel, 3 (π_A − π₀) + (π_B − π₀) = 0, so when π₀ =
# ¾ π_A + ¼ π_B. Nobody computes a posterior: the visits are the samples, and their numbers are the
# weights.</details>

# %% [markdown]
# ## The experiment with networks
#
# Each seed draws eight maps with four rooms: doors and goal differ, the way is always from the
# upper left room to the lower right one. All agents have networks of the same size and the same
# costs, and none sees its goal. They are *actor-critics*: one output of a network estimates $V_i$,
# the others are logits, and an action that turned out better than $V_i$ becomes more likely. Your
# `two_columns_policies` makes every policy.
#
# **Predict**: one agent for all gets further here than in two rooms, says the first picture. *Why?*
# And what will the prior do on a map that nobody has learned?
#
# Each task runs in eight copies side by side. All their steps count, so the axis ends at
# $8 \cdot 6{,}000$.
#
# The next cell takes about two minutes at `laptop`.

# %%
config = distral_gridworlds.PRESETS[preset()]
folder = results_folder("distral_gridworlds", config, two_columns_policies)
on_new_maps = {}
if distral_gridworlds.run(config, folder, columns=two_columns_policies):
    on_new_maps = distral_gridworlds.on_new_maps(folder)
    display(distral_gridworlds.plot(folder, load_reference("distral_gridworlds")))

# %%
for name, found in on_new_maps.items():
    span = f"[{found.low:.3f}, {found.high:.3f}]"
    print(f"{name:8} on new maps: {found.mean:.3f} {span} of the best return, without learning")

# %% [markdown]
# How to read it: as before, names over the bars. Below, the arrows
# are the prior of the first seed on two maps that no agent learned. It does not see the star.
#
# <details><summary>Explanation</summary>DISTRAL with two columns needs about 17,700 steps, separate
# agents 24,700; the intervals do not touch. One column lies in between, with 19,700, and its
# interval overlaps with both: how much of the gain is the second column's, 10 seeds do not tell.
# One agent for all is last, with 33,600, but gets far: it sees the walls, which tell some maps
# apart, and the maps agree on the general direction, as the two rooms did not. On new maps the
# prior alone earns 0.30 of the best return, and a random walk 0.01: it has learned to go down and
# right, through doors it has never seen.</details>

# %% [markdown]
# ## In the paper
#
# Teh et al. propose DISTRAL for deep agents that learn many tasks at once. One of their experiments
# is a table in two rooms with a corridor. On our maps, of 36 and 104 cells, a distilled prior beats
# separate learning, and one policy for all tasks. We have no figure of the paper at hand to compare
# with.
#
# <details><summary>Deviations</summary>Two rooms: map, goals and rewards are ours; β, γ and the
# learning rate are as code that cites the paper lists them. Our prior sees the last action. The
# paper's, as far as we remember, also sees the last reward, which is 0 within these episodes.
# Entropy is measured from that of a uniform policy, which is the constant taken off V_i. Without it
# neither DISTRAL nor separate agents learn here (they end at 0.001 and 0.005, 20 seeds), unless
# their tables start at what entropy alone is worth, 2.63, and not at 0: then they need 8,800 and
# 12,000 steps (10 seeds).
# Networks: small, synchronous agents that see features instead of pictures, and the regularizer is
# summed over actions instead of sampled. The paper's maps and scores are not reproduced.</details>

# %%
progress()

# %% [markdown]
# ## Recap
#
# * The prior that costs many tasks least is the average of their policies, each weighted by how
#   likely it is to be there.
# * What a task pays is the forward KL for the prior, so the prior covers every task.
# * DISTRAL alternates: tasks lean on the prior, the prior distills the tasks. $\alpha$ is its share
#   of the costs, and entropy keeps it from being believed too early.
# * With networks every visit pulls the prior toward the visitor. For fixed policies it comes to
#   rest at the same average; with two columns the policies move with it.
# * What the prior sees decides what it can share: seeing the last move, it crosses the corridor
#   both ways; blind to it, it gives up half of the tasks.
#
# | equation | function | file |
# | --- | --- | --- |
# | $\sum_w p(w \mid s)\,\pi_w$ | `optimal_log_prior` | `rlcourse/ops/mixtures.py` |
# | both KLs on a line | `density_kls` | `rlcourse/ops/mixtures.py` |
# | $V_i$, $\pi_i$ with $\pi_0^\alpha$ | `distral_value`, `distral_log_policy` | `rlcourse/klrl/distral.py` |
# | prior from counts | `distilled_log_prior` | `rlcourse/klrl/distral.py` |
# | two columns | `column_log_policies` | `rlcourse/klrl/distral_neural.py` |
# | reg and its gradient | `regularizer`, `distillation_gradient` | `rlcourse/klrl/distral_neural.py` |

# %% [markdown]
# New in the [glossary](glossary.md): [distillation](glossary.md#distillation),
# [mode-covering](glossary.md#mode-covering), [mode-seeking](glossary.md#mode-seeking),
# [optimal prior](glossary.md#optimal-prior).
#
# **Stretch** (no check). (1) Solve the eight tasks of section 1 again, from the weighted prior
# instead of the uniform one, make the prior anew, and repeat. Does the total cost converge, and to
# what? (2) Run two rooms with `goals` in the right room only. What does the blind prior do now?
# (3) Let the neural prior see less: `view=0` in `distral_gridworlds`. What is left of it on new
# maps?
#
# **Further reading.** Teh et al., *Distral* (arXiv 1707.04175): the objective, and its variants
# with one and two columns. Tirumala et al. (arXiv 2010.14274), on the optimal prior and on what a
# prior may see: notebooks 04 to 06.
