# %% [markdown]
# ## What you will build
#
# An agent with a habit, and a price for leaving it. You write the few lines that solve such a
# problem exactly, watch the solution follow the price, and then let an agent with a learned habit
# race one without. The picture is the end of this notebook: **the same learner, the same new
# task, four habits**.

# %%
from dataclasses import replace

import torch
from IPython.display import display
from matplotlib import pyplot as plt

from rlcourse.course.exercise import check, exercise
from rlcourse.course.progress import progress
from rlcourse.course.results import results_folder
from rlcourse.course.setup import preset
from rlcourse.envs.gridworld import Gridworld
from rlcourse.experiments import alpha_tradeoff, course_picture, prior_transfer
from rlcourse.experiments.reference import load_reference
from rlcourse.klrl import grid_priors, tabular
from rlcourse.viz import kl_pictures
from rlcourse.viz.grids import draw_policy, draw_values, draw_visitation
from rlcourse.viz.widgets import SoftPolicyExplorer

# %%
course_picture.plot_transfer()

# %% [markdown]
# How to read it: each line is the mean over five goals that no habit has seen, 20 seeds each, the
# band its 95% interval. Habits learned on other goals *of the same room* (blue) or *all over the
# house* (green) need a fraction of the episodes. One from *another room* (pink) does not help.
#
# When you are done, you can
#
# * compute what it costs to leave a habit;
# * derive the best compromise between habit and reward, and compute it in log space;
# * solve a KL-regularized problem exactly, and show that your solution attains its objective;
# * say what happens when the price goes to zero and to infinity;
# * show, with 20 seeds, that a learned habit makes learning from samples faster.

# %% [markdown]
# ## Warm-up
#
# 1. A batch holds rewards `[T, B]`. An episode ends after step 3 of column 0. Where does that
#    stand?
#    <details><summary>Answer</summary>In the discounts: <code>discount[3, 0] = 0</code>.</details>
# 2. `logits` has shape `[S, A]`. Over which axis do you normalize to get one distribution per
#    state?
#    <details><summary>Answer</summary>The last one: <code>logits.softmax(-1)</code>.</details>
# 3. With a discount of 0.97, about how many steps count?
#    <details><summary>Answer</summary>1 / (1 − 0.97) ≈ 33, the horizon.</details>

# %% [markdown]
# ## 1 A habit, and what it costs to leave it
#
# A [policy](glossary.md#policy) $\pi$ says with which probability an agent takes each action. A
# [prior](glossary.md#prior) $\pi_0$ is a policy too, but one that the agent has before it knows
# its task: a habit. To act unlike your habit takes attention. The price is counted by the
# [KL divergence](glossary.md#kl-divergence): how much *more* surprised somebody is, on average, who
# expects the habit, than somebody who knows what the agent does. With natural logarithms its unit is
# the [nat](glossary.md#nat).
#
# Take four moves. The habit is uniform, 0.25 each. The agent moves up with probability 0.7, and
# with 0.1 each otherwise. An up-move is rarer under the habit, by $\log(0.7 / 0.25) = 1.03$; each
# other move is less rare, by $\log(0.1/0.25) = -0.92$. On average:
# $0.7 \cdot 1.03 - 0.3 \cdot 0.92 = 0.45$ nats.

# %%
kl_pictures.kl_terms(p=[0.7, 0.1, 0.1, 0.1], q=[0.25, 0.25, 0.25, 0.25])

# %% [markdown]
# How to read it: the right bars are the four terms, and their sum is the KL. Some terms are
# negative, the sum never is. As an equation, for distributions $p$ and $q$,
#
# $$\mathrm{KL}(p\,\|\,q) = \sum_a p(a)\,\big(\log p(a) - \log q(a)\big), \qquad 0 \log 0 = 0 .$$
#
# ### Exercise 01.categorical_kl: What it costs to leave a habit
# difficulty 1 · importance 5 · 8 minutes
#
# The inputs are *log*-probabilities, as everywhere in this course: products become sums, and
# nothing overflows. An action without probability has the log-probability $-\infty$. Its term must
# be 0, and `0 * (-inf)` is not.

# %%
@exercise("01.categorical_kl")
def categorical_kl(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """KL(p || q) in nats.

    Args:
        log_p: [..., A] log-probabilities of p; -inf where p is 0.
        log_q: [..., A] log-probabilities of q, finite.

    Returns:
        [...] one number per distribution.
    """
    ### BEGIN STUB
    # terms = ...                  # [..., A]
    # terms = torch.where(..., 0.0)
    ### END STUB
    ### BEGIN SOLUTION
    terms = log_p.exp() * (log_p - log_q)  # [..., A]
    terms = torch.where(log_p == -torch.inf, 0.0, terms)
    return terms.sum(-1)
    ### END SOLUTION


# %%
check(categorical_kl)

# %% [markdown] tags=["hints"]
# * Each term is a weight times a difference of logarithms. Which distribution is the weight?
# * Compute all terms at once, overwrite those where `log_p` is `-inf` by 0 with `torch.where`, and
#   sum over the last axis.

# %% [markdown]
# ### Predict, run, explain
#
# Is it as surprising to expect $q$ and see $p$, as to expect $p$ and see $q$? Let $p$ always take
# the first of two actions, and $q$ either with 0.5. What do the two directions give?

# %% tags=["nbval-check-output"]
p = torch.tensor([1.0, 0.0]).log()
q = torch.tensor([0.5, 0.5]).log()
print("KL(p || q) =", round(float(categorical_kl(p, q)), 4))
print("KL(q || p) =", float((q.exp() * (q - p)).sum()))  # your function asks for a finite log_q

# %% [markdown]
# <details><summary>Explanation</summary>log 2 ≈ 0.69 nats in one direction, infinity in the other.
# Somebody who expects both actions is a little surprised by one who only takes the first. Somebody
# who holds the second action to be impossible, and sees it, is infinitely surprised. So a policy
# may drop actions of its prior, and can never take up an action that the prior excludes. Keep this
# in mind for priors that are learned.</details>

# %% [markdown]
# ## 2 The best compromise in one state
#
# Each action promises a value $Q(a)$, and leaving the prior costs $\alpha$ per nat. The
# [temperature](glossary.md#temperature) $\alpha$ is an exchange rate: reward per nat. The agent
# wants
#
# $$\max_\pi \; \sum_a \pi(a)\, Q(a) \;-\; \alpha\, \mathrm{KL}(\pi \,\|\, \pi_0) .$$
#
# Take two actions with $Q = (1, 0)$, a uniform prior and $\alpha = 1$. Always taking the first
# gives $1 - \log 2 = 0.31$. Following the prior gives $0.5$. The best is in between: $\pi(1) =
# 0.73$, which gives $0.62$.

# %%
kl_pictures.one_state_objective(q=[1.0, 0.0], alphas=[0.25, 1.0, 4.0])

# %% [markdown]
# How to read it: each line is the objective for one $\alpha$, over all policies for two actions;
# the dot is its maximum. The solution has a closed form:
#
# $$\pi^*(a) = \pi_0(a)\, e^{(Q(a) - V) / \alpha}, \qquad
#   V = \alpha \log \sum_a \pi_0(a)\, e^{Q(a) / \alpha} .$$
#
# The [Boltzmann policy](glossary.md#boltzmann-policy) $\pi^*$ is the prior, tilted toward high
# values. The [soft value](glossary.md#soft-value) $V$ normalizes it, and it *is* the maximum.
#
# <details><summary>Why is it the maximum?</summary>Insert Q(a) = V + α log π*(a)/π₀(a) into the
# objective. It becomes V − α KL(π ‖ π*), for any π. The KL is never negative and is 0 only for
# π = π*, so the maximum is V, and π* attains it. No calculus was needed.</details>

# %% [markdown]
# | symbol | in code | meaning |
# | --- | --- | --- |
# | $\pi, \pi_0$ | `log_policy`, `log_prior` | log-probabilities `[..., A]` |
# | $Q$ | `q` | value of each action `[..., A]` |
# | $V$ | `value` | soft value `[...]` |
# | $\alpha$ | `alpha` | temperature, reward per nat, > 0 |
#
# ### Exercise 01.boltzmann_policy: The tilted prior
# difficulty 2 · importance 5 · 8 minutes
#
# Compute $\log \pi^*$ without ever forming $e^{Q/\alpha}$: with $Q = 1000$ and $\alpha = 0.1$ that
# number does not exist on a computer.

# %%
@exercise("01.boltzmann_policy")
def boltzmann_policy(q: torch.Tensor, log_prior: torch.Tensor, alpha: float) -> torch.Tensor:
    """The policy that solves the compromise in each state, in log space.

    Args:
        q: [..., A] value of each action.
        log_prior: [..., A] log-probabilities of the prior.
        alpha: temperature, > 0.

    Returns:
        [..., A] normalized log-probabilities.
    """
    ### BEGIN STUB
    # logits = ...                 # log of the prior times exp(Q / alpha)
    # return logits - ...          # normalized over actions
    ### END STUB
    ### BEGIN SOLUTION
    logits = log_prior + q / alpha
    return logits - logits.logsumexp(-1, keepdim=True)
    ### END SOLUTION


# %%
check(boltzmann_policy)

# %% [markdown] tags=["hints"]
# * The logarithm of a product is a sum. What is the logarithm of $\pi_0(a)\, e^{Q(a)/\alpha}$?
# * To normalize in log space, subtract the logarithm of the sum of exponentials over the action
#   axis: `torch.logsumexp` with `keepdim=True` computes it without overflow.

# %% [markdown]
# ### Predict, run, explain
#
# A prior favors the first of three actions, the values favor the last. Before you run the cell,
# draw the three probabilities as $\alpha$ grows from left to right.

# %%
q = torch.tensor([0.0, 0.6, 1.0])
log_prior = torch.tensor([0.7, 0.2, 0.1]).log()
kl_pictures.policy_against_alpha(boltzmann_policy, q, log_prior)

# %% [markdown]
# How to read it: each line is the probability of one action; the short dotted lines are the limits
# that you compute next.
#
# <details><summary>Explanation</summary>On the left, deviations are cheap and the agent takes the
# best action. On the right, they are expensive and the agent follows its prior. In between, the
# second action peaks: it is a compromise of its own, better than the first and less unlikely than
# the last.</details>
#
# ### Exercise 01.alpha_limits: The two ends of the slider
# difficulty 2 · importance 4 · 8 minutes
#
# Write down both ends exactly. Mind two details. A tie between best actions is not broken evenly:
# look at the ratio $\pi^*(a) / \pi^*(b)$ of two actions with the same $Q$. And an action that the
# prior excludes stays excluded.

# %%
@exercise("01.alpha_limits")
def alpha_limits(q: torch.Tensor, log_prior: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The limits of the Boltzmann policy for alpha to 0 and for alpha to infinity.

    Args:
        q: [..., A] value of each action.
        log_prior: [..., A] log-probabilities of the prior; -inf where it excludes an action.

    Returns:
        Two tensors [..., A] of normalized log-probabilities: (alpha to 0, alpha to infinity).
    """
    ### BEGIN STUB
    # allowed = ...                # Q, with -inf where the prior excludes the action
    # greedy = torch.where(..., log_prior, -torch.inf)
    ### END STUB
    ### BEGIN SOLUTION
    allowed = torch.where(log_prior == -torch.inf, -torch.inf, q)
    is_best = (allowed == allowed.amax(-1, keepdim=True)) & (log_prior != -torch.inf)
    greedy = torch.where(is_best, log_prior, -torch.inf)
    return greedy - greedy.logsumexp(-1, keepdim=True), log_prior
    ### END SOLUTION


# %%
check(alpha_limits)

# %% [markdown] tags=["hints"]
# * Among actions with the same Q, the factor $e^{Q/\alpha}$ is the same for every $\alpha$. What is
#   left of the ratio of their probabilities?
# * Keep `log_prior` where the action is the best of those the prior allows, put `-inf` elsewhere,
#   and normalize as before. The other limit needs no computation.

# %% [markdown]
# A **uniform prior** is a special case you may have met under another name. Then
# $\mathrm{KL}(\pi\|\pi_0) = \log A - H(\pi)$ with the entropy $H(\pi) = -\sum_a \pi(a)\log\pi(a)$
# and the number of actions $A$: paying for the KL is being paid for entropy, up to a constant.
# This is *entropy-regularized* RL. **Predict**: by how much do the two values below differ, for
# $\alpha = 0.5$ and three actions?

# %% tags=["nbval-check-output"]
alpha, q = 0.5, torch.tensor([0.0, 0.6, 1.0])
uniform = torch.full((3,), 1 / 3).log()
kl_value = alpha * torch.logsumexp(uniform + q / alpha, -1)
entropy_value = alpha * torch.logsumexp(q / alpha, -1)
print(f"KL: {kl_value:.4f}  entropy: {entropy_value:.4f}  difference: {entropy_value - kl_value:.4f}")

# %% [markdown]
# <details><summary>Explanation</summary>By α log A = 0.5 · log 3 = 0.549, in every state. While all
# episodes have the same length, the two objectives rank policies alike. Where a policy can end an
# episode early they do not: entropy pays α log A for each step survived. Notebook 03 comes back to
# this.</details>

# %% [markdown]
# ## 3 From one state to many
#
# Now actions have consequences. The [KL-regularized
# objective](glossary.md#kl-regularized-objective) adds up rewards and prices along the way:
#
# $$\mathcal{L}(\pi) = \mathbb{E}_\pi \sum_t \gamma^t \big( r_t - \alpha\,
#   \mathrm{KL}[\pi(\cdot|s_t)\,\|\,\pi_0(\cdot|s_t)] \big) .$$
#
# In each state the compromise is the one of section 2, if $Q$ counts everything to come. That gives
# two equations, which hold for the optimum and no other functions:
#
# $$Q(s,a) = r(s,a) + \gamma \sum_{s'} P(s'|s,a)\, V(s'), \qquad
#   V(s) = \alpha \log \sum_a \pi_0(a|s)\, e^{Q(s,a)/\alpha},$$
#
# with $V = 0$ in a *terminal* state, where an episode ends. States, actions, rewards $r$ and
# *transition* probabilities $P$ together are a *Markov decision process*, `mdp` in code. Ours is the
# map with the bridge.

# %%
grid = Gridworld.named("bridge")
mdp = grid.mdp()  # goal: reward 1, pit: reward -1, both end the episode
log_prior = grid_priors.uniform(grid)  # [S, A]
discount = 0.97
print(f"{mdp.num_states} states, {mdp.num_actions} actions")
print("rewards", list(mdp.expected_reward().shape), "transitions", list(mdp.transition_tensor().shape))

# %% [markdown]
# ### Exercise 01.soft_backup: One sweep over all states
# difficulty 3 · importance 5 · 10 minutes
#
# One application of both equations, from any $V$ to the next. The model is exact: `P[s, a, s2]`
# from `mdp.transition_tensor()` is the probability of arriving in `s2`, and `mdp.continues` is 0 in
# terminal states and 1 elsewhere.

# %%
@exercise("01.soft_backup")
def soft_backup(mdp, value, log_prior, alpha: float, discount: float):
    """One sweep of KL-regularized value iteration.

    Args:
        mdp: rewards `mdp.expected_reward()` [S, A], transitions `mdp.transition_tensor()`
            [S, A, S], and `mdp.continues` [S].
        value: [S] the current V, 0 in terminal states.
        log_prior: [S, A].

    Returns:
        q [S, A] from `value`, and the new V [S] from q.
    """
    ### BEGIN STUB
    # q = ... + discount * ...     # [S, A]
    # new_value = ...              # [S]
    ### END STUB
    ### BEGIN SOLUTION
    q = mdp.expected_reward() + discount * mdp.transition_tensor() @ value
    new_value = alpha * torch.logsumexp(log_prior + q / alpha, -1)
    return q, mdp.continues * new_value
    ### END SOLUTION


# %%
check(soft_backup)

# %% [markdown] tags=["hints"]
# * First Q from the old V with the model, then the new V from Q with the prior. Which axis of
#   `P[s, a, s2]` belongs to `value[s2]`?
# * `P @ value` sums over the last axis of P. The soft value is `alpha * logsumexp(...)` over
#   actions, with the prior inside, and `mdp.continues` sets it to 0 in terminal states.

# %% [markdown]
# ### Exercise 01.soft_value_iteration: To the fixed point
# difficulty 2 · importance 4 · 8 minutes
#
# Each sweep shrinks the *largest* error over all states by at least the factor $\gamma$. So start
# anywhere, and repeat until nothing changes.

# %%
@exercise("01.soft_value_iteration")
def soft_value_iteration(mdp, log_prior, alpha: float, discount: float, tolerance: float = 1e-10):
    """Solves the KL-regularized problem by repeating `soft_backup`.

    Args:
        mdp, log_prior, alpha, discount: as in `soft_backup`.
        tolerance: stop when no state's V changes by more than this in one sweep.

    Returns:
        q [S, A] and V [S] of the solution.
    """
    ### BEGIN STUB
    # value = torch.zeros_like(mdp.initial)   # [S]
    # while True:
    #     ...
    ### END STUB
    ### BEGIN SOLUTION
    value = torch.zeros_like(mdp.initial)  # [S]
    while True:
        q, new_value = soft_backup(mdp, value, log_prior, alpha, discount)
        change = (new_value - value).abs().max()
        value = new_value
        if change <= tolerance:
            return q, value
    ### END SOLUTION


# %%
check(soft_value_iteration)

# %% [markdown] tags=["hints"]
# * You need the old V and the new one at the same time, to compare them.
# * In a loop: call `soft_backup`, take the largest absolute change, keep the new V, and return when
#   the change is at most the tolerance.

# %% [markdown]
# ### Predict, run, explain
#
# Crossing the bridge takes five steps with a pit on either side. On the way around, a wrong step
# costs nothing but time. Which way does the optimal policy take at $\alpha = 0.02$, and which at
# $\alpha = 0.2$?

# %%
figure, axes = plt.subplots(2, 3, figsize=(9, 4.6))
for row, alpha in zip(axes, (0.02, 0.2), strict=True):
    q, value = soft_value_iteration(mdp, log_prior, alpha, discount)
    log_policy = boltzmann_policy(q, log_prior, alpha)
    draw_policy(row[0], grid, log_policy.exp())
    draw_values(row[1], grid, value, limits=(-0.4, 1.0))
    visits = tabular.visitation(mdp, log_policy, discount)
    draw_visitation(row[2], grid, visits, highest=0.15)
    row[0].set_title(f"policy, α = {alpha}")

# %% [markdown]
# How to read it: arrows are probabilities of moves; colors are the value and the
# [visitation](glossary.md#visitation), how often the policy visits, on a scale that brings out rare
# visits.
#
# <details><summary>Explanation</summary>At 0.02 it takes the bridge, at 0.2 it goes around. On the
# bridge two of four moves lead into a pit, so at any α the agent must exclude half of what its habit
# does, at five steps: at least log 2 = 0.69 nats each. On the way around it has a choice: hurry and
# pay as much, or amble almost for free. At 0.02 hurrying is cheap and the shorter way wins. At 0.2
# ambling wins.</details>

# %% [markdown]
# ## 4 Is it really the optimum?
#
# So far you have trusted two equations. Now test them: compute the objective $\mathcal{L}(\pi)$ of
# any policy exactly, without the equations above. Under a fixed policy each state pays
# $r_\pi(s) = \sum_a \pi(a|s)\, r(s,a) - \alpha\,\mathrm{KL}[\pi(\cdot|s)\|\pi_0(\cdot|s)]$ and is followed by others with
# $P_\pi(s'|s) = \sum_a \pi(a|s) P(s'|s,a)$. The value obeys $V = r_\pi + \gamma P_\pi V$, and that
# is a linear system:
#
# $$(I - \gamma P_\pi)\, V = r_\pi .$$
#
# ### Exercise 01.policy_value: The objective, exactly
# difficulty 3 · importance 4 · 12 minutes
#
# Terminal states pay nothing and lead nowhere: their row of $P_\pi$ and their $r_\pi$ are 0.

# %%
@exercise("01.policy_value")
def policy_value(mdp, log_policy, log_prior, alpha: float, discount: float) -> torch.Tensor:
    """The exact KL-regularized value of any policy, by one linear solve.

    Args:
        mdp: as in `soft_backup`.
        log_policy: [S, A] the policy to evaluate.
        log_prior: [S, A].

    Returns:
        V [S], 0 in terminal states.
    """
    ### BEGIN STUB
    # policy = log_policy.exp()    # [S, A]
    # reward = ...                 # r_pi [S]
    # kernel = ...                 # P_pi [S, S]
    # return torch.linalg.solve(..., ...)
    ### END STUB
    ### BEGIN SOLUTION
    policy = log_policy.exp()  # [S, A]
    cost = alpha * categorical_kl(log_policy, log_prior)
    reward = mdp.continues * ((policy * mdp.expected_reward()).sum(-1) - cost)  # [S]
    kernel = torch.einsum("sa,sat->st", policy, mdp.transition_tensor())  # [S, S]
    kernel = mdp.continues[:, None] * kernel
    identity = torch.eye(mdp.num_states, dtype=kernel.dtype)
    return torch.linalg.solve(identity - discount * kernel, reward)
    ### END SOLUTION


# %%
check(policy_value)

# %% [markdown] tags=["hints"]
# * Write down $r_\pi$ and $P_\pi$ for one state first. Both are averages over actions with the
#   weights `policy`.
# * `torch.einsum("sa,sat->st", policy, P)` averages the transition tensor. Multiply the rows of
#   terminal states by 0 with `mdp.continues[:, None]`, and solve with `torch.linalg.solve`.

# %% [markdown]
# ### Predict, run, explain
#
# The next cell compares the $V$ of your value iteration with the exact objective of its policy, in
# every state. Then it changes the policy at random, a little or a lot, 200 times. How many of the
# changed policies do better?

# %%
alpha = 0.1
q, value = soft_value_iteration(mdp, log_prior, alpha, discount)
log_policy = boltzmann_policy(q, log_prior, alpha)
exact = policy_value(mdp, log_policy, log_prior, alpha, discount)
print(f"largest difference between V and the objective: {(value - exact).abs().max():.1e}")
kl_pictures.perturbed_policies(
    lambda changed: policy_value(mdp, changed, log_prior, alpha, discount), mdp, log_policy
)

# %% [markdown]
# How to read it: each point is a changed policy. To the right it is further from $\pi^*$, and its
# height is what it loses against $\pi^*$ in the start state. Both axes are logarithmic, so a point that gained could
# not be drawn; the title counts such policies.
#
# <details><summary>Explanation</summary>Every change loses, and the closer a policy is to π*, the
# less. The difference of V and the objective is what the tolerance of 1e-10 leaves. Two hundred
# trials are no proof; the argument of section 2, applied in every state, is one.</details>

# %% [markdown]
# ### What α trades
#
# With exact solutions you can draw the whole trade: for each $\alpha$, what the best policy earns,
# how far it is from its prior, and which way it takes. The *wall prior* prefers moves that end
# beside a wall. **Predict**: does it leave the bridge at a smaller or a larger $\alpha$ than the
# uniform one?

# %%
config = alpha_tradeoff.PRESETS[preset()]
folder = results_folder("alpha_tradeoff", config, soft_value_iteration)
alpha_tradeoff.run(config, folder, solve=soft_value_iteration)
alpha_tradeoff.plot(folder, load_reference("alpha_tradeoff"))

# %% [markdown]
# How to read it: all three panels share the horizontal axis, $\alpha$ on a logarithmic scale. The
# right panel shows which share of the visits goes over the bridge rather than around; the dashed
# lines are the shipped ones, and yours should lie on them.
#
# <details><summary>Explanation</summary>At a smaller one. The way around runs along walls, so the wall prior
# takes it almost for free, while the bridge has none. Between α = 0.02 and 0.1 this caution costs it
# some return. From 0.1 to 1 it earns more, since it still gets somewhere where the uniform prior
# only wanders. At the far right both are nothing but their priors, and neither is good: the uniform
# one even strays onto the bridge again.</details>

# %% [markdown]
# ## The widget
#
# Policy, value and visitation follow the slider at once. Choose a prior, choose a map, or draw your
# own with the pad. **Your tasks**: (1) On *bridge* with the uniform prior, find the $\alpha$ at which
# as many visits go around as over the bridge. (2) At $\alpha = 1$, wall up the bridge in its middle,
# then at its first cell instead. What happens to the objective, and why? (3) On *four rooms* at
# $\alpha = 0.1$, compare the objectives of the three priors. The last one was learned on goals near
# the star, but not on the star.

# %%
explorer = SoftPolicyExplorer("bridge")
explorer

# %% [markdown]
# <details><summary>Answers</summary>(1) At 0.1: there the share of the bridge passes one half (the
# right panel above). (2) A wall in the middle changes nothing: at this α nobody crosses. A wall at
# the first cell raises the objective above 0: the wanderer can no longer stray to the pits. (3)
# About 0.03, 0.07 and 0.28. Following the walls leads through some doors; a prior from related
# tasks also knows which.</details>

# %% [markdown]
# ## 5 Learning without the map
#
# An agent rarely knows $P$. It acts, sees one transition $(s, a, r, s')$ at a time, and moves its
# estimate toward a **target** computed from that sample:
#
# $$Q(s,a) \leftarrow Q(s,a) + \eta\,\big(y - Q(s,a)\big), \qquad
#   y = r + \gamma\, V(s'), \quad V(s') = \alpha \log \sum_a \pi_0(a|s')\, e^{Q(s',a)/\alpha} .$$
#
# $Q$ is a table with one number for each state and action, and $\eta$ is the learning rate. The agent
# acts by its own Boltzmann policy. Before the first reward $Q = 0$,
# and it does what its prior does: **the prior is its exploration**.
#
# ### Exercise 01.soft_q_target: The sampled backup
# difficulty 2 · importance 5 · 6 minutes
#
# Write the target $y$ for a batch. The discount is 0 where the episode ended.

# %%
@exercise("01.soft_q_target")
def soft_q_target(reward, discount, next_q, next_log_prior, alpha: float) -> torch.Tensor:
    """The target of soft Q-learning.

    Args:
        reward: [B] received in this transition.
        discount: [B] gamma, or 0.0 where the episode ended.
        next_q: [B, A] current estimates in the state that followed.
        next_log_prior: [B, A] log-probabilities of the prior there.

    Returns:
        [B] targets y.
    """
    ### BEGIN STUB
    # next_value = ...             # [B]
    ### END STUB
    ### BEGIN SOLUTION
    next_value = alpha * torch.logsumexp(next_log_prior + next_q / alpha, -1)
    return reward + discount * next_value
    ### END SOLUTION


# %%
check(soft_q_target)

# %% [markdown] tags=["hints"]
# * You wrote the soft value before, in `soft_backup`.
# * The soft value of the next state, times the discount, plus the reward. The discount of 0 takes
#   care of the end.

# %% [markdown]
# ## The experiment
#
# A house with four rooms, a start at the top left, and a goal in the lower right room. Episodes are
# cut off after 100 steps, so a random walk rarely gets there. The agent gets goals it has never
# seen. Its prior was learned on *other* goals, in the same room, all over the house or in another
# room: each was solved exactly, and their policies were averaged, each with the weight of how
# often it visits a cell (you derive this average in notebook 02). One learner, one $\alpha$, four priors:

# %%
config = prior_transfer.PRESETS[preset()]
rooms = Gridworld.named(config.map).with_goals(config.held_out[-1:])
figure, axes = plt.subplots(2, 2, figsize=(7.6, 7.3))
for ax, name in zip(axes.flat, config.priors, strict=True):
    habit = prior_transfer.make_prior(config, name, config.held_out[-1])
    draw_policy(ax, rooms, habit.exp())
    ax.set_title(prior_transfer.LABELS[name])

# %% [markdown]
# How to read it: arrows are the habits before the agent has seen the new goal, the star. They are
# weak pushes, and they add up over many steps. **Predict**: how many episodes does each need until it
# earns 80% of the best return? Does it matter whether the other goals were in the same room?
#
# The next cell runs your functions on five goals with 20 seeds each, about two minutes at `laptop`. It
# shows its progress. If you stop it and run it again, it goes on where it was.

# %%
prior_alpha = 0.1  # a switch: set it to 0.01 after the first run
chosen, shown = replace(config, prior_alpha=prior_alpha), "Run the cell above to its end first."
folder = results_folder("prior_transfer", chosen, boltzmann_policy, soft_q_target)
pieces = {"policy": boltzmann_policy, "target": soft_q_target}
if prior_transfer.run(chosen, folder, **pieces):
    shown = prior_transfer.table(folder)
    display(prior_transfer.plot(folder, load_reference("prior_transfer")))

# %%
print(shown)

# %% [markdown]
# How to read it: left, the exact return of the current policy, as a share of the best possible one,
# averaged over the goals; your lines should lie on the dashed shipped ones. Right and in the table,
# the episodes until 80%, with 95% intervals over seeds. A run that never gets there counts as 300.
#
# <details><summary>Explanation</summary>With a habit from related goals the agent meets a new goal in its
# first episodes, and needs about a quarter of the episodes for every one of the five. The room hardly
# matters: most of what there is to know is the way through the doors. With the uniform prior most
# episodes end before anything is found, and without a reward there is nothing to learn from. The
# habit of another room walks the wrong way, and is no better than none. The gain is not free: the
# other tasks had to be solved first. That is paid once, and serves every later goal.</details>
#
# **Flip a switch**: set `prior_alpha = 0.01`, and run the last two cells again (two more minutes).
# The other tasks are then solved more decidedly, and so is the prior. Better or worse?
#
# <details><summary>Answer</summary>Worse on average, about 90 episodes instead of 65, and less
# even. The goals to which the habit leads straight are found at once: (11, 11) in 2 episodes. The one
# it walks past, (8, 7), takes over 200, hardly better than no habit at all. A prior that is too sure
# is a bet, and what it gives almost no probability is hardly ever tried.</details>

# %% [markdown]
# ## In the paper
#
# Tirumala et al. learn such priors with neural networks, on bodies that walk and push boxes. They
# find that a prior that carries over what tasks have in common speeds up the learning of new ones,
# and that what the prior is *not shown* decides what it learns. Our figure agrees in direction, at
# another scale: a table of 104 cells instead of a humanoid with 23 degrees of freedom.
#
# Deviations: the paper learns policy and prior together from samples. Here the prior comes from exact
# solutions and stays fixed. The paper does not name the sampled backup; it is Q-learning with the
# soft value.

# %%
progress()

# %% [markdown]
# ## Recap
#
# * A prior is a habit, the KL is what it costs to leave it, and $\alpha$ is the exchange rate.
# * In one state the best compromise is $\pi_0\, e^{(Q - V)/\alpha}$, and the soft value $V$ is what
#   it is worth.
# * Over many states the same compromise, with $Q$ counting everything to come, is the exact optimum.
# * $\alpha \to 0$ is ordinary RL within the prior's support; $\alpha \to \infty$ is the prior.
# * A prior explores for the learner. One from related tasks can save most of the episodes, one from
#   unrelated tasks saves none, and one that is too sure hides what it has not seen.
#
# | equation | function | file |
# | --- | --- | --- |
# | $\mathrm{KL}(p\|q)$ | `categorical_kl` | `rlcourse/ops/kl.py` |
# | $\pi_0 e^{(Q-V)/\alpha}$, $V$ | `boltzmann_log_policy`, `soft_value` | `rlcourse/ops/kl.py` |
# | soft backup, value iteration | `soft_backup`, `soft_value_iteration` | `rlcourse/klrl/tabular.py` |
# | $\mathcal{L}(\pi)$ | `evaluate_policy` | `rlcourse/klrl/tabular.py` |
# | sampled target | `soft_q_learning_target` | `rlcourse/ops/targets.py` |

# %% [markdown]
# New in the [glossary](glossary.md): [policy](glossary.md#policy), [prior](glossary.md#prior),
# [KL divergence](glossary.md#kl-divergence), [nat](glossary.md#nat),
# [temperature](glossary.md#temperature), [Q-value](glossary.md#q-value),
# [soft value](glossary.md#soft-value), [Boltzmann policy](glossary.md#boltzmann-policy),
# [visitation](glossary.md#visitation).
#
# **Stretch** (no check). (1) Let moves slip: `grid.mdp(slip=0.2)`. At which $\alpha$ does the agent
# now leave the bridge, and why? (2) Learn the prior again from the policies that were regularized
# toward the first one, and iterate. Does it converge? (3) Anneal $\alpha$ during learning: start
# large to follow the prior, end small. Do you beat the best fixed $\alpha$?
#
# **Further reading.** Tirumala et al. (arXiv 2010.14274), sections on the objective and on
# information asymmetry: where this course goes next. Teh et al., *Distral* (arXiv 1707.04175): many
# tasks share one prior, notebook 02. Levine, *Reinforcement Learning and Control as Probabilistic
# Inference* (arXiv 1805.00909): the same equations read as inference.
