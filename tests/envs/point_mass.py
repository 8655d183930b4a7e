"""What the tests of the point mass share."""

import torch

from rlcourse.envs.control import PointMass


def point_mass(num_envs=3, seed=0, config=None, **options):
    return PointMass(num_envs, torch.Generator().manual_seed(seed), config, **options)


def pushes(num_steps, num_envs, seed=1, hold=6):
    """Actions that are often at a bound and last for some steps, so that walls are hit."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(-(-num_steps // hold), num_envs, 2, generator=generator) * 2.0
    return drawn.clamp(-1.0, 1.0).repeat_interleave(hold, 0)[:num_steps]


def toward_target(step):
    """Full thrust toward the current target, from the groups of the observation."""
    offsets = step.obs["targets"].unflatten(-1, (-1, 2))
    current = step.obs["task"].argmax(-1)
    way = offsets[torch.arange(len(current)), current]
    return (4.0 * way - 0.5 * step.obs["proprio"][:, 2:]).clamp(-1.0, 1.0)


def assert_same_step(left, right):
    assert left.obs.keys() == right.obs.keys()
    for name in left.obs:
        assert torch.equal(left.obs[name], right.obs[name]), name
    for name in ("reward", "discount", "is_first"):
        assert torch.equal(getattr(left, name), getattr(right, name)), name
