"""DISTRAL on tables: one prior, distilled from the policies of M tasks while it guides them.

Source: Teh et al. 2017, "Distral: Robust Multitask Reinforcement Learning" (arXiv 1707.04175).
Task i has a policy pi_i; all share the prior pi_0. Together they maximize

    J = sum_i E_pi_i [ sum_t gamma^t ( R_i - c_KL log(pi_i / pi_0) - c_Ent log pi_i ) ]
      = sum_i E_pi_i [ sum_t gamma^t ( R_i + (alpha / beta) log pi_0 - (1 / beta) log pi_i ) ]
    with alpha = c_KL / (c_KL + c_Ent) and beta = 1 / (c_KL + c_Ent).          (objective)

For a fixed prior, each task's optimum solves, with V_i = 0 at terminal states,

    V_i(s)    = (1 / beta) log sum_a pi_0(a|s)^alpha exp( beta Q_i(s, a) )      (soft value)
    Q_i(s, a) = R_i(s, a) + gamma E V_i(s')                                      (backup)
    pi_i(a|s) = pi_0(a|s)^alpha exp( beta (Q_i(s, a) - V_i(s)) )                 (policy)

For fixed policies, the best prior maximizes sum_i E_pi_i [ sum_t gamma^t log pi_0(a_t|s_t) ], a
likelihood; its maximum is the mixture of the policies, weighted by their discounted visits:

    pi_0(a|s) proportional to sum_i E_pi_i [ sum_t gamma^t 1{s_t = s} ] pi_i(a|s)   (distillation)

    symbol   name here               symbol       name here
    alpha    alpha, in [0, 1]        beta         beta, nats per unit of reward
    pi_0     log_prior               pi_i         log_policy
    Q_i      q                       gamma        discount, in [0, 1)

The temperature of `klrl.tabular`, called alpha there, is 1 / beta here. The prior may also see the
last action, so that it can keep a direction; with c the last action the equations hold with
pi_0(a|s, c) and V_i(s, c), while Q_i(s, a) does not depend on c, since a is the next c.

Baselines, differing in nothing else: "separate" keeps pi_0 uniform, so that the tasks share
nothing; "shared" does too, and has one table Q, hence one policy, for all tasks.

Deviations: beta, discount and learning rate are those that code which cites the paper lists for its
two rooms; all other settings are ours. The prior is (distillation) in closed form, from decayed
counts of the expected action pi_i(.|s). It sees the last action. The paper's prior sees, as far as
we remember, the last reward too, which is 0 within these episodes; ours does not.
Entropy is measured from that of a uniform policy, which takes (1 - alpha) log(A) / beta off each
V_i: otherwise every state that is visited gains a bonus, looks better than the zeros with which Q
starts elsewhere, and keeps the agents from going where they have not been (`center_entropy`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rlcourse.ops.kl import boltzmann_log_policy, soft_value
from rlcourse.types import Step, Transition

SHARING = ("distral", "separate", "shared")


@dataclass(frozen=True)
class Config:
    """Tabular DISTRAL, or one of its baselines."""

    sharing: Literal["distral", "separate", "shared"] = "distral"
    alpha: float = 0.5  # c_KL / (c_KL + c_Ent)
    beta: float = 5.0  # 1 / (c_KL + c_Ent); listed for two rooms, see Deviations
    discount: float = 0.95  # gamma; listed for two rooms
    learning_rate: float = 0.1  # of Q; listed for two rooms
    prior_sees_action: bool = True  # the last one; see Deviations
    forgetting: float = 0.01  # share of the prior's counts that is lost with each step
    pseudo_count: float = 0.01  # of each action, so that an unvisited state has a uniform prior
    center_entropy: bool = True  # see Deviations

    def __post_init__(self) -> None:
        if self.sharing not in SHARING:
            raise ValueError(f"sharing must be one of {SHARING}, got {self.sharing!r}")
        if not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha is a share of the costs, in [0, 1], got {self.alpha}")
        if not 0.0 <= self.discount < 1.0:
            raise ValueError(f"discount must lie in [0, 1), got {self.discount}")
        if not 0.0 < self.learning_rate <= 1.0:
            raise ValueError(f"learning_rate must lie in (0, 1], got {self.learning_rate}")
        if not 0.0 <= self.forgetting < 1.0:
            raise ValueError(f"forgetting must lie in [0, 1), got {self.forgetting}")
        for name in ("beta", "pseudo_count"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


def distral_value(
    q: Float[Tensor, "*#batch A"], log_prior: Float[Tensor, "*#batch A"], alpha: float, beta: float
) -> Float[Tensor, "*batch"]:
    """V = (1 / beta) log sum_a pi_0(a)^alpha exp(beta Q(a)), in log space. (soft value)

    With alpha = 1 it is `ops.kl.soft_value` at temperature 1 / beta; with alpha = 0 the prior does
    not matter, and V holds an entropy bonus of up to log(A) / beta.

    Args:
        q: action values [..., A].
        log_prior: log pi_0 [..., A]; leading axes broadcast against those of q.
        alpha: in [0, 1].
        beta: > 0, in nats per unit of reward.

    Raises:
        ValueError: the shapes do not fit.
    """
    return soft_value(q, _power(log_prior, alpha), 1.0 / beta)


def distral_log_policy(
    q: Float[Tensor, "*#batch A"], log_prior: Float[Tensor, "*#batch A"], alpha: float, beta: float
) -> Float[Tensor, "*batch A"]:
    """log pi = alpha log pi_0 + beta (Q - V), normalized. (policy) Arguments as `distral_value`."""
    return boltzmann_log_policy(q, _power(log_prior, alpha), 1.0 / beta)


def distral_value_and_log_policy(
    q: Float[Tensor, "*#batch A"], log_prior: Float[Tensor, "*#batch A"], alpha: float, beta: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch A"]]:
    """`distral_value` and `distral_log_policy` of the same arguments."""
    inputs = (q, log_prior, alpha, beta)
    return distral_value(*inputs), distral_log_policy(*inputs)


def distilled_log_prior(
    counts: Float[Tensor, "*batch A"], pseudo_count: float
) -> Float[Tensor, "*batch A"]:
    """log pi_0 from discounted counts of actions [..., A], each raised by `pseudo_count` > 0.

    (distillation); the pseudo-counts are a Dirichlet prior, which keeps every action possible.
    """
    raised = counts + pseudo_count
    return raised.log() - raised.sum(-1, keepdim=True).log()


def _power(log_prior: Tensor, alpha: float) -> Tensor:
    """log pi_0^alpha, with 0^0 = 1."""
    return torch.zeros_like(log_prior) if alpha == 0.0 else alpha * log_prior


class TabularDistral:
    """M tasks, each learned B times over: tables Q [B, M, S, A], one prior for each of B seeds.

    Lives in B * M instances of an environment; instance b M + m is seed b in task m. Observations
    are states of tasks `side_by_side`, and only count modulo S. A step is one step in every task;
    nothing is shared between seeds.

    Args:
        config: see `Config`.
        num_seeds, num_tasks, num_states, num_actions: B, M, S and A.
        generator: draws the actions; its device is the tables'.
        policy: (q [N, A], log_prior [N, A], alpha, beta) -> log-probabilities [N, A].
        value: the same arguments -> soft values [N].
        prior: (counts [..., A], pseudo_count) -> log-probabilities [..., A].
    """

    def __init__(
        self,
        config: Config,
        num_seeds: int,
        num_tasks: int,
        num_states: int,
        num_actions: int,
        generator: torch.Generator,
        policy: Callable[..., Tensor] = distral_log_policy,
        value: Callable[..., Tensor] = distral_value,
        prior: Callable[..., Tensor] = distilled_log_prior,
    ) -> None:
        self.config, self._generator = config, generator
        self._policy, self._value, self._prior = policy, value, prior
        self.num_tasks, self.num_states = num_tasks, num_states
        bonus = (1.0 - config.alpha) * math.log(num_actions) / config.beta
        self._bonus = bonus if config.center_entropy else 0.0
        device = generator.device
        num_tables = 1 if config.sharing == "shared" else num_tasks
        num_contexts = num_actions + 1 if config.prior_sees_action else 1
        self.q = torch.zeros(num_seeds, num_tables, num_states, num_actions, device=device)
        self.counts = torch.zeros(num_seeds, num_contexts, num_states, num_actions, device=device)
        instance = torch.arange(num_seeds * num_tasks, device=device)
        self._seed = instance // num_tasks  # [B * M]
        self._table = instance % num_tasks % num_tables  # [B * M]
        self._context = torch.zeros_like(instance)  # [B * M] last action + 1; 0 before the first
        self._weight = torch.ones(len(instance), device=device)  # [B * M] gamma^t

    def log_prior(self) -> Float[Tensor, "B C S A"]:
        """log pi_0 for each last action: C = A + 1, entry 0 before the first one; or C = 1."""
        return self._prior(self.counts, self.config.pseudo_count)

    def log_policy(self) -> Float[Tensor, "B M C S A"]:
        """The current policies of all tasks. They depend on the last action as the prior does."""
        q = self.q.expand(-1, self.num_tasks, -1, -1).unsqueeze(2)
        return self._policy(q, self.log_prior().unsqueeze(1), self.config.alpha, self.config.beta)

    def act(self, step: Step) -> Tensor:
        """Draws one action [B * M] per instance from its policy at `step.obs` [B * M]."""
        self._context = torch.where(step.is_first, 0, self._context)
        self._weight = torch.where(step.is_first, 1.0, self._weight)
        obs, config = step.obs % self.num_states, self.config
        self._log_prior = self._log_prior_at(self._context, obs)
        q = self.q[self._seed, self._table, obs]
        self._log_policy = self._policy(q, self._log_prior, config.alpha, config.beta)
        policy = self._log_policy.exp()
        return torch.multinomial(policy, 1, generator=self._generator).squeeze(1)

    def update(self, transition: Transition, valid: Tensor) -> dict[str, Tensor]:
        """One step of soft Q-learning per instance where `valid` [B * M], and of distillation.

        The transition is that of the last `act`. Returns the means over valid instances of the
        absolute TD error, and of KL(pi_i || pi_0) in the states where the tasks are.
        """
        obs = transition.obs % self.num_states
        context = self._context_after(transition.action)
        target = self._target(transition, context)
        here = (self._seed, self._table, obs, transition.action)
        td_error = torch.where(valid, target - self.q[here], 0.0)
        self.q.index_put_(here, self._rate(here, valid) * td_error, accumulate=True)
        policy = self._log_policy.exp()
        if self.config.sharing == "distral":
            visits = torch.where(valid, self._weight, 0.0).unsqueeze(-1) * policy
            self.counts *= 1.0 - self.config.forgetting
            self.counts.index_put_((self._seed, self._context, obs), visits, accumulate=True)
        self._context, self._weight = context, self._weight * self.config.discount
        kl = torch.where(valid, (policy * (self._log_policy - self._log_prior)).sum(-1), 0.0)
        number = valid.sum().clamp(min=1)
        return {"td_error": td_error.abs().sum() / number, "kl": kl.sum() / number}

    def _rate(self, here: tuple[Tensor, ...], valid: Tensor) -> float | Tensor:
        """The learning rate; where tasks that share a table meet in an entry, they share it too."""
        if self.config.sharing != "shared":
            return self.config.learning_rate
        met = torch.zeros_like(self.q).index_put_(here, valid.float(), accumulate=True)
        return self.config.learning_rate / met[here].clamp(min=1.0)

    def _target(self, transition: Transition, context: Tensor) -> Tensor:
        """The right side of (backup) [B * M], with V at the next state and its last action."""
        config, next_obs = self.config, transition.next_obs % self.num_states
        next_q = self.q[self._seed, self._table, next_obs]
        next_log_prior = self._log_prior_at(context, next_obs)
        next_value = self._value(next_q, next_log_prior, config.alpha, config.beta)
        discount = config.discount * transition.discount
        return transition.reward + discount * (next_value - self._bonus)

    def _log_prior_at(self, context: Tensor, obs: Tensor) -> Tensor:
        return self._prior(self.counts[self._seed, context, obs], self.config.pseudo_count)

    def _context_after(self, action: Tensor) -> Tensor:
        return action + 1 if self.config.prior_sees_action else torch.zeros_like(action)

    def state_dict(self) -> dict[str, Any]:
        return {
            "sharing": self.config.sharing,
            "q": self.q,
            "counts": self.counts,
            "context": self._context,
            "weight": self._weight,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError when the checkpoint belongs to tables of another size or kind. Nothing
        is changed then.
        """
        if state.get("sharing") != self.config.sharing:
            raise ValueError(
                f"the checkpoint is of {state.get('sharing')!r} agents, these are"
                f" {self.config.sharing!r}: start anew in another folder"
            )
        mine = self.state_dict()
        for name in ("q", "counts", "context", "weight"):
            wanted, found = mine[name].shape, getattr(state.get(name), "shape", ())
            if found != wanted:
                raise ValueError(
                    f"the checkpoint's {name} is {tuple(found)}, this learner's "
                    f"{tuple(wanted)}: start anew in another folder"
                )

        def own(name: str) -> Tensor:  # a copy: the tables are written in place
            return state[name].to(self.q.device, copy=True)

        self._context, self._weight = own("context"), own("weight")
        self.counts, self.q = own("counts"), own("q")
        self._generator.set_state(state["generator"].cpu())
