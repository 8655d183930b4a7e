"""The widget of notebook 03: MPO's E-step weighs samples of a policy by exp(Q / temperature)."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import ipywidgets as widgets
import numpy as np
import torch
from IPython.display import display
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from rlcourse.ops.dual import sample_kl, sample_weights, temperature_loss
from rlcourse.viz.estep_svg import Picture, estep_svg
from rlcourse.viz.widgets import static_bundle, still_image

LOWEST, HIGHEST, STEP = -2.0, 1.0, 0.05  # exponents of eta on the slider
COUNTS = (20, 200)  # samples
MEAN, STD = 0.0, 0.45  # of the policy that is sampled
_SHOWN = np.linspace(-1.5, 1.5, 241)  # actions


def landscape(action: Tensor) -> Tensor:
    """Q of a one-dimensional action: a broad hill on the left, a higher one on the right."""
    broad = 0.55 * torch.exp(-0.5 * ((action + 0.45) / 0.35) ** 2)
    return broad + 1.0 * torch.exp(-0.5 * ((action - 0.75) / 0.2) ** 2)


class Curves(NamedTuple):
    """What depends on the samples alone; all temperatures of the slider at once."""

    action: Float[NDArray, " S"]
    q: Float[NDArray, " S"]
    weights: Float[NDArray, "N S"]
    dual: Float[NDArray, " N"]  # g(eta)
    kl: Float[NDArray, " N"]  # of the weights from uniform ones, in nats


class EStepExplorer:
    """A slider for the temperature eta, and what it does to the weights of sampled actions.

    Args:
        weights: (q [S, 1], eta) -> [S, 1].
        dual: (q [S, 1], eta, epsilon) -> [1].
        epsilon: the bound on the KL, in nats.
        temperature: the first eta, in [0.01, 10].
        seed: of the samples.

    Raises:
        ValueError: a temperature that is not on the slider, or an epsilon that is not positive.
    """

    def __init__(
        self,
        weights: Callable[..., Tensor] = sample_weights,
        dual: Callable[..., Tensor] = temperature_loss,
        *,
        epsilon: float = 0.5,
        temperature: float = 0.1,
        seed: int = 0,
    ) -> None:
        if not 10**LOWEST <= temperature <= 10**HIGHEST:
            limits = f"[{10**LOWEST:g}, {10**HIGHEST:g}]"
            raise ValueError(f"temperature must lie in {limits}, got {temperature}")
        if not epsilon > 0.0:
            raise ValueError(f"epsilon must be positive, got {epsilon}")
        self.epsilon = epsilon
        self._weights, self._dual, self._seed = weights, dual, seed
        self.etas = 10 ** np.arange(LOWEST, HIGHEST + STEP / 2, STEP)
        self._curves = lru_cache(self._compute)
        self.slider = widgets.FloatLogSlider(
            value=temperature,
            min=LOWEST,
            max=HIGHEST,
            step=STEP,
            readout_format=".3f",
            description="temperature η",
            continuous_update=True,
            style={"description_width": "110px"},
            layout=widgets.Layout(width="100%", max_width="640px"),
        )
        self.count = widgets.ToggleButtons(
            options=[(f"{n} samples", n) for n in COUNTS], style={"button_width": "120px"}
        )
        self.picture = widgets.HTML(self.svg)
        self.slider.observe(self._redraw, names="value")
        self.count.observe(self._redraw, names="value")
        self.widget = widgets.VBox([self.count, self.slider, self.picture])

    @property
    def curves(self) -> Curves:
        """Of the samples that are shown."""
        return self._curves(self.count.value)

    @property
    def place(self) -> int:
        """The temperature of the slider, as a place in `etas`."""
        return int(np.abs(np.log10(self.etas) - np.log10(self.slider.value)).argmin())

    @property
    def effective(self) -> float:
        """Effective number of samples, 1 / sum of squared weights."""
        return float(1.0 / np.square(self.curves.weights[self.place]).sum())

    @property
    def svg(self) -> str:
        """The picture at the slider's temperature."""
        curves, place = self.curves, self.place
        shown = torch.from_numpy(_SHOWN)
        q = landscape(shown)
        policy = torch.exp(-0.5 * ((shown - MEAN) / STD) ** 2)
        tilt = torch.log(policy) + q / float(self.etas[place])
        improved = torch.exp(tilt - tilt.max())
        return estep_svg(
            Picture(
                actions=_SHOWN,
                landscape=q.numpy(),
                policy=policy.numpy(),
                improved=improved.numpy(),
                sample=curves.action,
                sample_q=curves.q,
                weights=curves.weights[place],
                etas=self.etas,
                dual=curves.dual,
                kl=curves.kl,
                place=place,
                epsilon=self.epsilon,
                effective=self.effective,
                mean_samples=float(curves.weights[place] @ curves.action),
                mean_tilted=float((improved * shown).sum() / improved.sum()),
            )
        )

    def show(self) -> None:
        """Displays the widget, or its picture where no kernel runs."""
        display(self._repr_mimebundle_(), raw=True)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        kl = self.curves.kl[self.place]
        words = f"temperature {self.etas[self.place]:.3f}, KL {kl:.2f} nats"
        still = still_image(self.svg, words, "A still. Run the cell to move the slider.")
        return static_bundle(self.widget, still, words)

    def _compute(self, count: int) -> Curves:
        generator = torch.Generator().manual_seed(self._seed)
        action = MEAN + STD * torch.randn(count, generator=generator, dtype=torch.float64)
        q = landscape(action)[:, None]  # [S, 1]
        weights, dual = [], []
        for eta in self.etas:
            temperature = torch.tensor(float(eta), dtype=torch.float64)
            weights.append(self._weights(q, temperature)[:, 0])
            dual.append(self._dual(q, temperature, self.epsilon)[0])
        stacked = torch.stack(weights).detach()  # [N, S]
        return Curves(
            action.numpy(),
            q[:, 0].numpy(),
            stacked.numpy(),
            torch.stack(dual).detach().numpy(),
            sample_kl(stacked.T).numpy(),
        )

    def _redraw(self, change: dict[str, Any]) -> None:
        self.picture.value = self.svg
