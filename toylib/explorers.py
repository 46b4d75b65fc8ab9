"""Sliders over figures, for a live kernel. A slider indexes what is there or runs what is compiled; nothing trains."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any, NamedTuple

import ipywidgets as widgets
import jax
import numpy as np
import plotly.graph_objects as go
import xarray as xr

from toylib.adversarial import Limits, example
from toylib.drawings import Drawing
from toylib.ensembles import as_run
from toylib.features import Features
from toylib.figures import gallery
from toylib.geometry import feature_dimensionality
from toylib.live import Plot, Soon, close_when_run_again, parts
from toylib.maps import represented
from toylib.model import Params, reconstruct
from toylib.polyhedra import story
from toylib.robustness import KEPT
from toylib.trajectory import follow


class Control(NamedTuple):
    """What a slider offers."""

    stops: Sequence[str]
    """labels of its positions, with their units"""
    about: str
    """what it moves, shown as its tooltip"""


class Explorer:
    """Labelled sliders over one live plot.

    It shows the sliders (arrow keys, Home and End move the one in focus), Play where there is a time axis, and Reset.
    Sliders that move together cost one drawing. An error in drawing appears below the sliders, and the plot stays as it
    was. When its cell runs again, the explorer of the run before is closed. Without a kernel there is its figure.

    Args:
        name: of the explorer.
        draw: one keyword a control, its position among the stops -> drawing, with the same traces for all.
        controls: name -> Control with at least one stop.
        play: the control that Play runs through, or None.
        start: control -> position to begin with, 0 by default.

    Attributes:
        sliders: name -> the slider; setting its `index` moves the plot.

    Raises:
        ValueError: no controls or no stops; `play` or `start` names something else or no position.
    """

    def __init__(
        self,
        name: str,
        draw: Callable[..., Drawing],
        controls: Mapping[str, Control],
        *,
        play: str | None = None,
        start: Mapping[str, int] | None = None,
    ) -> None:
        """Build the sliders and draw once."""
        start = dict(start or {})
        if not controls or not all(len(control.stops) for control in controls.values()):
            raise ValueError(f"an explorer needs controls with at least one stop each, got {dict(controls)!r}")
        if unknown := ({*start} | ({play} if play else set())) - set(controls):
            raise ValueError(f"play and start must name controls, got {sorted(unknown)}; there are {sorted(controls)}")
        if outside := {c: i for c, i in start.items() if not 0 <= i < len(controls[c].stops)}:
            raise ValueError(f"start must be positions among the stops, got {outside!r}")
        self.name, self._draw = name, draw
        self._start = {control: start.get(control, 0) for control in controls}
        self.sliders = {
            name: widgets.SelectionSlider(
                options=[(label, i) for i, label in enumerate(control.stops)],
                value=self._start[name],
                description=name,
                tooltip=f"{control.about} (arrow keys, Home, End)",
                continuous_update=True,
                style={"description_width": "90px"},
                layout={"width": "520px"},
            )
            for name, control in controls.items()
        }
        self._plot = Plot(self.drawing())
        self._redraw = Soon(self._show)
        self._error = widgets.HTML()
        reset = widgets.Button(description="Reset", icon="undo", tooltip="back to the first view")
        reset.on_click(lambda _: self.reset())
        players, self._links = [], []
        if play:
            ends = {"max": len(controls[play].stops) - 1, "value": self._start[play]}
            players.append(widgets.Play(**ends, interval=150, tooltip=f"play {play}"))
            self._links.append(widgets.jslink((players[0], "value"), (self.sliders[play], "index")))
        for slider in self.sliders.values():
            slider.observe(self._redraw, names="value")
        buttons = widgets.HBox([*players, reset])
        self._view = widgets.VBox([*self.sliders.values(), buttons, self._error, self._plot])
        close_when_run_again(self.close)

    @property
    def figure(self) -> go.Figure:
        """What is shown, as a figure of its own."""
        self._redraw.flush()
        return go.Figure(self._plot.drawing)

    def drawing(self) -> Drawing:
        """The drawing of the values that the sliders have, drawn anew."""
        return self._draw(**{control: slider.value for control, slider in self.sliders.items()})

    def move(self, **positions: int) -> None:
        """Move several sliders to positions among their stops, with one drawing.

        Raises:
            ValueError: no control has the name.
        """
        if unknown := set(positions) - set(self.sliders):
            raise ValueError(f"only controls move, got {sorted(unknown)}; there are {sorted(self.sliders)}")
        with self._redraw.held():
            for control, position in positions.items():
                self.sliders[control].index = position

    def reset(self) -> None:
        """Back to the first view."""
        self.move(**self._start)

    def close(self) -> None:
        """Take the explorer off the page, and its callbacks and widgets out of the kernel."""
        self._redraw.cancel()
        for widget in [*parts(self._view), *self._links]:
            if isinstance(widget, widgets.Play):
                widget.playing = False  # else its clock in the page would go on
            widget.unobserve_all()
            widget.close()

    def _show(self) -> None:
        try:
            self._plot.move(self.drawing())
        except Exception:
            self._error.value = f"<pre style='color: #B00020'>{escape(traceback.format_exc(limit=-3))}</pre>"
        else:
            self._error.value = ""

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The live widget; the figure, for a page without a kernel; fixed text, so that stored outputs compare."""
        return {
            **self._view._repr_mimebundle_(**kwargs),
            "text/plain": f"<explorer: {self.name}>",
            "application/vnd.plotly.v1+json": self.figure.to_dict(),
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

    def draw(sparsity: int) -> Drawing:
        shown = {name: (pictures[name][sparsity], d.sets) for name, d in distributions.items()}
        return gallery.drawing(shown, title=f"Samples at S = {Ss[sparsity]:.2f}")

    return Explorer("samples", draw, {"sparsity": _sparsity(Ss)})


def _sparsity(Ss: Sequence[float]) -> Control:
    return Control([f"S = {S:.2f}" for S in Ss], "probability S that a gate is off")


def _norm(fractions: Sequence[float], of: str) -> Control:
    return Control([f"{f:.2f} · E‖x‖" for f in fractions], f"L2 norm {of}, in units of the mean norm of an input")


def geometry(runs: xr.Dataset, twins: xr.Dataset, features: Features, levels: Callable[[float], Mapping]) -> Explorer:
    """Training runs of two sets of three features, scrubbed over sparsity, step and seed.

    Args:
        runs: a sweep of `ensembles.trained` over S and seed, with a coordinate `step`.
        twins: the same for the linear twins.
        features: `Correlated(2, 3)`.
        levels: S -> losses by name, drawn as dashed lines.
    """
    Ss, seeds, steps = (runs[name].values.tolist() for name in ("S", "seed", "step"))
    paths = [[follow(as_run(runs.sel(S=S, seed=c)), features, S) for c in seeds] for S in Ss]
    linear = [[twins.losses.sel(S=S, seed=c, method="nearest").values for c in seeds] for S in Ss]
    dashed = [levels(S) for S in Ss]
    loss_range = (
        0.5 * min(float(runs.losses.min()), *dashed[int(np.argmax(Ss))].values()),
        1.5 * float(runs.losses.max()),
    )

    def draw(sparsity: int, seed: int, step: int) -> Drawing:
        return story.drawing(
            paths[sparsity][seed],
            step,
            features.sets,
            title=f"S = {Ss[sparsity]:.2f}, seed {seeds[seed]}",
            levels=dashed[sparsity],
            twin=linear[sparsity][seed],
            loss_range=loss_range,
        )

    controls = {
        "sparsity": _sparsity(Ss),
        "seed": Control([str(c) for c in seeds], "which random numbers the initial weights are drawn from"),
        "step": Control([f"{step:,}" for step in steps], "number of training steps taken"),
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

    def draw(sparsity: int, norm: int, attack: int, sample: int) -> Drawing:
        x, radius = X[sparsity, sample], float(fractions[norm] * mean_norms[sparsity])
        delta, before, after = attacked(sparsity, fractions[norm], names[attack], sample)
        gain = np.square(after - x).sum(dtype=float) - np.square(before - x).sum(dtype=float)
        V = f"{gain / radius**2:.3g}" if radius > 0 else "–"
        title = f"S = {Ss[sparsity]:.2f}, {names[attack]}, {controls['norm'].stops[norm]}, sample {sample + 1}: V = {V}"
        return example.drawing(x, delta, before, after, title=title, limits=limits)

    names = list(attacks)
    controls = {
        "sparsity": _sparsity(Ss),
        "norm": _norm(fractions, "of the attack"),
        "attack": Control(names, "how the attack is found"),
        "sample": Control([str(s + 1) for s in range(X.shape[1])], "which input is attacked"),
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
    values = np.asarray(weights.values, np.float32)
    dimensionality = jax.jit(feature_dimensionality)

    def draw(attack: int, sparsity: int, norm: int) -> Drawing:
        W = values[attack, sparsity, norm]
        kept = int((np.linalg.norm(W, axis=0) > KEPT).sum())
        where = f"{trainings[attack]}, S = {1 - densities[sparsity]:.2f}, norm {norms[norm]:g} · E‖x‖"
        return represented.drawing(W, np.asarray(dimensionality(W)), title=f"{where}: {kept} features kept", kept=KEPT)

    controls = {
        "attack": Control([str(name) for name in trainings], "the attack that the model was trained on"),
        "sparsity": _sparsity(1 - densities),
        "norm": _norm(norms, "of the attack in training"),
    }
    return Explorer("robust", draw, controls, play="norm", start={"sparsity": len(densities) // 2})
