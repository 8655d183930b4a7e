# %% [markdown]
# ## What you will build
#
# Three agents that push a mass with inertia to a target: SAC, MPO, and SVG(0) with Retrace. (SVG is
# for *stochastic value gradient*, 0 for no steps of a model.) They look unalike in their papers.
# Here they solve *one* problem, the one of notebook 01, and differ in what the agent is held close
# to. You write their losses and targets, and run them side by side. The picture is the end of this
# notebook.

# %%
from dataclasses import replace
from math import log

import torch
from IPython.display import display
from torch.nn.functional import softplus

from rlcourse.course.exercise import check, exercise
from rlcourse.course.progress import progress
from rlcourse.course.results import results_folder
from rlcourse.course.setup import preset
from rlcourse.envs.control import PointMass
from rlcourse.experiments import control_agents, reference
from rlcourse.viz import control_pictures
from rlcourse.viz.control import play
from rlcourse.viz.control_animation import animate
from rlcourse.viz.estep_widget import EStepExplorer

# %%
control_agents.plot_shipped(reference.load_reference("control_agents"))

# %% [markdown]
# How to read it: each line is the share of test episodes in which the agent reaches its target,
# mean over seeds; the band is its 95% interval. All get there. The one with a *prior* that
# points the way needs the fewest steps.
#
# When you are done, you can
#
# * compute the log-probability of a bounded action, also where rounding destroys the naive formula;
# * explain why SAC's entropy is a KL to the uniform prior, and when the difference matters;
# * weigh sampled actions so that the policy improves within a bound, and find the temperature;
# * learn values from old data with Retrace, and say when it cuts its traces;
# * write one policy loss that takes any prior.

# %% [markdown]
# ## Warm-up
#
# 1. Which policy maximizes $\sum_a \pi(a) Q(a) - \alpha\,\mathrm{KL}(\pi\|\pi_0)$, and what is the
#    maximum?
#    <details><summary>Answer</summary>π₀ exp((Q − V)/α), and the maximum is
#    V = α log Σ π₀ exp(Q/α).</details>
# 2. What does a uniform prior turn the KL into?
#    <details><summary>Answer</summary>log A minus the entropy: the agent is paid for entropy, up to
#    a constant.</details>
# 3. A batch is `[T, B]`. Over which axis does a recursion over time run, and in which direction?
#    <details><summary>Answer</summary>Over axis 0, from the last step to the first.</details>

# %% [markdown]
# ## 1 A world that pushes back
#
# A mass of 1 kg slides in a square arena. An action is a thrust along x and y, each in $[-1, 1]$.
# The mass has inertia and drag: it needs about a quarter of a second to take up speed, and as long
# to lose it. A step lasts 0.05 s. The physics is MuJoCo's.
#
# The world shows named groups of numbers. *proprio* is the mass's own position and velocity.
# *targets* is the way to each of four targets. *task* is the way to the one that counts. Groups
# stay apart, since in later notebooks a prior may see some and not others. Our agents see *proprio*
# and *task* only. Many instances run as one batch.

# %% tags=["nbval-check-output"]
task = control_agents.PRESETS[preset()].task
env = PointMass(3, torch.Generator().manual_seed(0), task)
step = env.reset()
for name, group in step.obs.items():
    print(f"{name:8} {list(group.shape)}")
print("reward  ", step.reward.tolist(), " discount", step.discount.tolist())

# %% [markdown]
# ### Predict, run, explain
#
# The reward is *sparse*: 1 on arrival and 0 everywhere else. Arrival ends the episode with discount
# 0: nothing follows. After five seconds, 100 steps, an episode is cut off with discount 1: it could
# have gone on, and its last state keeps its value. How often does an agent get there that draws its
# thrust uniformly at random?

# %%
generator = torch.Generator().manual_seed(1)
played = play(env, lambda step: 2 * torch.rand(3, 2, generator=generator) - 1, 100)
config = control_agents.PRESETS[preset()]
share, _ = control_agents.prior_alone(config, "svg0_uniform", sample=True, num_episodes=256)
print(f"random thrust reaches the target in {share:.0%} of 256 episodes")
animate(task, [episodes[0] for episodes in played], ["random thrust"] * 3)

# %% [markdown]
# How to read it: the black disc is the mass, the ring marks the target that counts, and the line is
# the path so far.
#
# <details><summary>Explanation</summary>In 11%. Each thrust lasts a twentieth of a second, the next
# one points elsewhere, and inertia averages them out: the mass dithers where it started. This is
# all the reward that a beginner sees.</details>

# %% [markdown]
# ## 2 A distribution on bounded actions
#
# SAC and SVG(0) need a density on $[-1, 1]$. Draw $u$ from a Gaussian and squash it: $a =
# \tanh(u)$. This is a [squashed Gaussian](glossary.md#squashed-gaussian). What is the density of
# $a$? Take $u = 1$ from a standard normal. Its density there is 0.242. The tanh has slope $1 -
# \tanh(1)^2 = 0.42$ at that point: a short piece of $u$ lands on a piece of $a$ that is 0.42 times
# as long, with the same probability in it. So the density of $a = 0.76$ is $0.242 / 0.42 = 0.576$.
# Count to see:

# %% tags=["nbval-check-output"]
u = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
near = ((u.tanh() - 0.7616).abs() < 0.01).double().mean()
print(f"share of actions within 0.01 of 0.7616, per unit of length: {near / 0.02:.2f}")

# %% [markdown]
# In logarithms, and for actions with several independent dimensions $d$:
#
# $$\log \pi(a) = \sum_d \Big[ \log \mathcal{N}(u_d;\, m_d, \sigma_d) - \log\big(1 - \tanh(u_d)^2\big)
#   \Big] .$$
#
# Here $m_d$ and $\sigma_d$ are mean and stddev of $u_d$. For $u = 10$, $\tanh(u)$ rounds to 1 in
# float32, and the logarithm of the slope becomes $-\infty$. Written as $\log\big(1 -
# \tanh(u)^2\big) = 2\,(\log 2 - u - \mathrm{softplus}(-2u))$, it survives.
#
# <details><summary>Why are they equal?</summary>tanh u = (1 − e⁻²ᵘ)/(1 + e⁻²ᵘ), so
# 1 − tanh² u = 4 e⁻²ᵘ/(1 + e⁻²ᵘ)². Its logarithm is 2 log 2 − 2u − 2 log(1 + e⁻²ᵘ), and
# softplus(x) = log(1 + eˣ).</details>

# %% [markdown]
# ### Exercise 03.squashed_log_prob: The density of a squashed action
# difficulty 2 · importance 4 · 12 minutes
#
# You get $u$, not $a$: an agent keeps it when it draws an action. A Gaussian's log-density is
# $-\frac12 \big(\frac{u - m}{\sigma}\big)^2 - \log \sigma - \frac12 \log 2\pi$.


# %%
@exercise("03.squashed_log_prob")
def squashed_log_prob(pre_tanh, mean, std) -> torch.Tensor:
    """log-density of the action tanh(u), in nats.

    Args:
        pre_tanh: [..., D] u.
        mean, std: [..., D] of the Gaussian over u; std > 0.

    Returns:
        [...] the sum over the D dimensions of the action.
    """
    ### BEGIN STUB
    # log_normal = ...             # [..., D] of u
    # log_slope = ...              # [..., D] log(1 - tanh(u)^2), in its stable form
    ### END STUB
    ### BEGIN SOLUTION
    distance = (pre_tanh - mean) / std
    log_normal = -0.5 * distance.square() - std.log() - 0.5 * log(2 * torch.pi)  # [..., D]
    log_slope = 2 * (log(2) - pre_tanh - softplus(-2 * pre_tanh))  # [..., D]
    return (log_normal - log_slope).sum(-1)
    ### END SOLUTION


# %%
check(squashed_log_prob)

# %% [markdown] tags=["hints"]
# * Where tanh is flat, many u share few a. Does that make the density of a larger or smaller?
# * Compute the Gaussian's log-density and the logarithm of the slope, both `[..., D]`, subtract the
#   second from the first, and sum over the last axis. `std.log()`, `log(2)` and `softplus` are
#   here.

# %% [markdown]
# ### Predict, run, explain
#
# Three Gaussians with mean 0 and stddevs 0.4, 0.88 and 2. Sketch the three densities of the action.
# Which is closest to uniform?

# %%
control_pictures.squashed_densities(squashed_log_prob, stds=(0.4, 0.88, 2.0))

# %% [markdown]
# How to read it: left, the density of $u$; right, the density of the action by your function.
#
# <details><summary>Explanation</summary>The narrow one stays a bump. The wide one piles up at both
# ends: most u are so large that tanh sends them close to −1 or 1. In between, near 0.88, the
# density is flat. "As random as possible" is a certain width here, and a wider Gaussian is less
# random.</details>

# %% [markdown]
# ## 3 One objective, three reference behaviors
#
# In one state the agent solves the problem of notebook 01, now with a density over actions:
# $\max_\pi \mathbb{E}_{a\sim\pi}[Q(a)] - \alpha\,\mathrm{KL}(\pi\|\pi_0)$. Its solution is
# $\pi^* \propto \pi_0\, e^{Q/\alpha}$ as before. What is $\pi_0$?
#
# | reference $\pi_0$ | algorithm | how it fits a network to $\pi^*$ |
# | --- | --- | --- |
# | uniform on $[-1,1]^D$ | SAC | follows the gradient of the objective |
# | the agent's own last policy | MPO | weighs samples of $\pi_0$, then imitates them |
# | any prior | SVG(0) with Retrace | follows the gradient of the objective |

# %%
control_pictures.three_references(alpha=0.25)

# %% [markdown]
# How to read it: the dashed hill is $Q$, the same in each panel; the shaded area is the reference,
# the line is the best compromise with it, and $V$ is what that is worth.

# %% [markdown]
# ### SAC: the uniform reference
#
# The uniform density on $[-1, 1]^D$ is $2^{-D}$ everywhere, so $\log \pi_0 = -D \log 2$ and
#
# $$-\alpha \log \pi(a|s) = -\alpha \log \frac{\pi(a|s)}{\pi_0(a)} + \alpha D \log 2 .$$
#
# Paying for the KL to the uniform prior is being paid $-\alpha\log\pi$, whose mean is $\alpha$
# times the [entropy](glossary.md#entropy), up to a constant. A constant *per step* is harmless
# while all episodes have the same length. Ours end on arrival.
#
# **Predict**: the policy is uniform, so that $-\log\pi = 2 \log 2$ per step, and $\gamma$ is 0.95.
# What is it worth to SAC never to arrive?

# %% tags=["nbval-check-output"]
discount, dimensions = 0.95, 2
for alpha in (1.0, 0.02):
    wandering = alpha * dimensions * log(2) / (1 - discount)
    print(f"alpha {alpha:4}: wandering forever is worth {wandering:.2f}, arriving now 1.00")

# %% [markdown]
# <details><summary>Explanation</summary>α D log 2 = 1.39 α per step, and 1/(1 − 0.95) = 20 steps
# count. At α = 1 the entropy is worth 28 arrivals, and the agent wanders for the sake of it. At
# 0.02 it is worth half of one. With the KL to the uniform prior instead, wandering is worth 0 at
# any α. So our SAC starts at α = 0.02. SAC then learns α: it raises it where the policy's entropy
# is below a bound, and lowers it where it is above. The bound is −2 nats, −1 per dimension; the
# uniform policy has +1.39, so the policy may become narrow.</details>
#
# A [critic](glossary.md#critic) is a network for $Q$. SAC keeps two, $Q_1$ and $Q_2$, and trusts
# the smaller: the policy seeks out errors that are too high. The target comes from slow copies
# $Q'_i$, the [target networks](glossary.md#target-network), and from an action $a'$ that the policy
# draws in the next state:
#
# $$y = r + \gamma \big( \min_i Q'_i(s', a') - \alpha \log \pi(a'|s') \big) .$$
#
# | symbol | in code | |
# | --- | --- | --- |
# | $r, \gamma$ | `reward`, `discount` | `[B]`, over a batch of $B$ transitions |
# | $Q'_i(s', a')$ | `next_q[i]` | `[2, B]`, $i$ counts the two critics |
# | $\log \pi(a'\vert s')$ | `next_log_prob` | `[B]` |
# | $\alpha$ | `temperature` | reward per nat |

# %% [markdown]
# ### Exercise 03.sac_target: What the critics learn
# difficulty 1 · importance 5 · 6 minutes
#
# `discount` is $\gamma$ times the environment's own discount, as always: 0 on arrival, and $\gamma$
# also where the five-second limit cuts the episode off.


# %%
@exercise("03.sac_target")
def sac_target(reward, discount, next_q, next_log_prob, temperature) -> torch.Tensor:
    """The target of both critics.

    Args:
        reward, discount: [B].
        next_q: [2, B] of both target critics, for an action drawn in the next state.
        next_log_prob: [B] log-probability of that action.
        temperature: alpha.

    Returns:
        [B] targets y.
    """
    ### BEGIN STUB
    # next_value = ...             # [B]
    ### END STUB
    ### BEGIN SOLUTION
    next_value = next_q.amin(0) - temperature * next_log_prob
    return reward + discount * next_value
    ### END SOLUTION


# %%
check(sac_target)

# %% [markdown] tags=["hints"]
# * Everything in the large parentheses belongs to the next state. What stops it at the end?
# * The smaller critic is `next_q.amin(0)`. Subtract the temperature times the log-probability, then
#   multiply by the discount, and add the reward.

# %% [markdown]
# The policy maximizes the objective in each state by its gradient. Draw noise $\xi$ from a standard
# normal and write the action as $a = \tanh(m + \sigma\,\xi)$. Then it is a differentiable function
# of $m$ and $\sigma$, and the slope of $Q$ says which way to move them. This is the
# [reparameterization](glossary.md#reparameterization).
#
# ### Exercise 03.sac_policy_loss: What the policy learns
# difficulty 1 · importance 5 · 6 minutes
#
# Write the loss: minus the objective, averaged over the batch. Take the smaller critic again. The
# gradient must reach both inputs: $Q$ through the action, and the log-probability.


# %%
@exercise("03.sac_policy_loss")
def sac_policy_loss(q, log_prob, temperature) -> torch.Tensor:
    """The loss of SAC's policy.

    Args:
        q: [2, B] of both critics at actions drawn by reparameterization, with gradient.
        log_prob: [B] log-probabilities of these actions, with gradient.
        temperature: alpha.

    Returns:
        [] the mean over the batch.
    """
    ### BEGIN STUB
    # objective = ...              # [B]
    ### END STUB
    ### BEGIN SOLUTION
    objective = q.amin(0) - temperature * log_prob  # [B]
    return -objective.mean()
    ### END SOLUTION


# %%
check(sac_policy_loss)

# %% [markdown] tags=["hints"]
# * It is the same expression as the next value in the target, now for the current state.
# * Take the smaller critic in each state, subtract the price of the log-probability, and average.
#   That is to be large, and a loss is to be small. Detach nothing.

# %% [markdown]
# ## 4 MPO: stay close to yourself
#
# MPO's reference is the agent's own last policy $\pi_k$, a Gaussian without a tanh: its actions are
# clipped to $[-1, 1]$. The best policy near it is $\pi^+(a) \propto \pi_k(a)\, e^{Q(a)/\eta}$, with
# the temperature called $\eta$ (not 01's learning rate). MPO never differentiates $Q$. It draws $N$
# actions from $\pi_k$ and *weighs* them. As they come from $\pi_k$ already, only $e^{Q/\eta}$ is
# left to weigh by. This is the [E-step](glossary.md#e-step):
#
# $$w_i = \frac{e^{Q(s, a_i)/\eta}}{\sum_j e^{Q(s, a_j)/\eta}} .$$
#
# On paper: two samples with $Q = (1, 0)$ and $\eta = 1$ get the weights 0.73 and 0.27. Their KL
# from even weights is $\log 2 + 0.73 \log 0.73 + 0.27 \log 0.27 = 0.11$ nats.
#
# | symbol | in code | |
# | --- | --- | --- |
# | $Q(s, a_i)$ | `q[i]` | `[N, B]`: $N$ samples in each of $B$ states |
# | $w_i$ | `weights[i]` | `[N, B]` |
# | $\eta$ | `temperature` | reward per nat |
# | $\epsilon$ | `epsilon` | a bound in nats, used below |

# %% [markdown]
# ### Exercise 03.mpo_weights: Weigh the samples
# difficulty 1 · importance 5 · 6 minutes
#
# Samples are on axis 0. To the step that follows, the weights are fixed numbers: no gradient may
# pass, although `temperature` comes with one.


# %%
@exercise("03.mpo_weights")
def mpo_weights(q, temperature) -> torch.Tensor:
    """The E-step's weights of sampled actions.

    Args:
        q: [N, B] values of N actions in each state.
        temperature: eta, a tensor [] > 0.

    Returns:
        [N, B] weights that sum to 1 over the samples, without gradient.
    """
    ### BEGIN STUB
    # weights = ...
    ### END STUB
    ### BEGIN SOLUTION
    weights = torch.softmax(q / temperature, 0)
    return weights.detach()
    ### END SOLUTION


# %%
check(mpo_weights)

# %% [markdown] tags=["hints"]
# * A function of torch normalizes exponentials without overflow. Along which axis?
# * `torch.softmax(..., 0)` of the values divided by the temperature, and `.detach()` at the end.

# %% [markdown]
# ### Predict, run, explain
#
# Three samples have the values 1, 0 and 0.5, and $\eta = 1$. What do the weights become if all
# values rise by 100? And if all are multiplied by 100?

# %% tags=["nbval-check-output"]
values = torch.tensor([[1.0], [0.0], [0.5]])
for words, q in (("Q", values), ("Q + 100", values + 100), ("100 Q", 100 * values)):
    weights = mpo_weights(q, torch.tensor(1.0))[:, 0]
    print(f"{words:8}", [round(float(w), 2) for w in weights])

# %% [markdown]
# <details><summary>Explanation</summary>A constant cancels in numerator and denominator: only
# differences of values count. A factor of 100 is as good as η = 0.01, and the best sample gets all
# the weight.</details>
#
# So a fixed $\eta$ would depend on the scale of $Q$, which changes as the agent learns. MPO fixes
# instead how far to go: on average over states, the weights may be at most $\epsilon$ nats from
# even. The $\eta$ that does this minimizes a function, the [dual](glossary.md#dual):
#
# $$g(\eta) = \eta\,\epsilon + \eta\, \mathbb{E}_s \log \frac1N \sum_i e^{Q(s, a_i)/\eta} .$$
#
# <details><summary>Why?</summary>Its derivative is ε − KL(w ‖ even), the KL averaged over states:
# in each state put V = η log mean exp(Q/η), use dV/dη = (V − Σ w Q)/η, and note that V = Σ w Q − η
# KL. So the slope is negative while the weights are too far from even, which calls for a larger η,
# and 0 where the bound is met.</details>
#
# SAC's temperature is learned in the same way. Both are [multipliers](glossary.md#multiplier):
# prices that rise while a bound is broken and fall while there is room. The agent takes one
# gradient step on $g$ per batch.

# %% [markdown]
# ### Exercise 03.temperature_dual: How far to go
# difficulty 2 · importance 4 · 10 minutes
#
# Return $g$ for each state of the batch; the agent takes the mean over them. Stay in log space:
# $\log \frac1N \sum$ is a logsumexp minus $\log N$.


# %%
@exercise("03.temperature_dual")
def temperature_dual(q, temperature, epsilon: float) -> torch.Tensor:
    """MPO's dual of the temperature.

    Args:
        q: [N, B] values of N actions in each state.
        temperature: eta, a tensor [] > 0, with gradient.
        epsilon: the bound, in nats.

    Returns:
        [B] g(eta) in each state, with the gradient of the temperature.
    """
    ### BEGIN STUB
    # log_mean = ...               # [B] log of the mean over samples of exp(Q / eta)
    ### END STUB
    ### BEGIN SOLUTION
    log_mean = torch.logsumexp(q / temperature, 0) - log(len(q))
    return temperature * (epsilon + log_mean)
    ### END SOLUTION


# %%
check(temperature_dual)

# %% [markdown] tags=["hints"]
# * A mean is a sum divided by N. What becomes of the division in the logarithm?
# * First the logarithm of the mean, `[B]`, by `torch.logsumexp` over the samples. Both terms of $g$
#   have the factor $\eta$, and it keeps its gradient.

# %% [markdown]
# ### The widget: an E-step by hand
#
# Samples of a policy on a landscape of values, weighed by your functions. **Your tasks**: (1) Find
# the temperature at which the KL equals $\epsilon = 0.5$. Where is the dual there? (2) Go to both
# ends. Which actions count, and how many? The [effective number of
# samples](glossary.md#effective-number-of-samples) says it. (3) At $\eta = 0.1$, compare 20 and 200
# samples. Whose weighted mean is closer to that of the tilted density?

# %%
explorer = EStepExplorer(mpo_weights, temperature_dual)
explorer

# %% [markdown]
# How to read it: the area of a disc is its weight; below it, the old policy (green) and $\pi_k\,
# e^{Q/\eta}$ (blue). The curves on the right are functions of $\eta$, and the dot is where the
# slider stands.
#
# <details><summary>Answers</summary>(1) At η = 0.25, and there the dual is smallest: the two tasks
# are one. (2) As η goes to 0, the best samples get all the weight: of 20 one counts, of 200 still
# 2.4 at the slider's end. As η grows, all count alike and nothing is learned. (3) The 200: about 14
# of them count, and their weighted mean is 0.65, near the tilted density's 0.66. Of the 20 fewer
# than 2 count, and their mean is 0.55. A small η needs many samples.</details>

# %% [markdown]
# ### The M-step
#
# The network $\pi$ is then fitted to the weighted samples, by maximum likelihood. Samples are few,
# and a fit to them is overconfident. So it has bounds, one for each part of the Gaussian:
#
# $$\min_\pi\; -\mathbb{E}_s \sum_i w_i \log \pi(a_i|s) \quad\text{with}\quad
#   C_m \le \epsilon_m,\; C_\sigma \le \epsilon_\sigma .$$
#
# $C_m$ is the KL from $\pi_k$ to a Gaussian with the new mean and the old stddev, $C_\sigma$ to one
# with the old mean and the new stddev. The mean may move by $\epsilon_m$ nats, the stddev by far
# fewer. Two more multipliers see to it. **Predict**: the samples ask for a new mean and for a
# smaller stddev. What does the fit give up under one bound on the whole KL?

# %%
control_pictures.m_step_bounds(epsilon_mean=0.05, epsilon_std=0.001)

# %% [markdown]
# How to read it: each place in the plane is a Gaussian. The star is the samples' own fit; the
# square and the diamond are the likeliest Gaussians within one bound (dashed) and two (shaded).
#
# <details><summary>Explanation</summary>One bound spends much of the step on narrowing, and the
# mean stops at 0.08. Two reach the samples' mean of 0.12 and keep the width, and with it the
# exploring. (The package also scores the two parts apart, each beside the other's old
# value.)</details>

# %% [markdown]
# ## 5 Retrace and SVG(0): any prior
#
# Targets that look further ahead carry a sparse reward back faster. But the data are
# [off-policy](glossary.md#off-policy): an older policy $\mu$ chose the later actions, and the
# current $\pi$ may not. [Retrace](glossary.md#retrace) lets go where the two disagree:
#
# $$G_t = r_t + \gamma_t \big( V_{t+1} + c_{t+1} (G_{t+1} - Q(s_{t+1}, a_{t+1})) \big), \qquad
#   c_t = \lambda \min\Big(1, \frac{\pi(a_t|s_t)}{\mu(a_t|s_t)}\Big) ,$$
#
# and no correction after the last step.

# %% [markdown]
# On paper, with rewards $(0, 0, 1)$, all $Q$ and $V$ 0, $\gamma = 0.9$ and $\lambda = 1$, from the
# last step to the first:
#
# | $t$ | $r_t$ | ratio | $c_t$ | $G_t$ |
# | --- | --- | --- | --- | --- |
# | 2 | 1 | 2 | 1 | 1 |
# | 1 | 0 | 0.5 | 0.5 | 0.9 · 1 · 1 = 0.9 |
# | 0 | 0 | 7 | not used | 0.9 · 0.5 · 0.9 = 0.405 |
#
# The ratio of step 0 is not used: its target is *for* that action, however rare it is.
#
# | symbol | in code | |
# | --- | --- | --- |
# | $Q(s_t, a_t)$ | `q[t]` | of the action taken, by the target network |
# | $V_{t+1}$ | `next_value[t]` | of the state *arrived in* |
# | $r_t, \gamma_t$ | `reward[t]`, `discount[t]` | |
# | $\log \pi/\mu$ | `log_rho[t]` | of the action taken at $t$ |
# | $\lambda$ | `trace_decay` | between 0 and 1 |
#
# ### Exercise 03.retrace: Targets from old data
# difficulty 4 · importance 5 · 15 minutes
#
# All tensors are time-major. Keep the correction $c_{t+1}(G_{t+1} - Q_{t+1})$ in a variable while
# you walk backward.


# %%
@exercise("03.retrace")
def retrace(q, next_value, reward, discount, log_rho, trace_decay: float) -> torch.Tensor:
    """Retrace targets for Q(s_t, a_t).

    Args:
        q, next_value, reward, discount, log_rho: [T, ...], as in the table.
        trace_decay: lambda.

    Returns:
        [T, ...] targets G.
    """
    ### BEGIN STUB
    # trace = ...                                  # [T, ...] c
    # target, correction = torch.zeros_like(reward), 0.0
    # for t in reversed(range(len(reward))):
    #     ...
    # return target
    ### END STUB
    ### BEGIN SOLUTION
    trace = trace_decay * log_rho.clamp(max=0.0).exp()  # [T, ...]
    target, correction = torch.zeros_like(reward), 0.0
    for t in reversed(range(len(reward))):
        target[t] = reward[t] + discount[t] * (next_value[t] + correction)
        correction = trace[t] * (target[t] - q[t])
    return target
    ### END SOLUTION


# %%
check(retrace)

# %% [markdown] tags=["hints"]
# * At step t the loop has the correction of step t + 1 at hand. What is it after the last step?
# * $\min(1, \rho)$ of a log-ratio is `log_rho.clamp(max=0.0).exp()`. In the loop, first write
#   `target[t]` with the old correction, then set the correction of this step from it.

# %% [markdown]
# ### Predict, run, explain
#
# With $V$ and $Q$ at 0, as here, the target of step 0 is a weighted sum of rewards. How does the
# weight of a later reward depend on the ratios in between? What if the current policy would never
# take one of the actions?

# %%
zero = torch.zeros(3)
ratios = torch.tensor([7.0, 0.5, 2.0])
hand = retrace(zero, zero, torch.tensor([0.0, 0.0, 1.0]), zero + 0.9, ratios.log(), 1.0)
print("the case on paper:", [round(float(g), 3) for g in hand])
rows = {
    "on-policy": [1, 1, 1, 1, 1, 1],
    "somewhat off": [1, 0.8, 1.5, 0.5, 0.9, 0.9],
    "one impossible action": [1, 0.8, 1.5, 0, 0.9, 0.9],
}
control_pictures.trace_weights(retrace, rows)

# %% [markdown]
# How to read it: bars are weights of rewards in the target of step 0, by your function, with
# $\gamma = 0.95$ and $\lambda = 1$; the numbers above are the ratios.
#
# <details><summary>Explanation</summary>On-policy it is the discounted return: nothing is cut.
# (Where V and Q are not 0, each later step adds V − Q, which is 0 on average if V is the mean of Q
# under the policy. Then the target's expectation is that of the return.) Each ratio below 1 shrinks
# all that comes after it; a ratio above 1 does not make up for that, since it is truncated. An
# impossible action cuts the trace, and the target falls back on V there. So Retrace looks as far
# ahead as the data are to be trusted.</details>

# %% [markdown]
# **SVG(0)** follows the gradient of the objective, as SAC does, for *any* prior that has a density:
# uniform, made by hand, or, in part II, learned from other tasks. Per step it minimizes
#
# $$-\Big( \mathbb{E}_{a \sim \pi}\, Q'(s, a) - \alpha\,\mathrm{KL}[\pi\|\pi_0] + \alpha_H H(\pi) \Big)$$
#
# | symbol | in code | |
# | --- | --- | --- |
# | $\mathbb{E}\, Q'$ | `q` | mean over actions drawn from $\pi$, target network |
# | $\mathrm{KL}[\pi\Vert\pi_0]$ | `kl` | in nats |
# | $\alpha$ | `alpha` | price of a nat from the prior |
# | $H(\pi)$ | `entropy` | in nats |
# | $\alpha_H$ | `alpha_entropy` | small, here 0.001 |
#
# The entropy $H$ keeps the policy exploring also where the prior is narrow. The KL stands in the
# value too: $V = \mathbb{E}\,Q' - \alpha\,\mathrm{KL}$. The entropy does not.

# %% [markdown]
# ### Exercise 03.svg0_policy_loss: A policy with a prior
# difficulty 1 · importance 5 · 5 minutes
#
# The expectations are computed for you, over samples drawn by reparameterization. Return one number
# per step; the agent takes the mean, leaving out the padding of short sequences.


# %%
@exercise("03.svg0_policy_loss")
def svg0_policy_loss(q, kl, entropy, alpha: float, alpha_entropy: float) -> torch.Tensor:
    """The loss of SVG(0)'s policy in each state.

    Args:
        q, kl, entropy: [...] mean value of sampled actions, KL to the prior and entropy, all with
            gradient.
        alpha: price of a nat from the prior.
        alpha_entropy: worth of a nat of entropy.

    Returns:
        [...] to be minimized.
    """
    ### BEGIN STUB
    # objective = ...              # [...]
    ### END STUB
    ### BEGIN SOLUTION
    objective = q - alpha * kl + alpha_entropy * entropy
    return -objective
    ### END SOLUTION


# %%
check(svg0_policy_loss)

# %% [markdown] tags=["hints"]
# * Which of the three should be large, and which small?
# * Translate the parentheses of the equation above term by term, and turn what is to be large into
#   what is to be small. No mean, no detach.

# %% [markdown]
# ## The experiment
#
# Six of your seven pieces go into four agents with networks of the same size: SAC, MPO, SVG(0) with
# the uniform prior, and SVG(0) with a prior made by hand. (For `squashed_log_prob` stands the
# package's distribution, which computes the same and also draws samples.) The hand-made prior
# steers: a squashed Gaussian around $\tanh(\text{way to the target})$. It sees the way, and not how
# fast the mass already is. The agents do not start from it. They start from a random network, and
# pay for being unlike it.
#
# Before you compare, see what this prior does *alone*, without any learning.

# %%
for sample, words in ((True, "drawn from the prior"), (False, "its mode")):
    share, length = control_agents.prior_alone(config, "svg0_prior", sample=sample)
    print(f"{words:22} reaches the target in {share:.0%}, after {length:.1f} steps on average")

# %% [markdown]
# It solves the task by itself. Keep that in mind: it *is* a solution, and a slow one. **Predict**:
# how many steps in the environment does each agent need until it arrives in 90% of the episodes?
# Which one is fastest on its way when all have learned, and does any beat the prior?
#
# The next cell runs the four agents with your functions, one seed each, four to six minutes at
# `laptop`. It shows its progress. If you stop it and run it again, it goes on where it was.

# %%
pieces = {
    "sac": {"critic_target": sac_target, "policy_loss": sac_policy_loss},
    "mpo": {"weights": mpo_weights, "temperature_loss": temperature_dual},
    "svg0": {"target": retrace, "policy_loss": svg0_policy_loss},
}
answers = [piece for own in pieces.values() for piece in own.values()]
chosen, shown = replace(config, num_seeds=1), "Run the cell above to its end first."
folder = results_folder("control_agents", chosen, *answers)
if finished := control_agents.run(chosen, folder, pieces=pieces):
    shown = control_agents.table(folder)
    display(control_agents.plot(folder, reference.load_reference("control_agents")))

# %%
print(shown)

# %% [markdown]
# How to read it: on top, your run (solid) over the shipped one (dashed: mean over seeds, with its
# 95% interval). Below left, the steps until 90% arrive; right, how long an episode takes the
# trained agent. One seed is an example, not a measurement: trust the shipped curves.
#
# | shipped run | steps to 90% | | steps per episode |
# | --- | ---: | --- | ---: |
# | SAC | 18,720 | [16,304, 21,136] | 12.5 |
# | MPO | 20,320 | [18,789, 21,851] | 12.6 |
# | SVG(0), uniform prior | 16,160 | [13,232, 19,088] | 20.1 |
# | SVG(0), hand-made prior | 7,040 | [5,810, 8,270] | 14.4 |
# | SVG(0), a vaguer prior | 11,520 | [10,617, 12,423] | 19.0 |
#
# In the table: at `laptop`, 10 seeds, the mean over seeds of each one's first evaluation at 90%,
# with Student's 95% interval. That is earlier than where the mean curve reaches 90%. The last row
# has `prior_gain=0.2` instead of 1 and is not in the figure.
#
# <details><summary>Explanation</summary>The first three know nothing of the way. Their intervals
# overlap, each with each: hardly a ranking. With the prior it takes less than half the steps. Is
# that only because the prior is a solution? No: the vaguer one is none. Its mode alone reaches 67%
# of the targets, samples of it 29%, uniform thrust 11%; and SVG(0) needs fewer steps with it than
# with the uniform prior. The KL pulls the policy the right way from the first update on, with no
# reward needed. At the end, SAC and MPO take about 12.5 steps per episode. The hand-made prior
# alone takes about 19 (over 256 episodes), and SVG(0) with it 14.4: better than its prior. SVG(0)
# with the uniform prior takes 20.1, no better than the hand-made prior alone. A guess: its α stays
# at 0.03, while SAC's learned temperature falls to about 0.0025, so it pays more for leaving
# uniform behavior. The second stretch exercise tests it.</details>
#
# See them move: the same start and target for each, and the prior alone beside them.

# %%
if finished:
    prior = control_agents.make_prior(chosen, "svg0_prior")
    behaviors = {control_agents.LABELS[n].replace("SVG(0), ", "SVG(0) "): n for n in chosen.agents}
    acts = [control_agents.trained(chosen, folder, n).act_mode for n in behaviors.values()]
    acts.append(lambda step: prior.distribution(step.obs).mode)
    played = [control_agents.watch(chosen, act, seed=4) for act in acts]
    display(animate(task, played, [*behaviors, "the prior alone"], speed=0.5, columns=3))

# %% [markdown]
# How to read it: half speed; the mass waits where it arrived.
#
# **Flip a switch.** $\alpha$ is the price of leaving the prior. So far it was 0.03. **Predict**:
# with $\alpha = 0.3$, does SVG(0) with the hand-made prior learn faster or slower? And how does it
# end? The cell takes about a minute.

# %%
alpha = 0.3
tight = replace(
    chosen, agents=("svg0_prior",), svg0_config=replace(chosen.svg0_config, alpha=alpha)
)
folder = results_folder("control_agents", tight, *answers)
if control_agents.run(tight, folder, pieces=pieces):
    print(control_agents.table(folder))

# %% [markdown]
# <details><summary>Answer</summary>Faster, and to a worse end. In each of three seeds it needed
# 3,200 steps, the second evaluation after the start, instead of about 7,000. But over these seeds
# it ended at 17.1 steps per episode, where the prior alone takes 18.4. A large α makes the policy
# its prior, and a prior that knows less than the reward becomes a limit. This is notebook 01's
# trade, with learning time as a third side.</details>

# %% [markdown]
# ## In the paper
#
# Tirumala et al. use SVG(0) with Retrace throughout, on point masses, ants and humanoids, with 32
# actors at once, 5 seeds and sparse rewards. Their priors are networks that learn along with the
# policy. They compare with and without a prior; the comparison with SAC and MPO is ours.
#
# | | what is compared | result |
# | --- | --- | --- |
# | paper | SVG(0) with a learned prior and without | fewer steps with it |
# | here | uniform prior, 10 seeds, 40,000 steps each | 90% after 16,160 [13,232, 19,088] |
# | here | hand-made prior, the same | 90% after 7,040 [5,810, 8,270] |
#
# Ours agrees in direction. It says nothing of *learned* priors.
#
# | ours | theirs |
# | --- | --- |
# | SAC and MPO take one-step targets | MPO's paper has Retrace |
# | SVG(0)'s actions are squashed | a published implementation clips them |
# | sizes, bounds and rates at `laptop` | made for far longer runs |
#
# So the four agents differ in more than the prior. MPO's Gaussian is not squashed: its actions are
# clipped, and a second set of weights, which penalizes what is out of bounds, is added to yours.

# %%
progress()

# %% [markdown]
# ## Recap
#
# * A squashed Gaussian lives in $(-1, 1)$; its log-density subtracts the logarithm of tanh's slope.
# * SAC, MPO and SVG(0) solve one KL-regularized problem with different references: uniform, the
#   last policy, any prior.
# * MPO weighs samples by $e^{Q/\eta}$ instead of differentiating $Q$, and chooses $\eta$ by how far
#   it may go.
# * Retrace looks ahead as far as old data are to be trusted: each ratio below 1 shrinks what
#   follows.
# * A prior buys learning speed. Held too tightly, it is also a limit.
#
# | equation | function | file |
# | --- | --- | --- |
# | $\log\pi(\tanh u)$ | `SquashedGaussian.log_prob_from_pre_tanh` | `rlcourse/ops/distributions.py` |
# | SAC's $y$, $L_\pi$ | `critic_target`, `policy_loss` | `rlcourse/klrl/sac.py` |
# | $w_i$, $g(\eta)$ | `sample_weights`, `temperature_loss` | `rlcourse/ops/dual.py` |
# | M-step | `cross_entropy`, `constrained_kl` | `rlcourse/klrl/mpo.py` |
# | $G_t$ | `retrace` | `rlcourse/ops/targets.py` |
# | SVG(0)'s $L_\pi$ | `policy_loss` | `rlcourse/klrl/svg0.py` |

# %% [markdown]
# New in the [glossary](glossary.md): [critic](glossary.md#critic), [dual](glossary.md#dual),
# [effective number of samples](glossary.md#effective-number-of-samples),
# [entropy](glossary.md#entropy), [E-step](glossary.md#e-step),
# [multiplier](glossary.md#multiplier), [off-policy](glossary.md#off-policy),
# [reparameterization](glossary.md#reparameterization), [Retrace](glossary.md#retrace),
# [squashed Gaussian](glossary.md#squashed-gaussian), [target network](glossary.md#target-network).
#
# **Stretch** (no check). (1) A prior that knows the body and not the task: run the experiment with
# `agents=("svg0_keep_going",)`, whose prior keeps the velocity that the mass has. Drawn from it
# alone, the mass arrives about twice as often as with random thrust. Does SVG(0) learn faster?
# (With two seeds we saw no gain.) (2) Run `agents=("svg0_uniform",)` at `alpha=0.0025`, where SAC's
# temperature ends. Does it take fewer steps per episode? (3) Give MPO only 4 samples,
# `num_samples=4`. Which of its figures in `metrics.jsonl` changes first? (4) Start SAC at
# `initial_temperature=1.0` and watch it wander.
#
# **Further reading.** Haarnoja et al., *Soft Actor-Critic Algorithms and Applications* (arXiv
# 1812.05905): the learned temperature. Abdolmaleki et al., *Maximum a Posteriori Policy
# Optimisation* (arXiv 1806.06920) and *Relative Entropy Regularized Policy Iteration* (arXiv
# 1812.02256): the E-step, and one bound for each part. Munos et al., *Safe and Efficient Off-Policy
# Reinforcement Learning* (arXiv 1606.02647): why Retrace's traces are truncated. Tirumala et al.
# (arXiv 2010.14274): SVG(0) with a prior, and where part II goes.
