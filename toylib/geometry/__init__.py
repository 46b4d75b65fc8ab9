"""Where a model puts its features: dimensionality, PCA overlap, prisms and their twist, named states, phases of a run.

Functions of W take one model, (m, n) with column i for feature i, and depend on it only through its Gram matrix Wᵀ W:
rotating the hidden space changes nothing. `sets` is a tuple of tuples of feature indices, as in `Features.sets`.
For sets of any sizes `classify` names a state by the nearest of `templates`, `phases` cuts a run by its W, `plateaus`
by its loss, and `trajectory` measures one. Of two triples `route` says how a run came to its octahedron, and `census`
counts many. `curvatures` and `descend` say how firmly a model sits where it is. `dendrogram` is what W has of topology:
the tree in which its columns branch; `hull_edges` are those of the body that they span.
"""

from toylib.geometry._census import Census, Trajectory, TwinGaps, census, trajectory, twin_gap, twin_gaps, upright
from toylib.geometry._measures import (
    align,
    branching,
    dendrogram,
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
from toylib.geometry._regimes import crossing, growth_rate, loss_slope, plateaus
from toylib.geometry._routes import (
    MATCHINGS,
    ROUTES,
    Route,
    agreement,
    cluster_moments,
    line_coordinates,
    line_sums,
    matching_sums,
    parity_of,
    route,
    turn,
)
from toylib.geometry._shapes import hull_edges, template_prism
from toylib.geometry._stability import curvatures, descend
from toylib.geometry._states import Phase, classify, phase_middle, phases
from toylib.geometry._templates import (
    Sets,
    nearest_template,
    template,
    template_bound,
    template_distance,
    templates,
)

__all__ = [
    "MATCHINGS",
    "ROUTES",
    "Census",
    "Phase",
    "Route",
    "Sets",
    "Trajectory",
    "TwinGaps",
    "agreement",
    "align",
    "branching",
    "census",
    "classify",
    "cluster_moments",
    "crossing",
    "curvatures",
    "dendrogram",
    "descend",
    "feature_dimensionality",
    "features_per_dimension",
    "flatness",
    "growth_rate",
    "hull_edges",
    "interference_similarity",
    "line_coordinates",
    "line_sums",
    "loss_slope",
    "matching_sums",
    "mean_cosine",
    "mode_strengths",
    "nearest_template",
    "parity_of",
    "pca_overlap",
    "phase_middle",
    "phases",
    "plateaus",
    "route",
    "template",
    "template_bound",
    "template_distance",
    "template_prism",
    "templates",
    "trajectory",
    "turn",
    "twin_gap",
    "twin_gaps",
    "twist",
    "upright",
    "within_energy",
]
