"""What every picture keeps to: texts, colours, fixed axes, valid plotly, and one draw for frames and explorers."""

import ast
import json
import re
from copy import deepcopy
from inspect import signature
from itertools import product
from pathlib import Path
from runpy import run_path

import numpy as np
import plotly.graph_objects as go
import pytest
from compare import array
from plots import colours, plain, scrubbed, without_controls

from toylib import explorers, figures
from toylib.explorers._live import _compact
from toylib.figures import Axis, Drawing, Limits, frames, style
from toylib.geometry import Phase, Trajectory, template, template_prism
from toylib.reporting import Interval, interval_wilson

SETS = ((0, 1, 2), (3, 4, 5))
TEXTS = {"title": "Title", "x_title": "across", "y_title": "up"}
rng = np.random.default_rng(0)

X = np.array([1.0, 10.0, 100.0])
CURVES = {"first": np.array([1.0, 0.1, 0.01]), "second": np.array([2.0, 0.2, 0.02])}
GALLERY = {f"d{k}": (rng.random((5, 4)), [(0, 1), (2, 3)]) for k in range(4)}
SPECTRA = {"one": np.array([3.0, 1, 1]), "two": np.array([2.0, 2, 1])}
MEASURED = {"one": np.array([3.1, 1.2, 0.8]), "two": np.array([2.1, 1.9, 1.1])}
MATRICES = {"W": rng.normal(size=(2, 3)), "gram": rng.normal(size=(3, 3))}
SHARES = {"a": [interval_wilson([True, False])] * 3, "b": [interval_wilson([True] * 9)] * 3}
MEANS = {"a": [Interval(1, 0.5, 2), Interval(3, 2.5, 3.25)], "b": [Interval(2, 1, 4), Interval(0.5, 0.25, 1)]}
COUNTS = {"octahedron": [7, 0, 3], "pca": [1, 8, 5]}
TRADE = {name: tuple([(v, v - 0.1, v + 0.2) for v in rng.random(4)] for _ in "xy") for name in ("one", "two")}
PLANES = {"early": template("pca"), "late": template("octahedron"), "last": np.zeros((3, 6))}
OUTCOMES = np.array([["none", "reduced", "eliminated"], ["none", "none", "given up"]])
MAP = ({"a": OUTCOMES, "b": OUTCOMES[::-1]}, {"a": rng.random((2, 3)), "b": rng.random((2, 3))})
STEPS = np.array([0, 10, 100])
RUN = Trajectory(
    steps=STEPS,
    losses=np.array([0.2, 0.1, 0.01]),
    weights=np.float32([template_prism(1, 0.5, angle) for angle in (0, 30, 60)]),
    singular_values=rng.random((3, 3)),
    overlap=rng.random(3),
    within_energy=rng.random(3),
    mean_cosine=rng.random(3),
    flatness=np.array([[np.nan, np.nan], [0.5, 0.6], [0.9, 1.0]]),
    twist=np.array([np.nan, 30, 60]),
    phases=[Phase("A", 0, 10), Phase("B", 10, 100)],
)
STORY = {"title": "Title", "levels": {"PCA": 0.033, "octahedron": 0.01}, "twin": np.array([0.2, 0.1, 0.05])}
SAMPLE = np.array([0, 0.5, 0.8, 0]), np.array([0.1, -0.1, 0, 0.2]), np.array([0, 0.4, 0.9, 0]), np.array([0.1, 0, 1, 0])
LIMITS = Limits((-0.5, 1.5), (-1, 1), (-0.1, 2.0))

# name -> arguments, options, number of traces, titles of the x axes, titles of the y axes; a test file beside this one
# may have more of them.
PICTURES = {
    "attacked_sample": (SAMPLE, {"title": "Title", "limits": LIMITS}, 6, {"feature"}, {"input", "δ / ‖δ‖", "output"}),
    "gallery": ((GALLERY,), {"title": "Title"}, 8, {"", "sample"}, {"", "feature"}),
    "histogram": (({"a": X, "b": np.array([1.5, 2.5])}, [0, 1, 2, 3]), TEXTS, 2, {"across"}, {"up"}),
    "interference": (
        (np.array([0.2, -0.3, 1.1, 0.04]), 2),
        {"title": "Title", "limit": 1.5},
        2,
        {"the feature's own entry, then the others from the largest to the smallest"},
        {"entry of row i of WᵀW"},
    ),
    "lines": ((X, CURVES), {**TEXTS, "dashed": {"level": 0.5}, "shaded": {"here": (2, 9)}}, 3, {"across"}, {"up"}),
    "matrices": ((MATRICES,), TEXTS, 2, {"across"}, {"", "up"}),
    "means": (([1.5, 60], MEANS), {**TEXTS, "y_range": (0, 5), "dashed": {"level": 2}}, 2, {"across"}, {"up"}),
    "outcome_map": (
        (*MAP, (0.3, 0.01), (0, 0.4, 1.25)),
        {"title": "Title"},
        2 + 4,
        {"attack norm / E‖x‖"},
        {"", "density p"},
    ),
    "polyhedron": ((template("octahedron"), SETS), {"title": "Title"}, 7 + 3, set(), set()),
    "represented": (
        (rng.normal(size=(3, 7)), rng.random(7)),
        {"title": "Title", "kept": 0.5},
        3,
        {"feature, the longest first"},
        {"feature, the longest first", "norm ‖W<sub>i</sub>‖, dimensionality D<sub>i</sub>"},
    ),
    "scatter": ((MATRICES["W"], MATRICES["W"], ("a", "")), TEXTS, 2, {"across"}, {"up"}),
    "shares": (([0.1, 0.2, 0.5], SHARES), TEXTS, 2, {"across"}, {"up"}),
    "spectra": ((SPECTRA, MEASURED), {"title": "Title"}, 4, {"rank"}, {"", "eigenvalue (variance)"}),
    "stacked": ((["a", "b", "c"], COUNTS), TEXTS, 2, {"across"}, {"up"}),
    "stages": ((PLANES, SETS), {"title": "Title"}, 3 * 10, set(), set()),
    "story": (
        (RUN, SETS),
        {**STORY, "step": 10},
        8 + 3 + 2 + 3 + 2,
        {"feature", "", "training step"},
        {"feature", "loss", "share"},
    ),
    "trade": (
        (TRADE,),
        {**TEXTS, "dashed": {"floor": 0.4}, "start": "begin", "label": [*"pqrs"]},
        2,
        {"across"},
        {"up"},
    ),
}

for path in sorted(Path(__file__).parent.glob("test_*.py")):
    if path != Path(__file__) and "\nPICTURES = " in path.read_text(encoding="utf-8"):
        PICTURES |= run_path(str(path))["PICTURES"]


def drawn(name):
    arguments, options, *_ = PICTURES[name]
    return getattr(figures, name)(*arguments, **options)


def test_the_table_has_every_picture():
    pictures = set(figures.__all__) - {"Axis", "Drawing", "Limits", "frames", "style"}
    assert set(PICTURES) == pictures, "give the test file of a picture a dict PICTURES with its row"


def axis_titles(figure, letter):
    axes = [v for k, v in figure.to_plotly_json()["layout"].items() if k.startswith(f"{letter}axis")]
    return {axis.get("title", {}).get("text", "") for axis in axes}


def same(a, b):
    """Tell whether nested arguments are equal, arrays bitwise."""
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f") if isinstance(a, np.ndarray) else a == b


@pytest.mark.parametrize("name", PICTURES)
def test_texts_traces_width_and_inputs(name):
    arguments, options, n_traces, x_titles, y_titles = PICTURES[name]
    before = deepcopy((arguments, options))
    drawing = drawn(name)
    assert isinstance(drawing, Drawing)
    assert drawing.frames == ()
    assert drawing.title == ("Title: step 10" if name == "story" else "Title")
    figure = drawing.figure()
    assert figure.layout.title.text == drawing.title
    assert len(figure.data) == len(drawing.data) == n_traces
    assert axis_titles(figure, "x") == x_titles
    assert axis_titles(figure, "y") == y_titles
    assert drawing.layout["template"] is style.THEME
    assert figure.layout.template.layout.width == 700
    assert figure.layout.width is None
    assert same((arguments, options), before)
    assert drawn(name).figure().to_json() == figure.to_json()


def as_lists(part):
    """Return JSON with its typed arrays as lists, None for what is not finite, in single precision."""
    if isinstance(part, dict) and "bdata" in part:
        values = array(part).astype(np.float32)
        return np.where(np.isfinite(values), values.astype(object), None).tolist()
    if isinstance(part, dict):
        return {name: as_lists(value) for name, value in part.items() if value not in ({}, [])}
    return [as_lists(value) for value in part] if isinstance(part, list) else part


@pytest.mark.parametrize("name", PICTURES)
def test_plotly_accepts_every_property_and_changes_none(name):
    """An explorer sends a drawing unchecked, so it must be what plotly's own figure, which checks all, would send."""
    drawing = drawn(name)
    figure = drawing.figure()
    assert isinstance(figure, go.Figure)
    sent = json.loads(json.dumps(_compact({"data": drawing.data, "layout": drawing.layout})))
    kept = json.loads(figure.to_json())
    for document in (sent, kept):
        document["layout"].pop("template")
    assert as_lists(sent) == as_lists(kept)


@pytest.mark.parametrize("name", PICTURES)
def test_colours_are_named_in_style(name):
    assert colours(plain(drawn(name))) <= style.PALETTE


@pytest.mark.parametrize("name", PICTURES)
def test_axes_are_fixed(name):
    """An axis has a range of its own, categories, or the rows and columns of a matrix: none follows the data."""
    figure = drawn(name).figure()
    heatmaps = [trace for trace in figure.data if trace.type == "heatmap"]
    matrices = {f"{k}axis{(trace[f'{k}axis'] or k)[1:]}" for trace in heatmaps for k in "xy"}
    axes = {k: v for k, v in figure.layout.to_plotly_json().items() if re.fullmatch(r"[xy]axis\d*", k)}
    for key, axis in axes.items():
        bars = name in ("spectra", "stacked") and key[0] == "x"
        assert "range" in axis or key in matrices or bars, key
    assert bool(axes) == (name not in ("polyhedron", "stages"))


def test_every_trace_of_a_figure_with_axes_has_an_axis_with_a_title():
    """Panels that share an axis title with their neighbour carry it once: at the left, or below."""
    for name in ("lines", "shares", "means", "scatter", "stacked", "trade", "interference"):
        figure = drawn(name).figure()
        assert {t.xaxis for t in figure.data} <= {None, "x"}
        assert figure.layout.xaxis.title.text
        assert figure.layout.yaxis.title.text


# What is no data


def hostile():
    """What no argument is, or few are: made anew, as a generator is used up."""
    yield from (None, "", "a", [], [[]], {}, {"a": None}, {1, 2}, b"ab", True, -1, 1j, np.nan, np.inf, 10**400, 1e-320)
    yield from (np.array(1.0), np.zeros(0), np.ones((2, 2, 2)), np.full(3, 1j), np.array([1, None]), [[1, 2], [3]])
    yield from (np.zeros(2, [("a", int)]), (i for i in range(3)), object(), int)


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_no_data_is_drawn_or_refused_in_one_message(name):
    """In place of each argument, and within those that have names: no other error, no warning."""
    draw, (arguments, options, *_) = getattr(figures, name), PICTURES[name]
    good, refused = dict(zip(signature(draw).parameters, arguments, strict=False)) | options, 0
    for argument, value in good.items():
        odd = [*hostile()]
        if isinstance(value, dict):
            first = next(iter(value))
            odd += [{**value, first: part} for part in hostile()]
            odd += [{key: value[first]} for key in (None, 1j, (1, 2), int)]
        for part in odd:
            try:
                assert isinstance(draw(**good | {argument: part}), Drawing)
            except (TypeError, ValueError) as error:
                assert re.fullmatch(r"(?s).+ (must|cannot) .+, got .*; .+", str(error)), (argument, part)  # noqa: PT017
                refused += 1
    assert refused > 20 * len(good)


# One draw


def waving(k):
    y = np.sin(np.arange(5.0) * k)
    y[k % 5] = np.nan
    options = {**TEXTS, "title": f"wave {k}", "y_range": (-1, 4), "shaded": {"here": (0, k)}}
    return figures.lines(np.arange(5), {"wave": y, "still": np.arange(5)}, **options)


def pictured(sparsity):
    x = np.random.default_rng(0).random((4, 3))
    x = np.where(x > sparsity, x, 0)
    pictures = {"one": (x, ((0, 1), (2,))), "two": (x[::-1], ((0,), (1, 2)))}
    return figures.gallery(pictures, title=f"S = {sparsity}")


def grown(norm):
    W = (1 - norm) * template("octahedron")
    return figures.represented(W, np.linspace(0, 1, 6), title=f"norm {norm}", kept=0.5)


def pushed(norm):
    x, delta, before, _ = SAMPLE
    return figures.attacked_sample(x, norm * delta, before, before + norm, title=f"{norm}", limits=LIMITS)


def row(feature):
    return figures.interference(np.array([1, 0.2, -0.3, 0.5]), feature, title=f"feature {feature}", limit=1.5)


def turning(twist):
    return figures.polyhedron(template_prism(0.8, 0.6, twist), SETS, title=f"twist {twist}")


def told(step):
    return figures.story(RUN, SETS, step=step, **STORY)


def named(W):
    return figures.polyhedron(W, SETS, title="Title")


# draw, name of the axis, its stops, the start
DRAWS = [
    (waving, "k", [3, 1, 4, 2], 4),
    (pictured, "sparsity", [0.1, 0.5, 0.995], 0.995),
    (grown, "norm", (0, 0.25, 1), 0.25),
    (pushed, "norm", np.array([0, 0.1, 2.5]), 0.1),
    (row, "feature", range(4), 2),
    (turning, "twist", {"prism": 0, "half way": 30, "antiprism": 60}, 30),
    (told, "step", STEPS.tolist(), 100),
    (named, "W", PLANES, PLANES["late"]),
]


@pytest.mark.parametrize(("draw", "name", "stops", "start"), DRAWS, ids=[draw.__name__ for draw, *_ in DRAWS])
def test_the_same_draw_moves_without_a_kernel_and_with_one(draw, name, stops, start):
    baked = frames(draw, start={name: start}, **{name: stops})
    explorer = explorers.explore(draw, start={name: start}, **{name: stops})
    over = Axis.of(name, stops)
    (slider,) = baked.layout["sliders"]
    assert [step["label"] for step in slider["steps"]] == [label for label, _ in explorer.sliders[name].options]
    assert [step["label"] for step in slider["steps"]] == [frame["name"] for frame in baked.frames] == over.labels
    assert slider["active"] == explorer.sliders[name].index
    assert without_controls(plain(baked)) == without_controls(plain(explorer.drawing()))
    shown = set()
    for (i, value), back in product(enumerate(over.values), (False, True)):
        explorer.move(**{name: over.values[-1] if back else value})
        explorer.move(**{name: value})
        expected = without_controls(plain(draw(**{name: value})))
        assert without_controls(plain(explorer._plot.drawing)) == expected
        assert as_lists([*without_controls(plain(explorer._plot._figure))]) == as_lists([*expected])
        assert scrubbed(baked, [over.labels[-1], over.labels[i]] if back else [over.labels[i]]) == expected
        shown.add(json.dumps(expected))
    assert len(shown) == len(over.values)


# Imports


def imported(path):
    """Return the names of all modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_pictures_need_no_widgets():
    """plotly loads ipywidgets where it is installed, so what counts is what our own modules ask for."""
    toylib = Path(figures.__file__).parents[1]
    room, widgets = Path("explorers"), set()
    for path in toylib.rglob("*.py"):
        names = imported(path)
        if any(name.split(".")[0] in ("ipywidgets", "anywidget") for name in names):
            widgets.add(path.relative_to(toylib))
        if path.parent.name != "explorers":
            assert "toylib.explorers" not in names, path
    assert widgets == {room / name for name in ("_explorer.py", "_live.py", "_trainer.py")}
