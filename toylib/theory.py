"""Exact losses and growth rates: the oracle of the tests and the dashed lines of the figures.

Losses are summed over features and averaged over the distribution. Unless stated, the features are sets of g that are
on or off together with probability p = 1 - S each (`features.Correlated`), with values U[0, 1] and importance 1. This
module uses NumPy and SciPy alone and shares no code with the models it checks.

Sources: Elhage et al. 2022, "The Geometry of Superposition" (what is learned); Saxe, McClelland, Ganguli 2019, arXiv
1810.10531 (growth of modes). The derivations are in the docstrings.
"""

from math import comb, factorial
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from toylib._checks import HOST, check_finite, check_real, check_size, check_sparsity

_TRIANGLE, _SQUARE, _PENTAGON, _HEXAGON = (
    np.stack([np.cos(angles), np.sin(angles)]) for angles in (2 * np.pi * np.arange(k) / k for k in (3, 4, 5, 6))
)
POLYTOPES = {
    "orthonormal": np.eye(2),
    "tetrahedron": np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / np.sqrt(3),
    "triangle": _TRIANGLE,
    "digon": np.array([[1.0, -1.0]]),
    "square": _SQUARE,
    "octahedron": np.concatenate([np.eye(3), -np.eye(3)], 1),
    "pentagon": _PENTAGON,
    "hexagon": _HEXAGON,
}
"""W (m, n) of regular arrangements with columns of length 1. All are tight frames: W Wᵀ = (n/m) I."""


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
        return expit(logit(self.strengths)[..., None, :] + self.rates * np.asarray(steps, float)[:, None])

    def columns(self, steps: np.ndarray) -> np.ndarray:
        """W so many steps later up to a rotation of the hidden space, (..., T, k, n): row √a·v for each mode."""
        return np.sqrt(self.after(steps))[..., None] * self.patterns.swapaxes(-1, -2)[..., None, :, :]


def bias_loss(S: float, *, n_sets: int = 2, set_size: int = 3) -> float:
    """Loss of W = 0 with the best bias, b = E x = p/2: n·(p/3 - p²/4)."""
    return check_size("n_sets", n_sets) * check_size("set_size", set_size) * dropped_feature_loss(S)


def pca_plateau(S: float, *, n_sets: int = 2, set_size: int = 3) -> float:
    """Loss once each set has collapsed to its mean, the sets orthogonal, b = 0: n_sets·p·(g - 1)/12.

    An active set is reconstructed as its mean; the error is the variance within it, (g - 1)/12. For two triples p/3.
    """
    return check_size("n_sets", n_sets) * _density(S) * (check_size("set_size", set_size) - 1) / 12


def collinear_plateau(S: float, *, set_size: int = 3) -> float:
    """Loss of two sets collapsed on opposite directions, b = 0: the PCA plateau + 2g·p²·E min(M, M')².

    With both sets on, a set's reconstruction is its mean M less the other's M', cut at zero: it misses by the smaller
    of the two in each of 2g features. As 2 min = M + M' - |M - M'|, and reflecting all values at 1/2 shows that M + M'
    and |M - M'| are uncorrelated, E min² = 1/4 + 1/(12g) - E|M - M'|/2. Here g·|M - M'| is the distance of a sum of 2g
    values from its mean, and E(sum - g)₊ = Σ_{k<g} (-1)ᵏ (2g over k) (g - k)^(2g + 1)/(2g + 1)!, computed in whole
    numbers, which do not round. For triples about p/3 + 1.10 p².
    """
    g = check_size("set_size", set_size)
    beyond = sum((-1) ** k * comb(2 * g, k) * (g - k) ** (2 * g + 1) for k in range(g)) / factorial(2 * g + 1)
    return pca_plateau(S, set_size=g) + 2 * g * _density(S) ** 2 * (1 / 4 + 1 / (12 * g) - beyond / g)


def linear_plateau(S: float, *, n_modes: int, n_sets: int = 2, set_size: int = 3) -> float:
    """Loss of the best linear model with bias that has learned the `n_modes` largest modes of the covariance.

    The rest is the sum of the other eigenvalues. For two triples the modes are two of sets and four of differences:
    n_modes = 2 leaves p/3 and n_modes = 3, all that three dimensions hold, p/4.
    """
    size, modes = n_sets * set_size, covariance_modes(S, n_sets=n_sets, set_size=set_size)
    spectrum = np.array([modes.set] * n_sets + [modes.difference] * (size - n_sets))
    return float(spectrum[check_size("n_modes", n_modes, least=0) :].sum())


def octahedron_loss(S: float) -> float:
    """Loss of an octahedron of unit vectors, antipodes from different sets, b = 0: p².

    Three antipodal pairs, each wrong only while both its features are active, and then by the smaller value in both:
    2·E min(U, U')² = 1/3 per pair. Below the density 1/3 it is lower than the loss of two collapsed triples, p/3.
    """
    return _density(S) ** 2


def dropped_feature_loss(S: float) -> float:
    """Loss of a feature that is not represented and has the best bias, p/2: its variance p/3 - p²/4."""
    p = _density(S)
    return p / 3 - p**2 / 4


def giving_up_norm(S: float, n_hidden: int) -> float:
    """Attack norm beyond which the ideal model loses more than one that represents nothing: √(m (p/3 - p²/4)).

    Keeping m independent features on axes of their own saves the variance of each; an attack of norm λ takes λ² of it.
    A constant output loses nothing under attack. Models that trade accuracy for shorter weights hold out longer.
    """
    return float(np.sqrt(check_size("n_hidden", n_hidden) * dropped_feature_loss(S)))


def antipodal_pair_loss(S: float) -> float:
    """Loss of two features on opposite unit directions, active independently with probability p, b = 0: p²/3.

    Below the density 4/7, from 1/(1 - S) = 7/4 on, it is lower than with one feature dropped, p/3 - p²/4: superposition
    pays.
    """
    return _density(S) ** 2 / 3


def covariance_modes(S: float, *, n_sets: int = 2, set_size: int = 3) -> Modes:
    """Eigenvalues of the covariance: p/12 + g(p/4 - p²/4) for each set's mean, p/12 for each difference within a set.

    There are n_sets of the first kind and n_sets·(g - 1), all equal, of the second: PCA cannot choose among those.
    """
    p, g = _density(S), check_size("set_size", set_size)
    check_size("n_sets", n_sets)
    return Modes(p / 12 + g * (p - p**2) / 4, p / 12)


def mode_rates(S: float, learning_rate: float, *, n_sets: int = 2, set_size: int = 3) -> Modes:
    """Rates per step at which gradient descent on the linear twin grows each kind of mode: 8·learning rate·eigenvalue.

    For a tied autoencoder with loss E‖x - Wᵀ W x‖² a mode v of eigenvalue λ and strength a = ‖W v‖² follows
    da/dt = 8·η·λ·a·(1 - a). Adam does not follow this.
    """
    check_real("learning_rate", learning_rate, "it is a step size", least=0, many=HOST)
    modes = covariance_modes(S, n_sets=n_sets, set_size=set_size)
    return Modes(8 * learning_rate * modes.set, 8 * learning_rate * modes.difference)


def mode_strength(step: np.ndarray, start: float, rate: float) -> np.ndarray:
    """Strength a(t) = 1/(1 + (1/a₀ - 1)·e^(-rate·t)) of a mode that starts at a₀ in (0, 1); same shape as `step`."""
    check_real("rate", rate, "take it from mode_rates", many=HOST)
    return expit(logit(_start(start)) + rate * np.asarray(step, float))


def mode_half_time(start: float, rate: float) -> float:
    """Step at which a mode that starts at a₀ in (0, 1) has strength 1/2: ln(1/a₀ - 1)/rate."""
    check_real("rate", rate, "a mode that does not grow has no half-time", above=0, many=HOST)
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
        ValueError: shapes that do not fit, W with NaN, a negative learning rate.

    Source: for separate weights Saxe, McClelland, Ganguli 2019; the tied flow is derived here.
    """
    W, C = np.asarray(W, float), np.asarray(covariance, float)
    if W.ndim < 2 or C.shape != (W.shape[-1],) * 2:
        raise ValueError(
            f"covariance must be (n, n) for W (..., m, n), got shapes {C.shape} and {W.shape}; take "
            "features.covariance(S)"
        )
    for name, value in (("W", W), ("covariance", C)):
        check_finite(name, value, "leave out what diverged, and say so")
    check_real("learning_rate", learning_rate, "it is a step size", least=0, many=HOST)
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
    mu = np.asarray(mean, float)
    if np.ndim(W) < 2 or mu.shape != np.shape(W)[-1:] or not np.isfinite(mu).all():
        raise ValueError(f"mean must be (n,) and finite, got {mu} for W {np.shape(W)}; take features.mean(S)")
    size = mu @ mu
    # The first factor is (e^(2·size) - 1)/size, and its limit 2 for a mean of 0.
    return W + (np.expm1(2 * size) / size if size else 2.0) * np.outer(W @ mu, mu).reshape(W.shape)


def silent_gains(W: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Gain in error of the analytic attack on each feature i at the empty input x = 0.

    The attack radius·G_i/‖G_i‖, G = Wᵀ W, moves the pre-activations from b to b + radius·G G_i/‖G_i‖, and the error is
    the sum of the squares of what is then on. With b = 0 and a tight frame of unit columns this is
    radius²·F·Σ_j ReLU(G_ij)², F = n/m.

    Args:
        W: (m, n).
        b: (n,).
        radius: L2 norm of the attack.

    Returns:
        (n,), 0 for a dead feature.
    """
    moves = radius * _moves(np.asarray(W, float))
    return (np.maximum(b + moves, 0) ** 2 - np.maximum(b, 0) ** 2).sum(1)


def one_feature_gains(W: np.ndarray, on: np.ndarray) -> np.ndarray:
    """A law for V_i, the mean gain of the analytic attack on feature i over λ²: Σ_j P(unit j on)·(G Ĝ_i)_j².

    The attack λ·Ĝ_i, G = Wᵀ W, Ĝ_i = G_i/‖G_i‖, moves the pre-activation z_j of every input by c_j = λ·(G Ĝ_i)_j. A
    unit that is on before and after changes the error by 2(x'_j - x_j)·c_j + c_j², one that is off by nothing. In the
    mean over inputs the linear terms sum to Σ_j c_j·E[2(x'_j - x_j); j on] = Σ_j c_j·∂L/∂b_j, which vanishes where the
    biases are trained, whatever the importance of the features, and the law is what remains over λ².

    Left out are the units that switch. With ρ_j the density of z_j at 0 over the inputs with that x_j, they add
    -ρ_j·x_j·c_j², of the same order as the law, from inputs in which feature j is active and its unit near the
    threshold (the push turns on what should be on), and ±ρ_j·|c_j|³/3 from those in which it is not. So the law is
    exact to order λ² where no active feature sits at its threshold and the density there is finite. It fails where a
    mass of inputs sits within c_j of it, as empty inputs of a model without bias do (there `silent_gains` is exact:
    a unit counts if the push raises it, whether on before or not), and while the biases still move.

    For a tight frame, W Wᵀ = F·I, G Ĝ_i = F·Ĝ_i, so that the law is F² times a mean of the shares of units on, weighted
    by Ĝ_ij²: V follows F² as long as the shares do not fall.

    Args:
        W: (m, n).
        on: (n,), the share of inputs on which each unit is on, z_j > 0, in [0, 1].

    Returns:
        (n,), in units of λ²; 0 for a dead feature.

    Raises:
        ValueError: shapes that do not fit, or shares outside [0, 1].
    """
    W, on = np.asarray(W, float), np.asarray(on, float)
    if W.ndim != 2 or on.shape != W.shape[1:] or not ((on >= 0) & (on <= 1)).all():
        raise ValueError(
            f"on must have a share in [0, 1] for each of the columns of W, shape {W.shape}, got shape {on.shape}; pass "
            "(z > 0).mean(0)"
        )
    return _moves(W) ** 2 @ on


def _moves(W: np.ndarray) -> np.ndarray:
    """(G Ĝ_i)_j (n, n), what the analytic attack of norm 1 on i does to pre-activation j; 0 for a dead feature."""
    gram = W.T @ W
    norms = np.linalg.norm(gram, axis=1)
    return (gram @ gram) / np.where(norms > 0, norms, 1)[:, None]


def _eigenspaces(C: np.ndarray, alike: float) -> list[tuple[float, np.ndarray]]:
    """Eigenvalue, the mean of those alike, and axes (n, d) of each space, the largest first."""
    values, axes = np.linalg.eigh(C)
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1]
    ends = np.flatnonzero(values[:-1] - values[1:] > alike * values[:-1]) + 1
    return [(float(values[i:j].mean()), axes[:, i:j]) for i, j in zip([0, *ends], [*ends, len(values)], strict=True)]


def _density(S: float) -> float:
    check_sparsity(S, many=HOST)
    return 1.0 - float(S)


def _start(start: float) -> float:
    check_real("start", start, "a mode of strength 0 never grows, and one of 1 is grown", above=0, below=1, many=HOST)
    return start
