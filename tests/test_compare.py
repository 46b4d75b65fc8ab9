"""The tolerance of the strict notebook check: pairs that must pass and pairs that must fail."""

import copy

import numpy as np
import plotly.graph_objects as go
import pytest
from compare import array, difference, outputs_difference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

FLOATS = st.floats(-1e6, 1e6)
SPECS = arrays(
    st.sampled_from(["f4", "f8"]), array_shapes(max_dims=2, max_side=5), elements=st.floats(-1e3, 1e3, width=32)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def figure(values, **trace) -> dict:
    """Return what a kernel sends for a figure of one trace, its arrays encoded by plotly."""
    layout = {"title": {"text": "loss"}, "template": "none"}
    return go.Figure(go.Heatmap(z=np.asarray(values), **trace), layout).to_plotly_json()


def stream(text: str, name: str = "stdout") -> dict:
    return {"output_type": "stream", "name": name, "text": text}


def display(**data) -> dict:
    return {"output_type": "display_data", "metadata": {}, "data": {key.replace("_", "/"): data[key] for key in data}}


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("", ""),
        ("share 0.970", "share 0.971"),
        ("share 97.0 %", "share 96.9 %"),
        ("loss = 0.0033", "loss = 0.0034"),
        ("-0.00", "0.00"),
        ("bias -0.00", "bias 0.00"),
        ("|  9.99 | 0.5", "| 10.00 | 0.5"),
        ("|  0.00 |", "| -0.00 |"),
        ("9.99, 0.5", "10.00, 0.5"),
        ("1.00e-03", "9.99e-04"),
        ("2.50E+10", "2.51E+10"),
        ("in [0.94, 0.99]", "in [0.95, 0.99]"),
        ("0.94-0.99", "0.95-0.99"),
        ("0.94–0.99", "0.95–0.99"),
        ("a\n b 1.25\n", "a\n b 1.26\n"),
        ("W1 of relu2: 0.970", "W1 of relu2: 0.971"),
        ("96 of 96", "96 of 96"),
        ("nan and inf", "nan and inf"),
    ],
)
def test_text_that_agrees(stored, fresh):
    assert difference(stored, fresh) is None
    assert difference(fresh, stored) is None


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("loss = 0.0033", "loss = 0.0043"),  # ten units
        ("share 0.970", "share 0.972"),  # two units
        ("0.01", "0.02"),  # one unit, twice as much
        ("0.00", "0.01"),
        ("0.0", "0.1"),
        ("0.5", "-0.5"),
        ("96 of 96", "95 of 96"),
        ("1,024", "1,025"),
        ("100 %", "99 %"),
        ("007", "7"),
        ("1e3", "1e4"),
        ("1.00e-03", "1.00e-04"),
        ("0.001", "1.0e-3"),  # another form
        ("0.97", "0.970"),  # more decimals
        ("0.970", "nan"),
        ("inf", "-inf"),
        ("W1", "W2"),
        ("relu2.5", "relu2.6"),
        ("version 1.2.3", "version 1.2.4"),
        ("0.50s", "0.51s"),  # a number in a word
        ("rgb(0, 114, 178)", "rgb(0, 114, 179)"),
        ("octahedron 0.970", "antiprism 0.970"),
        ("share 0.970", "share  0.970"),
        ("|  9.99 |", "|   9.98 |"),  # out of line
        ("holds", "fails"),
        ("a\nb", "a\nb\n"),
        ("a\nb", "b\na"),
        ("0.1 0.2", "0.2 0.1"),
        ("0.10", ""),
    ],
)
def test_text_that_differs(stored, fresh):
    assert difference(stored, fresh) is not None
    assert difference(fresh, stored) is not None


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_arrays_are_held_to_their_own_scale(dtype, scale):
    values = scale * np.array([[0.0, 0.25, 1.0], [-1.0, 0.5, 0.75]], dtype)
    noise = scale * np.array([[1.0, -1.0, 1.0], [1.0, -1.0, 1.0]], dtype)
    assert figure(values)["data"][0]["z"].keys() == {"dtype", "bdata", "shape"}
    assert difference(figure(values), figure(values + 4e-3 * noise)) is None
    assert difference(figure(values), figure(values + 6e-3 * noise)) is not None
    assert difference(figure(values)["data"], figure(-values)["data"]) is not None


@pytest.mark.parametrize("dtype", ["i1", "u2"])
def test_integer_arrays_are_exact(dtype):
    values = np.array([[100, 101], [102, 103]], dtype)
    assert difference(figure(values), figure(values.copy())) is None
    assert "z[1][0]: stored 102, now 103" in difference(
        figure(values), figure(np.array([[100, 101], [103, 103]], dtype))
    )


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ([0.0033], [0.0043]),
        ([0.0, 1.0], [1.0, 0.0]),  # order
        ([0.0, 1.0], [0.0, 1.0, 1.0]),
        ([1.0, None], [1.0, 1.0]),  # NaN
        ([1.0, None], [None, 1.0]),
        ([1, 2], [1, 3]),
        ([1, 2], [1.0, 2.0]),  # type
        ([], [0.0]),
        ([0.0, 0.0], [0.0, 1e-8]),
        (0.0033, 0.0043),
        (1.0, 1.006),
        (1, 2),
        (1, True),
        (0, None),
        ({"a": 1.0}, {"b": 1.0}),
        ({"a": 1.0}, {"a": 1.0, "uid": "x"}),
        ([{"x": [1.5]}], [{"x": [1.5]}, {"x": [1.5]}]),
        ([[1.5, 2.5]], [[2.5, 1.5]]),
        ({"title": {"text": "loss"}}, {"title": {"text": "twist"}}),
        ([0.5], {"dtype": "f8", "bdata": "AAAAAAAA4D8=", "shape": "1, 1"}),
    ],
)
def test_json_that_differs(stored, fresh):
    assert difference(stored, fresh) is not None
    assert difference(fresh, stored) is not None


def test_json_that_agrees():
    assert difference([1.0, None, 0.0], [1.004, None, 0.004]) is None
    assert difference({"a": 1.0, "b": [True, "x 0.970"]}, {"b": [True, "x 0.971"], "a": 1.004}) is None
    assert difference([0.0, 0.0], [0.0, 1e-10]) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda fig: fig["data"].append(fig["data"][0]),
        lambda fig: fig["data"].clear(),
        lambda fig: fig["data"][0].pop("name"),
        lambda fig: fig["data"][0].update(name="other"),
        lambda fig: fig["data"][0].update(type="contour"),
        lambda fig: fig["data"][0]["z"].update(shape="3, 2"),
        lambda fig: fig["data"][0]["z"].update(dtype="i4"),
        lambda fig: fig["layout"]["title"].update(text="loss, smoothed"),
    ],
)
def test_a_changed_figure_differs(change):
    stored = figure(np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], "f4"), name="S = 0.97")
    fresh = copy.deepcopy(stored)
    assert difference(stored, fresh) is None
    change(fresh)
    assert difference(stored, fresh) is not None


def test_decoding():
    values = np.array([[0.5, np.nan], [2.0, -np.inf]], "f4")
    np.testing.assert_array_equal(array(figure(values)["data"][0]["z"]), values)
    np.testing.assert_array_equal(array([1, None, 0.5]), [1.0, np.nan, 0.5])
    assert array(["1.5"]) is None


def test_outputs_agree_but_for_pictures_and_widget_identifiers():
    widget = {"application_vnd.jupyter.widget-view+json": {"model_id": "1"}}
    stored = [stream("a 0.970\n"), display(text_plain="<explorer>", image_png="AAAA")]
    fresh = [stream("a 0.971\n"), display(text_plain="<explorer>", **widget)]
    assert outputs_difference(stored, fresh) is None
    result = {"output_type": "execute_result", "data": {"text/plain": "1"}, "metadata": {}, "execution_count": 3}
    assert outputs_difference([result], [result | {"execution_count": 4, "metadata": {"x": 1}}]) is None


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ([], [stream("a")]),
        ([stream("a")], []),
        ([stream("a"), display(text_plain="b")], [display(text_plain="b"), stream("a")]),
        ([stream("a")], [stream("a", "stderr")]),
        ([display(text_plain="a")], [display(text_plain="a") | {"output_type": "execute_result"}]),
        ([display(text_plain="a")], [display(text_plain="a", text_html="a")]),
        ([display(image_png="AAAA")], []),
        ([display(text_plain="a 1.00")], [display(text_plain="a 1.10")]),
    ],
)
def test_outputs_that_differ(stored, fresh):
    assert outputs_difference(stored, fresh) is not None


def test_the_first_difference_is_named():
    stored, fresh = figure([[0.0, 1.0], [2.0, 4.0]]), figure([[0.0, 1.0], [3.0, 9.0]])
    assert difference(stored, fresh) == "output.data[0].z[1][0]: stored 2.0, now 3.0, tolerance 0.02"
    assert difference("a\nb 1\nc", "a\nb 2\nd") == "output: stored 'b 1', now 'b 2'"


@given(JSON)
def test_a_value_equals_itself(value):
    assert difference(value, copy.deepcopy(value)) is None


@given(FLOATS, st.integers(1, 6))
def test_a_printed_number_equals_itself_rounded_again(value, decimals):
    assert difference(f"x {value:.{decimals}f}", f"x {float(f'{value:.{decimals}f}'):.{decimals}f}") is None


@given(st.floats(0.1, 1e3), st.sampled_from([-0.1, 0.1]))
def test_ten_percent_shows_in_print(value, change):
    assert difference(f"{value:.3f}", f"{value * (1 + change):.3f}") is not None


@given(SPECS, st.integers(0, 2**32 - 1))
def test_noise_below_the_tolerance_passes_and_ten_percent_fails(values, seed):
    random, scale = np.random.default_rng(seed), np.abs(values).max()
    noisy = (values + random.uniform(-4e-3, 4e-3, values.shape) * scale).astype(values.dtype)
    assert difference(figure(values), figure(noisy)) is None
    place = tuple(random.integers(values.shape))
    noisy[place] = values[place] + 0.1 * max(scale, 1e-3)
    assert difference(figure(values), figure(noisy)) is not None
