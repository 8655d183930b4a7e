"""Games whose outcome is known, as models for the search of `mcts` or `plain_search`.

A learned model guesses what a move leads to; these know it. Their prior is flat.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from rlcourse.go.board import Go, State
from rlcourse.go.flood import from_text
from rlcourse.go.mcts import Evaluation
from rlcourse.go.rules import BLACK, WHITE, Rules


class Nim:
    """A pile of matches: a player takes one to three, and who takes the last one wins. Action a
    takes a + 1. Nobody is said to be ahead before the end."""

    def root(self, piles: list[int]) -> Evaluation:
        """Games with these piles, each at least 1."""
        return self._evaluate(torch.tensor(piles))

    def recurrent(self, pile: Int[Tensor, " B"], action: Int[Tensor, " B"]) -> Evaluation:
        """What is left of each pile, and who has won."""
        left = (pile - action - 1).clamp(min=0)
        over = left == 0
        return self._evaluate(left)._replace(reward=over.float(), discount=over.float() - 1)

    def _evaluate(self, pile: Tensor) -> Evaluation:
        legal = torch.arange(1, 4) <= pile.unsqueeze(1)
        return Evaluation(pile, torch.zeros(len(pile), 3), torch.zeros(len(pile)), legal=legal)


class RulesModel:
    """The real rules of Go. A position's value is how far ahead the player to move is in points,
    through a tanh; the end of a game pays 1 to the winner.

    Args:
        go: the rules.
    """

    def __init__(self, go: Go) -> None:
        self.go, like = go, go.new(1)
        self.widths = [like.small.shape[1], like.large.shape[1], like.legal.shape[1]]

    def root(self, state: State) -> Evaluation:
        """B games as they stand, none of them over."""
        packed = torch.cat([state.small.long(), state.large, state.legal.long()], 1)
        lead = self.go.score(state) * state.to_play
        value = torch.tanh(lead / self.go.rules.size)
        return Evaluation(packed, torch.zeros(state.legal.shape), value, legal=state.legal)

    def recurrent(self, packed: Int[Tensor, "B D"], action: Int[Tensor, " B"]) -> Evaluation:
        """The games after a move each."""
        small, large, legal = packed.split(self.widths, 1)
        state = State(small.int(), large.clone(), legal.bool())
        mover = state.to_play.clone()
        self.go.step_(state, action)
        over = self.go.is_over(state)
        reward = (self.go.score(state) * mover).sign() * over
        return self.root(state)._replace(reward=reward, discount=over.float() - 1)


def race(text: str, moves_left: int, komi: float = 0.0) -> tuple[RulesModel, State]:
    """A position with black to move, reached by both colors in turn, and so many moves to the end.

    Args:
        text: the board, see `flood.from_text`.
        moves_left: after which the area decides.
        komi: as in `Rules`.

    Raises:
        ValueError: the stones capture each other while they are set down in the order of reading,
            or the board is not square.
    """
    stones = from_text(text)
    size, wanted = len(stones), stones.flatten()
    if stones.shape != (size, size):
        raise ValueError(f"a board is square, got {size} rows and {stones.shape[1]} columns")
    places = {color: (wanted == color).nonzero().flatten().tolist() for color in (BLACK, WHITE)}
    rounds = max(map(len, places.values()))
    go = Go(Rules(size, komi, max_moves=2 * rounds + moves_left))
    state = go.new(1)
    for number in range(rounds):
        for color in (BLACK, WHITE):
            left = places[color]
            move = left[number] if number < len(left) else go.rules.num_points
            go.step_(state, torch.tensor([move]))
    if not torch.equal(state.stones[0].cpu().to(wanted.dtype), wanted):
        raise ValueError("the stones captured each other while they were set down: draw others")
    state.num_passes.zero_()  # or black could end the game by a second pass
    return RulesModel(go), state
