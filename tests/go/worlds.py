"""Small worlds whose value is known, as models for the search."""

import torch
from torch import Tensor

from rlcourse.go.board import Go, State
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


class Nim:
    """A pile of matches: a player takes one to three, and who takes the last one wins."""

    def root(self, piles: list[int]) -> Evaluation:
        return self._evaluate(torch.tensor(piles))

    def recurrent(self, pile: Tensor, action: Tensor) -> Evaluation:
        left = (pile - action - 1).clamp(min=0)
        over = left == 0
        return self._evaluate(left)._replace(reward=over.float(), discount=over.float() - 1)

    def _evaluate(self, pile: Tensor) -> Evaluation:
        legal = torch.arange(1, 4) <= pile.unsqueeze(1)
        return Evaluation(pile, torch.zeros(len(pile), 3), torch.zeros(len(pile)), legal=legal)


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


class Board:
    """The real rules of Go, with a flat prior. A position's value is how far ahead its owner of the
    turn is in points, through a tanh; the end of a game pays 1 to the winner.
    """

    def __init__(self, go: Go) -> None:
        self.go, like = go, go.new(1)
        self.widths = [like.small.shape[1], like.large.shape[1], like.legal.shape[1]]

    def root(self, state: State) -> Evaluation:
        packed = torch.cat([state.small.long(), state.large, state.legal.long()], 1)
        lead = self.go.score(state) * state.to_play
        value = torch.tanh(lead / self.go.rules.size)
        return Evaluation(packed, torch.zeros(state.legal.shape), value, legal=state.legal)

    def recurrent(self, packed: Tensor, action: Tensor) -> Evaluation:
        small, large, legal = packed.split(self.widths, 1)
        state = State(small.int(), large.clone(), legal.bool())
        mover = state.to_play.clone()
        self.go.step_(state, action)
        over = self.go.is_over(state)
        reward = (self.go.score(state) * mover).sign() * over
        return self.root(state)._replace(reward=reward, discount=over.float() - 1)
