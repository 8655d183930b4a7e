"""The batched gridworld against MiniGrid's empty room: steps per second on the same work.

The room is read out of MiniGrid itself: a state is a cell and a heading, the actions are left,
right and forward, and each state has MiniGrid's own 7 x 7 x 3 image. Before anything is timed, both
are stepped side by side on random actions: every image, reward, end and time limit must agree.

Not the same: MiniGrid's reward shrinks with the step count, ours is 1 at the goal (the comparison
undoes this). MiniGrid's mission, a constant string, is left out where its rooms are batched.

    python benchmarks/gridworld_vs_minigrid.py
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import gymnasium
import minigrid
import numpy as np
import torch
import tyro
from minigrid.wrappers import ImgObsWrapper
from torch import Tensor

from rlcourse.envs.mdp import TabularMDP
from rlcourse.envs.tabular_env import TabularEnv

ROOM = "MiniGrid-Empty-8x8-v0"
NUM_ACTIONS, NUM_HEADINGS = 3, 4  # left, right, forward
BATCHES = (256, 4_096, 16_384)
PEER_COPIES = 8  # in the peer's vectorized forms


@dataclass(frozen=True, eq=False)
class Room:
    """MiniGrid's room as tables."""

    mdp: TabularMDP
    images: Tensor  # [S, 7, 7, 3] uint8
    max_steps: int


def make_peer() -> gymnasium.Env:
    """One MiniGrid room, without the checks that Gymnasium adds for development."""
    gymnasium.register_envs(minigrid)
    return gymnasium.make(ROOM, disable_env_checker=True)


def read_room() -> Room:
    """Tries every action in every state of MiniGrid's room."""
    peer = make_peer().unwrapped
    peer.reset(seed=0)
    start = (*peer.agent_pos, peer.agent_dir)
    floor = [
        (x, y)
        for x in range(peer.width)
        for y in range(peer.height)
        if peer.grid.get(x, y) is None or peer.grid.get(x, y).can_overlap()
    ]
    states = [(x, y, heading) for x, y in floor for heading in range(NUM_HEADINGS)]
    index = {state: number for number, state in enumerate(states)}
    successors = torch.zeros(len(states), NUM_ACTIONS, 1, dtype=torch.int64)
    continues = torch.ones(len(states))
    images = []
    for number, state in enumerate(states):
        images.append(torch.from_numpy(place(peer, state).gen_obs()["image"]))
        for action in range(NUM_ACTIONS):
            _, _, terminated, _, _ = place(peer, state).step(action)
            successors[number, action] = arrival = index[(*peer.agent_pos, peer.agent_dir)]
            if terminated:
                continues[arrival] = 0.0
    mdp = TabularMDP(
        reward=1.0 - continues[successors],
        successors=successors,
        probabilities=torch.ones(len(states), NUM_ACTIONS, 1),
        continues=continues,
        initial=torch.nn.functional.one_hot(torch.tensor(index[start]), len(states)).float(),
    )
    return Room(mdp, torch.stack(images), peer.max_steps)


def place(peer: minigrid.minigrid_env.MiniGridEnv, state: tuple[int, int, int]):
    """Moves the peer's agent to a state, at the start of an episode."""
    x, y, peer.agent_dir = state
    peer.agent_pos, peer.step_count = (x, y), 0
    return peer


def verify(room: Room, num_steps: int, seed: int) -> tuple[int, int]:
    """Steps both side by side; returns how many episodes ended at the goal and at the time limit.

    Raises:
        AssertionError: at the first difference.
    """
    peer, rng = make_peer(), np.random.default_rng(seed)
    ours = TabularEnv(room.mdp, 1, torch.Generator().manual_seed(seed), room.max_steps)
    image, ended, age = peer.reset(seed=seed)[0]["image"], False, 0
    goals = limits = 0
    step = ours.reset()
    for _ in range(num_steps):
        assert np.array_equal(image, room.images[step.obs[0]].numpy()), "another image"
        assert bool(step.is_first[0]) == (age == 0), "another start"
        # Forward twice as often, so that the goal is found within the time limit now and then.
        action = int(rng.choice([0, 1, 2, 2]))
        step = ours.step(torch.tensor([action]))
        if ended:
            image, ended, age = peer.reset()[0]["image"], False, 0
            continue
        observation, reward, terminated, truncated, _ = peer.step(action)
        image, ended, age = observation["image"], terminated or truncated, age + 1
        assert (float(step.discount[0]) == 0.0) == terminated, "another end"
        shrinking = 1.0 - 0.9 * age / room.max_steps
        assert math.isclose(reward, float(step.reward[0]) * shrinking), "another reward"
        goals, limits = goals + int(terminated), limits + int(truncated and not terminated)
    return goals, limits


def peer_alone(num_steps: int) -> int:
    """Steps one MiniGrid room on random actions; returns the number of environment steps."""
    peer, actions = make_peer(), np.random.default_rng(0).integers(NUM_ACTIONS, size=num_steps)
    peer.reset(seed=0)
    for action in actions.tolist():
        _, _, terminated, truncated, _ = peer.step(action)
        if terminated or truncated:
            peer.reset()
    return num_steps


def peer_batch(kind: str, num_steps: int) -> int:
    """The same with Gymnasium's vectorized environments; "async" uses a process per room."""
    batch = {
        "sync": gymnasium.vector.SyncVectorEnv,
        "async": gymnasium.vector.AsyncVectorEnv,
    }[kind]([lambda: ImgObsWrapper(make_peer())] * PEER_COPIES)
    shape = (num_steps // PEER_COPIES, PEER_COPIES)
    actions = np.random.default_rng(0).integers(NUM_ACTIONS, size=shape)
    batch.reset(seed=0)
    for action in actions:
        batch.step(action)
    batch.close()
    return actions.size


def our_batch(room: Room, num_envs: int, with_images: bool, num_steps: int) -> int:
    """The same with this package; with images, each step gathers those of all instances."""
    generator = torch.Generator().manual_seed(0)
    env = TabularEnv(room.mdp, num_envs, generator, room.max_steps)
    shape = (max(1, num_steps // num_envs), num_envs)
    actions = torch.randint(NUM_ACTIONS, shape, generator=generator)
    step = env.reset()
    for action in actions:
        step = env.step(action)
        if with_images:
            room.images[step.obs]
    return actions.numel()


def speed(run: Callable[[int], int], num_steps: int) -> float:
    """Environment steps per second: the better of three runs, after one to warm up."""
    run(num_steps // 10)
    rates = []
    for _ in range(3):
        begun = time.perf_counter()
        done = run(num_steps)
        rates.append(done / (time.perf_counter() - begun))
    return max(rates)


def measure(room: Room, peer_steps: int, our_steps: int) -> Iterator[tuple[str, float]]:
    """Names and speeds, MiniGrid's first."""
    yield "MiniGrid, one room", speed(peer_alone, peer_steps)
    yield (
        f"MiniGrid, SyncVectorEnv of {PEER_COPIES}",
        speed(partial(peer_batch, "sync"), peer_steps),
    )
    name = f"MiniGrid, AsyncVectorEnv of {PEER_COPIES} (a process each)"
    yield name, speed(partial(peer_batch, "async"), peer_steps)
    for with_images, what in ((True, "with images"), (False, "state indices")):
        for num_envs in BATCHES:
            run = partial(our_batch, room, num_envs, with_images)
            yield f"TabularEnv, B = {num_envs:,}, {what}", speed(run, our_steps)


def main(peer_steps: int = 20_000, our_steps: int = 4_000_000, verify_steps: int = 5_000) -> None:
    """Verify that both do the same, then time both.

    Args:
        peer_steps: environment steps of MiniGrid per run.
        our_steps: environment steps of the batched gridworld per run.
        verify_steps: random actions compared one by one before anything is timed.
    """
    torch.set_num_threads(1)
    room = read_room()
    goals, limits = verify(room, verify_steps, seed=1)
    print(
        f"{ROOM}, {room.mdp.num_states} states: {verify_steps:,} random steps, {goals} ends at the "
        f"goal and {limits} at the time limit agree. One thread (AsyncVectorEnv: more).\n"
    )
    print("| environment | steps per second | ratio to the fastest MiniGrid |")
    print("| --- | ---: | ---: |")
    rows = list(measure(room, peer_steps, our_steps))
    fastest = max(rate for name, rate in rows if name.startswith("MiniGrid"))
    for name, rate in rows:
        print(f"| {name} | {rate:,.0f} | {rate / fastest:,.2f} |")


if __name__ == "__main__":
    tyro.cli(main)
