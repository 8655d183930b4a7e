"""Maximum a posteriori policy optimization: KL-regularized RL whose prior is the last policy.

Sources: Abdolmaleki et al. 2018, "Maximum a Posteriori Policy Optimisation" (arXiv 1806.06920) and
"Relative Entropy Regularized Policy Iteration" (arXiv 1812.02256) for the bounds of mean and
stddev apart. pi_k is a copy of the policy that is renewed every P steps, Q' one of the critic, d
the environment's discount, and a_1 .. a_N are drawn from pi_k(.|s):

    y        = r + gamma d (1/N) sum_i Q'(s', a'_i),  a'_i ~ pi_k(.|s')                  (critic)
    q(a_i|s) proportional to exp( Q'(s, a_i) / eta )                                     (E-step)
    g(eta)   = eta epsilon + eta E_s log (1/N) sum_i exp( Q'(s, a_i) / eta )               (dual)
    L_pi     = -E_s sum_i q(a_i|s) ( log N(a_i; m, s_k) + log N(a_i; m_k, s) )
               + sum_d lambda_m E_s C_m,d + lambda_s E_s C_s,d                           (M-step)
    C_m = KL[N(m_k, s_k) || N(m, s_k)],  C_s = KL[N(m_k, s_k) || N(m_k, s)]              (bounds)
    L_lambda = lambda_m (epsilon_m - E_s C_m) + lambda_s (epsilon_s - E_s C_s)      (multipliers)

The E-step is the solution of `klrl.tabular` with alpha = eta and pi_0 = pi_k, on samples: the best
policy within KL epsilon of pi_k. The M-step fits the network to it, within bounds of its own.

    symbol    name here                     symbol              name here
    N(m, s)   policy, with mean and std     eta                 duals.temperature
    pi_k      old, from policy_target       lambda_m, lambda_s  duals.mean, duals.std
    Q, Q'     critic, critic_target         epsilon, _m, _s     epsilon, epsilon_mean, epsilon_std
    q(a_i|s)  weights [S, B]                N                   num_samples, axis S
    gamma     discount, in [0, 1)           P                   target_period

Actions that are out of bounds cost: with c(a) = -|a - clip(a)| in the place of Q', a second set of
weights with a temperature of its own is added to those of the E-step.

Deviations: the critic's target takes one step, where the paper has Retrace. The settings of `paper`
are those of Acme (arXiv 2006.00979), which also adds the penalty of actions, shares its samples
between E-step and critic, and has n-step targets. Those of `laptop` are ours: larger bounds and a
shorter period, since it takes a hundredth of the steps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.data.replay import Replay
from rlcourse.envs.groups import check_groups, check_saved_groups, flatten
from rlcourse.nets.blocks import Critic, GaussianHead, LayerNormMLP
from rlcourse.nets.state import (
    check_networks_state,
    load_networks_state_,
    networks_state,
    target_of,
    update_target_,
)
from rlcourse.ops.distributions import DiagonalGaussian
from rlcourse.ops.dual import (
    DualVariable,
    multiplier_loss,
    multiplier_penalty,
    sample_kl,
    sample_weights,
    temperature_loss,
)
from rlcourse.ops.gaussian import decoupled_gaussian_kl
from rlcourse.types import Step, Transition


@dataclass(frozen=True)
class Config:
    """Maximum a posteriori policy optimization, with the settings of Acme."""

    groups: tuple[str, ...] = ("proprio", "targets", "task")  # what policy and critic see
    policy_sizes: tuple[int, ...] = (256, 256, 256)
    critic_sizes: tuple[int, ...] = (512, 512, 256)
    discount: float = 0.99  # gamma
    learning_rate: float = 1e-4  # Adam, of policy and critic
    dual_learning_rate: float = 1e-2  # Adam, of eta and the multipliers
    max_gradient: float = 40.0  # norm to which the gradients of policy and critic are clipped
    batch_size: int = 256
    num_samples: int = 20  # N
    epsilon: float = 0.1  # nats; paper
    epsilon_mean: float = 0.0025  # nats, of each dimension or of all together
    epsilon_std: float = 1e-6
    per_dimension: bool = True  # one bound for each dimension of the action
    epsilon_penalty: float = 1e-3  # of actions out of bounds
    penalize_actions: bool = True
    initial_temperature: float = 10.0
    initial_multiplier_mean: float = 10.0
    initial_multiplier_std: float = 1000.0
    target_period: int = 100  # P, in gradient steps
    replay_capacity: int = 1_000_000
    min_replay: int = 1_000  # transitions before learning starts
    updates_per_step: int = 1  # gradient steps per step of the environment

    def __post_init__(self) -> None:
        if not 0.0 <= self.discount < 1.0:
            raise ValueError(f"discount must lie in [0, 1), got {self.discount}")
        positive = ("learning_rate", "batch_size", "num_samples", "epsilon", "epsilon_mean")
        for name in (*positive, "epsilon_std", "target_period", "min_replay", "updates_per_step"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.min_replay > self.replay_capacity:
            raise ValueError(f"min_replay {self.min_replay} exceeds {self.replay_capacity=}")


class Duals(nn.Module):
    """Temperatures of the E-step and multipliers of the M-step, [D] or [1]."""

    def __init__(self, config: Config, num_actions: int, device: torch.device) -> None:
        super().__init__()
        shape = (num_actions if config.per_dimension else 1,)
        self.temperature = DualVariable(config.initial_temperature, device=device)
        self.penalty = DualVariable(config.initial_temperature, device=device)
        self.mean = DualVariable(config.initial_multiplier_mean, shape, device)
        self.std = DualVariable(config.initial_multiplier_std, shape, device)


def cross_entropy(
    policy: DiagonalGaussian,
    old: DiagonalGaussian,
    action: Float[Tensor, "S B A"],
    weights: Float[Tensor, "S B"],
) -> Float[Tensor, ""]:
    """The first line of L_pi: how badly mean and stddev, each beside the other's old value, fit the
    weighted actions. The mean over the batch. (M-step)
    """
    log_prob = DiagonalGaussian(policy.mean, old.std).log_prob(action)
    log_prob = log_prob + DiagonalGaussian(old.mean, policy.std).log_prob(action)
    return -(weights * log_prob).sum(0).mean()


def constrained_kl(
    policy: DiagonalGaussian, old: DiagonalGaussian, per_dimension: bool
) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
    """C_m and C_s in each state, for each dimension (K = A) or all together (K = 1). (bounds)"""
    parts = decoupled_gaussian_kl(old.mean, old.std, policy.mean, policy.std)
    return parts if per_dimension else tuple(part.sum(-1, keepdim=True) for part in parts)


class MPO:
    """Maximum a posteriori policy optimization for B instances, with a replay of its own.

    Args:
        config: see `Config`.
        obs_sizes: features of each observation group, as `PointMass.group_sizes`.
        num_actions: |A|; actions are clipped to [-1, 1].
        generator: of weights, actions and batches; the agent lives on its device.
        weights, temperature_loss: the two pieces that the learner of notebook 03 writes.

    Raises:
        ValueError: an unknown observation group.
    """

    def __init__(
        self,
        config: Config,
        obs_sizes: Mapping[str, int],
        num_actions: int,
        generator: torch.Generator,
        *,
        weights: Callable[..., Tensor] = sample_weights,
        temperature_loss: Callable[..., Tensor] = temperature_loss,
    ) -> None:
        check_groups(config.groups, tuple(obs_sizes))
        self.config, self._generator, device = config, generator, generator.device
        self._weights, self._temperature_loss = weights, temperature_loss
        size = sum(obs_sizes[name] for name in config.groups)
        torso = LayerNormMLP(size, config.policy_sizes, None, generator)
        head = GaussianHead(torso.num_outputs, num_actions, generator)
        self.policy = nn.Sequential(torso, head)
        self.critic = Critic(LayerNormMLP(size + num_actions, config.critic_sizes, 1, generator))
        self.duals = Duals(config, num_actions, device)
        self.policy_target, self.critic_target = target_of(self.policy), target_of(self.critic)
        self.replay = Replay(config.replay_capacity, device)
        self._num_updates = 0
        names = ("policy", "critic", "duals", "policy_target", "critic_target")
        self._networks = {name: getattr(self, name) for name in names}
        rates = {"policy": config.learning_rate, "critic": config.learning_rate}
        self._optimizers = {
            name: torch.optim.Adam(self._networks[name].parameters(), rate)
            for name, rate in {**rates, "duals": config.dual_learning_rate}.items()
        }

    def act(self, step: Step) -> Float[Tensor, "B A"]:
        """Draws actions from the policy."""
        return self.policy(self._flat(step.obs)).sample(self._generator).clamp(-1.0, 1.0)

    def act_mode(self, step: Step) -> Float[Tensor, "B A"]:
        """The policy's mode: how to act where exploring is over."""
        return self.policy(self._flat(step.obs)).mode.clamp(-1.0, 1.0)

    def update(self, transition: Transition, valid: Tensor) -> dict[str, Tensor]:
        """Stores the transitions where `valid` [B] and, once there are `min_replay`, takes gradient
        steps. Returns the metrics of the last one, or none yet.
        """
        self.replay.add_(transition, valid)
        if len(self.replay) < self.config.min_replay:
            return {}
        for _ in range(self.config.updates_per_step):
            metrics = self.learn(self.replay.sample(self.config.batch_size, self._generator))
        return metrics

    def learn(self, batch: Transition) -> dict[str, Tensor]:
        """One gradient step on everything from a batch of transitions."""
        states = torch.stack([self._flat(batch.obs), self._flat(batch.next_obs)])  # [2, B, D]
        with torch.no_grad():
            old = self.policy_target(states)
            action = old.sample(self._generator, (self.config.num_samples,))  # [S, 2, B, A]
            q = self.critic_target(states, action.clamp(-1.0, 1.0))  # [S, 2, B]
            discount = self.config.discount * batch.discount
            target = batch.reward + discount * q[:, 1].mean(0)  # (critic)
        q_taken = self.critic(states[0], batch.action)  # [B]
        loss_q = 0.5 * (q_taken - target).square().mean()
        self._descend("critic", loss_q)
        old = DiagonalGaussian(old.mean[0], old.std[0])
        improved = self._improve(states[0], old, action[:, 0], q[:, 0])
        self._num_updates += 1
        if self._num_updates % self.config.target_period == 0:
            update_target_(self.policy_target, self.policy)
            update_target_(self.critic_target, self.critic)
        return {"critic_loss": loss_q.detach(), "q": q_taken.detach().mean(), **improved}

    def _improve(
        self, obs: Tensor, old: DiagonalGaussian, action: Tensor, q: Tensor
    ) -> dict[str, Tensor]:
        """E-step on actions [S, B, A] with values [S, B], then one gradient step of the M-step."""
        config, duals = self.config, self.duals
        weights = self._weights(q, duals.temperature())  # (E-step)
        loss_dual = self._temperature_loss(q, duals.temperature(), config.epsilon).mean()  # (dual)
        distance = sample_kl(weights).mean()
        if config.penalize_actions:
            cost = -(action - action.clamp(-1.0, 1.0)).norm(dim=-1)  # [S, B]
            weights = weights + sample_weights(cost, duals.penalty())
            penalty = temperature_loss(cost, duals.penalty(), config.epsilon_penalty)
            loss_dual = loss_dual + penalty.mean()
        policy = self.policy(obs)
        loss_pi = cross_entropy(policy, old, action, weights)
        kls = constrained_kl(policy, old, config.per_dimension)
        relative = []
        bounds = (config.epsilon_mean, config.epsilon_std)
        for kl, bound, dual in zip(kls, bounds, (duals.mean, duals.std), strict=True):
            loss_pi = loss_pi + multiplier_penalty(kl, dual()).sum(-1).mean()  # (M-step)
            loss_dual = loss_dual + multiplier_loss(kl, bound, dual()).sum(-1).mean()
            relative.append(kl.detach().mean(0).amax() / bound)
        self._descend("policy", loss_pi)
        self._descend("duals", loss_dual)
        for dual in duals.children():
            dual.limit_()
        return {
            "policy_loss": loss_pi.detach(),
            "temperature": duals.temperature().detach(),
            "kl_samples/epsilon": distance / config.epsilon,
            "kl_mean/epsilon": relative[0],
            "kl_std/epsilon": relative[1],
            "std": policy.std.detach().mean(),
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            **networks_state(self._networks, self._optimizers),
            "groups": self.config.groups,
            "replay": self.replay.state_dict(),
            "num_updates": self._num_updates,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError when the checkpoint is of another architecture or replay capacity.
        Nothing is changed then.
        """
        check_networks_state(self._networks, state)
        check_saved_groups(self.config.groups, state.get("groups"))
        self.replay.load_state_dict(state["replay"])
        load_networks_state_(self._networks, self._optimizers, state)
        self._num_updates = state["num_updates"]
        self._generator.set_state(state["generator"].cpu())

    def _flat(self, obs: Any) -> Tensor:
        return flatten(obs, self.config.groups)

    def _descend(self, name: str, loss: Tensor) -> None:
        """One step of this optimizer; the gradient is computed for its parameters only."""
        parameters = list(self._networks[name].parameters())
        self._optimizers[name].zero_grad()
        loss.backward(inputs=parameters)
        if name != "duals":
            nn.utils.clip_grad_norm_(parameters, self.config.max_gradient)
        self._optimizers[name].step()


PRESETS = {
    "smoke": Config(
        policy_sizes=(16,), critic_sizes=(16,), batch_size=16, num_samples=4, min_replay=32
    ),
    "laptop": Config(
        policy_sizes=(64, 64),
        critic_sizes=(64, 64),
        discount=0.95,
        learning_rate=1e-3,
        epsilon_mean=0.05,
        epsilon_std=1e-3,
        initial_temperature=1.0,
        initial_multiplier_mean=1.0,
        initial_multiplier_std=10.0,
        target_period=25,
        replay_capacity=100_000,
        updates_per_step=2,
    ),
    "paper": Config(),
}
