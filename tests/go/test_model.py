"""The action-conditional model with retrieval."""

import dataclasses
import math

import pytest
import torch
from torch.nn.functional import conv2d, relu

from rlcourse.go.inputs import NeighborInput, blank
from rlcourse.go.model import (
    PRESETS,
    Config,
    Dynamics,
    NeighborEmbedding,
    RetrievalModel,
    action_planes,
    join,
    measure_cost,
    scaled,
)
from rlcourse.nets.boards import ResidualBlock
from tests.go.retrieval import draw, random_batch

SMALL = dataclasses.replace(PRESETS["smoke"], num_neighbors=3)


def shaken(config: Config = SMALL, seed: int = 0) -> RetrievalModel:
    """A model whose residual blocks do something, as after training."""
    model = RetrievalModel(config, draw(seed))
    for module in model.modules():
        if isinstance(module, ResidualBlock):
            torch.nn.init.normal_(module.second.weight, 0.0, 0.2, generator=draw(seed + 1))
    return model.requires_grad_(False)


def test_what_comes_out():
    model, batch = shaken(), random_batch(4, 3)
    state = model.represent(batch.planes, batch.neighbors)
    logits, value = model.predict(state)
    after = model.dynamics(state, torch.tensor([0, 7, 24, 25]))
    assert state.shape == after.shape == (4, SMALL.channels()[0], 5, 5)
    assert logits.shape == (4, 26)
    assert value.shape == (4,)
    assert value.abs().max() < 1.0


def test_without_neighbors_is_all_of_them_absent():
    """Not even a NaN in an absent neighbor matters."""
    model, batch = shaken(), random_batch(4, 3)
    nothing = NeighborInput(
        torch.full_like(batch.neighbors.planes, math.nan), torch.zeros(4, 3, dtype=torch.bool)
    )
    baseline = model.represent(batch.planes, None)
    assert torch.equal(baseline, model.represent(batch.planes, nothing))
    assert not torch.allclose(baseline, model.represent(batch.planes, batch.neighbors))
    # x_i = 0 is not e_i = 0: the network makes something of it.
    assert not torch.allclose(baseline, model.represent(batch.planes, blank(batch.neighbors)))


def test_the_gradient_of_an_absent_neighbor_is_zero_and_finite():
    model, batch = RetrievalModel(SMALL, draw(0)), random_batch(2, 3)
    planes = batch.neighbors.planes.clone().requires_grad_()
    present = torch.tensor([[True, False, True], [False, False, False]])
    model.represent(batch.planes, NeighborInput(planes, present)).sum().backward()
    reached = planes.grad.flatten(2).abs().sum(2) > 0
    assert torch.equal(reached, present)


def test_the_order_of_neighbors_does_not_matter_and_which_they_are_does():
    model, batch = shaken(), random_batch(3, 4)
    present = torch.tensor([[True, True, False, True]] * 3)
    neighbors, order = batch.neighbors._replace(present=present), torch.tensor([2, 0, 3, 1])
    other = NeighborInput(neighbors.planes[:, order], present[:, order])
    same = model.represent(batch.planes, other)
    torch.testing.assert_close(model.represent(batch.planes, neighbors), same)
    shifted = batch.neighbors._replace(planes=batch.neighbors.planes.roll(1, 0))
    assert not torch.allclose(model.represent(batch.planes, shifted), same, atol=1e-3)


def test_padding_changes_nothing():
    model, batch = shaken(), random_batch(3, 5)
    present = torch.tensor([[True, True, False, False, False]] * 3)
    padded = batch.neighbors._replace(present=present)
    two = NeighborInput(padded.planes[:, :2], present[:, :2])
    torch.testing.assert_close(
        model.represent(batch.planes, padded), model.represent(batch.planes, two)
    )


def test_fusion_is_equation_2():
    """Each neighbor alone, then the sum over sqrt(N): N of the configuration, or of the call."""
    model, batch = shaken(dataclasses.replace(SMALL, num_neighbors=2)), random_batch(3, 10)
    encoded = model.encode(batch.planes)
    alone = [
        model.embed(encoded, NeighborInput(*(x[:, i : i + 1] for x in batch.neighbors)), 1)
        for i in range(10)
    ]
    total = torch.stack(alone).sum(0)
    torch.testing.assert_close(model.embed(encoded, batch.neighbors), total / math.sqrt(2))
    of_ten = model.embed(encoded, batch.neighbors, 10)
    torch.testing.assert_close(of_ten, total / math.sqrt(10))
    torch.testing.assert_close(
        model.represent(batch.planes, batch.neighbors, 10), model.fuse(encoded, of_ten)
    )


@pytest.mark.parametrize("num_neighbors", [0, -1])
def test_no_number_of_neighbors_scales_nothing(num_neighbors):
    model, batch = shaken(), random_batch(2, 3)
    with pytest.raises(ValueError, match=f"num_neighbors must be at least 1, got {num_neighbors}"):
        model.represent(batch.planes, batch.neighbors, num_neighbors)


def test_the_shared_first_layer_is_one_convolution_of_both():
    embedding = NeighborEmbedding(6, 17, 4, 0, draw(0)).requires_grad_(False)
    encoded = torch.randn(2, 6, 5, 5, generator=draw(1))
    neighbors = random_batch(2, 1).neighbors
    both = torch.cat([encoded, neighbors.planes[:, 0]], 1)
    weight = torch.cat([embedding.observation.weight, embedding.neighbors.entry.weight], 1)
    torch.testing.assert_close(
        embedding(encoded, neighbors)[:, 0], relu(conv2d(both, weight, padding=1))
    )


def test_eq_2_by_hand():
    encoded = torch.full((1, 1, 1, 1), 7.0)
    embedded = torch.tensor([3.0, 5.0, math.nan]).view(1, 3, 1, 1, 1)
    joined = join(encoded, embedded, torch.tensor([[True, True, False]]), 4)
    assert joined.flatten().tolist() == [7.0, 4.0]
    nothing = join(encoded, embedded, torch.zeros(1, 3, dtype=torch.bool), 4)
    assert nothing.flatten().tolist() == [7.0, 0.0]


def test_another_eq_2_is_what_the_network_computes():
    def larger(encoded, embedded, present, num_neighbors):
        joined = join(encoded, embedded, present, num_neighbors)
        return torch.cat([joined[:, : encoded.shape[1]], 2 * joined[:, encoded.shape[1] :]], 1)

    batch = random_batch(2, 3)
    plain, other = (RetrievalModel(SMALL, draw(0), join=some) for some in (join, larger))
    encoded = plain.encode(batch.planes)
    torch.testing.assert_close(
        other.embed(encoded, batch.neighbors), 2 * plain.embed(encoded, batch.neighbors)
    )


def test_moves_as_planes():
    planes = action_planes(torch.tensor([5, 9]), 3)
    assert planes[0, 0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert planes[0, 1].sum() == 0
    assert planes[1, 0].sum() == 0
    assert planes[1, 1].tolist() == [[1, 1, 1]] * 3


def test_each_move_leads_elsewhere_and_long_unrolls_keep_their_scale():
    model, batch = shaken(), random_batch(1, 3)
    state = model.represent(batch.planes, None)
    after = model.dynamics(state.expand(26, -1, -1, -1), torch.arange(26)).flatten(1)
    assert torch.pdist(after).min() > 0.01
    random = draw(5)
    for _ in range(100):
        state = model.dynamics(state, torch.randint(0, 26, (1,), generator=random))
    assert state.square().mean().item() == pytest.approx(1.0, abs=1e-3)
    assert all(x.isfinite().all() for x in model.predict(state))


def test_a_fresh_dynamics_adds_the_move_and_nothing_else():
    dynamics, state = Dynamics(4, 3, draw(0)), torch.randn(2, 4, 3, 3, generator=draw(1))
    added = state + dynamics.action(action_planes(torch.tensor([1, 9]), 3))
    scale = added.square().mean((1, 2, 3), keepdim=True).sqrt()
    torch.testing.assert_close(dynamics(state, torch.tensor([1, 9])), added / scale)


def test_an_unroll_is_one_step_after_the_other():
    model, batch = shaken(), random_batch(3, 3)
    moves = batch.next_moves[:, :2]
    found = model(batch.planes, batch.neighbors, moves)
    state = model.represent(batch.planes, batch.neighbors)
    torch.testing.assert_close(found.state, state)
    for k in range(3):
        logits, value = model.predict(state)
        torch.testing.assert_close(found.logits[:, k], logits)
        torch.testing.assert_close(found.value[:, k], value)
        state = model.dynamics(state, moves[:, k]) if k < 2 else state
    alone = model(batch.planes, None, moves[:, :0])
    assert alone.logits.shape == (3, 1, 26)


@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_the_gradient_shrinks_with_every_step_of_the_dynamics(scale):
    model, batch = shaken(), random_batch(2, 3)
    state = model.represent(batch.planes, None).requires_grad_()

    def gradient(k: int, scale: float) -> torch.Tensor:
        unroll = model.unroll(state, batch.next_moves[:, :3], scale)
        return torch.autograd.grad(unroll.value[:, k].sum(), state)[0]

    for k in range(4):
        torch.testing.assert_close(gradient(k, scale), scale**k * gradient(k, 1.0))
    same = [model.unroll(state, batch.next_moves[:, :3], x).logits for x in (scale, 1.0)]
    assert torch.equal(*same)


def test_every_parameter_learns():
    model, batch = shaken().requires_grad_(True), random_batch(8, 3)
    found = model(batch.planes, batch.neighbors, batch.next_moves[:, :1])
    (found.logits.square().mean() + found.value.square().mean()).backward()
    still = [name for name, x in model.named_parameters() if x.grad is None or not x.grad.any()]
    assert still == []


def test_boards_of_a_batch_do_not_mix():
    model, batch = shaken(), random_batch(4, 3)
    alone = torch.cat(
        [
            model.represent(batch.planes[i : i + 1], NeighborInput(*(x[i : i + 1] for x in near)))
            for i in range(4)
            for near in [batch.neighbors]
        ]
    )
    torch.testing.assert_close(model.represent(batch.planes, batch.neighbors), alone)


def test_any_size_of_board():
    for size in (3, 9):
        batch = random_batch(2, 3, size)
        assert shaken()(batch.planes, batch.neighbors, batch.next_moves).logits.shape[-1] > size**2


def test_cost_by_hand():
    """One block each, of widths 8, 4 and 2: multiplications and additions counted one by one."""
    config = Config(1.0, 8, 4, 2, 1, 1, 1, 1, 3, 10)
    cost = measure_cost(RetrievalModel(config, draw(0)), 3, size=5)

    def conv(inputs: int, outputs: int, kernel: int = 3) -> int:
        return 2 * 25 * kernel**2 * inputs * outputs

    block, narrow = 2 * conv(8, 8), 2 * conv(4, 4)
    trunk = conv(8, 8) + block + conv(8 + 4, 8) + block
    neighbor = conv(17, 4) + narrow
    assert cost.represent == trunk + conv(8, 4) + 3 * neighbor
    assert cost.dynamics == conv(2, 8) + block
    heads = 2 * conv(8, 2, 1) + conv(2, 1, 1) + 2 * (4 * 2 + 2 * 1) + 2 * (4 * 4 + 4 * 1)
    assert cost.predict == heads
    assert cost.search == cost.dynamics + heads
    assert cost.unroll(5) == cost.represent + heads + 5 * cost.search
    without = measure_cost(RetrievalModel(config, draw(0)), 0, size=5)
    assert without.represent == trunk
    assert without.num_parameters == cost.num_parameters
    weights = 9 * (8 * 8 * 7 + 12 * 8 + 8 * 4 + 17 * 4 + 2 * 4 * 4 + 2 * 8)
    biases = 8 * 9 + 4 * 4
    policy = (8 * 2 + 2) + (2 + 1) + (4 * 2 + 2) + (2 + 1)
    value = (8 * 2 + 2) + (4 * 4 + 4) + (4 + 1)
    assert cost.num_parameters == weights + biases + policy + value


def test_sizes_follow_the_width():
    config = scaled(PRESETS["laptop"], 2.0)
    assert config.width == 0.5
    assert config.channels() == (64, 32, 16)
    assert scaled(config, 1e-6).channels() == (1, 1, 1)
    costs = [measure_cost(RetrievalModel(PRESETS[name], draw(0)), 4, 5) for name in PRESETS]
    assert [cost.num_parameters for cost in costs] == sorted(cost.num_parameters for cost in costs)


def test_weights_are_the_generators():
    one, same, other = (
        torch.cat([x.flatten() for x in RetrievalModel(SMALL, draw(seed)).parameters()])
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"width": 0.0}, "width must be positive and finite, got 0.0"),
        ({"width": math.inf}, "width must be positive and finite, got inf"),
        ({"num_channels": 0}, "num_channels must be at least 1, got 0"),
        ({"num_neighbors": 0}, "num_neighbors must be at least 1, got 0"),
        ({"num_dynamics_blocks": 0}, "num_dynamics_blocks must be at least 1, got 0"),
        ({"num_fusion_blocks": -1}, "num_fusion_blocks must not be negative, got -1"),
    ],
)
def test_impossible_sizes_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        Config(**change)


def test_neighbors_of_other_planes_are_refused():
    model, batch = shaken(dataclasses.replace(SMALL, num_next=4)), random_batch(2, 3)
    with pytest.raises(ValueError, match=r"\(2, 3, 17, 5, 5\), the network expects \[2, K, 11,"):
        model.represent(batch.planes, batch.neighbors)
    fewer = NeighborInput(*(x[:1] for x in batch.neighbors))
    with pytest.raises(ValueError, match=r"\(1, 3, 17, 5, 5\), the network expects \[2, K"):
        shaken().represent(batch.planes, fewer)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_says_the_same():
    model, batch = shaken(), random_batch(4, 3)
    here = model(batch.planes, batch.neighbors, batch.next_moves[:, :3])
    batch = batch.to("cuda")
    there = model.cuda()(batch.planes, batch.neighbors, batch.next_moves[:, :3])
    torch.testing.assert_close(there.logits.cpu(), here.logits, rtol=1e-3, atol=1e-2)
    assert measure_cost(model, 3).represent > 0
