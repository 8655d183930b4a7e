"""Wrong answers to the exercises of notebook 00, as a learner would write them."""

import torch

from tests.course.wrong_answers.wrong import Wrong


def returns_forwards(reward, discount):
    total, returns = torch.zeros_like(reward[0]), []
    for t in range(len(reward)):
        total = reward[t] + discount[t] * total
        returns.append(total)
    return torch.stack(returns)


def returns_reversed(reward, discount):
    total, returns = torch.zeros_like(reward[0]), []
    for t in reversed(range(len(reward))):
        total = reward[t] + discount[t] * total
        returns.append(total)
    return torch.stack(returns)


def returns_undiscounted(reward, discount):
    return reward.flip(0).cumsum(0).flip(0)


def returns_off_by_one(reward, discount):
    returns = reward.clone()
    for t in reversed(range(len(reward) - 1)):
        returns[t] = reward[t] + discount[t + 1] * returns[t + 1]
    return returns


def returns_in_place(reward, discount):
    for t in reversed(range(len(reward) - 1)):
        reward[t] += discount[t] * reward[t + 1]
    return reward


def returns_of_the_batch(reward, discount):
    total, returns = 0.0, []
    for t in reversed(range(len(reward))):
        total = reward[t].sum() + discount[t].mean() * total
        returns.append(total)
    return torch.stack(returns[::-1])


WRONG = {
    "00.discounted_returns": (
        Wrong(returns_forwards, "run forwards"),
        Wrong(returns_reversed, "reversed time order"),
        Wrong(returns_undiscounted, "Nothing is discounted"),
        Wrong(returns_off_by_one, "one step late"),
        Wrong(returns_in_place, "changes its input `reward` in place"),
        Wrong(returns_of_the_batch, "shape"),
    ),
}
