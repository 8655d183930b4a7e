"""Principal components of data that come in batches.

Humphreys et al. 2022 (arXiv 2206.05314) compress the activations of a network to keys by principal
component analysis. With samples x [X], their mean m, and the eigenvectors c_1, c_2, ... of their
covariance in order of falling eigenvalues,

    z_i = c_i (x - m).                                                              (PCA)

    symbol   name here
    m        mean
    c_i      components[i]
    z        transform(x)

Sums are in float64, of differences from the mean of the first batch, so that a large mean costs no
digits. While there are no more samples than features they are kept, to be decomposed by SVD; beyond
that the covariance [X, X] is summed up, to be decomposed by `eigh`. The sums take at most 16 X^2
bytes and a batch, however many samples there are; the decompositions take a few times that.

**Deviations**: features may come in blocks, each scaled to a variance of 1 in all (`blocks`), and
components may be scaled to a variance of 1 (`whiten`); the paper speaks of neither.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class PCA:
    """A linear map of X features to D numbers. Make one with `fit`.

    The sign of a component is such that its entry of the largest size is positive.
    """

    scales: Float[Tensor, " X"]  # features are multiplied by these first; 1 without blocks
    mean: Float[Tensor, " X"]  # of the scaled features
    components: Float[Tensor, "D X"]  # orthonormal rows, the largest variance first
    variance: Float[Tensor, " D"]  # of the samples along each component
    total_variance: float  # of the scaled features, all together
    whiten: bool = False

    @classmethod
    def fit(
        cls,
        batches: Iterable[Float[Tensor, "B X"]],
        dim: int,
        *,
        blocks: Sequence[int] | None = None,
        whiten: bool = False,
    ) -> "PCA":
        """The `dim` main components of all samples, on the device of the batches.

        Args:
            batches: read once.
            dim: D.
            blocks: sizes of blocks of features, X in all; each is scaled as a whole so that its
                variances sum to 1. None: no scaling.
            whiten: scale the transformed samples to a variance of 1 each.

        Raises:
            ValueError: too few samples or features for `dim`, samples that do not fit together or
                are not finite, blocks that do not sum to X or never vary, or components without
                variance to whiten.
        """
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        moments = _Moments()
        for batch in batches:
            moments.add_(batch)
        num_features, count = moments.num_features, moments.count
        if dim > min(num_features, count - 1):
            raise ValueError(
                f"{dim} components need as many features and one sample more, got {num_features}"
                f" features and {count} samples: give more samples, or a smaller dim"
            )
        scales = _block_scales(moments.variances(), blocks)
        mean, variance, components = moments.decompose(scales)
        variance, components = variance[:dim].clamp(min=0.0), fixed_signs(components[:dim])
        if whiten and variance[-1] <= 1e-12 * variance[0]:
            raise ValueError(
                f"component {int((variance <= 1e-12 * variance[0]).nonzero()[0])} has no variance:"
                " nothing can whiten it; use a smaller dim, or whiten=False"
            )
        total = float((moments.variances() * scales.square()).sum())
        tensors = (tensor.float() for tensor in (scales, mean, components, variance))
        return cls(*tensors, total, whiten)

    @property
    def dim(self) -> int:
        return self.components.shape[0]

    @property
    def num_features(self) -> int:
        return self.components.shape[1]

    @property
    def explained(self) -> Float[Tensor, " D"]:
        """The share of the variance that lies along each component."""
        return self.variance / self.total_variance

    def transform(self, features: Float[Tensor, "B X"]) -> Float[Tensor, "B D"]:
        """(PCA) of samples, float32.

        Raises:
            ValueError: the samples have another number of features.
        """
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise ValueError(
                f"features must be [B, {self.num_features}], got {list(features.shape)}: were the"
                " components fitted on another layer, or another size of the board?"
            )
        transformed = (features.float() * self.scales - self.mean) @ self.components.T
        return transformed / self.variance.sqrt() if self.whiten else transformed

    def to(self, device: torch.device | str) -> "PCA":
        """The same map on another device."""
        state = self.state_dict()
        return PCA(**{k: v.to(device) if isinstance(v, Tensor) else v for k, v in state.items()})

    def state_dict(self) -> dict[str, Any]:
        """All of it, as keyword arguments."""
        return dict(vars(self))


class _Moments:
    """Sums over samples, and the samples themselves while there are few."""

    def __init__(self) -> None:
        self.count = self.num_features = 0
        self.kept: list[Tensor] = []  # [B, X] float64 differences from `origin`
        self.origin = self.sum = self.squares = self.products = torch.zeros(0)

    def add_(self, batch: Tensor) -> None:
        batch = batch.detach().double()
        if batch.ndim != 2 or (self.count and batch.shape[1] != self.num_features):
            known = self.num_features or "X"
            raise ValueError(f"samples must be [B, {known}], got {list(batch.shape)}")
        if not torch.isfinite(batch).all():
            raise ValueError("a sample is not finite: look at what made it")
        if not len(batch):
            return
        if not self.count:
            self.num_features = batch.shape[1]
            self.origin = batch.mean(0)
            self.sum, self.squares = (torch.zeros_like(self.origin) for _ in range(2))
        batch = batch - self.origin
        self.count += len(batch)
        self.sum += batch.sum(0)
        self.squares += batch.square().sum(0)
        self.kept.append(batch)
        if self.count > self.num_features:
            self._fold_()

    def variances(self) -> Tensor:
        """Of each feature [X]."""
        mean = self.sum / self.count
        return ((self.squares - self.count * mean.square()) / (self.count - 1)).clamp(min=0.0)

    def decompose(self, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean [X], variances [R] in falling order and components [R, X] of the scaled features."""
        mean = self.sum / self.count
        scaled_mean = (self.origin + mean) * scales
        if self.kept:
            centered = (torch.cat(self.kept) - mean) * scales
            _, singular, components = torch.linalg.svd(centered, full_matrices=False)
            return scaled_mean, singular.square() / (self.count - 1), components
        covariance = self.products - self.count * torch.outer(mean, mean)
        covariance *= torch.outer(scales, scales) / (self.count - 1)
        variances, vectors = torch.linalg.eigh(covariance)
        return scaled_mean, variances.flip(0), vectors.T.flip(0)

    def _fold_(self) -> None:
        if not self.products.numel():
            size = self.num_features
            self.products = self.origin.new_zeros(size, size)
        for batch in self.kept:
            self.products.addmm_(batch.T, batch)
        self.kept = []


def _block_scales(variances: Tensor, blocks: Sequence[int] | None) -> Tensor:
    if blocks is None:
        return torch.ones_like(variances)
    if sum(blocks) != len(variances) or min(blocks) < 1:
        raise ValueError(f"blocks {list(blocks)} do not divide {len(variances)} features")
    totals = torch.stack([block.sum() for block in variances.split(list(blocks))])
    if not bool((totals > 0.0).all()):
        still = int((totals <= 0.0).nonzero()[0])
        raise ValueError(
            f"the features of block {still} never vary, so they cannot be scaled: train the network"
            " longer, or use another layer"
        )
    sizes = torch.tensor(list(blocks), device=variances.device)
    return totals.rsqrt().repeat_interleave(sizes)


def fixed_signs(components: Float[Tensor, "D X"]) -> Float[Tensor, "D X"]:
    """Each row, or its negative, such that its entry of the largest size is positive."""
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    return components * torch.where(largest < 0.0, -1.0, 1.0)
