"""Principal components, against numpy's SVD."""

import numpy as np
import pytest
import torch

from rlcourse.go.pca import PCA


def samples(count: int, num_features: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, num_features, generator=generator, dtype=torch.float64)
    return x @ torch.randn(num_features, num_features, generator=generator).double() + 3.0


def oracle(x: torch.Tensor, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Variances and components with the sign of their largest entry positive."""
    centered = x.numpy() - x.numpy().mean(0)
    _, singular, rows = np.linalg.svd(centered, full_matrices=False)
    for row in rows:
        row *= np.sign(row[np.abs(row).argmax()])
    return singular[:dim] ** 2 / (len(x) - 1), rows[:dim]


@pytest.mark.parametrize("count", [5, 6, 7, 200])  # kept and decomposed by SVD, or summed up
def test_components_are_those_of_the_singular_values(count):
    x, dim = samples(count), 3
    pca = PCA.fit(x.split(2), dim)
    variance, components = oracle(x, dim)
    np.testing.assert_allclose(pca.variance, variance, rtol=1e-5)
    np.testing.assert_allclose(pca.components, components, atol=1e-5)
    np.testing.assert_allclose(pca.mean, x.mean(0), rtol=1e-5)
    expected = (x.numpy() - x.numpy().mean(0)) @ components.T
    np.testing.assert_allclose(pca.transform(x.float()), expected, atol=1e-4)
    assert pca.total_variance == pytest.approx(x.var(0).sum().item(), rel=1e-6)
    assert pca.explained.sum() <= 1.0
    assert (pca.dim, pca.num_features) == (3, 6)


def test_all_components_keep_distances_and_explain_everything():
    x = samples(50)
    pca = PCA.fit([x], 6)
    torch.testing.assert_close(
        torch.pdist(pca.transform(x)), torch.pdist(x).float(), rtol=1e-4, atol=1e-4
    )
    assert pca.explained.sum().item() == pytest.approx(1.0, abs=1e-5)


def test_by_hand():
    """Points on a line: one component along it, the direction of its larger coordinate up."""
    x = torch.tensor([[0.0, 0.0], [-3.0, 4.0], [3.0, -4.0]])
    pca = PCA.fit([x], 1)
    torch.testing.assert_close(pca.components, torch.tensor([[-0.6, 0.8]]))
    torch.testing.assert_close(pca.variance, torch.tensor([25.0]))
    torch.testing.assert_close(pca.transform(x).flatten(), torch.tensor([0.0, 5.0, -5.0]))


def test_a_large_mean_costs_no_digits():
    x = samples(100)
    near, far = PCA.fit(x.split(7), 3), PCA.fit((x + 1e6).split(7), 3)
    torch.testing.assert_close(near.components, far.components, atol=1e-5, rtol=0.0)
    torch.testing.assert_close(near.variance, far.variance)


def test_the_division_into_batches_does_not_matter():
    x = samples(40)
    one, many = PCA.fit([x], 4), PCA.fit([x[:0], *x.split(3)], 4)
    torch.testing.assert_close(one.components, many.components)


@pytest.mark.parametrize("count", [5, 60])
def test_whitened_samples_have_variance_one(count):
    x = samples(count)
    white = PCA.fit(x.split(4), 3, whiten=True).transform(x)
    torch.testing.assert_close(white.T.cov(), torch.eye(3), atol=1e-4, rtol=0.0)


def test_blocks_have_a_variance_of_one_in_all():
    x = samples(60) * torch.tensor([100.0, 100.0, 100.0, 100.0, 0.01, 0.01])
    pca = PCA.fit(x.split(9), 6, blocks=(4, 2))
    scaled = x * pca.scales
    assert scaled[:, :4].var(0).sum().item() == pytest.approx(1.0, rel=1e-5)
    assert scaled[:, 4:].var(0).sum().item() == pytest.approx(1.0, rel=1e-5)
    assert pca.scales[:4].unique().numel() == 1  # a block keeps its shape
    assert pca.total_variance == pytest.approx(2.0)
    torch.testing.assert_close(
        torch.pdist(pca.transform(x)), torch.pdist(scaled).float(), rtol=1e-3, atol=1e-4
    )


def test_it_comes_back_from_its_state():
    x = samples(20)
    pca = PCA.fit([x], 2, blocks=(3, 3), whiten=True)
    again = PCA(**pca.to("cpu").state_dict())
    assert torch.equal(pca.transform(x), again.transform(x))


@pytest.mark.parametrize(
    ("count", "dim", "options", "says"),
    [
        (20, 0, {}, "dim must be at least 1, got 0"),
        (20, 7, {}, "7 components .* got 6 features and 20 samples"),
        (4, 4, {}, "got 6 features and 4 samples: give more"),
        (0, 1, {}, "got 0 features and 0 samples"),
        (20, 2, {"blocks": (4, 4)}, r"blocks \[4, 4\] do not divide 6 features"),
        (20, 2, {"blocks": (6, 0)}, r"blocks \[6, 0\] do not divide"),
    ],
)
def test_what_cannot_be_fitted_is_refused(count, dim, options, says):
    with pytest.raises(ValueError, match=says):
        PCA.fit(samples(count).split(4), dim, **options)


def test_bad_samples_are_refused():
    x = samples(20)
    with pytest.raises(ValueError, match=r"must be \[B, 6\], got \[20, 5\]"):
        PCA.fit([x, x[:, :5]], 2)
    with pytest.raises(ValueError, match=r"must be \[B, X\], got \[20\]"):
        PCA.fit([x[:, 0]], 2)
    with pytest.raises(ValueError, match="not finite"):
        PCA.fit([x / 0.0], 2)
    x[:, 4:] = 1.0
    with pytest.raises(ValueError, match="block 1 never vary"):
        PCA.fit([x], 2, blocks=(4, 2))
    with pytest.raises(ValueError, match="component 4 has no variance"):
        PCA.fit([x], 5, whiten=True)
    with pytest.raises(ValueError, match=r"must be \[B, 6\], got \[20, 5\]: were the components"):
        PCA.fit([x], 2).transform(x[:, :5])
