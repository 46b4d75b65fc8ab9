"""Clusters of invariants that are known, and agreement by brute force over all ways to match names."""

from itertools import permutations

import numpy as np
import pytest

from toylib import geometry


def test_groups_that_are_apart_are_found():
    random = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], [9, 14, 5])
    centres = random.uniform(-1, 1, (3, 3, 7))
    centres[1, :, 6] = np.nan  # lines, which have no twist
    labels = geometry.cluster_moments(centres[group] + random.normal(0, 0.02, (28, 3, 7)), 3)
    assert geometry.agreement(labels, group).all()
    assert len(set(labels)) == 3


def test_runs_with_and_without_a_twist_are_apart():
    moments = np.zeros((6, 3, 7))
    moments[::2, 1, 6] = np.nan
    assert len(set(geometry.cluster_moments(moments, 2)[::2])) == 1
    assert geometry.agreement(geometry.cluster_moments(moments, 2), [0, 1] * 3).all()


def test_the_number_of_pairs_weighs_a_third():
    moments = np.zeros((4, 1, 7))
    moments[2:, 0, 5] = 2  # two thirds of a unit apart
    moments[1::2, 0, 0] = 0.7  # more than that
    assert geometry.agreement(geometry.cluster_moments(moments, 2), [0, 1, 0, 1]).all()


@pytest.mark.parametrize("seed", range(6))
def test_agreement_is_the_best_of_all_ways_to_match(seed):
    random = np.random.default_rng(seed)
    labels, names = random.integers(0, 3, 40), np.array(list("abcd"))[random.integers(0, 4, 40)]
    best = max(
        np.mean([dict(zip(range(3), chosen, strict=False)).get(a) == b for a, b in zip(labels, names, strict=True)])
        for chosen in permutations("abcd", 3)
    )
    assert geometry.agreement(labels, names).mean() == pytest.approx(best)


def test_more_labels_than_names():
    assert geometry.agreement([0, 1, 2, 2], ["a", "a", "b", "b"]).sum() == 3


def test_one_run_is_one_cluster():
    assert geometry.cluster_moments(np.zeros((1, 3, 7)), 1).tolist() == [0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: geometry.cluster_moments(np.zeros((4, 3, 6)), 2), "moments must have shape"),
        (lambda: geometry.cluster_moments(np.zeros((4, 3, 7)), 5), "number must be at most the 4 runs, got 5"),
        (lambda: geometry.agreement([0, 1], ["a"]), "labels and names must be one each per run"),
        (lambda: geometry.agreement([], []), "labels and names must be one each per run"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
