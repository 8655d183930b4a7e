"""Positions of Go as short records: how games become records, and records become tensors.

Humphreys et al. 2022 keep with each observation what came after it: the next moves, the outcome and
the final board. A record holds the board as bits, and the moves around it; what all positions of a
game share lies once in a table of games. P points take N = ceil(P / 8) bytes, a move one byte, or
two on boards over 15x15; 9x9 takes 62 bytes a position.

    game    uint32   row of the game in the shard's table
    ply     uint16   moves before this position; black is to play where it is even
    moves   12       the last move, the one before it, then the 10 that follow; `no_move` for none
    bits    4 x N    black stones; white ones; stones in atari; empty points that are illegal

All numbers are little-endian; point p is bit p % 8 of byte p // 8. The bits are taken from
`Go.planes`, so that the planes of a record are those of the engine, bit for bit.

**Deviations.** The paper does not say how its data are stored, nor which positions of a game are
kept: here a hash of the position's name decides.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numba import njit

from rlcourse.go.board import Go, State
from rlcourse.go.records import Game
from rlcourse.go.rules import NUM_NEXT, NUM_PLANES, NUM_RECENT, Rules
from rlcourse.go.splits import splitmix64

_BLOCK = 2048  # games that are replayed together
_OFFSETS = np.array([-1 - i for i in range(NUM_RECENT)] + list(range(NUM_NEXT)))
_RESIGNED, _DISPUTED = 1, 2


class Unpacked(NamedTuple):
    """What B records say; the names are those of `positions.Batch`."""

    stones: np.ndarray  # [B, P] int8
    to_play: np.ndarray  # [B] int8
    planes: np.ndarray  # [B, C, H, W] float32
    next_moves: np.ndarray  # [B, T] int64
    ply: np.ndarray  # [B] int64


def record_type(rules: Rules) -> np.dtype:
    """Of a position."""
    move = "<u1" if rules.size <= 15 else "<u2"
    bits = (4, _num_bytes(rules))
    fields = [("game", "<u4"), ("ply", "<u2"), ("moves", move, (len(_OFFSETS),))]
    return np.dtype([*fields, ("bits", "u1", bits)])


def game_type(rules: Rules) -> np.dtype:
    """Of a game: bit 0 of `flags` says that the loser resigned, bit 1 that the players count
    another score; `first` is the first of its positions in the shard, which follow one another;
    `final` is the area of black and of white."""
    fields = [("number", "<u4"), ("margin", "<f4"), ("flags", "u1"), ("opening", "<u2")]
    return np.dtype(
        [*fields, ("length", "<u2"), ("first", "<u4"), ("final", "u1", (2, _num_bytes(rules)))]
    )


def is_kept(
    numbers: np.ndarray, plies: np.ndarray, *, keep: float, seed: int, source: int
) -> np.ndarray:
    """Which positions [N] of a share `keep` in (0, 1] are kept, by game number and ply.

    It depends on nothing but the arguments, not on the order of the games; what a smaller share
    keeps, a larger one keeps too.
    """
    drawn = np.array([seed % 2**64], np.uint64)
    for part in (np.array([source]), numbers, plies):
        drawn = splitmix64(drawn + part.astype(np.uint64))
    return (drawn >> np.uint64(11)) * 2.0**-53 < keep


def encode(
    games: Sequence[Game],
    rules: Rules,
    *,
    source: int,
    keep: float,
    seed: int,
    on_positions: Callable[[int], object] = lambda count: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Replays games and writes down the positions before their moves, the openings left out.

    Args:
        games: whose numbers differ.
        rules: that they keep to.
        source, keep, seed: see `is_kept`.
        on_positions: is told of positions as they are written, for a progress bar.

    Returns:
        Records [N] of `record_type`, by game and ply, and the table [G] of `game_type`.

    Raises:
        ValueError: a game does not fit the format, or breaks the rules.
    """
    for game in games:
        _check_game(game, rules)
    lengths = np.array([len(game.moves) for game in games], np.int64)
    starts = np.cumsum(lengths) - lengths
    numbers = np.array([game.number for game in games], np.int64)
    moves = np.fromiter((move for game in games for move in game.moves), np.int64, lengths.sum())

    rows = np.repeat(np.arange(len(games)), lengths)
    plies = np.arange(len(moves)) - starts[rows]
    kept = is_kept(numbers[rows], plies, keep=keep, seed=seed, source=source)
    kept &= plies >= np.array([game.opening for game in games], np.int64)[rows]
    played = _Played(numbers, starts, lengths, moves, np.where(kept, np.cumsum(kept) - 1, -1))

    table = _table(games, np.bincount(rows[kept], minlength=len(games)), rules)
    records = np.zeros(int(kept.sum()), record_type(rules))
    records["game"], records["ply"] = rows[kept], plies[kept]
    records["moves"] = _moves_around(played, kept.nonzero()[0], records)
    go, by_length = Go(rules), np.argsort(-lengths, kind="stable")
    for start in range(0, len(games), _BLOCK):
        block = by_length[start : start + _BLOCK]
        table["final"][block] = _replay_(records, go, played, block, on_positions)
    return records, table


def decode(records: np.ndarray, rules: Rules) -> Unpacked:
    """The tensors of records [B]."""
    size, plies = rules.size, records["ply"].astype(np.int64)
    to_play = np.where(plies % 2 == 0, 1, -1).astype(np.int8)
    moves = records["moves"].astype(np.int64)
    moves[moves == _no_move(records)] = -1
    recent, following = moves[:, :NUM_RECENT], moves[:, NUM_RECENT:]
    stones = np.empty((len(records), size**2), np.int8)
    planes = np.empty((len(records), NUM_PLANES, size**2), np.float32)
    _draw(np.ascontiguousarray(records["bits"]), recent, to_play, stones, planes)
    planes = planes.reshape(len(records), NUM_PLANES, size, size)
    return Unpacked(stones, to_play, planes, np.ascontiguousarray(following), plies)


def decode_final(table: np.ndarray, rules: Rules) -> np.ndarray:
    """Who owns each point at the end of games [B]: [B, P] int8, +1 black, -1 white, 0 nobody."""
    sides = np.unpackbits(table["final"], axis=-1, count=rules.num_points, bitorder="little")
    return sides[:, 0].astype(np.int8) - sides[:, 1].astype(np.int8)


class _Played(NamedTuple):
    """G games with M moves in all, one game after the other."""

    numbers: np.ndarray  # [G]
    starts: np.ndarray  # [G] the first move of each
    lengths: np.ndarray  # [G]
    moves: np.ndarray  # [M]
    places: np.ndarray  # [M] the record of the position before the move, or -1


def _table(games: Sequence[Game], counts: np.ndarray, rules: Rules) -> np.ndarray:
    """The table of games of which `counts` [G] positions are kept; `final` is still empty."""
    table = np.zeros(len(games), game_type(rules))
    for name in ("number", "margin", "opening"):
        table[name] = [getattr(game, name) for game in games]
    table["length"] = [len(game.moves) for game in games]
    table["flags"] = [_RESIGNED * game.resigned | _DISPUTED * game.disputed for game in games]
    table["first"] = np.cumsum(counts) - counts
    return table


def _moves_around(played: _Played, at: np.ndarray, records: np.ndarray) -> np.ndarray:
    """The field `moves` of records [N], whose own moves are `at` [N]."""
    plies = records["ply"].astype(np.int64)[:, None] + _OFFSETS
    known = (plies >= 0) & (plies < played.lengths[records["game"], None])
    indices = np.where(known, at[:, None] + _OFFSETS, 0)
    return np.where(known, played.moves[indices], _no_move(records))


def _replay_(
    records: np.ndarray,
    go: Go,
    played: _Played,
    block: np.ndarray,
    on_positions: Callable[[int], object],
) -> np.ndarray:
    """Replays the games `block` [B], the longest of which come first, and fills in the bits of
    their records. Returns the bits of the final area [B, 2, N].
    """
    state, lengths = go.new(len(block)), played.lengths[block]
    for ply in range(int(lengths.max())):
        count = int((lengths > ply).sum())  # the others have ended
        going_on = State(state.small[:count], state.large[:count], state.legal[:count])
        at = played.starts[block[:count]] + ply
        moves, places = played.moves[at], played.places[at]
        _check_legal(go, going_on, moves, played.numbers[block], ply)
        kept = (places >= 0).nonzero()[0]
        if len(kept):
            records["bits"][places[kept]] = _bits(go, going_on.select(torch.from_numpy(kept)))
            on_positions(len(kept))
        go.step_(going_on, torch.from_numpy(moves))
    area = go.area(state).numpy()
    return _packed(np.stack([area > 0, area < 0], 1))


def _check_legal(go: Go, state: State, moves: np.ndarray, numbers: np.ndarray, ply: int) -> None:
    legal = state.legal.numpy()[np.arange(len(moves)), moves]
    if legal.all():
        return
    board = int((~legal).argmax())
    over = bool(go.is_over(state)[board])
    raise ValueError(
        f"game {numbers[board]}, ply {ply}: the move {moves[board]} "
        + ("comes after the end of the game" if over else "is illegal")
        + ": drop the game, or use the rules that it was played by"
    )


def _bits(go: Go, state: State) -> np.ndarray:
    planes = go.planes(state).flatten(2).numpy() > 0  # [B, C, P]
    stones = state.stones.numpy()
    atari = planes[:, 2] | planes[:, 3]
    return _packed(np.stack([stones > 0, stones < 0, atari, planes[:, 6]], 1))


def _packed(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits, axis=-1, bitorder="little")


def _num_bytes(rules: Rules) -> int:
    return -(-rules.num_points // 8)


def _no_move(records: np.ndarray) -> int:
    """What stands for a move before the game or after it: the largest number."""
    return int(np.iinfo(records.dtype["moves"].base).max)


def _check_game(game: Game, rules: Rules) -> None:
    for ply, move in enumerate(game.moves):
        if not 0 <= move <= rules.num_points:
            raise ValueError(
                f"game {game.number}, ply {ply}: moves must lie in [0, {rules.num_points}], got "
                f"{move}"
            )
    if not 0 <= game.number < 1 << 32 or len(game.moves) >= 1 << 16:
        raise ValueError(f"game {game.number} of {len(game.moves)} moves does not fit")
    if not 0 <= game.opening <= len(game.moves):
        raise ValueError(f"game {game.number}: an opening of {game.opening} moves does not fit")
    if not np.isfinite(game.margin):
        raise ValueError(f"game {game.number}: the margin must be finite, got {game.margin}")


# Not parallel: several threads may read at once, and then numba's threads must not be shared.
@njit(cache=True, nogil=True)
def _draw(bits, recent, to_play, stones, planes):
    """Writes stones and planes of each position."""
    num_points = stones.shape[1]
    for b in range(stones.shape[0]):
        color = to_play[b]
        own = 0 if color > 0 else 1
        for point in range(num_points):
            byte, bit = point >> 3, point & 7
            mine = (bits[b, own, byte] >> bit) & 1
            theirs = (bits[b, 1 - own, byte] >> bit) & 1
            atari = (bits[b, 2, byte] >> bit) & 1
            stones[b, point] = color * (np.int8(mine) - np.int8(theirs))
            planes[b, 0, point] = mine
            planes[b, 1, point] = theirs
            planes[b, 2, point] = mine & atari
            planes[b, 3, point] = theirs & atari
            planes[b, 4, point] = 0.0
            planes[b, 5, point] = 0.0
            planes[b, 6, point] = (bits[b, 3, byte] >> bit) & 1
            planes[b, 7, point] = own == 0
        for i in range(recent.shape[1]):
            if 0 <= recent[b, i] < num_points:
                planes[b, 4 + i, recent[b, i]] = 1.0
