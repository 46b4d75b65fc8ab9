"""Counting runs: what each member of an ensemble did, shares with intervals, and the gap to the linear twin."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy.stats import binomtest

from toylib.features import Features
from toylib.geometry import classify, middle, pca_overlap, phases
from toylib.model import Params, reconstruct
from toylib.runs import Run

PCA_OVERLAP = 0.99


class Share(NamedTuple):
    """`count` of `total`, with a 95 % Wilson interval for the share behind it."""

    count: int
    total: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """count / total."""
        return self.count / self.total

    def __str__(self) -> str:
        """Counts, share and interval for print."""
        return f"{self.count}/{self.total} = {self.share:.2f} [{self.low:.2f}, {self.high:.2f}]"


class Census(NamedTuple):
    """What each of c runs at one sparsity did; all arrays (c,).

    Attributes:
        final: state of the last snapshot, as `geometry.classify` names it.
        final_loss: population loss of the last snapshot.
        phases: letters of the phases found, such as "ABCDE"; "b" stands for a collinear B.
        octahedron_step: first step of the final stay at the octahedron; NaN if there is none.
        plateau: "pca" if the overlap with the two set directions exceeds 0.99 at the middle of phase B, "collinear" if
            `classify` says so there, "other" if neither, "none" without a phase B.
        plateau_loss: population loss at the middle of phase B; NaN without one.
    """

    final: np.ndarray
    final_loss: np.ndarray
    phases: np.ndarray
    octahedron_step: np.ndarray
    plateau: np.ndarray
    plateau_loss: np.ndarray


def wilson(happened: ArrayLike) -> Share:
    """Share of True in `happened` (k,), with its 95 % Wilson interval; ValueError where k = 0."""
    happened = np.asarray(happened, bool)
    if not happened.size:
        raise ValueError("a share needs at least one case, got none; count over more runs")
    count, total = int(happened.sum()), happened.size
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return Share(count, total, float(interval.low), float(interval.high))


def take_census(runs: Run, features: Features, S: float) -> Census:
    """What each member of an ensemble at one sparsity did.

    Args:
        runs: with one leading axis (c,), and snapshots about 20 steps apart.
        features: two sets of three, `Correlated(2, 3)`.
        S: the sparsity they were trained at.

    Returns:
        A Census. A diverged member has the final state "other" and no plateau.
    """
    overlap = jax.jit(partial(pca_overlap, covariance=features.covariance(S), k=len(features.sets)))
    return Census(
        *(np.array(column) for column in zip(*(_row(run, features.sets, overlap) for run in _each(runs)), strict=True))
    )


def twin_gap(run: Run, twin: Run, features: Features, S: float) -> np.ndarray:
    """E ‖f(x) - g(x)‖² / E ‖x‖² of a model f and its linear twin g at each snapshot, (T,), on population nodes.

    Args:
        run, twin: without leading axes, with the same snapshots; `twin` was trained with linear=True.
        features: distribution of the inputs.
        S: the sparsity they were trained at.
    """
    x, weights = features.population(S)

    def gap(W, b, twin_W, twin_b):
        difference = reconstruct(Params(W, b), x) - reconstruct(Params(twin_W, twin_b), x, linear=True)
        return weights @ jnp.square(difference).sum(1) / (weights @ jnp.square(x).sum(1))

    return np.asarray(jax.jit(jax.vmap(gap))(run.weights, run.biases, twin.weights, twin.biases))


def _each(runs: Run) -> list[Run]:
    return [runs.member(c) for c in range(len(runs.diverged))]


def _row(run: Run, sets, overlap) -> tuple:
    found = phases(run, sets)
    letters = "".join("b" if "collinear" in phase.name else phase.name for phase in found)
    final = classify(run.weights[-1], sets)
    plateau, plateau_loss = "none", np.nan
    for phase in found:
        if phase.name.startswith("B"):
            at = middle(phase, run)
            state = classify(run.weights[at], sets)
            plateau = (
                "pca" if overlap(run.weights[at]) > PCA_OVERLAP else "collinear" if state == "collinear" else "other"
            )
            plateau_loss = run.losses[at]
    step = found[-1].first if final == "octahedron" and letters.endswith("E") else np.nan
    return final, run.losses[-1], letters, step, plateau, plateau_loss
