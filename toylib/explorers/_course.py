"""What is drawn of a training run while it goes on: the model above, and below its loss with the exact levels."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toylib import theory
from toylib.features import Correlated, Features, Independent
from toylib.figures import Drawing, directions, lines
from toylib.geometry import Sets

_HEIGHT = 580
_BELOW, _ABOVE = (0.0, 0.24), (0.36, 1.0)  # shares of the height, which leave room for the names of axes
_NEARER = 0.85  # the eye of a scene, which is lower than alone
_NUMBER = "9"  # of the axes below; no picture has so many
_LEAST = {"l": 60, "r": 20, "t": 50, "b": 50}  # margins
_FIRST_STEP = 10  # where the logarithmic axis of steps begins, as in `figures.story`


def levels_of(features: Features, n_hidden: int, S: float) -> dict[str, float]:
    """Exact losses to compare a model with: of arrangements that have one, else of giving up and of linear models.

    Two triples in three dimensions: PCA of the sets, and the octahedron. Any other distribution: a bias alone, and the
    best linear model, sums of eigenvalues of the covariance; and for independent features twice as many as dimensions,
    antipodal pairs.
    """
    if features == Correlated(2, 3) and n_hidden == 3:
        return {"PCA, p/3": theory.pca_plateau(S), "octahedron, p²": theory.octahedron_loss(S)}
    spectrum = np.linalg.eigvalsh(np.asarray(features.covariance(S), float))  # increasing
    levels = {"bias alone": spectrum.sum(), "best linear": spectrum[: max(0, len(spectrum) - n_hidden)].sum()}
    if isinstance(features, Independent) and features.n_features == 2 * n_hidden:
        levels["antipodal pairs"] = n_hidden * theory.antipodal_pair_loss(S)
    return {name: float(loss) for name, loss in levels.items()}


def course(
    W: ArrayLike,
    sets: Sets,
    steps: Sequence[int],
    losses: Sequence[float],
    *,
    n_steps: int,
    levels: Mapping[str, float],
    title: str,
) -> Drawing:
    """A model, and the loss on the way to it, on axes that hold the whole run that is to come.

    Args:
        W: (m, n), the model.
        sets: of its features.
        steps, losses: (T,), the run so far.
        n_steps: where the axis of steps ends.
        levels: name -> loss, dashed; one that is not positive is not drawn.
        title: of the figure.
    """
    last = max(n_steps, 2 * _FIRST_STEP)
    dashed = {name: loss if loss > 0 else np.nan for name, loss in levels.items()}
    seen = np.array([*losses, *dashed.values()])
    seen = seen[np.isfinite(seen) & (seen > 0)]
    # Half a decade at a time, so that the axis seldom moves.
    ends = np.log10([seen.min(), seen.max()]) if len(seen) else np.zeros(2)
    low, high = np.floor(2 * ends[0] - 0.1) / 2, np.ceil(2 * ends[1] + 0.1) / 2
    below = lines(
        [_FIRST_STEP, *np.maximum(steps, _FIRST_STEP), last],
        {"": [np.nan, *np.maximum(losses, 10**low), np.nan]},  # the axis has its name
        dashed=dashed,
        log="xy",
        title=title,
        x_title="training step",
        y_title="loss",
        y_range=(10**low, 10**high),
    )
    longest = float(np.linalg.norm(W, axis=0).max(initial=0))
    reach = max(1.2, np.ceil(5 * longest) / 5) if np.isfinite(longest) else None  # so that the axes seldom move
    return stacked(directions(W, sets, title=title, reach=reach), below)


def stacked(above: Drawing, below: Drawing) -> Drawing:
    """Two drawings as one: any above, and below one with a single pair of axes."""
    layout: dict[str, Any] = {
        name: _raised(name, value) if re.fullmatch(r"(scene|yaxis)\d*", name) else value
        for name, value in above.layout.items()
    }
    for kind in ("annotations", "shapes"):
        theirs = [_renamed(each) for each in below.layout.get(kind, ())]
        layout[kind] = [*map(_lifted, above.layout.get(kind, ())), *theirs]
    margins = [drawing.layout.get("margin", {}) for drawing in (above, below)]
    sides = {side: max(margin.get(side, least) for margin in margins) for side, least in _LEAST.items()}
    axes = {"x": {"anchor": f"y{_NUMBER}"}, "y": {"anchor": f"x{_NUMBER}", "domain": list(_BELOW)}}
    layout |= {f"{x}axis{_NUMBER}": {**below.layout[f"{x}axis"], **rest} for x, rest in axes.items()}
    layout |= {"height": _HEIGHT, "margin": sides, "showlegend": False}
    refs = {"xaxis": f"x{_NUMBER}", "yaxis": f"y{_NUMBER}"}
    return Drawing([*map(_smaller, above.data), *({**trace, **refs} for trace in below.data)], layout)


def _up(y: float) -> float:
    """Where a share of the height of the upper drawing is."""
    low, high = _ABOVE
    return low + (high - low) * y


def _raised(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """A scene or a y axis of the upper drawing."""
    if name.startswith("scene"):
        domain = {"x": [0, 1], "y": [0, 1], **value.get("domain", {})}
        camera = {**value["camera"], "eye": {side: _NEARER * at for side, at in value["camera"]["eye"].items()}}
        return {**value, "domain": {**domain, "y": [*map(_up, domain["y"])]}, "camera": camera}
    return {**value, "domain": [*map(_up, value.get("domain", (0, 1)))]}


def _lifted(note: dict[str, Any]) -> dict[str, Any]:
    """An annotation or a shape of the upper drawing."""
    if note.get("yref") != "paper":
        return note
    return {**note, **{name: _up(note[name]) for name in ("y", "y0", "y1") if name in note}}


def _smaller(trace: dict[str, Any]) -> dict[str, Any]:
    """A trace of the upper drawing, its colour bar as high as what it belongs to."""
    if "colorbar" not in trace:
        return trace
    bar, (low, high) = trace["colorbar"], _ABOVE
    return {**trace, "colorbar": {**bar, "y": _up(bar.get("y", 0.5)), "len": (high - low) * bar.get("len", 1)}}


def _renamed(note: dict[str, Any]) -> dict[str, Any]:
    """An annotation or a shape of the lower drawing, on its axes."""
    refs = {ref: note.get(ref, ref[0]) for ref in ("xref", "yref")}
    return {**note, **{ref: on[0] + _NUMBER + on[1:] for ref, on in refs.items()}}
