"""Probe problems with one continuous action, after `envs.probes`, and what all agents must do."""

from pathlib import Path

import pytest
import torch

from rlcourse.envs.control import NUM_ACTIONS, PointMass
from rlcourse.envs.control_task import PointMassConfig
from rlcourse.run.checkpoint import load_checkpoint
from rlcourse.run.loop import run_loop
from rlcourse.run.record import NonFiniteMetric, Record
from rlcourse.types import Step

OBS_SIZES = {"state": 1, "time": 1}
GROUPS = ("state", "time")
GAMMA = 0.9
BEST = 0.5  # the action that pays most where actions matter
# name -> (reward of the last action, number of actions in an episode)
PROBES = {
    "constant_value": (lambda s, a: torch.ones_like(s), 1),
    "observation_dependent_value": (lambda s, a: s, 1),
    "two_step_discount": (lambda s, a: torch.ones_like(s), 2),
    "action_dependent_reward": (lambda s, a: -(a - BEST).square(), 1),
    "observation_and_action_dependent_reward": (lambda s, a: -(a - BEST * s).square(), 1),
}


class ContinuousProbe:
    """B instances; the state of an instance is always -1 or always 1. Clips actions to [-1, 1]."""

    def __init__(self, name: str, num_envs: int = 8, cut: bool = False) -> None:
        self.reward, self.num_steps = PROBES[name]
        self.cut = cut  # end by a time limit instead
        self.num_envs = num_envs
        self.state = torch.ones(num_envs)
        self.state[::2] = -1.0
        self.time = torch.zeros(num_envs, dtype=torch.int64)

    def reset(self) -> Step:
        self.time = torch.zeros_like(self.time)
        ones = torch.ones(self.num_envs)
        return Step(self.obs(), 0.0 * ones, ones, ones.bool())

    def step(self, action: torch.Tensor) -> Step:
        assert action.shape == (self.num_envs, 1)
        is_first = self.time == self.num_steps
        self.time = torch.where(is_first, 0, self.time + 1)
        ended = self.time == self.num_steps
        reward = self.reward(self.state, action.squeeze(-1).clamp(-1.0, 1.0))
        discount = torch.where(ended & (not self.cut), 0.0, 1.0)
        return Step(self.obs(), torch.where(ended, reward, 0.0), discount, is_first)

    def obs(self) -> dict[str, torch.Tensor]:
        return {"state": self.state[:, None].clone(), "time": self.time[:, None].float()}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"time": self.time}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.time = state["time"]


def first_step(state: float) -> dict[str, torch.Tensor]:
    """The first observation of an episode, as a batch of one."""
    return {"state": torch.tensor([[state]]), "time": torch.zeros(1, 1)}


def train(agent, name: str, num_steps: int, folder: Path) -> None:
    env = ContinuousProbe(name)
    run_loop(env, agent, num_steps, record=Record(folder, {}), progress=False)


def assert_solves(agent, name: str, q_of) -> None:
    """Q and the policy's mode are what they must be. `q_of` maps obs, action to [B]."""
    obs = {state: first_step(state) for state in (-1.0, 1.0)}
    with torch.no_grad():
        q = {s: q_of(agent, obs[s], torch.tensor([[0.1]])).item() for s in obs}
        mode = {s: agent.act_mode(Step(obs[s], None, None, None)).item() for s in obs}
    if name == "constant_value":
        found, expected = list(q.values()), [1.0, 1.0]
    elif name == "observation_dependent_value":
        found, expected = list(q.values()), [-1.0, 1.0]
    elif name == "two_step_discount":
        found, expected = list(q.values()), [GAMMA, GAMMA]
    elif name == "action_dependent_reward":
        found, expected = list(mode.values()), [BEST, BEST]
    else:
        found, expected = list(mode.values()), [-BEST, BEST]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), atol=0.1, rtol=0)


def assert_resumes_exactly(make_agent, folder: Path, num_steps: int = 60, stop: int = 37) -> None:
    """A run stopped at `stop` and taken up by a fresh agent equals an uninterrupted one."""

    def run(place: Path, until: int) -> None:
        run_loop(
            ContinuousProbe("two_step_discount"),
            make_agent(),
            until,
            record=Record(place, {}),
            checkpoint_path=place / "checkpoint.pt",
            checkpoint_every=stop,
            log_every=1,
            progress=False,
        )

    whole, broken = folder / "whole", folder / "broken"
    run(whole, num_steps)
    run(broken, stop)
    run(broken, num_steps)
    assert (whole / "metrics.jsonl").read_bytes() == (broken / "metrics.jsonl").read_bytes()
    states = [load_checkpoint(place / "checkpoint.pt") for place in (whole, broken)]
    assert_same_state(*states)


def assert_same_state(one, other) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same_state(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for entry, its_twin in zip(one, other, strict=True):
            assert_same_state(entry, its_twin)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def diverge(agent, folder: Path) -> None:
    """Run an agent whose losses explode."""
    run_loop(
        ContinuousProbe("action_dependent_reward"),
        agent,
        200,
        record=Record(folder, {}),
        checkpoint_path=folder / "checkpoint.pt",
        checkpoint_every=5,
        log_every=10,
        progress=False,
    )


def assert_stops_where_it_diverges(make_agent, folder: Path) -> None:
    """On the point mass, which refuses actions that are not numbers.

    Args:
        make_agent: (obs_sizes, num_actions) -> an agent whose losses explode once it learns, but
            not in the first three steps.
        folder: of the run.
    """
    env = PointMass(8, torch.Generator().manual_seed(0), PointMassConfig(max_steps=20))
    agent, checkpoint = make_agent(env.group_sizes, NUM_ACTIONS), folder / "checkpoint.pt"
    options = {"checkpoint_path": checkpoint, "checkpoint_every": 3, "progress": False}
    with pytest.raises(NonFiniteMetric, match=r"last good checkpoint is .*checkpoint\.pt"):
        run_loop(env, agent, 400, record=Record(folder, {}), **options)
    saved = load_checkpoint(checkpoint)
    assert 3 <= saved["loop"]["num_done"] < 400
    agent.load_state_dict(saved["agent"])
    step = env.reset()
    assert torch.isfinite(agent.act(step)).all()
