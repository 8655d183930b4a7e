"""The hand-made and learned priors of continuous control."""

import math

import pytest
import torch

from rlcourse.envs.control import PointMass
from rlcourse.envs.control_task import PointMassConfig
from rlcourse.klrl.control_priors import KeepGoing, LearnedPrior, SteerToTarget, UniformPrior

TASK = PointMassConfig(task_group="position")


def make_obs(way=(0.5, -0.2), velocity=(1.0, 0.0)):
    proprio = torch.tensor([[0.0, 0.0, *velocity]])
    return {"proprio": proprio, "task": torch.tensor([way])}


def learned_prior():
    generator = torch.Generator().manual_seed(0)
    return LearnedPrior(("proprio",), (8,), {"proprio": 4, "task": 2}, 2, generator)


PRIORS = {
    "uniform": UniformPrior(2),
    "keep going": KeepGoing(top_speed=2.0),
    "steer": SteerToTarget(),
    "learned": learned_prior(),
}


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_a_prior_is_a_density_over_actions(prior, generator):
    """Importance sampling from the uniform distribution gives a mass of 1."""
    distribution = prior.distribution(make_obs())
    action = torch.rand(200_000, 1, 2, generator=generator) * 2 - 1
    mass = distribution.log_prob(action).exp().mean().item() * 4
    assert mass == pytest.approx(1.0, abs=0.02)
    drawn = distribution.sample(generator, (1000,))
    assert drawn.shape == (1000, 1, 2)
    assert drawn.abs().max() <= 1.0
    assert distribution.log_prob(drawn).isfinite().all()


@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_priors_take_sequences(prior, generator):
    obs = {name: x.expand(5, 3, -1) for name, x in make_obs().items()}
    distribution = prior.distribution(obs)
    assert distribution.mode.shape == (5, 3, 2)
    assert distribution.sample(generator).shape == (5, 3, 2)


def test_the_uniform_prior_by_hand():
    distribution = UniformPrior(2).distribution(make_obs())
    inside, outside = torch.tensor([[0.3, -1.0]]), torch.tensor([[0.3, 1.1]])
    assert distribution.log_prob(inside).item() == pytest.approx(-2 * math.log(2.0))
    assert distribution.log_prob(outside).item() == -math.inf


def test_steering_leads_to_the_target(generator):
    env = PointMass(32, generator, TASK)
    step = env.reset()
    reached = torch.zeros(32, dtype=torch.bool)
    for _ in range(TASK.max_steps):
        step = env.step(SteerToTarget(gain=2.0).distribution(step.obs).mode)
        reached |= step.discount == 0.0
    assert reached.all()


def test_keeping_going_keeps_the_velocity(generator):
    env = PointMass(1, generator, TASK)
    step = env.reset()
    for _ in range(6):
        step = env.step(torch.tensor([[0.0, 0.5]]))
    prior = KeepGoing(top_speed=TASK.arena.top_speed)
    before = step.obs["proprio"][0, 3].item()
    assert before > 0.4
    step = env.step(prior.distribution(step.obs).mode)
    assert step.obs["proprio"][0, 3].item() == pytest.approx(before, rel=0.02)


def test_a_learned_prior_sees_its_groups_only():
    prior = learned_prior()
    modes = [prior.distribution(make_obs(way=way)).mode for way in ((0.5, -0.2), (-1.0, 1.0))]
    assert torch.equal(*modes)
    moved = prior.distribution(make_obs(velocity=(-1.0, 0.5))).mode
    assert not torch.equal(moved, modes[0])
