"""SAC's gradient step against the same step written as a script without shared parts.

The peer is soft actor-critic as scripts of one file usually have it: `nn.Sequential` networks, two
critics apart, a clamped log stddev, the logarithm of alpha, a loop over the parameters for the
target networks. Such scripts come in two kinds, and both are timed: the policy's loss either goes
backward through the critics' weights too, whose gradients are then thrown away, or the critics are
frozen for as long. Claimed is that the package's `SAC.learn` is not slower than the faster one.

Before anything is timed, the peers get the package's weights and random numbers: losses, gradients
and target networks of one step must agree to 1e-5. (The stddevs have parameters of another kind, a
logarithm against a softplus; their gradients are compared by the chain rule.)

Not the same: ours joins the named observation groups in each step, the peers get flat vectors.

    python benchmarks/sac_update_vs_single_file.py
"""

import math
import time
from collections.abc import Callable

import numpy as np
import torch
import tyro
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from rlcourse.envs.groups import flatten
from rlcourse.klrl.sac import SAC, Config
from rlcourse.types import Transition

OBS_SIZES = {"proprio": 4, "targets": 8, "task": 4}  # of the point mass with four targets
NUM_ACTIONS, WIDTH = 2, 256
GAMMA, TAU, RATE = 0.99, 0.005, 3e-4
NUM_BATCHES = 16


class SingleFileSAC:
    """Soft actor-critic without a line in common with the package.

    Args:
        freeze: the critics take no gradient from the policy's loss.
    """

    def __init__(self, freeze: bool) -> None:
        size = sum(OBS_SIZES.values())
        self.freeze = freeze
        self.torso = nn.Sequential(
            nn.Linear(size, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()
        )
        self.mean, self.log_std = nn.Linear(WIDTH, NUM_ACTIONS), nn.Linear(WIDTH, NUM_ACTIONS)
        self.q1, self.q2, self.q1_target, self.q2_target = (
            nn.Sequential(
                *(nn.Linear(size + NUM_ACTIONS, WIDTH), nn.ReLU()),
                *(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)),
            )
            for _ in range(4)
        )
        self.q1_target.load_state_dict(self.q1.state_dict())
        self.q2_target.load_state_dict(self.q2.state_dict())
        self.log_alpha = torch.zeros(1, requires_grad=True)
        self.target_entropy = -float(NUM_ACTIONS)
        self.actor = nn.ModuleList([self.torso, self.mean, self.log_std])
        self.critics = nn.ModuleList([self.q1, self.q2])
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=RATE)
        self.critic_optimizer = torch.optim.Adam(self.critics.parameters(), lr=RATE)
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], lr=RATE)

    def sample(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [B, A] and their log-probabilities [B, 1]."""
        features = self.torso(obs)
        normal = Normal(self.mean(features), self.log_std(features).clamp(-20.0, 2.0).exp())
        pre_tanh = normal.rsample()
        action = pre_tanh.tanh()
        log_prob = normal.log_prob(pre_tanh) - torch.log(1.0 - action.pow(2) + 1e-6)
        return action, log_prob.sum(1, keepdim=True)

    def learn(
        self, obs: Tensor, action: Tensor, reward: Tensor, discount: Tensor, next_obs: Tensor
    ) -> dict[str, Tensor]:
        """One gradient step; reward and discount are [B, 1]."""
        alpha = self.log_alpha.detach().exp()
        with torch.no_grad():
            next_action, next_log_prob = self.sample(next_obs)
            at = torch.cat([next_obs, next_action], 1)
            next_q = torch.min(self.q1_target(at), self.q2_target(at))
            target = reward + GAMMA * discount * (next_q - alpha * next_log_prob)
        at = torch.cat([obs, action], 1)
        critic_loss = functional.mse_loss(self.q1(at), target)
        critic_loss = 0.5 * (critic_loss + functional.mse_loss(self.q2(at), target))
        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        self.critic_optimizer.step()

        self.critics.requires_grad_(not self.freeze)
        new_action, log_prob = self.sample(obs)
        at = torch.cat([obs, new_action], 1)
        policy_loss = (alpha * log_prob - torch.min(self.q1(at), self.q2(at))).mean()
        self.actor_optimizer.zero_grad()
        policy_loss.backward()
        self.actor_optimizer.step()
        self.critics.requires_grad_(True)

        surplus = -(log_prob.detach() + self.target_entropy)
        alpha_loss = (self.log_alpha.exp() * surplus).mean()
        self.alpha_optimizer.zero_grad()
        alpha_loss.backward()
        self.alpha_optimizer.step()
        self.update_targets()
        return {"critic_loss": critic_loss.detach(), "policy_loss": policy_loss.detach()}

    def update_targets(self) -> None:
        for network, target in ((self.q1, self.q1_target), (self.q2, self.q2_target)):
            for ours, theirs in zip(network.parameters(), target.parameters(), strict=True):
                theirs.data.copy_(TAU * ours.data + (1.0 - TAU) * theirs.data)


def make_ours(seed: int) -> SAC:
    config = Config(hidden_sizes=(WIDTH, WIDTH), discount=GAMMA, target_rate=TAU)
    return SAC(config, OBS_SIZES, NUM_ACTIONS, torch.Generator().manual_seed(seed))


def make_batch(generator: torch.Generator, size: int) -> Transition:
    """Random transitions in the sizes of the point mass."""

    def draw_obs() -> dict[str, Tensor]:
        return {n: torch.randn(size, d, generator=generator) for n, d in OBS_SIZES.items()}

    action = 2.0 * torch.rand(size, NUM_ACTIONS, generator=generator) - 1.0
    reward = torch.randn(size, generator=generator)
    discount = (torch.rand(size, generator=generator) > 0.1).float()
    return Transition(draw_obs(), action, reward, discount, draw_obs())


def flat(batch: Transition) -> tuple[Tensor, ...]:
    """The same as the peers take it."""
    groups = tuple(OBS_SIZES)
    columns = batch.reward.unsqueeze(1), batch.discount.unsqueeze(1)
    return flatten(batch.obs, groups), batch.action, *columns, flatten(batch.next_obs, groups)


def copy_weights(ours: SAC, peer: SingleFileSAC) -> None:
    """Gives both the same policy and critics; the stddev is made the same everywhere, for its
    layers are not alike.
    """
    head = ours.policy.head
    with torch.no_grad():
        head.std.weight.zero_()
        peer.log_std.weight.zero_()
        peer.log_std.bias.fill_(math.log(head.min_scale + head.init_scale))
    peer.torso.load_state_dict(ours.policy.torso.layers.state_dict())
    peer.mean.load_state_dict(head.mean.state_dict())
    for prefix in ("q1", "q2"):
        network = ours.critic.first if prefix == "q1" else ours.critic.second
        for name in (prefix, f"{prefix}_target"):
            getattr(peer, name).load_state_dict(network.network.layers.state_dict())


def verify(batch: Transition, freeze: bool) -> float:
    """One step of both from the same weights and random numbers; returns the largest difference.

    Raises:
        AssertionError: where they differ by more than 1e-5.
    """
    ours, peer = make_ours(0), SingleFileSAC(freeze)
    copy_weights(ours, peer)
    torch.manual_seed(3)
    ours._generator.manual_seed(3)
    found = ours.learn(batch)
    critic_gradients: list[Tensor] = []
    keep = peer.critic_optimizer.step

    def step_and_keep() -> None:  # else the policy's loss adds to them
        critic_gradients.extend(p.grad.clone() for p in peer.critics.parameters())
        keep()

    peer.critic_optimizer.step = step_and_keep
    expected = peer.learn(*flat(batch))
    head = ours.policy.head
    stretch = math.log(2.0) * (head.min_scale + head.init_scale) / (0.5 * head.init_scale)
    pairs = [(found[name], value) for name, value in expected.items()]
    pairs += zip([p.grad for p in ours.critic.parameters()], critic_gradients, strict=True)
    for mine, theirs, factor in (
        (ours.policy.torso, peer.torso, 1.0),
        (head.mean, peer.mean, 1.0),
        (head.std, peer.log_std, stretch),
    ):
        parameters = zip(mine.parameters(), theirs.parameters(), strict=True)
        pairs += [(factor * a.grad, b.grad) for a, b in parameters]
    targets = nn.ModuleList([peer.q1_target, peer.q2_target]).parameters()
    pairs += zip(ours.critic_target.parameters(), targets, strict=True)
    worst = max(float((a - b).detach().abs().max()) for a, b in pairs)
    assert worst < 1e-5, f"the two updates differ by {worst}"
    return worst


def measure(
    contestants: dict[str, Callable[[int], object]], updates: int, rounds: int
) -> dict[str, list[float]]:
    """Processor seconds per update in each round, in which each has its turn.

    All is done in one thread, so on a quiet machine this is the time that passes.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, learn in contestants.items():
            begun = time.process_time()
            for number in range(updates):
                learn(number % NUM_BATCHES)
            times[name].append((time.process_time() - begun) / updates)
    return times


def main(updates: int = 10, rounds: int = 80, batch_size: int = 256) -> None:
    """Verify that all do the same, then time them on one thread.

    Args:
        updates: of each, in every round.
        rounds: in each of which all have their turn, so that what else the machine does falls on
            all alike; the median counts, and that of the ratios within a round.
        batch_size: transitions.
    """
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    batches = [make_batch(generator, batch_size) for _ in range(NUM_BATCHES)]
    worst = max(verify(batches[0], freeze) for freeze in (False, True))
    print(
        f"Batch {batch_size}, hidden layers {WIDTH} x {WIDTH}: losses, gradients and targets of one"
        f" step agree to {worst:.0e}.\n"
    )
    inputs = [flat(batch) for batch in batches]
    ours, usual, frozen = make_ours(0), SingleFileSAC(False), SingleFileSAC(True)
    rows: dict[str, Callable[[int], object]] = {
        "single file, gradients thrown away": lambda i: usual.learn(*inputs[i]),
        "single file, critics frozen": lambda i: frozen.learn(*inputs[i]),
        "rlcourse.klrl.sac": lambda i: ours.learn(batches[i]),
    }
    measure(rows, updates, 1)  # to warm up
    times = {name: np.array(each) for name, each in measure(rows, updates, rounds).items()}
    *peers, _ = times.values()
    fastest = min(peers, key=np.median)
    print("| update | ms, median | updates per second, relative to the faster single file |")
    print("| --- | ---: | ---: |")
    for name, each in times.items():
        print(f"| {name} | {1e3 * np.median(each):.2f} | {np.median(fastest / each):.2f} |")


if __name__ == "__main__":
    tyro.cli(main)
