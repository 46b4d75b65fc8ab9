"""Exact losses, growth rates and gains: the oracle of the tests and the dashed lines of the figures.

Losses are summed over features and averaged over the distribution. Unless stated, the features are sets of g that are
on or off together with probability p = 1 - S each (`features.Correlated`), with values U[0, 1] and importance 1. This
room uses NumPy and SciPy alone and shares no code with the models it checks.

Sources: Elhage et al. 2022, "The Geometry of Superposition" (what is learned) and "Relationship to Adversarial
Robustness" (gains); Saxe, McClelland, Ganguli 2019, arXiv 1810.10531 (growth of modes). The derivations are in the
docstrings.
"""

from toylib.theory._gains import POLYTOPES, moved_target_gains, one_feature_gains, shared_pairs, silent_gains
from toylib.theory._losses import (
    antipodal_pair_loss,
    bias_loss,
    collinear_plateau,
    dropped_feature_loss,
    giving_up_norm,
    octahedron_loss,
    pca_plateau,
)
from toylib.theory._modes import (
    Growth,
    Modes,
    after_bias,
    covariance_modes,
    growth,
    linear_plateau,
    mode_half_time,
    mode_rates,
    mode_strength,
)

__all__ = [
    "POLYTOPES",
    "Growth",
    "Modes",
    "after_bias",
    "antipodal_pair_loss",
    "bias_loss",
    "collinear_plateau",
    "covariance_modes",
    "dropped_feature_loss",
    "giving_up_norm",
    "growth",
    "linear_plateau",
    "mode_half_time",
    "mode_rates",
    "mode_strength",
    "moved_target_gains",
    "octahedron_loss",
    "one_feature_gains",
    "pca_plateau",
    "shared_pairs",
    "silent_gains",
]
