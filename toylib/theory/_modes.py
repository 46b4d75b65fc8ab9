"""The modes of a covariance: their eigenvalues, and how gradient descent grows them in the linear twin."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from toylib._checks import check_finite, check_real, check_size, on_host
from toylib.theory._losses import density_of


class Modes(NamedTuple):
    """A quantity of the two kinds of covariance modes: `set` along a set's mean, `difference` within a set."""

    set: float
    difference: float


class Growth(NamedTuple):
    """The modes that gradient descent grows in the linear twin, the fastest first, k = min(m, n) of them.

    Attributes:
        rates: (k,), per step, of the growth of each mode while it is small.
        strengths: (..., k), a = ‖W v‖² of each, without what W v shares with faster modes, which take that away.
        patterns: (..., n, k), orthonormal columns v, what each mode is of the features.
    """

    rates: np.ndarray
    strengths: np.ndarray
    patterns: np.ndarray

    @property
    def half_times(self) -> np.ndarray:
        """Steps until the strengths are 1/2, (..., k): ln(1/a - 1)/rate, negative where they are past it."""
        return -logit(self.strengths) / self.rates

    def after(self, steps: np.ndarray) -> np.ndarray:
        """Strengths so many steps later, (..., T, k), for steps (T,): each mode by `mode_strength`."""
        return expit(logit(self.strengths)[..., None, :] + self.rates * np.atleast_1d(on_host("steps", steps))[:, None])

    def columns(self, steps: np.ndarray) -> np.ndarray:
        """W so many steps later up to a rotation of the hidden space, (..., T, k, n): row √a·v for each mode."""
        return np.sqrt(self.after(steps))[..., None] * self.patterns.swapaxes(-1, -2)[..., None, :, :]


def linear_plateau(S: float, *, n_modes: int, n_sets: int = 2, set_size: int = 3) -> float:
    """Loss of the best linear model with bias that has learned the `n_modes` largest modes of the covariance.

    The rest is the sum of the other eigenvalues. For two triples the modes are two of sets and four of differences:
    n_modes = 2 leaves p/3 and n_modes = 3, all that three dimensions hold, p/4.
    """
    modes, size = covariance_modes(S, n_sets=n_sets, set_size=set_size), n_sets * set_size
    spectrum = np.array([modes.set] * n_sets + [modes.difference] * (size - n_sets))
    return float(spectrum[check_size("n_modes", n_modes, least=0) :].sum())


def covariance_modes(S: float, *, n_sets: int = 2, set_size: int = 3) -> Modes:
    """Eigenvalues of the covariance: p/12 + g(p/4 - p²/4) for each set's mean, p/12 for each difference within a set.

    There are n_sets of the first kind and n_sets·(g - 1), all equal, of the second: PCA cannot choose among those.
    """
    p, g = density_of(S), check_size("set_size", set_size)
    check_size("n_sets", n_sets)
    return Modes(p / 12 + g * (p - p**2) / 4, p / 12)


def mode_rates(S: float, learning_rate: float, *, n_sets: int = 2, set_size: int = 3) -> Modes:
    """Rates per step at which gradient descent on the linear twin grows each kind of mode: 8·learning rate·eigenvalue.

    For a tied autoencoder with loss E‖x - Wᵀ W x‖² a mode v of eigenvalue λ and strength a = ‖W v‖² follows
    da/dt = 8·η·λ·a·(1 - a). Adam does not follow this.
    """
    check_real("learning_rate", learning_rate, "it is a step size", least=0, host=True)
    modes = covariance_modes(S, n_sets=n_sets, set_size=set_size)
    return Modes(8 * learning_rate * modes.set, 8 * learning_rate * modes.difference)


def mode_strength(step: np.ndarray, start: float, rate: float) -> np.ndarray:
    """Strength a(t) = 1/(1 + (1/a₀ - 1)·e^(-rate·t)) of a mode that starts at a₀ in (0, 1); same shape as `step`."""
    check_real("rate", rate, "take it from mode_rates", host=True)
    return expit(logit(_start(start)) + rate * on_host("step", step))


def mode_half_time(start: float, rate: float) -> float:
    """Step at which a mode that starts at a₀ in (0, 1) has strength 1/2: ln(1/a₀ - 1)/rate."""
    check_real("rate", rate, "a mode that does not grow has no half-time", above=0, host=True)
    return float(-logit(_start(start)) / rate)


def growth(W: np.ndarray, covariance: np.ndarray, learning_rate: float, *, alike: float = 0.02) -> Growth:
    """How gradient descent grows the modes of any covariance C in the linear twin, from small W on.

    With the bias at its best the loss is tr (I - G) C (I - G), G = Wᵀ W, and W moves by 2η·W·((I - G)C + C(I - G)). So
    W ∝ exp(4ηCt) while it is small: an eigenvector v of C grows as ‖W v‖² ∝ e^(8ηλt). Among modes of one eigenvalue
    the singular vectors of W in their space stay as they are, and each squared singular value follows da/dt =
    8ηλ·a·(1 - a) of its own. A grown mode takes its hidden direction: along it all slower modes decay, with rate
    4η(λ_grown - λ). So the k-th mode starts from the part of W v_k at right angles to W v_1, ..., W v_(k-1), and no
    more than m modes grow. This order needs eigenvalues either alike or far enough apart for one mode to be grown
    before the next has begun to compete.

    Args:
        W: (..., m, n), the start; of a model on the way the strengths are those measured there.
        covariance: (n, n); of the very nodes on which a run is trained, where these are not exact.
        learning_rate: η.
        alike: eigenvalues that follow each other within this share of the greater count as one.

    Returns:
        Growth. In a space of more dimensions than are free, the start decides what pattern grows.

    Raises:
        ValueError, TypeError: shapes that do not fit, W with NaN, a negative learning rate, traced values.

    Source: for separate weights Saxe, McClelland, Ganguli 2019; the tied flow is derived here.
    """
    W, C = on_host("W", W), on_host("covariance", covariance)
    if W.ndim < 2 or not W.size or C.shape != (W.shape[-1],) * 2:
        raise ValueError(
            f"covariance must be (n, n) for W (..., m, n), got shapes {C.shape} and {W.shape}; take "
            "features.covariance(S)"
        )
    for name, value in (("W", W), ("covariance", C)):
        check_finite(name, value, "leave out what diverged, and say so")
    check_real("learning_rate", learning_rate, "it is a step size", least=0, host=True)
    check_real("alike", alike, "it is a share, such as 0.02", least=0, most=1, host=True)
    free = np.broadcast_to(np.eye(W.shape[-2]), (*W.shape[:-2], *W.shape[-2:-1] * 2))
    values, strengths, patterns = [], [], []
    for value, axes in _eigenspaces(C, alike):
        if not free.shape[-2]:
            break
        left, singular, right = np.linalg.svd(free @ W @ axes)
        k = singular.shape[-1]
        values += [value] * k
        strengths.append(singular**2)
        patterns.append(axes @ right[..., :k, :].swapaxes(-1, -2))
        free = left[..., k:].swapaxes(-1, -2) @ free
    rates = 8 * learning_rate * np.array(values)
    return Growth(rates, np.concatenate(strengths, -1), np.concatenate(patterns, -1))


def after_bias(W: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The W from which the modes seem to start where the bias begins at 0: W·exp(2 μ μᵀ), μ = E x.

    While the bias is on its way to μ, as μ(1 - e^(-2ηt)), W grows with C + μ μᵀ e^(-2ηt) instead of C, which adds
    4η·∫ μ μᵀ e^(-2ηt) dt = 2 μ μᵀ to the exponent. Exact where μ is an eigenvector of C, as in sets, and W small
    meanwhile; it needs eigenvalues 4λ far below 1, for the bias to be the faster of the two.

    Args:
        W: (..., m, n).
        mean: (n,).
    """
    W, mu = on_host("W", W), on_host("mean", mean)
    if W.ndim < 2 or mu.shape != W.shape[-1:] or not ((mu >= 0) & (mu <= 1)).all():
        raise ValueError(f"mean must be (n,) and in [0, 1], got {mu} for W {W.shape}; take features.mean(S)")
    size = mu @ mu
    # The first factor is (e^(2·size) - 1)/size, and its limit 2 for a mean of 0.
    return W + (np.expm1(2 * size) / size if size else 2.0) * np.outer(W @ mu, mu).reshape(W.shape)


def _eigenspaces(C: np.ndarray, alike: float) -> list[tuple[float, np.ndarray]]:
    """Eigenvalue, the mean of those alike, and axes (n, d) of each space, the largest first."""
    values, axes = np.linalg.eigh(C)
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1]
    ends = np.flatnonzero(values[:-1] - values[1:] > alike * values[:-1]) + 1
    return [(float(values[i:j].mean()), axes[:, i:j]) for i, j in zip([0, *ends], [*ends, len(values)], strict=True)]


def _start(start: float) -> float:
    check_real("start", start, "a mode of strength 0 never grows, and one of 1 is grown", above=0, below=1, host=True)
    return start
