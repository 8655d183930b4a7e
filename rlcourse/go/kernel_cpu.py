"""The Go engine on the CPU: one compiled loop per board, parallel over the batch. See `board`.

A board is two rows of numbers, `small` and `large`, laid out as `board.State` says: with P points,
small[P + 3] is the chain of point 3. Chains are relabeled by a scan over all points, on boards this
small a few vector instructions.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from rlcourse.go.board import FILTER_WORDS, State, neighbor_points, point_keys
from rlcourse.go.rules import NUM_PLANES, NUM_RECENT, Rules

_FILTER_MASK = 64 * FILTER_WORDS - 1
_SERIAL = 64  # boards below which threads cost more than they give
# Rows of P numbers in `small`, then the numbers at its end; rows of P in `large`, then the rest.
_STONES, _CHAIN, _COUNT, _SUM, _SQUARES = range(5)
_TO_PLAY, _KO, _PASSES, _MOVES, _CAPTURED, _NUM_KEYS, _RECENT = range(7)
_KEY, _FILTER, _KEYS = 0, 1, 1 + FILTER_WORDS


def _keeps_torch_threads(method: Callable[..., Any]) -> Callable[..., Any]:
    """numba and torch share one OpenMP: where numba starts its threads, it sets torch's number."""

    @functools.wraps(method)
    def run(*args: Any, **kwargs: Any) -> Any:
        before = torch.get_num_threads()
        try:
            return method(*args, **kwargs)
        finally:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)

    return run


class CpuKernel:
    """The compiled functions, with the constants of one board size."""

    def __init__(self, rules: Rules) -> None:
        beside = neighbor_points(rules.size).numpy()
        keys = point_keys(rules).numpy()
        # A plain tuple: the files in which numba keeps compiled code would break with our own type.
        self._board = (beside, keys, rules.superko, rules.longest)
        self._size = rules.size

    @_keeps_torch_threads
    def step_(self, state: State, move: Tensor) -> None:
        step = _step_serial if state.num_boards < _SERIAL else _step_parallel
        step(*_arrays(state), self._board, move.long().numpy())

    @_keeps_torch_threads
    def area(self, stones: Tensor) -> Tensor:
        owner = np.empty(stones.shape, np.int32)
        own = _own_serial if len(stones) < _SERIAL else _own_parallel
        own(stones.numpy(), self._board[0], owner)
        return torch.from_numpy(owner)

    @_keeps_torch_threads
    def planes(self, state: State) -> Tensor:
        planes = np.empty((state.num_boards, NUM_PLANES, self._size**2), np.float32)
        write = _write_serial if state.num_boards < _SERIAL else _write_parallel
        write(*_arrays(state), planes)
        return torch.from_numpy(planes).unflatten(-1, (self._size, self._size))

    @_keeps_torch_threads
    def random_games_(self, state: State, num_moves: int, seed: int, planes: bool = False) -> int:
        """Plays up to `num_moves` legal moves on each board, drawn uniformly, the pass among them.
        With `planes` it also writes what the network sees before each move.

        Returns the number of moves played on all boards.
        """
        drawn = np.random.default_rng(seed).integers(1, 2**63, state.num_boards, np.uint64)
        written = np.empty((state.num_boards, NUM_PLANES, self._size**2), np.float32)
        arrays = _arrays(state)
        return int(_play_random(*arrays, self._board, num_moves, drawn, planes, written))


def _arrays(state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return state.small.numpy(), state.large.numpy(), state.legal.numpy()


@njit(cache=True)
def _step_serial(small, large, legal, board, moves):
    for b in range(moves.shape[0]):
        _step(small[b], large[b], legal[b], board, moves[b])


@njit(parallel=True, cache=True)
def _step_parallel(small, large, legal, board, moves):
    for b in prange(moves.shape[0]):
        _step(small[b], large[b], legal[b], board, moves[b])


@njit(cache=True, inline="always")
def _step(small, large, legal, board, move):
    num_points = legal.shape[0] - 1
    end = 5 * num_points
    if not legal[num_points]:  # the game is over
        return
    if move == num_points:
        small[end + _PASSES] += 1
        small[end + _KO] = -1
    else:
        small[end + _PASSES] = 0
        _place(small, large, num_points, board, move)
        _remember(small, large, num_points)
    for i in range(NUM_RECENT - 1, 0, -1):
        small[end + _RECENT + i] = small[end + _RECENT + i - 1]
    small[end + _RECENT] = move
    small[end + _MOVES] += 1
    small[end + _TO_PLAY] = -small[end + _TO_PLAY]
    _mark_legal(small, large, legal, num_points, board)


@njit(cache=True, inline="always")
def _place(small, large, num_points, board, point):
    """Puts a stone on an empty point, joins chains, and takes what has no liberties."""
    beside, point_keys, _, _ = board
    end = 5 * num_points
    color = small[end + _TO_PLAY]
    own_key = point_keys[0 if color > 0 else 1, point]
    count, total, squares = 0, 0, 0
    for i in range(4):
        near = beside[point, i]
        if near < 0:
            continue
        if small[near] == 0:
            count, total, squares = count + 1, total + near, squares + near * near
        else:  # the chain loses this liberty
            label = small[num_points + near]
            small[2 * num_points + label] -= 1
            small[3 * num_points + label] -= point
            small[4 * num_points + label] -= point * point
    small[point] = color
    small[num_points + point] = point  # a chain of one stone is called by it
    small[2 * num_points + point] = count
    small[3 * num_points + point] = total
    small[4 * num_points + point] = squares
    large[point] = own_key
    large[num_points + _KEY] += own_key

    label, alone, taken, last_taken = point, True, 0, -1
    for i in range(4):
        near = beside[point, i]
        if near < 0 or small[near] == 0:
            continue
        other = small[num_points + near]
        if small[near] == color:
            alone = False
            if other != label:
                label = _join(small, large, num_points, label, other)
        elif small[2 * num_points + other] == 0:
            last_taken = near
            taken += _take(small, large, num_points, board, other)
    small[end + _CAPTURED] += taken
    single = alone and taken == 1 and small[2 * num_points + label] == 1
    small[end + _KO] = last_taken if single else -1


@njit(cache=True)
def _join(small, large, num_points, one, other):
    """Makes two chains one; the smaller label stays."""
    label, gone = min(one, other), max(one, other)
    chain = small[num_points : 2 * num_points]
    for q in range(num_points):
        if chain[q] == gone:
            chain[q] = label
    for row in range(_COUNT, _SQUARES + 1):
        small[row * num_points + label] += small[row * num_points + gone]
        small[row * num_points + gone] = 0
    large[label] += large[gone]
    large[gone] = 0
    return label


@njit(cache=True)
def _take(small, large, num_points, board, label):
    """Removes a chain; returns its number of stones."""
    beside, count = board[0], 0
    for q in range(num_points):
        if small[num_points + q] == label:
            small[q] = 0
            small[num_points + q] = -2  # just removed
            count += 1
    for q in range(num_points):
        if small[num_points + q] == -2:
            small[num_points + q] = -1
            for i in range(4):
                near = beside[q, i]
                if near >= 0 and small[near] != 0:
                    other = small[num_points + near]
                    small[2 * num_points + other] += 1
                    small[3 * num_points + other] += q
                    small[4 * num_points + other] += q * q
    for row in range(_COUNT, _SQUARES + 1):
        small[row * num_points + label] = 0
    large[num_points + _KEY] -= large[label]
    large[label] = 0
    return count


@njit(cache=True, inline="always")
def _remember(small, large, num_points):
    """Adds the position's key to the list and to the filter."""
    end = 5 * num_points
    key = large[num_points + _KEY]
    large[num_points + _KEYS + small[end + _NUM_KEYS]] = key
    small[end + _NUM_KEYS] += 1
    place = key & _FILTER_MASK
    large[num_points + _FILTER + (place >> 6)] |= np.int64(1) << (place & 63)


@njit(cache=True, inline="always")
def _was_seen(small, large, num_points, key):
    place = key & _FILTER_MASK
    if (large[num_points + _FILTER + (place >> 6)] >> (place & 63)) & 1 == 0:
        return False
    seen = False
    first = num_points + _KEYS
    for i in range(first, first + small[5 * num_points + _NUM_KEYS]):
        seen |= large[i] == key
    return seen


@njit(cache=True, inline="always")
def _mark_legal(small, large, legal, num_points, board):
    beside, point_keys, superko, longest = board
    end = 5 * num_points
    going_on = small[end + _PASSES] < 2 and small[end + _MOVES] < longest
    legal[num_points] = going_on
    if not going_on:
        legal[:num_points] = False
        return
    atari = np.empty(num_points, np.bool_)
    for label in range(num_points):
        atari[label] = _in_atari(small, num_points, label)
    color = small[end + _TO_PLAY]
    keys = point_keys[0 if color > 0 else 1]
    can_repeat = superko and small[end + _CAPTURED] > 0
    ko = -1 if superko else small[end + _KO]
    for point in range(num_points):
        if small[point] != 0:
            legal[point] = False
            continue
        breathes, key = False, large[num_points + _KEY] + keys[point]
        taken0, taken1, taken2 = -1, -1, -1  # labels of the chains that this move takes
        for i in range(4):
            near = beside[point, i]
            if near < 0:
                continue
            if small[near] == 0:
                breathes = True
                continue
            label = small[num_points + near]
            if small[near] == color:
                breathes |= not atari[label]
            elif atari[label]:
                breathes = True
                if label != taken0 and label != taken1 and label != taken2:
                    key -= large[label]
                    taken0, taken1, taken2 = label, taken0, taken1
        repeats = can_repeat and breathes and _was_seen(small, large, num_points, key)
        legal[point] = breathes and point != ko and not repeats


@njit(cache=True, inline="always")
def _in_atari(small, num_points, label):
    """One liberty only: all pairs name one point, so n q = s^2."""
    count = np.int64(small[2 * num_points + label])
    total = np.int64(small[3 * num_points + label])
    return count > 0 and count * small[4 * num_points + label] == total * total


@njit(cache=True)
def _own_serial(stones, beside, owner):
    for b in range(stones.shape[0]):
        _own_board(stones[b], beside, owner[b])


@njit(parallel=True, cache=True)
def _own_parallel(stones, beside, owner):
    for b in prange(stones.shape[0]):
        _own_board(stones[b], beside, owner[b])


@njit(cache=True)
def _own_board(stones, beside, owner):
    num_points = stones.shape[0]
    stack = np.empty(num_points, np.int64)
    region = np.empty(num_points, np.int64)
    for point in range(num_points):
        owner[point] = stones[point] if stones[point] != 0 else 2  # 2: not known yet
    for point in range(num_points):
        if owner[point] == 2:
            _own_region(stones, beside, owner, point, stack, region)


@njit(cache=True)
def _own_region(stones, beside, owner, start, stack, region):
    """Floods an empty region; it belongs to the color that borders it, if that is only one."""
    depth, size, black, white = 1, 0, False, False
    stack[0] = start
    owner[start] = 0
    while depth:
        depth -= 1
        point = stack[depth]
        region[size] = point
        size += 1
        for i in range(4):
            near = beside[point, i]
            if near < 0:
                continue
            black, white = black or stones[near] > 0, white or stones[near] < 0
            if owner[near] == 2:
                owner[near] = 0
                stack[depth] = near
                depth += 1
    for i in range(size):
        owner[region[i]] = int(black and not white) - int(white and not black)


@njit(cache=True)
def _write_serial(small, large, legal, planes):
    for b in range(planes.shape[0]):
        _write_board(small[b], legal[b], planes[b])


@njit(parallel=True, cache=True)
def _write_parallel(small, large, legal, planes):
    for b in prange(planes.shape[0]):
        _write_board(small[b], legal[b], planes[b])


@njit(cache=True)
def _write_board(small, legal, planes):
    num_points = legal.shape[0] - 1
    end = 5 * num_points
    color = small[end + _TO_PLAY]
    for point in range(num_points):
        stone = small[point] * color
        label = max(small[num_points + point], 0)
        atari = stone != 0 and _in_atari(small, num_points, label)
        planes[0, point] = stone > 0
        planes[1, point] = stone < 0
        planes[2, point] = atari and stone > 0
        planes[3, point] = atari and stone < 0
        planes[4, point] = 0.0
        planes[5, point] = 0.0
        planes[6, point] = stone == 0 and not legal[point]
        planes[7, point] = color > 0
    for i in range(NUM_RECENT):
        move = small[end + _RECENT + i]
        if 0 <= move < num_points:
            planes[4 + i, move] = 1.0


@njit(parallel=True, cache=True)
def _play_random(small, large, legal, board, num_moves, seeds, planes, written):
    played = 0
    for b in prange(seeds.shape[0]):
        rows = (small[b], large[b], legal[b])
        played += _play_one(*rows, board, num_moves, seeds[b], planes, written[b])
    return played


@njit(cache=True)
def _play_one(small, large, legal, board, num_moves, seed, planes, written):
    num_points = legal.shape[0] - 1
    moves = np.empty(num_points + 1, np.int64)
    drawn, played = np.uint64(seed), 0
    while played < num_moves and legal[num_points]:
        count = 0
        for point in range(num_points + 1):
            moves[count] = point
            count += legal[point]
        if planes:
            _write_board(small, legal, written)
        drawn ^= drawn << np.uint64(13)  # xorshift
        drawn ^= drawn >> np.uint64(7)
        drawn ^= drawn << np.uint64(17)
        _step(small, large, legal, board, moves[(drawn >> np.uint64(32)) % np.uint64(count)])
        played += 1
    return played
