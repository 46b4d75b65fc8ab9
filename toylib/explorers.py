"""Sliders over figures, for a live kernel. A slider indexes what is there or runs what is compiled; nothing trains."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

import ipywidgets as widgets
import jax
import numpy as np
import plotly.graph_objects as go
import xarray as xr

from toylib.adversarial import Limits, example
from toylib.ensembles import as_run
from toylib.features import Features
from toylib.figures import gallery
from toylib.frames import move
from toylib.geometry import feature_dimensionality
from toylib.maps import represented
from toylib.model import Params, reconstruct
from toylib.polyhedra import story
from toylib.robustness import KEPT
from toylib.trajectory import follow


class Explorer:
    """Labelled sliders over one live figure.

    In JupyterLab it shows the sliders (arrow keys move the one in focus), Play where there is a time axis, and Reset.
    An error in drawing appears below the sliders, and the figure stays as it was. Stored, and without a kernel, it
    shows the figure of the values it has.

    Args:
        name: of the explorer.
        draw: one keyword a control, its position among the stops -> Figure, with the same traces for all.
        controls: name -> labels of the stops, at least one each, with their units.
        play: the control that Play runs through, or None.
        start: control -> position to begin with, 0 by default.

    Attributes:
        sliders: name -> the slider; setting its `index` moves the figure.
        figure: what is shown.

    Raises:
        ValueError: no controls or no stops; `play` or `start` names something else or no position.
    """

    def __init__(
        self,
        name: str,
        draw: Callable[..., go.Figure],
        controls: Mapping[str, Sequence[str]],
        *,
        play: str | None = None,
        start: Mapping[str, int] | None = None,
    ) -> None:
        """Build the sliders and draw once."""
        start = dict(start or {})
        if not controls or not all(len(stops) for stops in controls.values()):
            raise ValueError(f"an explorer needs controls with at least one stop each, got {dict(controls)!r}")
        if unknown := ({*start} | ({play} if play else set())) - set(controls):
            raise ValueError(f"play and start must name controls, got {sorted(unknown)}; there are {sorted(controls)}")
        if outside := {c: i for c, i in start.items() if not 0 <= i < len(controls[c])}:
            raise ValueError(f"start must be positions among the stops, got {outside!r}")
        self.name, self._draw = name, draw
        self._start = {control: start.get(control, 0) for control in controls}
        self.sliders = {
            control: widgets.SelectionSlider(
                options=[(label, i) for i, label in enumerate(stops)],
                value=self._start[control],
                description=control,
                continuous_update=True,
                style={"description_width": "90px"},
                layout={"width": "520px"},
            )
            for control, stops in controls.items()
        }
        self._shown = self.drawing()
        self.figure = go.FigureWidget(self._shown)
        self._error = widgets.HTML()
        buttons = [
            *self._play(play),
            widgets.Button(description="Reset", icon="undo", tooltip="back to the first view"),
        ]
        buttons[-1].on_click(lambda _: self.reset())
        for slider in self.sliders.values():
            slider.observe(self._moved, names="value")
        self._view = widgets.VBox([*self.sliders.values(), widgets.HBox(buttons), self._error, self.figure])

    def drawing(self) -> go.Figure:
        """The figure of the values that the sliders have, drawn anew."""
        return self._draw(**{control: slider.value for control, slider in self.sliders.items()})

    def reset(self) -> None:
        """Back to the first view."""
        for control, slider in self.sliders.items():
            slider.value = self._start[control]

    def _play(self, control: str | None) -> list[widgets.Widget]:
        if control is None:
            return []
        slider = self.sliders[control]
        play = widgets.Play(max=len(slider.options) - 1, value=slider.value, interval=150, tooltip=f"play {control}")
        widgets.jslink((play, "value"), (slider, "index"))
        return [play]

    def _moved(self, _: Any) -> None:
        try:
            drawing = self.drawing()
            move(self.figure, drawing)
        except Exception:
            self._error.value = f"<pre style='color: #B00020'>{escape(traceback.format_exc(limit=-3))}</pre>"
        else:
            self._shown, self._error.value = drawing, ""

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The live widget; for a page without a kernel the figure; fixed text, so that stored outputs compare."""
        return {
            **self._view._repr_mimebundle_(**kwargs),
            "text/plain": f"<explorer: {self.name}>",
            "application/vnd.plotly.v1+json": self._shown.to_dict(),
        }


def samples(distributions: Mapping[str, Features], Ss: Sequence[float], u: Mapping[str, np.ndarray]) -> Explorer:
    """Samples of distributions as pictures, scrubbed over sparsity with the same uniform numbers at every S.

    Args:
        distributions: name -> distribution, four at most.
        Ss: the stops of the slider.
        u: name -> uniform numbers (batch, n_uniforms).
    """
    pictures = {
        name: [np.asarray(distribution.from_uniforms(S, u[name])) for S in Ss]
        for name, distribution in distributions.items()
    }

    def draw(sparsity: int) -> go.Figure:
        shown = {name: (pictures[name][sparsity], d.sets) for name, d in distributions.items()}
        return gallery(shown, title=f"Samples at S = {Ss[sparsity]:.2f}")

    return Explorer("samples", draw, {"sparsity": [f"S = {S:.2f}" for S in Ss]})


def geometry(runs: xr.Dataset, twins: xr.Dataset, features: Features, levels: Callable[[float], Mapping]) -> Explorer:
    """Training runs of two sets of three features, scrubbed over sparsity, step and seed.

    Args:
        runs: a sweep of `ensembles.trained` over S and seed, with a coordinate `step`.
        twins: the same for the linear twins.
        features: `Correlated(2, 3)`.
        levels: S -> losses by name, drawn as dashed lines.
    """
    Ss, seeds, steps = (runs[name].values.tolist() for name in ("S", "seed", "step"))
    paths = {(S, c): follow(as_run(runs.sel(S=S, seed=c)), features, S) for S in Ss for c in seeds}
    loss_range = (
        0.5 * min(float(runs.losses.min()), *levels(max(Ss)).values()),
        1.5 * float(runs.losses.max()),
    )

    def draw(sparsity: int, seed: int, step: int) -> go.Figure:
        S, c = Ss[sparsity], seeds[seed]
        title = f"S = {S:.2f}, seed {c}"
        twin = twins.losses.sel(S=S, seed=c, method="nearest").values
        return story(paths[S, c], step, features.sets, title=title, levels=levels(S), twin=twin, loss_range=loss_range)

    controls = {
        "sparsity": [f"S = {S:.2f}" for S in Ss],
        "seed": [str(c) for c in seeds],
        "step": [f"{step:,}" for step in steps],
    }
    return Explorer("geometry", draw, controls, play="step", start={"sparsity": len(Ss) // 2, "step": len(steps) - 1})


def attack(
    params: Params,
    Ss: Sequence[float],
    fractions: Sequence[float],
    mean_norms: Sequence[float],
    X: np.ndarray,
    attacks: Mapping[str, Callable[[Params, jax.Array, jax.Array], jax.Array]],
    *,
    limits: Limits | None = None,
) -> Explorer:
    """Attacks on trained models, computed while scrubbing over sparsity, norm, attack and sample.

    Args:
        params: of the models, with a leading axis (a,).
        Ss: (a,), their sparsities.
        fractions: (r,), norms of the attacks in units of the mean norm of an input, at least 0.
        mean_norms: (a,), E‖x‖ at each sparsity, as from `Features.mean_norm`.
        X: (a, s, n), inputs to choose from.
        attacks: name -> (one model, x (n,), radius) -> δ (n,), such as those of `attacks` with a key bound to them;
            traceable by jax.jit.
        limits: fixed y ranges; by default they hold every model, sample and attack at the largest norm.

    Raises:
        ValueError: lengths that do not fit; no norms, attacks or samples.
    """
    W, b, X = (np.asarray(values) for values in (*params, X))  # indexing JAX arrays would compile programs too
    lengths = {"params": len(W), "Ss": len(Ss), "mean_norms": len(mean_norms), "X": len(X)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"params, Ss, mean_norms and X must have one entry per model, got {lengths}")
    if not (len(fractions) and attacks and X.shape[1]):
        raise ValueError("there must be at least one norm, one attack and one sample, got none; pass some")

    @partial(jax.jit, static_argnames="name")
    def compute(name, params, x, radius):
        delta = attacks[name](params, x, radius)
        return delta, reconstruct(params, x), reconstruct(params, x + delta)

    def attacked(a, fraction, name, s):
        """Return δ and the reconstructions of x and x + δ."""
        radius = np.float32(fraction * mean_norms[a])
        return [np.asarray(values) for values in compute(name, Params(W[a], b[a]), X[a, s], radius)]

    # Compiles every attack, so that no move has to.
    stops = [(0, 0)] if limits else list(np.ndindex(X.shape[:2]))
    seen = [(X[a, s], *attacked(a, max(fractions), name, s)) for name in attacks for a, s in stops]
    if limits is None:
        x, deltas, *outputs = (np.stack(values) for values in zip(*seen, strict=True))
        limits = Limits.around(x, deltas, np.stack(outputs))

    def draw(sparsity: int, norm: int, attack: int, sample: int) -> go.Figure:
        x, radius = X[sparsity, sample], float(fractions[norm] * mean_norms[sparsity])
        delta, before, after = attacked(sparsity, fractions[norm], names[attack], sample)
        gain = np.square(after - x).sum(dtype=float) - np.square(before - x).sum(dtype=float)
        V = f"{gain / radius**2:.3g}" if radius > 0 else "–"
        title = f"S = {Ss[sparsity]:.2f}, {names[attack]}, {controls['norm'][norm]}, sample {sample + 1}: V = {V}"
        return example(x, delta, before, after, title=title, limits=limits)

    names = list(attacks)
    controls = {
        "sparsity": [f"S = {S:.2f}" for S in Ss],
        "norm": [f"{fraction:.2f} · E‖x‖" for fraction in fractions],
        "attack": names,
        "sample": [str(s + 1) for s in range(X.shape[1])],
    }
    return Explorer("attack", draw, controls, start={"sparsity": len(Ss) // 2, "norm": len(fractions) // 2})


def robust(weights: xr.DataArray) -> Explorer:
    """Models trained under attack, scrubbed over what they were trained on, sparsity and attack norm.

    Args:
        weights: W over the dimensions training (str), density, norm (fractions of E‖x‖), hidden and feature.

    Raises:
        ValueError: other dimensions.
    """
    wanted = ("training", "density", "norm", "hidden", "feature")
    if set(weights.dims) != set(wanted):
        raise ValueError(
            f"weights must have the dimensions {', '.join(wanted)}, got {', '.join(map(str, weights.dims))}"
        )
    weights = weights.transpose(*wanted).sortby("density", ascending=False)
    trainings, densities, norms = (weights[name].values for name in wanted[:3])
    dimensionality = jax.jit(feature_dimensionality)

    def draw(attack: int, sparsity: int, norm: int) -> go.Figure:
        at = {"density": densities[sparsity], "norm": norms[norm]}
        W = weights.sel(training=trainings[attack]).sel(**at, method="nearest").values
        kept = int((np.linalg.norm(W, axis=0) > KEPT).sum())
        title = f"{trainings[attack]}, S = {1 - at['density']:.2f}, norm {at['norm']:g} · E‖x‖: {kept} features kept"
        return represented(W, np.asarray(dimensionality(W)), title=title, kept=KEPT)

    controls = {
        "attack": [str(name) for name in trainings],
        "sparsity": [f"S = {1 - density:.2f}" for density in densities],
        "norm": [f"{norm:.2f} · E‖x‖" for norm in norms],
    }
    return Explorer("robust", draw, controls, play="norm", start={"sparsity": len(densities) // 2})
