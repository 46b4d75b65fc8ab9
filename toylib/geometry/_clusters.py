"""Routes found without names: clusters of runs by what can be measured on the way, and how well they fit names."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import linear_sum_assignment

from toylib._checks import check_array, check_size

_UNDEFINED_TWIST = -0.5
"""Where a twist stands that is not defined: half of its range away from every one that is."""


def cluster_moments(moments: ArrayLike, number: int) -> np.ndarray:
    """Ward's clusters of runs by the invariants of `Route.moments`, which are cosines and shares.

    The number of antipodal pairs is taken in thirds, so that all of them lie within -1 and 1 or a little beyond.

    Args:
        moments: (c, k, 7), as `Route.moments` of c runs.
        number: of clusters, at most c.

    Returns:
        (c,) labels from 0 on; fewer than `number` where runs coincide.

    Raises:
        ValueError, TypeError: another shape, or more clusters than runs.
    """
    values = np.array(moments, float)
    check_array("moments", values, (None, None, 7), "stack Route.moments of all runs")
    if check_size("number", number) > len(values):
        raise ValueError(f"number must be at most the {len(values)} runs, got {number}; ask for fewer clusters")
    values[..., 5] /= 3
    values[..., 6] = np.where(np.isnan(values[..., 6]), _UNDEFINED_TWIST, values[..., 6])
    if len(values) == 1:
        return np.zeros(1, int)
    return fcluster(linkage(values.reshape(len(values), -1), "ward"), number, "maxclust") - 1


def agreement(labels: ArrayLike, names: ArrayLike) -> np.ndarray:
    """Which runs two ways of naming put together, when their names are matched one to one so as to agree most.

    Args:
        labels, names: (c,) each, of any type.

    Returns:
        (c,) bool; its mean is the share in which they agree.

    Raises:
        ValueError: not one label and one name per run.
    """
    labels, names = np.asarray(labels), np.asarray(names)
    if labels.ndim != 1 or labels.shape != names.shape or not len(labels):
        raise ValueError(
            f"labels and names must be one each per run, got shapes {labels.shape} and {names.shape}; pass two columns"
        )
    (_, a), (_, b) = (np.unique(each, return_inverse=True) for each in (labels, names))
    table = np.zeros((a.max() + 1, b.max() + 1), int)
    np.add.at(table, (a, b), 1)
    partner = np.full(len(table), -1)
    rows, columns = linear_sum_assignment(-table)
    partner[rows] = columns
    return partner[a] == b
