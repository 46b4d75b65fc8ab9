"""What the analytic attack gains, and the arrangements of which that is known in closed form."""

import numpy as np

from toylib._checks import check_finite, check_real, check_size, on_host

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


def silent_gains(W: np.ndarray, b: np.ndarray, radius: float, *, source: np.ndarray | None = None) -> np.ndarray:
    """Gain in error of the analytic attack on each feature i at the empty input x = 0; made on another model, if given.

    The attack radius·Ĝ_i, Ĝ_i = G_i/‖G_i‖ of the source, moves the pre-activations from b to b + radius·Wᵀ W Ĝ_i, and
    the error is the sum of the squares of what is then on. With b = 0, W its own source and a tight frame of unit
    columns this is radius²·F·Σ_j ReLU(G_ij)², F = n/m. Of two octahedra of unit columns without bias it is 2 radius²
    where the antipode of i is the same in both, else radius²: half of the attack's energy is then spent on a feature
    that the target holds at right angles, and lands on its antipode's antipode.

    Args:
        W: (..., m, n).
        b: (..., n).
        radius: L2 norm of the attack.
        source: (..., k, n), with the same features in the same order; leading axes broadcast. W by default.

    Returns:
        (..., n), 0 for a feature that is dead in the source, NaN for a model that diverged.

    Raises:
        ValueError, TypeError: a source of other features, a bias that is missing, more than one radius, or values that
            are no real numbers, or traced.
    """
    W, b = on_host("W", W), on_host("b", b)
    made_on = W if source is None else on_host("source", source)
    if W.ndim < 2 or made_on.ndim < 2 or made_on.shape[-1] != W.shape[-1]:
        raise ValueError(
            f"source must have the features of W {W.shape}, got shape {made_on.shape}; pass a model of the same data"
        )
    if b.shape[-1:] != W.shape[-1:]:
        raise ValueError(f"b must have a bias for each column of W {W.shape}, got shape {b.shape}; pass one each")
    check_real("radius", radius, "it is the norm of the attack", least=0, host=True)
    b = b[..., None, :]
    moves = radius * (_attacks(made_on) @ _gram(W))
    return (np.maximum(b + moves, 0) ** 2 - np.maximum(b, 0) ** 2).sum(-1)


def shared_pairs(within: float, *, n_sets: int, set_size: int) -> float:
    """P(an antipodal pair of one octahedron is one of another), from the share of antipodes within sets alone.

    Of n features in pairs, chosen independently for two models by a law that treats all features of a set, and all
    sets, alike: then each of the n_w = k·g(g - 1)/2 pairs within a set of g occurs equally often, as does each of the
    n_b = n(n - 1)/2 - n_w between sets, and P = (n/2)·(ω²/n_w + (1 - ω)²/n_b). Chance is ω = (g - 1)/(n - 1), which
    gives 1/(n - 1). Two triples with all antipodes between the sets have 1/3, three pairs that are antipodes 1.

    Args:
        within: ω, the share of antipodal pairs within a set, in [0, 1].
        n_sets: number of sets k.
        set_size: features per set g.

    Raises:
        ValueError, TypeError: a share outside [0, 1], sizes below 1, or a share that no arrangement has, such as of
            pairs within sets of one.
    """
    check_real("within", within, "it is a share of pairs", least=0, most=1, host=True)
    n = check_size("n_sets", n_sets) * check_size("set_size", set_size)
    inside = n * (set_size - 1) / 2
    between = n * (n - 1) / 2 - inside
    if (within and not inside) or (within < 1 and not between):
        raise ValueError(
            f"within must be 0 for sets of one and 1 for one set, got {within:g} for {n_sets} of {set_size}; there are "
            "no other pairs"
        )
    least, most = float(n_sets == 1), set_size // 2 / (set_size / 2)  # a feature of an odd set is left over
    if n % 2 or not least - 1e-6 <= within <= most + 1e-6:
        raise ValueError(
            f"within must lie in [{least:g}, {most:g}] for {n_sets} sets of {set_size}, an even number of features, "
            f"got {within:g} for {n}; no pairing has another share"
        )
    return n / 2 * ((within**2 / inside if inside else 0.0) + ((1 - within) ** 2 / between if between else 0.0))


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
    W, on = _shares(W, on)
    return (_attacks(W) @ _gram(W)) ** 2 @ on


def moved_target_gains(
    W: np.ndarray, on: np.ndarray, missed: np.ndarray, radius: float, *, weights: np.ndarray | None = None
) -> np.ndarray:
    """The law of `one_feature_gains` where the target moves too: gain of ‖x + δ - model(x + δ)‖² over λ², δ = λ·Ĝ_i.

    With d = Ĝ_i, (G d)_j what it adds to pre-activation j over λ: a unit that is on and stays on changes its error by
    2λ(x_j - x'_j)·(d_j - (G d)_j) + λ²(d_j - (G d)_j)², whose first term vanishes in the mean where the biases are
    trained; one that stays off misses what was added to its feature, 2λ·x_j·d_j + λ²·d_j². So the law is
    Σ_j P(j on)·(d - G d)_j² + P(j off)·d_j² + (2/λ)·d_j·E[x_j; j off]. It leaves out the units that switch.

    A model whose G is the identity on the features that it represents gains nothing along them: what is counted is how
    G differs from it, and units that are off while their feature is active.

    Args:
        W: (m, n).
        on: (n,), the share of inputs on which each unit is on, z_j > 0, in [0, 1].
        missed: (n,), E[x_j; unit j off], the mean over all inputs of x_j where its unit is off and of 0 where it is on.
        radius: λ, L2 norm of the attack, above 0.
        weights: (n,), importance of each feature; 1 by default.

    Returns:
        (n,), in units of λ²; 0 for a dead feature.

    Raises:
        ValueError: shapes that do not fit, shares outside [0, 1], or radius not above 0.
    """
    (W, on), missed = _shares(W, on), _finite("missed", missed)
    weights = np.ones(W.shape[1]) if weights is None else _finite("weights", weights)
    check_real("radius", radius, "it is the norm of the attack", above=0, host=True)
    for name, values in (("missed", missed), ("weights", weights)):
        if values.shape != on.shape:
            raise ValueError(
                f"{name} must have a number for each column of W, {on.shape}, got shape {values.shape}; pass one each"
            )
    along = _attacks(W)
    kept = np.square(along - along @ _gram(W)) @ (weights * on)
    lost = np.square(along) @ (weights * (1 - on))
    return kept + lost + (2 / radius) * (along @ (weights * missed))


def _finite(name: str, value: np.ndarray) -> np.ndarray:
    """`value` in double precision, checked."""
    array = on_host(name, value)
    check_finite(name, array, "leave out what diverged, and say so")
    return array


def _shares(W: np.ndarray, on: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W and the shares of inputs on which units are on, checked."""
    W, on = _finite("W", W), on_host("on", on)
    if W.ndim != 2 or on.shape != W.shape[1:] or not ((on >= 0) & (on <= 1)).all():
        raise ValueError(
            f"on must have a share in [0, 1] for each of the columns of W, shape {W.shape}, got shape {on.shape}; pass "
            "(z > 0).mean(0)"
        )
    return W, on


def _gram(W: np.ndarray) -> np.ndarray:
    return np.swapaxes(W, -1, -2) @ W


def _attacks(W: np.ndarray) -> np.ndarray:
    """Ĝ_i in rows, (..., n, n), the analytic attack of norm 1 on each feature; 0 for a dead one."""
    gram = _gram(W)
    norms = np.linalg.norm(gram, axis=-1, keepdims=True)
    return gram / np.where(norms > 0, norms, 1)
