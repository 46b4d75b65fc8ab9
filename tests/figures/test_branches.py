"""Trees of columns beside the columns: what is drawn, against scipy's own picture of the same tree."""

import numpy as np
import pytest
from plots import equal
from scipy.cluster.hierarchy import dendrogram

from toylib import figures, geometry
from toylib.figures import style
from toylib.geometry import template_prism

SETS = ((0, 1, 2), (3, 4, 5))
PRISM = template_prism(0.7, 0.7, 20)
rng = np.random.default_rng(0)
PICTURES = {
    "branches": (
        (PRISM, SETS),
        {"title": "Title", "height": 2.0},
        1 + 2 + 7 + 3,
        {"feature"},
        {"distance between branches"},
    ),
}


def drawn(W, sets=SETS, **options):
    return figures.branches(W, sets, **{"title": "Title", "height": 2.0, "reach": 1.2, **options}).figure()


def joins(figure):
    """Return the joins that a figure draws, (n - 1, 2, 4): x and y of two legs and the bar between them."""
    (tree,) = (trace for trace in figure.data if trace.name == "branches")
    assert not tree.connectgaps
    lines = np.array([tree.x, tree.y], float).reshape(2, -1, 5)
    assert np.isnan(lines[:, :, 4]).all()
    return lines[:, :, :4].swapaxes(0, 1)


def leaves(figure):
    """Return feature -> place, height and colour of its leaf."""
    found = {}
    for trace in figure.data:
        if (trace.name or "").startswith("leaves"):
            for text, x, y in zip(trace.text, trace.x, trace.y, strict=True):
                found[int(text) - 1] = float(x), float(y), trace.marker.color
    return found


def test_a_tree_made_by_hand():
    """Columns at 0, 1, 5 and 5.5: two pairs, and between them the root mean square of four distances."""
    figure = drawn(np.array([[5.0, 0.0, 5.5, 1.0]]), ((0, 2), (1, 3)), height=6.0)
    places = {feature: x for feature, (x, *_) in leaves(figure).items()}
    assert places == {0: 0, 2: 1, 1: 2, 3: 3}  # the branch with the first feature stands left
    top = np.sqrt(np.mean(np.square([5, 4, 5.5, 4.5])))
    expected = [
        [[0, 0, 1, 1], [0, 0.5, 0.5, 0]],
        [[2, 2, 3, 3], [0, 1, 1, 0]],
        [[0.5, 0.5, 2.5, 2.5], [0.5, top, top, 1]],
    ]
    equal(joins(figure), expected)


@pytest.mark.parametrize("seed", range(5))
def test_joins_are_those_of_scipy(seed):
    W = np.random.default_rng(seed).normal(size=(4, 7))
    figure = drawn(W, ((0, 1, 2), (3, 4), (5, 6)), height=9.0)
    own = dendrogram(geometry.dendrogram(W), no_plot=True)
    heights = np.sort(np.array(own["dcoord"]), axis=None)
    equal(np.sort(joins(figure)[:, 1], axis=None), heights)
    # Both orders are without crossings: each branch stands together.
    order = sorted(leaves(figure), key=lambda feature: leaves(figure)[feature][0])
    assert sorted(order) == list(range(7))
    members = [{i} for i in range(7)]
    for i, j, *_ in geometry.dendrogram(W):
        members.append(members[int(i)] | members[int(j)])
        at = [order.index(feature) for feature in members[-1]]
        assert max(at) - min(at) == len(at) - 1
        first = [order.index(feature) for feature in members[int(i)]], min(members[int(i)])
        second = [order.index(feature) for feature in members[int(j)]], min(members[int(j)])
        assert (max(first[0]) < min(second[0])) == (first[1] < second[1])


def test_leaves_have_the_colour_of_their_set():
    found = leaves(drawn(PRISM))
    assert {feature: color for feature, (_, _, color) in found.items()} == {
        feature: style.SET_COLORS[i] for i, members in enumerate(SETS) for feature in members
    }
    assert {y for _, y, _ in found.values()} == {0.0}


def test_three_dimensions_are_a_polyhedron_and_others_cosines():
    space = figures.polyhedron(PRISM, SETS, title="Title").figure()
    figure = drawn(PRISM)
    for ours, theirs in zip(figure.data[3:], space.data, strict=True):
        assert ours.name == theirs.name
        if theirs.name not in ("labels", "to its label"):  # which are larger beside a tree
            assert ours.to_json() == theirs.to_json()
    assert figure.layout.scene.xaxis == space.layout.scene.xaxis
    assert figure.layout.scene.domain.x[0] > figure.layout.xaxis.domain[1]
    W = rng.normal(size=(4, 6))
    W[:, 2] = 0
    *_, cosines = drawn(W).data
    assert (cosines.type, cosines.zmin, cosines.zmax) == ("heatmap", -1, 1)
    units = W / np.maximum(np.linalg.norm(W, axis=0), 1e-9)
    equal(cosines.z, units.T @ units)
    notes = [note.text for note in drawn(W).layout.annotations]
    assert notes == ["topology: which columns join, and how far apart", "geometry: cosines between them"]


@pytest.mark.parametrize("m", [3, 7])
def test_axes_and_traces_stay_while_scrubbing(m):
    models = [scale * np.random.default_rng(seed).normal(size=(m, 6)) for seed, scale in enumerate((0.0, 0.01, 0.5))]
    pictures = [drawn(W) for W in models]
    for figure in pictures:
        assert figure.layout.to_plotly_json() == pictures[0].layout.to_plotly_json()
        assert [trace.name for trace in figure.data] == [trace.name for trace in pictures[0].data]
        assert [len(trace.x) for trace in figure.data] == [len(trace.x) for trace in pictures[0].data]
    assert pictures[0].layout.yaxis.range[1] == 2.0
    baked = figures.frames(lambda step: figures.branches(models[step], SETS, title="Title", height=2.0), step=range(3))
    assert len(baked.frames) == 3


@pytest.mark.parametrize("height", [0, -1.0, np.nan])
def test_a_height_is_positive(height):
    with pytest.raises(
        ValueError,
        match=r"^height must be above 0 and finite in single precision, got",
    ):
        drawn(PRISM, height=height)
