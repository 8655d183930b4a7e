"""The check of notebook 00: discounted returns, computed backwards."""

from collections.abc import Iterator

import torch
from torch import Tensor

from rlcourse.course.compare import CheckFailed
from rlcourse.course.grading import Case, Exercise, Mistake
from rlcourse.ops import targets


def discounted_returns(reward: Tensor, discount: Tensor) -> Tensor:
    """The package's `targets.discounted_returns`, without a value after the last reward."""
    return targets.discounted_returns(reward, discount, torch.zeros_like(reward[0]))


def trajectories(generator: torch.Generator) -> Iterator[Case]:
    """Rewards and discounts [T, B], with episodes that end on the way."""
    for num_steps, batch_size in ((3, 2), (7, 4), (1, 3)):
        reward = torch.randn(num_steps, batch_size, generator=generator)
        ended = torch.rand(num_steps, batch_size, generator=generator) < 0.2
        yield reward, torch.where(ended, 0.0, 0.9)


def _forwards(reward: Tensor, discount: Tensor) -> Tensor:
    returns, so_far = [], torch.zeros_like(reward[0])
    for r, d in zip(reward, discount, strict=True):
        so_far = r + d * so_far
        returns.append(so_far)
    return torch.stack(returns)


def _discounts_own_reward(reward: Tensor, discount: Tensor) -> Tensor:
    return discounted_returns(discount * reward, discount)


def _late_discount(reward: Tensor, discount: Tensor) -> Tensor:
    return discounted_returns(reward, torch.cat([discount[1:], torch.ones_like(discount[:1])]))


def one_reward_fades(answer) -> None:
    """A reward k steps ahead is worth discount^k."""
    reward, discount = torch.tensor([[0.0], [0.0], [8.0]]), torch.full((3, 1), 0.5)
    got = answer(reward, discount).flatten().tolist()
    if got != [2.0, 4.0, 8.0]:
        raise CheckFailed(
            f"a reward of 8 two steps ahead is worth [2, 4, 8] at discount 0.5; this gives {got}"
        )


EXERCISES = (
    Exercise(
        id="00.discounted_returns",
        reference=discounted_returns,
        cases=trajectories,
        mistakes=(
            Mistake(
                "The returns run forwards: they collect past rewards, and a return is about the "
                "rewards to come; walk from the last step to the first",
                _forwards,
            ),
            Mistake(
                "The returns come out in reversed time order: put step 0 first again after the "
                "backward loop",
                lambda reward, discount: discounted_returns(reward, discount).flip(0),
            ),
            Mistake(
                "Nothing is discounted: multiply what follows by discount[t]",
                lambda reward, discount: discounted_returns(reward, torch.ones_like(discount)),
            ),
            Mistake(
                "The reward at step t is discounted too: discount[t] multiplies only what comes "
                "after it",
                _discounts_own_reward,
            ),
            Mistake(
                "The discount is one step late: G[t] uses discount[t], not discount[t + 1]",
                _late_discount,
            ),
        ),
        facts=(one_reward_fades,),
    ),
)
