"""What arrangements of features lose, and what giving up loses."""

from math import comb, factorial

import numpy as np

from toylib._checks import check_size, check_sparsity


def bias_loss(S: float, *, n_sets: int = 2, set_size: int = 3) -> float:
    """Loss of W = 0 with the best bias, b = E x = p/2: n·(p/3 - p²/4)."""
    return check_size("n_sets", n_sets) * check_size("set_size", set_size) * dropped_feature_loss(S)


def pca_plateau(S: float, *, n_sets: int = 2, set_size: int = 3) -> float:
    """Loss once each set has collapsed to its mean, the sets orthogonal, b = 0: n_sets·p·(g - 1)/12.

    An active set is reconstructed as its mean; the error is the variance within it, (g - 1)/12. For two triples p/3.
    """
    return check_size("n_sets", n_sets) * density_of(S) * (check_size("set_size", set_size) - 1) / 12


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
    return pca_plateau(S, set_size=g) + 2 * g * density_of(S) ** 2 * (1 / 4 + 1 / (12 * g) - beyond / g)


def octahedron_loss(S: float) -> float:
    """Loss of an octahedron of unit vectors, antipodes from different sets, b = 0: p².

    Three antipodal pairs, each wrong only while both its features are active, and then by the smaller value in both:
    2·E min(U, U')² = 1/3 per pair. Below the density 1/3 it is lower than the loss of two collapsed triples, p/3.
    """
    return density_of(S) ** 2


def dropped_feature_loss(S: float) -> float:
    """Loss of a feature that is not represented and has the best bias, p/2: its variance p/3 - p²/4."""
    p = density_of(S)
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
    return density_of(S) ** 2 / 3


def density_of(S: float) -> float:
    """p = 1 - S, checked."""
    check_sparsity(S, host=True)
    return 1.0 - float(S)
