"""The Go engine against OpenSpiel's: random legal 9x9 games to the end, moves per second.

OpenSpiel is played as its users play it, one game at a time, in a loop in Python over
`legal_actions` and `apply_action`. Ours plays 256 boards, once with all moves in one compiled loop,
and once with a call of `Go.step_` for each move and torch drawing it. Before anything is timed,
both play the same random games under the simple ko rule and must have the same legal moves
throughout.

Not the same: ours marks all 82 moves and, when timed, forbids every repetition of a position
(positional superko); OpenSpiel forbids simple ko only. Times are processor time of one thread.

    pip install -r requirements-bench.txt
    python benchmarks/go_engine.py
"""

import random
import sys
import time
from collections.abc import Callable

import numba
import torch
import tyro

from rlcourse.go.board import Go, State
from rlcourse.go.rules import Rules

SIZE, NUM_BOARDS = 9, 256
PASS = SIZE**2

try:
    import pyspiel
except ImportError:
    sys.exit("this benchmark needs OpenSpiel: pip install -r requirements-bench.txt")


def verify(num_games: int) -> int:
    """Random games with both engines, side by side; returns the number of moves compared.

    OpenSpiel calls a repeated position a draw and stops; the comparison of a game ends there.
    """
    peer, go = pyspiel.load_game(f"go(board_size={SIZE})"), Go(Rules(SIZE, superko=False))
    draw, compared = random.Random(0), 0
    for _ in range(num_games):
        theirs, ours = peer.new_initial_state(), go.new(1)
        while not theirs.is_terminal() and not bool(go.is_over(ours)):
            legal = ours.legal[0].nonzero().squeeze(1).tolist()
            assert sorted(theirs.legal_actions()) == legal, f"after {theirs.history()}"
            move = draw.choice(legal)
            theirs.apply_action(move)
            go.step_(ours, torch.tensor([move]))
            compared += 1
    return compared


def spiel_games(num_moves: int, planes: bool) -> int:
    """At least so many moves, in whole games; returns their number."""
    peer, draw, played = pyspiel.load_game(f"go(board_size={SIZE})"), random.Random(1), 0
    while played < num_moves:
        state = peer.new_initial_state()
        while not state.is_terminal():
            if planes:
                state.observation_tensor()
            state.apply_action(draw.choice(state.legal_actions()))
            played += 1
    return played


def our_games(num_moves: int, planes: bool) -> int:
    go, played = Go(Rules(SIZE, max_moves=1_000)), 0
    while played < num_moves:
        played += go.random_games_(go.new(NUM_BOARDS), 1_000, played, planes)
    return played


def our_steps(num_moves: int, planes: bool) -> int:
    go, played = Go(Rules(SIZE, max_moves=1_000)), 0
    generator, state = torch.Generator().manual_seed(0), go.new(NUM_BOARDS)
    while played < num_moves:
        if planes:
            go.planes(state)
        go.step_(state, _drawn(state, generator))
        played += NUM_BOARDS
        over = go.is_over(state).nonzero().squeeze(1)
        if len(over):
            state.put_(over, go.new(len(over)))
    return played


def _drawn(state: State, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(state.legal.shape, generator=generator).mul_(state.legal).argmax(1)


def rate(play: Callable[[int, bool], int], num_moves: int, planes: bool) -> float:
    begun = time.process_time()
    played = play(num_moves, planes)
    return played / (time.process_time() - begun)


def main(num_moves: int = 200_000, rounds: int = 5, verify_games: int = 200) -> None:
    """Verify that legal moves agree, then time all three.

    Args:
        num_moves: of each contestant in each round.
        rounds: of which the best counts, for each contestant.
        verify_games: random games compared move by move.
    """
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    compared = verify(verify_games)
    print(f"{SIZE}x{SIZE}: legal moves agree in {compared:,} positions of random games.\n")
    contestants = {
        "OpenSpiel": spiel_games,
        f"ours, {NUM_BOARDS} boards, one call per move": our_steps,
        f"ours, {NUM_BOARDS} boards, one compiled loop": our_games,
    }
    print("| engine, one thread | moves per second | ratio | with planes | ratio |")
    print("| --- | ---: | ---: | ---: | ---: |")
    best = {name: [0.0, 0.0] for name in contestants}
    for _ in range(rounds):
        for name, play in contestants.items():
            for planes in (False, True):
                best[name][planes] = max(best[name][planes], rate(play, num_moves, planes))
    first = best["OpenSpiel"]
    for name, (bare, seen) in best.items():
        ratios = (bare / first[0], seen / first[1])
        print(f"| {name} | {bare:,.0f} | {ratios[0]:.2f} | {seen:,.0f} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    tyro.cli(main)
