"""Towers and heads over boards."""

import pytest
import torch

from rlcourse.nets.boards import PolicyHead, ResidualBlock, Tower, ValueHead, convolution


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_block_starts_as_the_identity_and_learns():
    block, planes = ResidualBlock(4, generator()), torch.randn(2, 4, 5, 5, generator=generator(1))
    torch.testing.assert_close(block(planes), planes)
    (block(planes) ** 2).sum().backward()
    assert block.second.weight.grad.abs().max() > 0


def test_a_deep_tower_keeps_the_scale():
    planes = torch.randn(8, 6, 9, 9, generator=generator(1))
    shallow, deep = (Tower(6, 16, count, generator())(planes) for count in (0, 40))
    torch.testing.assert_close(shallow, deep)
    assert 0.5 < deep.std() < 3.0


def test_any_board_size_fits():
    tower, policy, value = (
        Tower(3, 8, 1, generator()),
        PolicyHead(8, generator()),
        ValueHead(8, generator()),
    )
    for size in (2, 9, 19):
        planes = tower(torch.ones(3, 3, size, size))
        assert policy(planes).shape == (3, size**2 + 1)
        assert value(planes).shape == (3,)
        assert policy.features(planes).shape == (3, 32, size, size)
        assert value.features(planes).shape == (3, 64)


def test_logits_of_points_lie_in_rows_from_the_top():
    policy, planes = PolicyHead(1, generator()), torch.zeros(1, 1, 3, 3)
    before = policy(planes)
    planes[0, 0, 1, 2] = 5.0  # row 1, column 2: point 5
    changed = (policy(planes) - before).abs()[0, :9] > 1e-7
    assert changed.nonzero().tolist() == [[5]]


def test_boards_of_a_batch_do_not_mix():
    tower, policy = Tower(3, 8, 2, generator()), PolicyHead(8, generator())
    planes = torch.randn(4, 3, 5, 5, generator=generator(1))
    alone = torch.cat([policy(tower(board[None])) for board in planes])
    torch.testing.assert_close(policy(tower(planes)), alone, rtol=1e-4, atol=1e-5)


def test_weights_come_from_the_generator():
    one, same, other = (Tower(3, 4, 1, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(one.entry.weight, same.entry.weight)
    assert not torch.equal(one.entry.weight, other.entry.weight)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [((0, 4, 3), "at least one"), ((4, 4, 2), "odd")],
)
def test_impossible_convolutions_are_refused(arguments, says):
    num_inputs, num_outputs, kernel = arguments
    with pytest.raises(ValueError, match=says):
        convolution(num_inputs, num_outputs, generator(), kernel=kernel)


def test_a_tower_of_negative_depth_is_refused():
    with pytest.raises(ValueError, match="num_blocks"):
        Tower(3, 4, -1, generator())
