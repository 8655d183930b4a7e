"""MPO's update with its action samples in one batch, against a Python loop over the samples.

The package gives the samples an axis. The peer does the same computation sample by sample: the
target critic is called once for each of 20 actions, the weights of the E-step are added up, and the
M-step is a forward pass, a loss and a backward pass for each, whose gradients accumulate. A second
peer shares one pass of the policy between the samples, so that only the target critic is called
more often than in the package.

Before anything is timed, all start from the same weights and random numbers, and the losses and all
gradients of one update must agree to 1e-5.

Timed are the whole update and its parts: the values of all samples, from which the critic's target
and the weights come; and the M-step's first line with its gradient. A batch saves what calls cost
beside their arithmetic, and passes that need not be repeated. It does not save arithmetic: on one
core, 256 states are a batch already, so the more a network computes, the less there is to gain.

    python benchmarks/mpo_update_over_samples.py
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from rlcourse.klrl import mpo
from rlcourse.ops.distributions import DiagonalGaussian
from rlcourse.ops.dual import multiplier_loss, multiplier_penalty
from rlcourse.types import Transition

OBS_SIZES = {"proprio": 4, "targets": 8, "task": 4}  # of the point mass with four targets
NUM_ACTIONS, NUM_SAMPLES = 2, 20
Samples = list[Tensor]  # one entry per sample: what the package holds in one tensor


class Loop:
    """The update of `mpo.MPO` on the networks of an agent, one action sample at a time.

    Args:
        agent: is changed by `learn`; its own methods are not called.
        share: one pass of the policy for all samples; else one for each.
    """

    def __init__(self, agent: mpo.MPO, share: bool) -> None:
        self.agent, self.share = agent, share

    def values(self, states: Tensor) -> tuple[DiagonalGaussian, Samples, Samples]:
        """pi_k, and the actions [2, B, A] and values [2, B] of each sample; no gradient."""
        agent = self.agent
        with torch.no_grad():
            old = agent.policy_target(states)
            action = [old.sample(agent._generator) for _ in range(NUM_SAMPLES)]
            return old, action, [agent.critic_target(states, a.clamp(-1.0, 1.0)) for a in action]

    def fit(self, obs: Tensor, old: DiagonalGaussian, action: Samples, weights: Samples) -> Tensor:
        """The M-step's first line; its gradient is added to that of the policy."""
        total, policy = obs.new_zeros(()), self.agent.policy(obs) if self.share else None
        for a, weight in zip(action, weights, strict=True):
            new = policy or self.agent.policy(obs)
            log_prob = DiagonalGaussian(new.mean, old.std).log_prob(a)
            log_prob = log_prob + DiagonalGaussian(old.mean, new.std).log_prob(a)
            loss = -(weight * log_prob).mean()
            if not self.share:
                loss.backward()
            total = total + loss
        if self.share:
            total.backward()
        return total.detach()

    def learn(self, batch: Transition) -> dict[str, Tensor]:
        agent, config = self.agent, self.agent.config
        for optimizer in agent._optimizers.values():
            optimizer.zero_grad()
        states = torch.stack([agent._flat(batch.obs), agent._flat(batch.next_obs)])
        old, action, q = self.values(states)
        target = sum(each[1] for each in q) / NUM_SAMPLES
        target = batch.reward + config.discount * batch.discount * target
        loss_q = 0.5 * (agent.critic(states[0], batch.action) - target).square().mean()
        loss_q.backward()
        self.step("critic")

        old = DiagonalGaussian(old.mean[0], old.std[0])
        action = [each[0] for each in action]
        duals = agent.duals
        weights, loss_dual = soft_weights([each[0] for each in q], duals.temperature(), 0.1)
        cost = [-(a - a.clamp(-1.0, 1.0)).norm(dim=-1) for a in action]
        inside, penalty = soft_weights(cost, duals.penalty(), config.epsilon_penalty)
        weights = [a + b for a, b in zip(weights, inside, strict=True)]
        loss_dual = loss_dual + penalty
        loss_pi = self.fit(states[0], old, action, weights)
        kls = mpo.constrained_kl(agent.policy(states[0]), old, config.per_dimension)
        bounds = ((config.epsilon_mean, duals.mean), (config.epsilon_std, duals.std))
        bound_loss = 0.0
        for kl, (bound, dual) in zip(kls, bounds, strict=True):
            bound_loss = bound_loss + multiplier_penalty(kl, dual()).sum(-1).mean()
            loss_dual = loss_dual + multiplier_loss(kl, bound, dual()).sum(-1).mean()
        bound_loss.backward()
        loss_dual.backward()
        self.step("policy")
        self.step("duals")
        for dual in duals.children():
            dual.limit_()
        return {"critic_loss": loss_q.detach(), "policy_loss": loss_pi + bound_loss.detach()}

    def step(self, name: str) -> None:
        if name != "duals":
            parameters = self.agent._networks[name].parameters()
            nn.utils.clip_grad_norm_(parameters, self.agent.config.max_gradient)
        self.agent._optimizers[name].step()


def soft_weights(q: Samples, eta: Tensor, epsilon: float) -> tuple[Samples, Tensor]:
    """The E-step's weights [B] of each sample, and the mean of the dual."""
    best, total = q[0], 0.0
    for each in q[1:]:
        best = torch.maximum(best, each)
    for each in q:
        total = total + ((each - best) / eta).exp()
    held = (eta.detach(), total.detach())
    weights = [((each - best) / held[0]).exp() / held[1] for each in q]
    return weights, (best + eta * (epsilon + (total / len(q)).log())).mean()


def make_agent(preset: str, batch_size: int) -> mpo.MPO:
    config = replace(mpo.PRESETS[preset], batch_size=batch_size, num_samples=NUM_SAMPLES)
    generator = torch.Generator().manual_seed(0)
    return mpo.MPO(config, OBS_SIZES, NUM_ACTIONS, generator)


def make_batch(size: int) -> Transition:
    """Random transitions in the sizes of the point mass."""
    generator = torch.Generator().manual_seed(1)

    def draw_obs() -> dict[str, Tensor]:
        return {n: torch.randn(size, d, generator=generator) for n, d in OBS_SIZES.items()}

    action = 2.0 * torch.rand(size, NUM_ACTIONS, generator=generator) - 1.0
    discount = (torch.rand(size, generator=generator) > 0.1).float()
    reward = torch.randn(size, generator=generator)
    return Transition(draw_obs(), action, reward, discount, draw_obs())


def verify(preset: str, batch: Transition) -> float:
    """One update of all three from the same start; returns the largest difference, relative to the
    largest entry where that is above 1.

    Raises:
        AssertionError: where they differ by more than 1e-5.
    """
    ours = make_agent(preset, len(batch.reward))
    expected, worst = ours.learn(batch), 0.0
    for share in (False, True):
        peer = Loop(make_agent(preset, len(batch.reward)), share)
        found = peer.learn(batch)
        pairs = [(value, expected[name]) for name, value in found.items()]
        for name in ("policy", "critic", "duals"):
            networks = (peer.agent._networks[name], ours._networks[name])
            parameters = zip(*(network.parameters() for network in networks), strict=True)
            pairs += [(a.grad, b.grad) for a, b in parameters]
        errors = [float(((a - b).abs() / b.abs().clamp(min=1.0)).max()) for a, b in pairs]
        worst = max(worst, *errors)
    assert worst < 1e-5, f"the updates differ by {worst}"
    return worst


Part = tuple[Callable[[], object], Callable[[], object], Callable[[], object]]


def parts(preset: str, batch: Transition) -> Iterator[tuple[str, Part]]:
    """Names, and what is timed: the package, a pass per sample, a shared pass."""
    agent = make_agent(preset, len(batch.reward))
    loops = [Loop(make_agent(preset, len(batch.reward)), share) for share in (False, True)]
    states = torch.stack([agent._flat(batch.obs), agent._flat(batch.next_obs)])
    one, actions, _ = loops[0].values(states)
    old = DiagonalGaussian(one.mean[0], one.std[0])
    action = torch.stack(actions)[:, 0]
    weights = torch.full(action.shape[:2], 1.0 / NUM_SAMPLES)

    def values() -> None:
        with torch.no_grad():
            drawn = agent.policy_target(states).sample(agent._generator, (NUM_SAMPLES,))
            agent.critic_target(states, drawn.clamp(-1.0, 1.0))

    def fit() -> None:
        mpo.cross_entropy(agent.policy(states[0]), old, action, weights).backward()

    inputs = (states[0], old, list(action), list(weights))
    yield "values of the samples", (values, *[lambda x=x: x.values(states) for x in loops])
    yield "M-step, first line", (fit, *[lambda x=x: x.fit(*inputs) for x in loops])
    yield "whole update", tuple(lambda x=x: x.learn(batch) for x in (agent, *loops))


def measure(part: Part, repeats: int, rounds: int) -> np.ndarray:
    """Processor seconds [rounds, 3] per call. All is done in one thread, so on a quiet machine this
    is the time that passes.
    """
    times = np.zeros((rounds, len(part)))
    for row in times:
        for column, function in enumerate(part):
            begun = time.process_time()
            for _ in range(repeats):
                function()
            row[column] = (time.process_time() - begun) / repeats
    return times


def main(repeats: int = 2, rounds: int = 15, batch_size: int = 256) -> None:
    """Verify that all do the same, then time them on one thread.

    Args:
        repeats: calls of each, in every round.
        rounds: in each of which all have their turn, so that what else the machine does falls on
            all alike; the median counts, and that of the ratios within a round.
        batch_size: transitions.
    """
    torch.set_num_threads(1)
    batch = make_batch(batch_size)
    presets = ("smoke", "laptop", "paper")
    worst = max(verify(preset, batch) for preset in presets)
    print(
        f"Batch {batch_size}, {NUM_SAMPLES} samples: losses and gradients of one update agree to"
        f" {worst:.0e}.\n"
    )
    print("| preset: policy and critic | part | one batch, ms | pass per sample | shared pass |")
    print("| --- | --- | ---: | ---: | ---: |")
    for preset in presets:
        config = mpo.PRESETS[preset]
        sizes = [" x ".join(map(str, s)) for s in (config.policy_sizes, config.critic_sizes)]
        for name, part in parts(preset, batch):
            measure(part, 1, 2)  # to warm up
            times = measure(part, repeats, rounds)
            ratios = np.median(times[:, 1:] / times[:, :1], 0)
            what = f"{preset}: {sizes[0]} and {sizes[1]} | {name}"
            compared = " | ".join(f"{ratio:.1f} x" for ratio in ratios)
            print(f"| {what} | {1e3 * np.median(times[:, 0]):.1f} | {compared} |", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
