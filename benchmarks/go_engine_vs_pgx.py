"""The Go engine against pgx's `go_9x9`: random legal games, moves per second on all cores.

pgx is a vectorized engine in JAX; it runs as its users run it, `lax.scan` over a vectorized step
with automatic reset, compiled before the clock starts, at several batch sizes of which the best
counts. Ours plays 256 boards in one compiled loop over all cores. Before anything is timed, both
play the same random games and must have the same legal moves under the simple ko rule.

Not the same: ours, when timed, forbids every repetition of a position (positional superko); pgx
masks simple ko only and lets the mover of a repetition lose. pgx writes its observation of 17
planes in each step; ours is timed without and with its own 8. Times are on the clock, since XLA
spreads over all cores: run this on a quiet machine.

    pip install -r requirements-bench.txt
    python benchmarks/go_engine_vs_pgx.py
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import tyro

from rlcourse.go.board import Go
from rlcourse.go.rules import Rules

try:
    import jax
    import jax.numpy as jnp
    import pgx
    from pgx.experimental import auto_reset
except ImportError:
    sys.exit("this benchmark needs pgx: pip install -r requirements-bench.txt")

SIZE, OUR_BOARDS = 9, 256
PEER_BOARDS = (256, 1024, 4096)


def verify(num_boards: int, num_moves: int) -> int:
    """The same random games with both engines; returns the number of positions compared.

    The comparison of a board ends where pgx ends its game, as it does at a repetition.
    """
    env, go = pgx.make("go_9x9"), Go(Rules(SIZE, superko=False, max_moves=10_000))
    theirs = jax.vmap(env.init)(jax.random.split(jax.random.PRNGKey(0), num_boards))
    ours, step = go.new(num_boards), jax.jit(jax.vmap(env.step))
    generator, compared = torch.Generator().manual_seed(0), 0
    for _ in range(num_moves):
        running = ~np.asarray(theirs.terminated) & ~go.is_over(ours).numpy()
        legal = np.asarray(theirs.legal_action_mask)
        same = (legal == ours.legal.numpy()).all(1)
        assert same[running].all(), f"legal moves differ on board {np.argmin(same | ~running)}"
        compared += int(running.sum())
        weights = torch.from_numpy(legal.copy()).float()
        move = torch.multinomial(weights, 1, generator=generator).squeeze(1)
        theirs = step(theirs, jnp.asarray(move.numpy()))
        # A board on which pgx has stopped goes on with legal moves of ours that nobody compares.
        legal_here = ours.legal.gather(1, move[:, None]).squeeze(1)
        go.step_(ours, torch.where(legal_here, move, SIZE**2))
    return compared


def pgx_games(num_boards: int) -> Callable[[int], float]:
    """A function that plays so many moves on each board and returns the seconds it took."""
    env = pgx.make("go_9x9")
    step = jax.vmap(auto_reset(env.step, env.init))

    def advance(state, key):
        logits = jnp.where(state.legal_action_mask, 0.0, -jnp.inf)
        key, draw, reset = jax.random.split(key, 3)
        move = jax.random.categorical(draw, logits)
        return step(state, move, jax.random.split(reset, num_boards)), key

    def play(state, key, num_moves):
        return jax.lax.fori_loop(0, num_moves, lambda _, pair: advance(*pair), (state, key))

    compiled = jax.jit(play)
    state = jax.vmap(env.init)(jax.random.split(jax.random.PRNGKey(1), num_boards))
    key = jax.random.PRNGKey(2)
    jax.block_until_ready(compiled(state, key, 1))

    def timed(num_moves: int) -> float:
        begun = time.perf_counter()
        jax.block_until_ready(compiled(state, key, num_moves))
        return time.perf_counter() - begun

    return timed


def our_rate(num_moves: int, planes: bool, seed: int) -> float:
    """Moves per second over whole games, the last of which may pass `num_moves`."""
    go, played = Go(Rules(SIZE, max_moves=1_000)), 0
    begun = time.perf_counter()
    while played < num_moves:
        played += go.random_games_(go.new(OUR_BOARDS), 1_000, seed + played, planes)
    return played / (time.perf_counter() - begun)


def main(moves_per_board: int = 200, rounds: int = 3, verify_boards: int = 64) -> None:
    """Verify that legal moves agree, then time both.

    Args:
        moves_per_board: that pgx plays in each round; we play as many moves in all.
        rounds: of which the best counts, for each contestant.
        verify_boards: random games compared move by move, up to 200 moves.
    """
    compared = verify(verify_boards, 200)
    print(f"Legal moves agree in {compared:,} positions of random games.\n")
    sizes = PEER_BOARDS if moves_per_board > 1 else PEER_BOARDS[:1]
    peers = {count: pgx_games(count) for count in sizes}
    rates: dict[str, float] = {}
    our_rate(1, True, 0)  # compiles
    for turn in range(rounds):
        for count, timed in peers.items():
            rate = count * moves_per_board / timed(moves_per_board)
            rates[f"pgx, {count} boards"] = max(rate, rates.get(f"pgx, {count} boards", 0.0))
        for planes in (False, True):
            name = f"ours, {OUR_BOARDS} boards" + (", with 8 planes" if planes else "")
            rate = our_rate(moves_per_board * 1024, planes, turn)
            rates[name] = max(rate, rates.get(name, 0.0))
    best = max(rate for name, rate in rates.items() if name.startswith("pgx"))
    print("| engine | moves per second | ratio to pgx's best |\n| --- | ---: | ---: |")
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} | {rate / best:.2f} |")


if __name__ == "__main__":
    tyro.cli(main)
