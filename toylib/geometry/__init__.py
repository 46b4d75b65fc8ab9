"""Where a model puts its features: dimensionality, PCA overlap, prisms and their twist, named states, phases of a run.

Functions of W take one model, (m, n) with column i for feature i, and depend on it only through its Gram matrix Wᵀ W:
rotating the hidden space changes nothing. `sets` is a tuple of tuples of feature indices, as in `Features.sets`.
`classify` names a state, `phases` cuts a run by its W, `plateaus` by its loss; `trajectory` measures one run and
`census` counts many. `curvatures` and `descend` say how firmly a model sits where it is.
"""

from toylib.geometry._census import Census, TwinGaps, census, twin_gap, twin_gaps
from toylib.geometry._measures import (
    align,
    feature_dimensionality,
    features_per_dimension,
    flatness,
    interference_similarity,
    mean_cosine,
    mode_strengths,
    pca_overlap,
    twist,
    within_energy,
)
from toylib.geometry._plateaus import loss_slope, plateaus
from toylib.geometry._stability import curvatures, descend
from toylib.geometry._states import Phase, classify, phase_middle, phases
from toylib.geometry._templates import Sets, template, template_distance, template_prism
from toylib.geometry._trajectory import Trajectory, trajectory

__all__ = [
    "Census",
    "Phase",
    "Sets",
    "Trajectory",
    "TwinGaps",
    "align",
    "census",
    "classify",
    "curvatures",
    "descend",
    "feature_dimensionality",
    "features_per_dimension",
    "flatness",
    "interference_similarity",
    "loss_slope",
    "mean_cosine",
    "mode_strengths",
    "pca_overlap",
    "phase_middle",
    "phases",
    "plateaus",
    "template",
    "template_distance",
    "template_prism",
    "trajectory",
    "twin_gap",
    "twin_gaps",
    "twist",
    "within_energy",
]
