"""The Go engine as tensor operations, for boards on a GPU. See `board` for the rules and the state.

No step needs a flood: a new stone gives its chain the smallest label around it, and liberties are
counted anew by one scatter. Only scoring floods, and it stops when nothing changes.
"""

import torch
from torch import Tensor

from rlcourse.go.board import FILTER_WORDS, State, neighbor_points, point_keys
from rlcourse.go.rules import NUM_PLANES, NUM_RECENT, Rules

_FILTER_MASK = 64 * FILTER_WORDS - 1


class TorchKernel:
    """The operations, with the constants of one board size on one device."""

    def __init__(self, rules: Rules, device: torch.device) -> None:
        beside = neighbor_points(rules.size).to(device)
        self._inside, self._beside = beside >= 0, beside.clamp(min=0)  # [P, 4]
        self._keys = point_keys(rules).to(device)  # [2, P]
        self._superko, self._longest, self._size = rules.superko, rules.longest, rules.size

    def step_(self, state: State, move: Tensor) -> None:
        playing = state.legal[:, -1].clone()  # the others are over
        passing = playing & (move == state.num_points)
        placing = playing & ~passing
        self._place_(state, torch.where(placing, move, 0).long(), placing)
        state.num_passes.copy_(torch.where(passing, state.num_passes + 1, state.num_passes))
        state.num_passes.masked_fill_(placing, 0)
        state.ko.masked_fill_(passing, -1)
        shifted = torch.cat([move.to(torch.int32).unsqueeze(1), state.recent[:, :-1]], 1)
        state.recent.copy_(torch.where(playing.unsqueeze(1), shifted, state.recent))
        state.num_moves.add_(playing)
        state.to_play.copy_(torch.where(playing, -state.to_play, state.to_play))
        state.legal.copy_(self._legal(state))

    def area(self, stones: Tensor) -> Tensor:
        black, white = self._reach(stones, 1), self._reach(stones, -1)
        return black.int() - white.int()  # a point that both reach is nobody's

    def planes(self, state: State) -> Tensor:
        mine = state.stones * state.to_play.unsqueeze(1)  # [B, P]
        atari = _in_atari(state).gather(1, state.chain.clamp(min=0).long()) & (mine != 0)
        shape = (state.num_boards, NUM_PLANES, state.num_points)
        planes = torch.zeros(shape, device=state.device)
        planes[:, 0], planes[:, 1] = mine > 0, mine < 0
        planes[:, 2], planes[:, 3] = atari & (mine > 0), atari & (mine < 0)
        for i in range(NUM_RECENT):
            move = state.recent[:, i : i + 1].long()
            on_board = (move >= 0) & (move < state.num_points)
            place = move.clamp(0, state.num_points - 1)
            planes[:, 4 + i].scatter_(1, place, on_board.float())
        planes[:, 6] = (mine == 0) & ~state.legal[:, :-1]
        planes[:, 7] = (state.to_play > 0).unsqueeze(1)
        return planes.unflatten(-1, (self._size, self._size))

    def _place_(self, state: State, point: Tensor, placing: Tensor) -> None:
        """Puts stones where `placing` [B], joins chains, and takes what has no liberties."""
        color, at = state.to_play, point.unsqueeze(1)
        inside = self._inside[point] & placing.unsqueeze(1)  # [B, 4]
        beside = self._beside[point]
        stone = torch.where(inside, state.stones.gather(1, beside), 0)
        label = state.chain.gather(1, beside)
        own, other = stone == color.unsqueeze(1), stone == -color.unsqueeze(1)

        joined = torch.where(own, label, at).amin(1).int()  # the smallest label
        chain = torch.where(_has_label(state.chain, label, own), joined.unsqueeze(1), state.chain)
        there = placing.unsqueeze(1)
        state.chain.copy_(chain)
        _put_(state.chain, at, joined.unsqueeze(1), there)
        _put_(state.stones, at, color.unsqueeze(1), there)
        self._count_liberties_(state)

        dead = other & (state.num_liberties.gather(1, label.clamp(min=0).long()) == 0)
        taken = _has_label(state.chain, label, dead)  # [B, P]
        num_taken = taken.sum(1, dtype=torch.int32)
        state.stones.masked_fill_(taken, 0)
        state.chain.masked_fill_(taken, -1)
        self._count_liberties_(state)
        state.num_captured.add_(num_taken)
        liberties = state.num_liberties.gather(1, joined.clamp(min=0).long().unsqueeze(1)).squeeze(
            1
        )
        single = placing & ~own.any(1) & (num_taken == 1) & (liberties == 1)
        ko = torch.where(single, taken.int().argmax(1).int(), -1)
        state.ko.copy_(torch.where(placing, ko, state.ko))
        self._remember_(state, placing)

    def _count_liberties_(self, state: State) -> None:
        """The liberties and the key of every chain, and the key of the board."""
        empty = (state.stones == 0)[:, self._beside] & self._inside  # [B, P, 4]
        points = self._beside.int()
        label = state.chain.clamp(min=0).long()
        is_stone = state.stones != 0
        for total, of_pair in (
            (state.num_liberties, empty.int()),
            (state.sum_liberties, empty * points),
            (state.square_liberties, empty * points * points),
        ):
            each = torch.where(is_stone, of_pair.sum(-1, dtype=torch.int32), 0)
            total.copy_(torch.zeros_like(each).scatter_add_(1, label, each))
        keys = torch.where(state.stones > 0, self._keys[0], self._keys[1])
        each_key = torch.where(is_stone, keys, 0)
        state.chain_key.copy_(torch.zeros_like(each_key).scatter_add_(1, label, each_key))
        state.key.copy_(each_key.sum(1))

    def _remember_(self, state: State, placing: Tensor) -> None:
        """Adds the positions' keys to the lists and to the filters."""
        there = placing.unsqueeze(1)
        following = state.num_keys.unsqueeze(1).long().clamp(max=state.keys.shape[1] - 1)
        _put_(state.keys, following, state.key.unsqueeze(1), there)
        state.num_keys.add_(placing)
        place = (state.key & _FILTER_MASK).unsqueeze(1)
        word = state.key_filter.gather(1, place >> 6) | _bit(place)
        _put_(state.key_filter, place >> 6, word, there)

    def _legal(self, state: State) -> Tensor:
        color = state.to_play.view(-1, 1, 1)
        stone = torch.where(self._inside, state.stones[:, self._beside], 2)  # [B, P, 4]
        label = state.chain[:, self._beside].clamp(min=0).long()
        atari = _in_atari(state).gather(1, label.flatten(1)).view_as(label)
        own, other = stone == color, stone == -color
        breathes = ((stone == 0) | (own & ~atari) | (other & atari)).any(-1)
        going_on = (state.num_passes < 2) & (state.num_moves < self._longest)
        legal = breathes & (state.stones == 0) & going_on.unsqueeze(1)
        if self._superko:
            key = self._keys_after(state, label, other & atari)
            legal &= ~self._repeats(state, key, legal)
        else:
            points = torch.arange(state.num_points, device=state.device)
            legal &= points != state.ko.unsqueeze(1)
        return torch.cat([legal, going_on.unsqueeze(1)], 1)

    def _keys_after(self, state: State, label: Tensor, takes: Tensor) -> Tensor:
        """The key [B, P] of the position after a move on each point."""
        own = torch.where(state.to_play.unsqueeze(1) > 0, self._keys[0], self._keys[1])
        key = state.key.unsqueeze(1) + own
        for k in range(4):
            again = ((label[..., :k] == label[..., k : k + 1]) & takes[..., :k]).any(-1)
            taken = state.chain_key.gather(1, label[..., k])
            key = key - torch.where(takes[..., k] & ~again, taken, 0)
        return key

    def _repeats(self, state: State, key: Tensor, possible: Tensor) -> Tensor:
        """Where a move would bring back an earlier position [B, P]."""
        place = key & _FILTER_MASK
        known = (state.key_filter.gather(1, place >> 6) & _bit(place)) != 0
        asked = known & possible & (state.num_captured > 0).unsqueeze(1)
        board, point = asked.nonzero(as_tuple=True)
        used = torch.arange(state.keys.shape[1], device=state.device) < state.num_keys[board, None]
        found = ((state.keys[board] == key[board, point].unsqueeze(1)) & used).any(1)
        repeats = torch.zeros_like(possible)
        repeats[board, point] = found
        return repeats

    def _reach(self, stones: Tensor, color: int) -> Tensor:
        """The points [B, P] of a color, and the empty ones that a walk over empty points joins."""
        empty, reached = stones == 0, stones == color
        while True:
            spread = reached | (empty & (reached[:, self._beside] & self._inside).any(-1))
            if torch.equal(spread, reached):
                return reached
            reached = spread


def _in_atari(state: State) -> Tensor:
    """By label: one liberty only, since all pairs name one point: n q = s^2."""
    count, total = state.num_liberties.long(), state.sum_liberties.long()
    return (count > 0) & (count * state.square_liberties == total * total)


def _has_label(chain: Tensor, label: Tensor, chosen: Tensor) -> Tensor:
    """Where a board [B, P] has one of the labels [B, 4] that are `chosen` [B, 4]."""
    return ((chain.unsqueeze(-1) == label.unsqueeze(1)) & chosen.unsqueeze(1)).any(-1)


def _put_(table: Tensor, place: Tensor, value: Tensor, where: Tensor) -> None:
    """table[b, place[b]] = value[b] for the rows b with `where`; all [B, 1] but the table."""
    old = table.gather(1, place)
    table.scatter_(1, place, torch.where(where, value.to(table.dtype), old))


def _bit(place: Tensor) -> Tensor:
    return torch.ones_like(place) << (place & 63)
