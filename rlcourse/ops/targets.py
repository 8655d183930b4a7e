"""Regression targets: returns over a trajectory, and one-step targets for action values.

Notation. A trajectory has T transitions; entry t of every input belongs to the transition from
s_t to s_{t+1}, so with the rlax names

    reward_t[t]   = r_{t+1}, received on arriving in s_{t+1}
    discount_t[t] = gamma_{t+1}, the agent's gamma times the environment's discount (0.0 where the
                    episode terminated in s_{t+1})
    value_t[t]    = v(s_{t+1})
    q_tm1[t]      = q(s_t, a_t), and so for whatever else is known of the action taken

and entry t of the result is a target for v(s_t) or q(s_t, a_t). All are time-major [T, ...] with
any batch axes, usually [T, B].

A time limit ends an episode without terminating it: the target must bootstrap there and stop. Set
lambda to 0.0 at that transition (`lambda_returns`, `retrace`), or cut the trajectory
(`bootstrap_value`).

No function stops a gradient: detach the result, or call under `torch.no_grad()`.

Sources: Sutton and Barto 2018, sections 3.3, 7.1 and 12.1; van Hasselt et al. 2016, "Deep
Reinforcement Learning with Double Q-learning"; Munos et al. 2016, "Safe and Efficient Off-Policy
Reinforcement Learning", for Retrace; Tirumala et al. 2020 for the soft target. The conventions are
those of rlax, against which the tests compare.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from rlcourse.ops.kl import soft_value


def discounted_returns(
    reward_t: Float[Tensor, "T *batch"],
    discount_t: Float[Tensor, "T *batch"],
    bootstrap_value: Float[Tensor, "*batch"],
) -> Float[Tensor, "T *batch"]:
    """Return G[t] = reward_t[t] + discount_t[t] G[t+1], with G[T] = bootstrap_value.

    Args:
        reward_t: rewards [T, ...].
        discount_t: discounts [T, ...].
        bootstrap_value: value of the state after the last transition [...]; zeros if the return
            is to count only what was received.

    Raises:
        ValueError: the shapes do not fit, or T = 0.
    """
    _check_trajectory(reward_t=reward_t, discount_t=discount_t)
    if bootstrap_value.shape != reward_t.shape[1:]:
        raise ValueError(
            f"bootstrap_value must have the shape of one time step, {list(reward_t.shape[1:])}:"
            f" got {list(bootstrap_value.shape)}"
        )
    returns = []
    following = bootstrap_value  # G[t+1]
    for reward, discount in zip(reward_t.flip(0), discount_t.flip(0), strict=True):
        following = reward + discount * following
        returns.append(following)
    return torch.stack(returns).flip(0)


def n_step_returns(
    reward_t: Float[Tensor, "T *batch"],
    discount_t: Float[Tensor, "T *batch"],
    value_t: Float[Tensor, "T *batch"],
    n: int,
) -> Float[Tensor, "T *batch"]:
    """Return n rewards followed by a value: G_1[t] = reward_t[t] + discount_t[t] value_t[t] and

        G_n[t] = reward_t[t] + discount_t[t] G_{n-1}[t+1].

    Fewer than n transitions before the end of the trajectory: the target uses those there are and
    bootstraps from value_t[T-1].

    Args:
        reward_t: rewards [T, ...].
        discount_t: discounts [T, ...].
        value_t: values of the states arrived in [T, ...].
        n: number of rewards, >= 1.

    Raises:
        ValueError: n < 1, the shapes differ, or T = 0.
    """
    _check_trajectory(reward_t=reward_t, discount_t=discount_t, value_t=value_t)
    if n < 1:
        raise ValueError(f"n must be at least 1: got {n}")
    last_value = value_t[-1:]
    targets = reward_t + discount_t * value_t  # G_1
    for _ in range(min(n, reward_t.shape[0]) - 1):
        targets = reward_t + discount_t * torch.cat([targets[1:], last_value])
    return targets


def lambda_returns(
    reward_t: Float[Tensor, "T *batch"],
    discount_t: Float[Tensor, "T *batch"],
    value_t: Float[Tensor, "T *batch"],
    lambda_: float | Float[Tensor, "*lambdas"],
) -> Float[Tensor, "T *batch"]:
    """Return G[t] = reward_t[t] + discount_t[t] ((1 - lambda) value_t[t] + lambda G[t+1]).

    G[T] = value_t[T-1], so lambda = 0 is the one-step target and lambda = 1 the discounted return
    bootstrapped at the end of the trajectory.

    Args:
        reward_t: rewards [T, ...].
        discount_t: discounts [T, ...].
        value_t: values of the states arrived in [T, ...].
        lambda_: between 0 and 1, a number or one entry per transition [T, ...].

    Raises:
        ValueError: a lambda outside [0, 1], the shapes differ, or T = 0.
    """
    _check_trajectory(reward_t=reward_t, discount_t=discount_t, value_t=value_t)
    lambda_t = _checked_lambda(lambda_, reward_t)
    # One step of the recursion is G[t] = reward[t] + discount[t] G[t+1] with these two.
    reward_t = reward_t + discount_t * (1 - lambda_t) * value_t
    discount_t = discount_t * lambda_t
    return discounted_returns(reward_t, discount_t, value_t[-1])


def retrace(
    q_tm1: Float[Tensor, "T *batch"],
    value_t: Float[Tensor, "T *batch"],
    reward_t: Float[Tensor, "T *batch"],
    discount_t: Float[Tensor, "T *batch"],
    log_rho_tm1: Float[Tensor, "T *batch"],
    lambda_: float | Float[Tensor, "*lambdas"],
) -> Float[Tensor, "T *batch"]:
    """Return the off-policy target of q(s_t, a_t) that cuts its traces where policies disagree,

        G[t] = reward_t[t] + discount_t[t] (value_t[t] + c[t+1] (G[t+1] - q_tm1[t+1]))

    with c[t] = lambda min(1, pi(a_t|s_t) / mu(a_t|s_t)) and no c after the last transition. So the
    correction of a later step is weighted by the c of the steps between, from t + 1 on: the action
    that the target is for was taken, whatever its probability.

    Args:
        q_tm1: values of the actions taken, q(s_t, a_t) [T, ...].
        value_t: E_pi[q(s_{t+1}, .)], less the KL term where there is one [T, ...].
        reward_t: rewards [T, ...].
        discount_t: discounts [T, ...].
        log_rho_tm1: log pi(a_t|s_t) - log mu(a_t|s_t) of the actions taken [T, ...]; the first
            entry is not used; -inf cuts the trace in front of that step.
        lambda_: between 0 and 1, a number or one entry per transition [T, ...]: 0.0 at entry t
            bootstraps from value_t[t] and stops there (the last entry is not used).

    Returns:
        [T, ...]. With lambda = 0 it is the one-step target, reward_t + discount_t value_t.

    Raises:
        ValueError: a lambda outside [0, 1], the shapes differ, or T = 0.
    """
    _check_trajectory(
        q_tm1=q_tm1,
        value_t=value_t,
        reward_t=reward_t,
        discount_t=discount_t,
        log_rho_tm1=log_rho_tm1,
    )
    lambda_t = _checked_lambda(lambda_, reward_t).expand_as(reward_t)
    trace = lambda_t[:-1] * log_rho_tm1[1:].clamp(max=0.0).exp()  # [T - 1, ...] c[1:]
    # One step of the recursion is G[t] = reward[t] + discount[t] G[t+1] with these two.
    expected = value_t[:-1] - trace * q_tm1[1:]
    return discounted_returns(
        torch.cat([reward_t[:-1] + discount_t[:-1] * expected, reward_t[-1:]]),
        torch.cat([discount_t[:-1] * trace, discount_t[-1:]]),
        value_t[-1],
    )


def q_learning_target(
    reward_t: Float[Tensor, "*batch"],
    discount_t: Float[Tensor, "*batch"],
    q_t: Float[Tensor, "*batch A"],
) -> Float[Tensor, "*batch"]:
    """Return reward_t + discount_t max_a q_t(a).

    Args:
        reward_t: rewards [...].
        discount_t: discounts [...].
        q_t: action values in the states arrived in [..., A].

    Raises:
        ValueError: the shapes do not fit.
    """
    _check_one_step(reward_t, discount_t, q_t=q_t)
    return reward_t + discount_t * q_t.amax(-1)


def double_q_learning_target(
    reward_t: Float[Tensor, "*batch"],
    discount_t: Float[Tensor, "*batch"],
    q_t: Float[Tensor, "*batch A"],
    q_t_selector: Float[Tensor, "*batch A"],
) -> Float[Tensor, "*batch"]:
    """Return reward_t + discount_t q_t(argmax_a q_t_selector(a)).

    Args:
        reward_t: rewards [...].
        discount_t: discounts [...].
        q_t: action values that evaluate [..., A], from the target network.
        q_t_selector: action values that choose [..., A], from the online network.

    Raises:
        ValueError: the shapes do not fit.
    """
    _check_one_step(reward_t, discount_t, q_t=q_t, q_t_selector=q_t_selector)
    action_t = q_t_selector.argmax(-1, keepdim=True)  # [..., 1]
    return reward_t + discount_t * q_t.gather(-1, action_t).squeeze(-1)


def soft_q_learning_target(
    reward_t: Float[Tensor, "*batch"],
    discount_t: Float[Tensor, "*batch"],
    q_t: Float[Tensor, "*batch A"],
    log_prior_t: Float[Tensor, "*#batch A"],
    alpha: float | Tensor,
) -> Float[Tensor, "*batch"]:
    """Return reward_t + discount_t alpha log sum_a pi_0(a) exp(q_t(a) / alpha).

    The soft backup of KL-regularized RL. With a uniform prior it is maximum-entropy Q-learning
    less the constant alpha log A in each state's value.

    Args:
        reward_t: rewards [...].
        discount_t: discounts [...].
        q_t: action values in the states arrived in [..., A].
        log_prior_t: log pi_0 in those states [..., A], or [A] for a prior that ignores the state.
        alpha: finite and > 0, a number or a tensor that broadcasts to [...].

    Raises:
        ValueError: alpha is not finite and > 0, or the shapes do not fit.
    """
    _check_one_step(reward_t, discount_t, q_t=q_t)
    value_t = soft_value(q_t, log_prior_t, alpha)
    if value_t.shape != reward_t.shape:
        raise ValueError(
            f"log_prior_t must broadcast to q_t {list(q_t.shape)}: got {list(log_prior_t.shape)}"
        )
    return reward_t + discount_t * value_t


def _check_trajectory(**tensors: Tensor) -> None:
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    first = next(iter(shapes.values()))
    if any(shape != first for shape in shapes.values()):
        raise ValueError(f"{', '.join(shapes)} must have one shape, [T, ...]: got {shapes}")
    if not first or first[0] == 0:
        raise ValueError(f"a trajectory needs at least one transition on axis 0: got {shapes}")


def _checked_lambda(lambda_: float | Tensor, reward_t: Tensor) -> Tensor:
    lambda_t = torch.as_tensor(lambda_, dtype=reward_t.dtype, device=reward_t.device)
    if lambda_t.ndim and lambda_t.shape != reward_t.shape:
        raise ValueError(
            f"lambda_ must be a number or have the shape of reward_t, {list(reward_t.shape)}:"
            f" got {list(lambda_t.shape)}"
        )
    outside = ~((lambda_t >= 0) & (lambda_t <= 1))
    if outside.any():
        raise ValueError(f"lambda_ must be in [0, 1]: got {lambda_t[outside].flatten()[0].item()}")
    return lambda_t


def _check_one_step(reward_t: Tensor, discount_t: Tensor, **action_values: Tensor) -> None:
    if reward_t.shape != discount_t.shape:
        raise ValueError(
            f"reward_t and discount_t must have one shape: got {list(reward_t.shape)}"
            f" and {list(discount_t.shape)}"
        )
    num_actions = {q.shape[-1] if q.ndim else 0 for q in action_values.values()}
    fits = all(q.shape[:-1] == reward_t.shape and q.ndim for q in action_values.values())
    if not fits or len(num_actions) != 1:
        got = {name: list(q.shape) for name, q in action_values.items()}
        raise ValueError(
            f"{' and '.join(action_values)} must have the shape of reward_t plus an action axis,"
            f" {[*reward_t.shape, 'A']}: got {got}"
        )
