"""Keys of Go positions: where two of them are close, the positions are alike.

Humphreys et al. 2022 (arXiv 2206.05314): a network is trained to predict moves and
outcomes (`go.prediction`) and frozen; the activations of one of its layers, compressed by principal
component analysis (`go.pca`), are the key of a position, as a query and in the database alike:

    k = g_phi(o) = PCA( layer(o) ),      d(o, o') = |g_phi(o) - g_phi(o')|^2.             (key)

    symbol   name here
    g_phi    `KeyNetwork`
    o        planes [C, H, W], see `go.board.Go.planes`

`RawKeys`, the stones themselves, is the baseline that learned keys are compared with.

**Symmetries.** A position and its mirror image are the same to a player, and not to a network. Two
ways to find a neighbor that lies on its side, each measured by the recall it gives:

* `canonical=True`: keys are those of a canonical form, which is the same for all eight images. One
  search finds exact images; but a stone more can make another image the canonical one, so that
  near images may be missed.
* `keys_of_symmetries`: all eight images of the query are searched for, at eight times the cost.

**Deviations**: which layer the paper takes, and D, are not known to us, nor whether it treats
symmetries at all. Layer "heads" and whitening are ours.
"""

import copy
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from rlcourse.data.files import replacing
from rlcourse.data.tensor_files import load_format, tensors_fingerprint
from rlcourse.go.pca import PCA
from rlcourse.go.prediction import LAYERS, Layer, PredictionNetwork, check_layer
from rlcourse.go.symmetry import NUM_SYMMETRIES, sources, transform_planes

__all__ = [
    "LAYERS",
    "PCA",
    "KeyNetwork",
    "PredictionNetwork",
    "RawKeys",
    "canonical_symmetry",
    "raw_keys",
]

FORMAT = "rlcourse key network 1"

_MEND = "fit and save it again"
_MISFIT = (RuntimeError, ValueError, KeyError, TypeError, AttributeError)


def canonical_symmetry(planes: Float[Tensor, "B C H W"]) -> Int[Tensor, " B"]:
    """The symmetry that brings each position into its canonical form.

    Of the eight images that is the smallest: the first number in which two images differ decides,
    in the order of planes, rows and columns. All images of a position share it. Where a position
    is its own image, several symmetries lead there, and the least of their numbers is returned.

    Raises:
        ValueError: the boards are not square.
    """
    if planes.ndim != 4 or planes.shape[2] != planes.shape[3]:
        raise ValueError(f"boards must be square planes [B, C, H, W], got {list(planes.shape)}")
    points = sources(planes.shape[3]).to(planes.device)  # [8, P]
    flat, best_image = planes.flatten(2), planes.flatten(1)
    best = torch.zeros(len(planes), dtype=torch.int64, device=planes.device)
    for symmetry in range(1, NUM_SYMMETRIES):
        image = flat.index_select(2, points[symmetry]).flatten(1)
        first = (image != best_image).int().argmax(1, keepdim=True)  # 0 where nothing differs
        smaller = image.gather(1, first) < best_image.gather(1, first)  # [B, 1]
        best = torch.where(smaller.squeeze(1), symmetry, best)
        best_image = torch.where(smaller, image, best_image)
    return best


def raw_keys(planes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B P"]:
    """The stones from the side to play: +1 own, -1 the opponent's, 0 empty.

    The squared distance of two boards counts 1 for each point where one has a stone, and 4 for each
    where the stones differ in color.
    """
    return (planes[:, 0] - planes[:, 1]).flatten(1).float()


class RawKeys:
    """`raw_keys` in the place of a `KeyNetwork`.

    Args:
        size: of the board, at least 1.
        canonical: keys of canonical forms, of the planes as a whole.

    Raises:
        ValueError: a size < 1.
    """

    def __init__(self, size: int, *, canonical: bool = False) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size, self.canonical, self.dim = size, canonical, size**2
        about = {"kind": "raw keys", "size": size, "canonical": canonical}
        self.fingerprint = tensors_fingerprint(about, {})

    def __call__(self, planes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """The keys, on the planes' device; D = size^2.

        Raises:
            ValueError: boards of another size.
        """
        if planes.ndim != 4 or planes.shape[2:] != (self.size, self.size):
            raise ValueError(
                f"planes must be [B, C, {self.size}, {self.size}], got {list(planes.shape)}"
            )
        if self.canonical:
            planes = transform_planes(planes, canonical_symmetry(planes))
        return raw_keys(planes)

    def keys_of_symmetries(self, planes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 8 D"]:
        """As `KeyNetwork.keys_of_symmetries`."""
        return _keys_of_symmetries(self, planes, self.canonical)


class KeyNetwork:
    """g_phi: a frozen network, a layer of it, and the components that its activations are cut to.

    Make one with `fit` or `load`.

    Args:
        network: copied, so that training it on changes no key.
        layer: one of `LAYERS`.
        pca: of that layer's activations, on any device.
        canonical: keys of canonical forms; see the head of this module.
        batch_size: positions that go through the network at once.

    Attributes:
        dim: D.
        fingerprint: tells two key functions apart: a hash of everything that the keys depend on.

    Raises:
        ValueError: no such layer, or a batch_size < 1.
    """

    def __init__(
        self,
        network: PredictionNetwork,
        layer: Layer,
        pca: PCA,
        *,
        canonical: bool = False,
        batch_size: int = 1024,
    ) -> None:
        check_layer(layer)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.device = self.network.device
        self.layer, self.pca = layer, pca.to(self.device)
        self.canonical, self.batch_size, self.dim = canonical, batch_size, pca.dim
        self.fingerprint = tensors_fingerprint(self._about(), self._tensors())

    @classmethod
    def fit(
        cls,
        network: PredictionNetwork,
        layer: Layer,
        dim: int,
        batches: Iterable[Float[Tensor, "B C H W"]],
        *,
        canonical: bool = False,
        whiten: bool = False,
        progress: bool = True,
    ) -> "KeyNetwork":
        """A key network with the `dim` main components of a layer's activations.

        Args:
            network: trained, on the device where keys are to be computed.
            layer: one of `LAYERS`. For "heads" the two heads are scaled so that the variances of
                each sum to 1: neither drowns the other in a distance.
            batches: planes of a sample of positions, read once. A few times as many positions as
                the layer has activations are enough.
            canonical, whiten: keys of canonical forms; keys of variance 1 (see `PCA.fit`).
            progress: draw a bar.

        Raises:
            ValueError: no such layer, no positions, or as `PCA.fit`.
        """
        check_layer(layer)
        frozen = copy.deepcopy(network).eval().requires_grad_(False)
        batches = iter(batches)
        first = next(batches, None)
        if first is None:
            raise ValueError("there are no positions to fit components on: give batches of planes")
        blocks = frozen.activation_blocks(layer, first.shape[-1] ** 2) if layer == "heads" else None

        def activations() -> Iterable[Tensor]:
            with tqdm(desc="activations", unit=" positions", disable=not progress) as bar:
                for planes in itertools.chain([first], batches):
                    yield _activations(frozen, planes, layer, canonical)
                    bar.update(len(planes))

        pca = PCA.fit(activations(), dim, blocks=blocks, whiten=whiten)
        return cls(frozen, layer, pca, canonical=canonical)

    def __call__(self, planes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """(key) of each position, float32, on the planes' device; without gradient.

        Keys of one position from two machines, or from batches of two sizes, may differ by
        rounding.

        Raises:
            ValueError: other planes than the network takes, or another size of the board than the
                components were fitted on.
        """
        parts = planes.split(self.batch_size) if len(planes) else (planes,)
        keys = [
            self.pca.transform(_activations(self.network, part, self.layer, self.canonical))
            for part in parts
        ]
        return torch.cat(keys).to(planes.device)

    def keys_of_symmetries(self, planes: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 8 D"]:
        """Keys of the eight images of each position: [:, g] is that under symmetry g.

        Raises:
            ValueError: the keys are of canonical forms, so that all eight are the same.
        """
        return _keys_of_symmetries(self, planes, self.canonical)

    def save(self, path: str | Path) -> None:
        """Writes all of it to a file, which is complete or as it was before at every moment.

        Raises:
            OSError: the folder is absent, or cannot be written.
        """
        content = {
            "format": FORMAT,
            "about": self._about(),
            "network": self.network.state_dict(),
            "pca": self.pca.state_dict(),
            "fingerprint": self.fingerprint,
        }
        with replacing(Path(path)) as file:
            torch.save(content, file)

    @classmethod
    def load(
        cls, path: str | Path, device: torch.device | str = "cpu", *, batch_size: int = 1024
    ) -> "KeyNetwork":
        """What `save` wrote. Executes no code.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a damaged or foreign file.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"no key network at {path}: make one with KeyNetwork.fit")
        content = load_format(path, FORMAT, "key network", _MEND)
        try:
            keys = cls._of_content(content, device, batch_size)
        except _MISFIT as error:
            raise ValueError(f"{path} is damaged ({type(error).__name__}): {_MEND}") from error
        if keys.fingerprint != content.get("fingerprint"):
            raise ValueError(f"{path} is damaged (other fingerprint): {_MEND}")
        return keys

    @classmethod
    def _of_content(
        cls, content: dict[str, Any], device: torch.device | str, batch_size: int
    ) -> "KeyNetwork":
        about = content["about"]
        network = PredictionNetwork(**about["sizes"], generator=torch.Generator())
        network.load_state_dict(content["network"])
        return cls(
            network.to(device),
            about["layer"],
            PCA(**content["pca"]),
            canonical=about["canonical"],
            batch_size=batch_size,
        )

    def _about(self) -> dict[str, Any]:
        return {
            "kind": "key network",
            "sizes": self.network.sizes,
            "layer": self.layer,
            "canonical": self.canonical,
            "whiten": self.pca.whiten,
            "total_variance": self.pca.total_variance,
        }

    def _tensors(self) -> dict[str, Tensor]:
        pca = {f"pca.{k}": v for k, v in self.pca.state_dict().items() if isinstance(v, Tensor)}
        return {**self.network.state_dict(), **pca}


@torch.no_grad()
def _activations(
    network: PredictionNetwork, planes: Tensor, layer: Layer, canonical: bool
) -> Tensor:
    planes = planes.to(network.device, torch.float32)
    if canonical:
        planes = transform_planes(planes, canonical_symmetry(planes))
    return network.activations(planes, layer)


def _keys_of_symmetries(
    keys: Callable[[Tensor], Tensor], planes: Tensor, canonical: bool
) -> Tensor:
    if canonical:
        raise ValueError(
            "keys of canonical forms are the same under all symmetries: call the keys once, or make"
            " them with canonical=False"
        )
    symmetry = torch.arange(NUM_SYMMETRIES, device=planes.device).repeat(len(planes))
    images = transform_planes(planes.repeat_interleave(NUM_SYMMETRIES, 0), symmetry)
    return keys(images).unflatten(0, (len(planes), NUM_SYMMETRIES))
