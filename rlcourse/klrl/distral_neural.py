"""DISTRAL with networks: actor-critic agents of M tasks, and the prior that they distill.

Source: Teh et al. 2017, "Distral: Robust Multitask Reinforcement Learning" (arXiv 1707.04175). The
objective is that of `klrl.distral`; in a state s it charges task i

    reg_i(s) = sum_a pi_i(a|s) ( (alpha / beta) log pi_0(a|s) - (1 / beta) log pi_i(a|s) ),  (reg)

so that the value of a policy is V_i(s_t) = reg_i(s_t) + E[ R_i + gamma V_i(s_t+1) ], and its
gradient, with any estimate Y_t of that value from the action a_t taken,

    grad J = E sum_t [ (Y_t - V_i(s_t)) grad log pi_i(a_t|s_t) + grad reg_i(s_t) ].      (gradient)

The second term holds the distillation. Through log pi_0 = log softmax h_0 it is, in the logits and
for fixed policies,

    (alpha / beta) sum_t ( pi_i(.|s_t) - pi_0(.|s_t) ),                              (distillation)

which moves the prior toward each policy in the states that this policy visits. With two columns h_0
also gets a gradient through log pi_i, in both terms.

    "one column"    pi_i proportional to exp( beta f_i )                           (one column)
    "two columns"   pi_i proportional to exp( alpha h_0 + beta f_i )               (two columns)
                    so that what the prior learns is in every policy at once
    "separate"      one column and a uniform pi_0: M agents that share nothing
    "shared"        the same with one network for all tasks

    symbol   name here                    symbol        name here
    h_0      prior logits                 f_i           task logits
    pi_0     log_prior                    pi_i          log_policy
    Y_t      `lambda_returns`             V_i           value, from the network of f_i

Deviations: the equations are as recalled and as code that cites the paper has them. The paper's
agents learn from pictures, as far as we know; here they are small MLPs, trained with Adam, that see
a table of features. Task logits are multiplied by
beta in all variants, so that they differ in nothing but what they share. Advantages are
lambda-returns; reg is summed over actions instead of sampled. As usual in actor-critic methods,
neither gradient carries the factor gamma^t. Entropy is measured from that of a uniform policy
(`center_entropy`), as in `klrl.distral`. All settings are ours.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rlcourse.ops.targets import lambda_returns
from rlcourse.types import Step, Transition

SHARING = ("two columns", "one column", "separate", "shared")


@dataclass(frozen=True)
class Config:
    """Neural DISTRAL, or one of its baselines. The paper's values are for other environments."""

    sharing: Literal["two columns", "one column", "separate", "shared"] = "two columns"
    alpha: float = 0.5  # c_KL / (c_KL + c_Ent)
    beta: float = 50.0  # 1 / (c_KL + c_Ent), in nats per unit of reward
    discount: float = 0.97
    lambda_: float = 0.95
    rollout: int = 20  # T, steps between updates
    learning_rate: float = 1e-3
    value_cost: float = 0.5
    hidden: tuple[int, ...] = (64, 64)
    center_entropy: bool = True

    def __post_init__(self) -> None:
        if self.sharing not in SHARING:
            raise ValueError(f"sharing must be one of {SHARING}, got {self.sharing!r}")
        for name in ("alpha", "lambda_"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if not 0.0 <= self.discount < 1.0:
            raise ValueError(f"discount must lie in [0, 1), got {self.discount}")
        for name in ("beta", "learning_rate", "rollout"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if not 0.0 <= self.value_cost < math.inf:
            raise ValueError(f"value_cost must not be negative, got {self.value_cost}")
        if not all(size > 0 for size in self.hidden):
            raise ValueError(f"hidden sizes must be positive, got {self.hidden}")


class StackedMLP(nn.Module):
    """G networks of one architecture, run side by side: [G, N, D_in] -> [G, N, D_out]; ELU.

    The first layers are drawn as `nn.Linear` does; the last one is a hundredth of that, so that a
    fresh policy is nearly uniform.
    """

    def __init__(self, num_nets: int, sizes: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.num_nets = num_nets
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for layer, (num_in, num_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True), 1):
            scale = (0.01 if layer == len(sizes) - 1 else 1.0) / math.sqrt(num_in)
            shape, device = (num_nets, num_in, num_out), generator.device
            uniform = torch.rand(shape, generator=generator, device=device)
            self.weights.append(nn.Parameter(scale * (2.0 * uniform - 1.0)))
            self.biases.append(nn.Parameter(torch.zeros(num_nets, 1, num_out, device=device)))

    def forward(self, x: Float[Tensor, "G N D"]) -> Float[Tensor, "G N out"]:
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, nn.functional.elu(x) if layer else x, weight)
        return x


def column_log_policies(
    task_logits: Float[Tensor, "*batch A"],
    prior_logits: Float[Tensor, "*batch A"],
    alpha: float,
    beta: float,
    two_columns: bool,
) -> tuple[Float[Tensor, "*batch A"], Float[Tensor, "*batch A"]]:
    """log pi_i and log pi_0 from the outputs f_i and h_0. (one column), (two columns)"""
    logits = beta * task_logits + (alpha * prior_logits if two_columns else 0.0)
    return logits.log_softmax(-1), prior_logits.log_softmax(-1)


def regularizer(
    log_policy: Float[Tensor, "*batch A"],
    log_prior: Float[Tensor, "*batch A"],
    alpha: float,
    beta: float,
) -> Float[Tensor, "*batch"]:
    """(reg), in units of reward; its gradient in log_prior is (distillation)."""
    return (log_policy.exp() * (alpha * log_prior - log_policy)).sum(-1) / beta


def distillation_gradient(
    prior_logits: Float[Tensor, "S A"],
    states: Int[Tensor, " N"],
    log_policy: Float[Tensor, "N A"],
    alpha: float,
    beta: float,
) -> Float[Tensor, "S A"]:
    """(distillation) written out, for a prior that is a table of logits h_0.

    Automatic differentiation of the summed `regularizer` gives the same for fixed policies; agents
    use that, through the policies too.

    Args:
        prior_logits: h_0 of each state.
        states: where each of N samples was taken, by any task.
        log_policy: log pi_i there, of the task that was there.
        alpha, beta: as in `regularizer`.
    """
    difference = log_policy.exp() - prior_logits.softmax(-1)[states]  # [N, A]
    return alpha / beta * torch.zeros_like(prior_logits).index_add_(0, states, difference)


class Loss(NamedTuple):
    """One entry per step; where `valid` was False, 0.0."""

    policy: Tensor  # [T, N]
    value: Tensor  # [T, N]


def actor_critic_loss(
    log_policy: Float[Tensor, "T N A"],
    regularizer: Float[Tensor, "T N"],
    value: Float[Tensor, "T+1 N"],
    action: Int[Tensor, "T N"],
    reward: Float[Tensor, "T N"],
    discount: Float[Tensor, "T N"],
    valid: Tensor,
    lambda_: float,
) -> Loss:
    """(gradient) as a loss, and the squared error of V.

    Args:
        log_policy: log pi_i in the states acted in.
        regularizer: (reg) in these states, with gradients to pi_i and pi_0.
        value: V_i in these states, and in the last one arrived in.
        action, reward, discount: what was done and came of it; gamma is in the discount.
        valid: [T, N] False where the action was ignored because a new episode began.
        lambda_: of the returns.
    """
    following = torch.cat([valid[1:], torch.ones_like(valid[:1])])
    # An episode that ends bootstraps from the value of its last state, and goes no further.
    lambdas = torch.where(following, lambda_, 0.0)
    with torch.no_grad():
        target = lambda_returns(reward + regularizer, discount, value[1:], lambdas)
        advantage = target - value[:-1]
    chosen = log_policy.gather(-1, action.unsqueeze(-1)).squeeze(-1)
    policy_loss = -(advantage * chosen + regularizer)
    value_loss = (target - value[:-1]).square()
    return Loss(policy_loss * valid, value_loss * valid)


class NeuralDistral:
    """M tasks, each learned by B independent seeds, each seed with n instances of each task.

    Lives in B M n instances of an environment whose observations are states; instance
    (b M + m) n + k is the k-th of seed b in task m. Nothing is shared between seeds: each has its
    own networks, and no gradient mixes them.

    Args:
        config: see `Config`.
        features: [S, D] what the networks see of each state, in all tasks of all seeds.
        num_seeds, num_tasks, num_copies, num_actions: B, M, n and A.
        generator: draws weights and actions; on the device of `features`.
        columns: as `column_log_policies`, with the same arguments and results.
        charge: as `regularizer`.
    """

    def __init__(
        self,
        config: Config,
        features: Float[Tensor, "S D"],
        num_seeds: int,
        num_tasks: int,
        num_copies: int,
        num_actions: int,
        generator: torch.Generator,
        columns: Callable[..., tuple[Tensor, Tensor]] = column_log_policies,
        charge: Callable[..., Tensor] = regularizer,
    ) -> None:
        self.config, self._features, self._generator = config, features, generator
        self._columns, self._charge = columns, charge
        self.num_seeds, self.num_tasks, self.num_actions = num_seeds, num_tasks, num_actions
        centered = (1.0 - config.alpha) * math.log(num_actions) / config.beta
        self._offset = centered if config.center_entropy else 0.0
        num_nets = num_seeds * (1 if config.sharing == "shared" else num_tasks)
        sizes = (features.shape[1], *config.hidden)
        self.nets = nn.ModuleDict()
        self.nets["tasks"] = StackedMLP(num_nets, (*sizes, num_actions + 1), generator)
        if config.sharing in ("one column", "two columns"):
            self.nets["prior"] = StackedMLP(num_seeds, (*sizes, num_actions), generator)
        self.optimizer = torch.optim.Adam(self.nets.parameters(), config.learning_rate)
        shape, device = (config.rollout, num_seeds * num_tasks * num_copies), features.device
        self._count = 0
        self._rollout = {
            "obs": torch.zeros(shape, dtype=torch.int64, device=device),
            "action": torch.zeros(shape, dtype=torch.int64, device=device),
            "reward": torch.zeros(shape, device=device),
            "discount": torch.zeros(shape, device=device),
            "valid": torch.zeros(shape, dtype=torch.bool, device=device),
        }

    def outputs(
        self, obs: Int[Tensor, "T N"]
    ) -> tuple[Float[Tensor, "T N A"], Float[Tensor, "T N A"], Float[Tensor, "T N"]]:
        """log pi_i, log pi_0 and V_i; N is a multiple of B M, in the order of the instances."""
        seen = self._features[obs]  # [T, N, D]
        logits, value = _apply(self.nets["tasks"], seen).split((self.num_actions, 1), -1)
        if "prior" in self.nets:
            prior_logits = _apply(self.nets["prior"], seen)
        else:
            prior_logits = torch.zeros_like(logits)
        two_columns = self.config.sharing == "two columns"
        costs = (self.config.alpha, self.config.beta)
        log_policy, log_prior = self._columns(logits, prior_logits, *costs, two_columns)
        return log_policy, log_prior, value.squeeze(-1)

    def act(self, step: Step) -> Tensor:
        """Draws one action [N] per instance from its policy."""
        log_policy, _, _ = self.outputs(step.obs.unsqueeze(0))
        return torch.multinomial(log_policy[0].exp(), 1, generator=self._generator).squeeze(1)

    def update(self, transition: Transition, valid: Tensor) -> dict[str, Tensor]:
        """Keeps the transition, and learns when T of them are there.

        Returns, then, the mean losses, and the mean of -beta reg: what it costs, in nats, to leave
        the prior and uniform behavior.
        """
        row = {
            "obs": transition.obs,
            "action": transition.action,
            "reward": transition.reward,
            "discount": transition.discount * self.config.discount,
            "valid": valid,
        }
        for name, value in row.items():
            self._rollout[name][self._count] = value
        self._count = (self._count + 1) % self.config.rollout
        return {} if self._count else self._learn(transition.next_obs)

    def _learn(self, final_obs: Tensor) -> dict[str, Tensor]:
        obs = torch.cat([self._rollout["obs"], final_obs.unsqueeze(0)])  # [T + 1, N]
        log_policy, log_prior, value = self.outputs(obs)
        config, log_policy, log_prior = self.config, log_policy[:-1], log_prior[:-1]
        reg = self._charge(log_policy, log_prior, config.alpha, config.beta) - self._offset
        experience = (self._rollout[name] for name in ("action", "reward", "discount", "valid"))
        loss = actor_critic_loss(log_policy, reg, value, *experience, config.lambda_)
        total = loss.policy + config.value_cost * loss.value
        # The sum over networks of their means: a network's step does not depend on their number.
        objective = total.mean() * self.nets["tasks"].num_nets
        if torch.isfinite(objective):  # else the metrics show it, and stop the run
            self.optimizer.zero_grad()
            objective.backward()
            self.optimizer.step()
        valid = self._rollout["valid"]
        cost = torch.where(valid, -config.beta * reg, 0.0)
        metrics = {"loss/policy": loss.policy, "loss/value": loss.value, "cost": cost}
        number = valid.sum().clamp(min=1)
        return {name: value.detach().sum() / number for name, value in metrics.items()}

    def log_policy(self, obs: Int[Tensor, "S N"]) -> Float[Tensor, "B M S A"]:
        """log pi_i in the given states of each seed's tasks, for evaluation; N = B M."""
        with torch.no_grad():
            log_policy, _, _ = self.outputs(obs)  # [S, B * M, A]
        return log_policy.transpose(0, 1).unflatten(0, (self.num_seeds, self.num_tasks))

    def log_prior(self, features: Float[Tensor, "S D"]) -> Float[Tensor, "B S A"]:
        """log pi_0 of each seed in states with these features, which may be of new maps.

        Raises:
            ValueError: the agent is a baseline, whose prior is uniform.
        """
        if "prior" not in self.nets:
            raise ValueError(f"{self.config.sharing!r} agents learn no prior: theirs is uniform")
        with torch.no_grad():
            logits = self.nets["prior"](features.expand(self.num_seeds, -1, -1))
        return logits.log_softmax(-1)

    def state_dict(self) -> dict[str, Any]:
        return {
            "sharing": self.config.sharing,
            "num_tasks": self.num_tasks,
            "nets": dict(self.nets.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "count": self._count,
            "rollout": dict(self._rollout),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError when the checkpoint belongs to other networks or instances. Nothing is
        changed then.
        """
        if state.get("sharing") != self.config.sharing:
            raise ValueError(
                f"the checkpoint is of {state.get('sharing')!r} agents, these are"
                f" {self.config.sharing!r}: start anew in another folder"
            )
        if state.get("num_tasks") != self.num_tasks:
            raise ValueError(
                f"the checkpoint is of {state.get('num_tasks')} tasks, this agent has"
                f" {self.num_tasks}: start anew in another folder"
            )
        _check_shapes("networks", state.get("nets", {}), self.nets.state_dict())
        _check_shapes("rollout", state.get("rollout", {}), self._rollout)
        self.nets.load_state_dict(state["nets"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self._count = state["count"]
        for name, value in self._rollout.items():
            value.copy_(state["rollout"][name])
        self._generator.set_state(state["generator"].cpu())


def _apply(nets: StackedMLP, x: Tensor) -> Tensor:
    """Instances [T, N, D], of which the g-th N / G belong to network g, to outputs [T, N, out]."""
    grouped = x.unflatten(1, (nets.num_nets, -1)).transpose(0, 1)  # [G, T, N / G, D]
    out = nets(grouped.flatten(1, 2)).unflatten(1, grouped.shape[1:3])
    return out.transpose(0, 1).flatten(1, 2)


def _check_shapes(name: str, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    there, here = ({k: tuple(v.shape) for k, v in state.items()} for state in (found, wanted))
    for key in there | here:
        if there.get(key) != here.get(key):
            raise ValueError(
                f"the checkpoint's {name} differs: {key} is {there.get(key, 'absent')} there and"
                f" {here.get(key, 'absent')} here: use the settings it was made with, or start anew"
                " in another folder"
            )
