"""SVG(0) with Retrace and a prior: KL-regularized RL in continuous action, for any prior pi_0.

Source: Tirumala et al. 2020, "Behavior Priors for Efficient Reinforcement Learning" (arXiv
2010.14274), algorithm 1, for replayed sequences of K steps; x is all that is observed, x^D the part
that the prior sees, mu the behavior that acted, and ' marks copies that are renewed every P steps:

    KL_t   = KL[ pi(.|x_t) || pi_0'(.|x^D_t) ]                                    (regularizer)
    KL^D_t = KL[ pi(.|x_t) || pi_0(.|x^D_t) ]                                    (distillation)
    V_t    = E_{a~pi(.|x_t)} Q'(x_t, a) - alpha KL_t                                    (value)
    c_t    = lambda min( 1, pi(a_t|x_t) / mu(a_t|x_t) )
    Q^R_t  = Q'(x_t, a_t)
             + sum_{s>=t} gamma^(s-t) (prod_{t<i<=s} c_i) (r_s + gamma V_{s+1} - Q'(x_s, a_s))
                                                                                      (Retrace)
    L_Q    = mean_t ( Q^R_t - Q(x_t, a_t) )^2                                          (critic)
    L_pi   = -mean_t [ E_{a~pi(.|x_t)} Q'(x_t, a) - alpha KL_t + alpha_H H(pi(.|x_t)) ]  (policy)
    L_pi_0 = mean_t KL^D_t                                             (prior; pi is held fixed)

E_{a~pi} is a mean over S actions a = tanh(mean + std noise), through which the gradient of L_pi
goes. The entropy bonus is in the policy's loss only. With the uniform prior KL_t is -H up to a
constant, and what remains is SAC at a fixed temperature, with one critic and longer targets.

    symbol   name here            symbol    name here
    pi       policy               alpha     alpha, in units of reward per nat
    pi_0     prior                alpha_H   alpha_entropy, likewise
    pi_0'    prior_target         lambda    trace_decay
    Q, Q'    critic, _target      gamma     discount, times the environment's discount
    mu       log_prob in replay   K, P      sequence_length, target_period

A prior without parameters to learn, as the uniform or a hand-made one, is its own copy, and has no
loss.

Deviations: as printed, the box moves the prior up the gradient of KL^D; it must go down. The box
keeps a copy of the policy too, which no line above needs; Acme (arXiv 2006.00979) uses it in V and
c. Sums are means, without the padding of short sequences. The settings of `paper` are Acme's, but
for the policy: Acme's Gaussian has its mean in (-1, 1) and its actions are clipped, ours is
squashed, since the entropy of what is clipped grows without bound.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rlcourse.data.replay import SequenceReplay
from rlcourse.envs.groups import check_groups, check_saved_groups, flatten
from rlcourse.nets.blocks import Critic, GaussianHead, LayerNormMLP
from rlcourse.nets.state import (
    check_networks_state,
    load_networks_state_,
    networks_state,
    target_of,
    update_target_,
)
from rlcourse.ops.distributions import SquashedGaussian
from rlcourse.ops.targets import retrace
from rlcourse.types import Prior, Sequence, Step, Transition


@dataclass(frozen=True)
class Config:
    """SVG(0) with Retrace, with the settings of Acme."""

    groups: tuple[str, ...] = ("proprio", "targets", "task")  # x: what policy and critic see
    policy_sizes: tuple[int, ...] = (200, 100)
    critic_sizes: tuple[int, ...] = (400, 300)
    alpha: float = 1e-3  # of the KL to the prior
    alpha_entropy: float = 1e-3  # alpha_H
    discount: float = 0.99  # gamma
    trace_decay: float = 1.0  # lambda
    learning_rate: float = 1e-4  # Adam, of policy, critic and prior
    batch_size: int = 256  # sequences
    sequence_length: int = 10  # K
    num_samples: int = 10  # S, actions per state
    target_period: int = 100  # P, in gradient steps
    replay_capacity: int = 100_000  # sequences; a million steps
    min_replay: int = 100  # sequences before learning starts
    updates_per_step: int = 1  # gradient steps per step of the environment

    def __post_init__(self) -> None:
        if not 0.0 <= self.discount < 1.0:
            raise ValueError(f"discount must lie in [0, 1), got {self.discount}")
        if min(self.alpha, self.alpha_entropy) < 0.0:
            raise ValueError(f"alpha and alpha_entropy: got {self.alpha}, {self.alpha_entropy} < 0")
        positive = ("learning_rate", "batch_size", "sequence_length", "num_samples")
        for name in (*positive, "target_period", "min_replay", "updates_per_step"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.min_replay > self.replay_capacity:
            raise ValueError(f"min_replay {self.min_replay} exceeds {self.replay_capacity=}")


def kl_to_prior(
    policy: SquashedGaussian,
    prior: Any,
    action: Float[Tensor, "S *batch A"],
    log_prob: Float[Tensor, "S *batch"],
) -> Float[Tensor, "*batch"]:
    """KL(policy || prior), in nats. (regularizer), (distillation)

    Exact for a squashed Gaussian; for any other prior, which needs `log_prob` only, the mean over
    S reparameterized actions with their log-probabilities under the policy.
    """
    if isinstance(prior, SquashedGaussian):
        return policy.kl(prior)
    return (log_prob - prior.log_prob(action)).mean(0)


def policy_loss(
    q: Float[Tensor, "*batch"],
    kl: Float[Tensor, "*batch"],
    entropy: Float[Tensor, "*batch"],
    alpha: float,
    alpha_entropy: float,
) -> Float[Tensor, "*batch"]:
    """What L_pi is the mean of. (policy)

    Args:
        q: E_a Q'(x, a), with the gradient through the actions.
        kl: KL_t to the target prior, with the gradient of the policy.
        entropy: H(pi(.|x)), likewise.
        alpha, alpha_entropy: their weights.
    """
    return -(q - alpha * kl + alpha_entropy * entropy)


class SVG0:
    """SVG(0) with Retrace for B instances, with a replay of sequences of its own.

    Args:
        config: see `Config`.
        obs_sizes: features of each observation group, as `PointMass.group_sizes`.
        num_actions: A.
        generator: of weights, actions and batches; the agent lives on its device.
        prior: pi_0; trained in place if it is a module with parameters that require a gradient.
        target, policy_loss: the two pieces that the learner of notebook 03 writes.

    Raises:
        ValueError: an unknown observation group, or a prior over other actions.
    """

    def __init__(
        self,
        config: Config,
        obs_sizes: Mapping[str, int],
        num_actions: int,
        generator: torch.Generator,
        prior: Prior,
        *,
        target: Callable[..., Tensor] = retrace,
        policy_loss: Callable[..., Tensor] = policy_loss,
    ) -> None:
        self.config, self._generator, device = config, generator, generator.device
        self._retrace, self._policy_loss = target, policy_loss
        _check_prior(prior, obs_sizes, num_actions, device)
        check_groups(config.groups, tuple(obs_sizes))
        size = sum(obs_sizes[name] for name in config.groups)
        torso = LayerNormMLP(size, config.policy_sizes, None, generator)
        head = GaussianHead(torso.num_outputs, num_actions, generator, min_scale=0.1)  # Acme
        self.policy = nn.Sequential(torso, head)  # of the pre-tanh x
        self.critic = Critic(LayerNormMLP(size + num_actions, config.critic_sizes, 1, generator))
        self.critic_target = target_of(self.critic)
        self.prior = self.prior_target = prior
        trained = {"policy": self.policy, "critic": self.critic}
        self._targets = {"critic": self.critic_target}
        if isinstance(prior, nn.Module) and any(x.requires_grad for x in prior.parameters()):
            self.prior_target = target_of(prior)
            trained["prior"], self._targets["prior"] = prior, self.prior_target
        self._networks = {**trained, **{f"{n}_target": net for n, net in self._targets.items()}}
        self._optimizers = {
            name: torch.optim.Adam(network.parameters(), config.learning_rate)
            for name, network in trained.items()
        }
        self.replay = SequenceReplay(config.replay_capacity, config.sequence_length, device)
        self._num_updates = 0

    def act(self, step: Step) -> Float[Tensor, "B A"]:
        """Draws actions from the policy, in (-1, 1)."""
        return self._policy(step.obs).sample(self._generator)

    def act_mode(self, step: Step) -> Float[Tensor, "B A"]:
        """The policy's mode: how to act where exploring is over."""
        return self._policy(step.obs).mode

    def update(self, transition: Transition, valid: Tensor) -> dict[str, Tensor]:
        """Stores the transitions where `valid` [B] and, once there are `min_replay` sequences,
        takes gradient steps. Returns the metrics of the last one, or none yet.
        """
        with torch.no_grad():  # mu is still the policy, which has not learned since it acted
            log_prob = self._policy(transition.obs).log_prob(transition.action)
        self.replay.add_(transition, log_prob, valid)
        if len(self.replay) < self.config.min_replay:
            return {}
        for _ in range(self.config.updates_per_step):
            metrics = self.learn(*self.replay.sample(self.config.batch_size, self._generator))
        return metrics

    def learn(self, sequence: Sequence, valid: Bool[Tensor, "T B"]) -> dict[str, Tensor]:
        """One gradient step on everything from sequences [T, B], T >= K; `valid` is False where a
        step is padding. Raises ValueError for shorter sequences.
        """
        config = self.config
        if len(sequence.reward) < config.sequence_length:
            raise ValueError(
                f"the sequences have {len(sequence.reward)} steps, and sequence_length is"
                f" {config.sequence_length}: collect longer ones, or unroll less"
            )
        obs = {k: torch.cat([x, sequence.final_obs[k][None]]) for k, x in sequence.obs.items()}
        flat, policy = flatten(obs, config.groups), self._policy(obs)
        samples = policy.rsample_with_log_prob(self._generator, (config.num_samples,))
        action, log_prob = samples  # [S, T + 1, B, A], [S, T + 1, B]
        q = self.critic_target(flat, action).mean(0)  # [T + 1, B], and so all that follows
        kl = kl_to_prior(policy, self.prior_target.distribution(obs), action, log_prob)
        entropy = -log_prob.mean(0)
        value = (q - config.alpha * kl).detach()  # (value)
        target = self._critic_target(sequence, value[1:])
        td_error = self.critic(flat[:-1], sequence.action) - target
        loss_pi = self._policy_loss(q, kl, entropy, config.alpha, config.alpha_entropy)
        losses = {"critic": _mean(td_error.square(), valid), "policy": _mean(loss_pi[:-1], valid)}
        if "prior" in self._optimizers:
            held = (policy.detach(), self.prior.distribution(obs), action.detach())
            losses["prior"] = _mean(kl_to_prior(*held, log_prob.detach())[:-1], valid)
        for name, loss in losses.items():
            self._descend(name, loss)
        self._num_updates += 1
        if self._num_updates % config.target_period == 0:
            for name, network in self._targets.items():
                update_target_(network, self._networks[name])
        metrics = {f"{name}_loss": loss.detach() for name, loss in losses.items()}
        means = {"q": q[:-1], "kl": kl[:-1], "entropy": entropy[:-1]}
        return metrics | {name: _mean(each.detach(), valid) for name, each in means.items()}

    @torch.no_grad()
    def _critic_target(self, sequence: Sequence, next_value: Tensor) -> Tensor:
        """Q^R [T, B]. (Retrace)"""
        log_prob = self._policy(sequence.obs).log_prob(sequence.action)
        q = self.critic_target(flatten(sequence.obs, self.config.groups), sequence.action)
        discount_t = self.config.discount * sequence.discount
        log_rho = log_prob - sequence.log_prob
        decay = self.config.trace_decay
        return self._retrace(q, next_value, sequence.reward, discount_t, log_rho, decay)

    def state_dict(self) -> dict[str, Any]:
        return {
            **networks_state(self._networks, self._optimizers),
            "groups": self.config.groups,
            "replay": self.replay.state_dict(),
            "num_updates": self._num_updates,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError, and changes nothing, for a checkpoint of another architecture."""
        check_networks_state(self._networks, state)
        check_saved_groups(self.config.groups, state.get("groups"))
        self.replay.load_state_dict(state["replay"])
        load_networks_state_(self._networks, self._optimizers, state)
        self._num_updates = state["num_updates"]
        self._generator.set_state(state["generator"].cpu())

    def _policy(self, obs: Mapping[str, Tensor]) -> SquashedGaussian:
        return SquashedGaussian(self.policy(flatten(obs, self.config.groups)))

    def _descend(self, name: str, loss: Tensor) -> None:
        """One step of this optimizer; the gradient is computed for its parameters only."""
        self._optimizers[name].zero_grad()
        loss.backward(inputs=list(self._networks[name].parameters()))
        self._optimizers[name].step()


def _mean(each: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid, each, 0.0).sum() / valid.sum()


def _check_prior(prior: Prior, sizes: Mapping[str, int], num_actions: int, device: Any) -> None:
    obs = {name: torch.zeros(1, size, device=device) for name, size in sizes.items()}
    generator = torch.Generator(device).manual_seed(0)  # the agent's own is left alone
    with torch.no_grad():
        action = prior.distribution(obs).sample(generator)
    if action.shape != (1, num_actions):
        raise ValueError(
            f"the prior's actions have shape {[*action.shape[1:]]}, the agent's [{num_actions}]:"
            " give a prior over the same actions"
        )


PRESETS = {
    "smoke": Config(
        policy_sizes=(16,), critic_sizes=(16,), batch_size=8, sequence_length=5, min_replay=4
    ),
    "laptop": Config(
        policy_sizes=(64, 64),
        critic_sizes=(64, 64),
        alpha=0.03,
        discount=0.95,
        learning_rate=1e-3,
        batch_size=32,
        target_period=50,
        updates_per_step=2,
    ),
    "paper": Config(),
}
