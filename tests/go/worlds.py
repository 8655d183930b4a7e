"""Small worlds whose value is known, as models for the search."""

import torch
from torch import Tensor

from rlcourse.go.mcts import Evaluation

LINES = torch.tensor(
    [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]]
)


class Bandit:
    """Each action ends the game with a fixed reward."""

    def __init__(self, rewards: list[float]) -> None:
        self.rewards = torch.tensor(rewards)

    def root(self, count: int = 1) -> Evaluation:
        logits = torch.zeros(count, len(self.rewards))
        return Evaluation(torch.zeros(count, 1), logits, torch.zeros(count))

    def recurrent(self, embedding: Tensor, action: Tensor) -> Evaluation:
        root = self.root(len(action))
        return root._replace(reward=self.rewards[action], discount=torch.zeros(len(action)))


class TicTacToe:
    """Boards [B, 9] from the side of the player to move: 1 own, -1 the opponent's."""

    def root(self, *boards: str) -> Evaluation:
        drawn = [["O.X".index(c) - 1 for c in text.replace(" ", "")] for text in boards]
        return self._evaluate(torch.tensor(drawn))

    def recurrent(self, board: Tensor, action: Tensor) -> Evaluation:
        mine = board.scatter(1, action.unsqueeze(1), 1)
        won = (mine[:, LINES].sum(-1) == 3).any(-1)
        over = won | (mine != 0).all(-1)
        return self._evaluate(-mine)._replace(reward=won.float(), discount=over.float() - 1)

    def _evaluate(self, board: Tensor) -> Evaluation:
        zeros = torch.zeros(board.shape)
        return Evaluation(board, zeros, zeros[:, 0], legal=board == 0)


class Table:
    """Any model of S states and A actions by tables; its states may come back to each other."""

    def __init__(self, num_states: int, num_actions: int, seed: int, masked: bool = True) -> None:
        generator = torch.Generator().manual_seed(seed)
        pairs, draw = (num_states, num_actions), {"generator": generator}
        self.next = torch.randint(num_states, pairs, **draw)
        self.logits = torch.randn(pairs, **draw).round()  # so that actions tie
        self.value = torch.rand(num_states, **draw) * 2 - 1
        self.reward = torch.randn(pairs, **draw) * (torch.rand(pairs, **draw) < 0.3)
        self.discount = torch.tensor([-1.0, -1.0, 0.0, 1.0])[torch.randint(4, pairs, **draw)]
        legal = torch.rand(pairs, **draw) < 0.6
        legal[:, 0] |= ~legal.any(1)
        self.legal = legal if masked else None

    def root(self, states: list[int]) -> Evaluation:
        return self._evaluate(torch.tensor(states))

    def recurrent(self, state: Tensor, action: Tensor) -> Evaluation:
        found = self._evaluate(self.next[state, action])
        return found._replace(
            reward=self.reward[state, action], discount=self.discount[state, action]
        )

    def prior(self, state: int) -> list[float | None]:
        """As `evaluate` below, for the oracle: None where an action is not allowed."""
        logits = self.logits[state]
        if self.legal is None:
            return logits.softmax(-1).double().tolist()
        prior = logits.masked_fill(~self.legal[state], -torch.inf).softmax(-1).tolist()
        return [p if fine else None for p, fine in zip(prior, self.legal[state], strict=True)]

    def evaluate(self, state: int, action: int) -> tuple:
        """What the oracle asks for."""
        to = int(self.next[state, action])
        reward, discount = float(self.reward[state, action]), float(self.discount[state, action])
        return to, self.prior(to), float(self.value[to]), reward, discount

    def _evaluate(self, state: Tensor) -> Evaluation:
        legal = None if self.legal is None else self.legal[state]
        return Evaluation(state, self.logits[state], self.value[state], legal=legal)
