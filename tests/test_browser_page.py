"""The trainer of the landing page in a real browser, from disk: what it computes is what toylib computes."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import train
from reader import Reader, reading

from toylib import attacks, geometry, model, training
from toylib.figures.style import DARK, INK, LABELS, SET_COLORS
from toylib.model import Params

pytestmark = pytest.mark.xdist_group("page")  # one page, which tests use one after the other
TRAINER = "document.getElementById('train').trainer"


class Trainer:
    """The trainer on an open page."""

    def __init__(self, reader: Reader):
        self.page, self.root = reader.page, reader.page.locator("#train")

    def get(self, what: str) -> Any:
        """Evaluate an expression of the trainer `t`."""
        return self.page.evaluate(f"(() => {{ const t = {TRAINER}; return {what}; }})()")

    def wait(self, condition: str) -> None:
        """Wait until a condition of the trainer `t` holds."""
        self.page.wait_for_function(f"(() => {{ const t = {TRAINER}; return {condition}; }})()")

    def move(self, name: str, stop: float) -> None:
        """Move a slider to a stop of its own by key, as a reader would."""
        slider = self.root.locator(f"input[name={name}]")
        at, wanted = int(slider.input_value()), getattr(train, STOPS[name]).index(stop)
        for _ in range(abs(wanted - at)):
            slider.press("ArrowRight" if wanted > at else "ArrowLeft")

    def choose(self, preset: str, *, seed: int, **stops: float) -> None:
        """Choose a preset and stops, paused at step 0."""
        self.root.locator(f"button[data-preset={preset}]").click()
        for name, stop in stops.items():
            self.move(name, stop)
        self.root.locator("input[name=seed]").fill(str(seed))
        self.wait("t.W && t.history.steps.at(-1) === 0 && !t.running")

    def params(self) -> Params:
        """What it shows."""
        n, W, b = self.get("[t.preset.n, Array.from(t.W), Array.from(t.b)]")
        return Params(jnp.asarray(np.reshape(W, (-1, n)), jnp.float32), jnp.asarray(b, jnp.float32))

    def step(self) -> int:
        """The last step it showed."""
        return self.get("t.history.steps.at(-1)")


STOPS = {"sparsity": "SPARSITIES", "norm": "NORMS", "rate": "RATES", "pace": "PACES"}


@pytest.fixture(scope="module")
def reader(context, site) -> Iterator[Reader]:
    """The landing page of a reader who wants nothing to move."""
    with reading(context, site, reduced_motion="reduce") as reader:
        reader.open("index")
        yield reader
        assert reader.problems == []


@pytest.fixture(scope="module")
def trainer(reader) -> Trainer:
    trainer = Trainer(reader)
    trainer.root.scroll_into_view_if_needed()
    trainer.wait("t.W")
    return trainer


def test_nothing_moves_by_itself(trainer):
    trainer.page.wait_for_timeout(500)
    assert trainer.step() == 0
    assert not trainer.get("t.running")


def test_a_body_is_turned_by_key_and_drag(trainer):
    picture, mouse = trainer.root.locator(".directions"), trainer.page.mouse
    box = picture.bounding_box()
    mouse.move(box["x"] + 100, box["y"] + 100)
    mouse.down()
    mouse.move(box["x"] + 160, box["y"] + 90)
    mouse.up()
    assert trainer.get("t.view") == pytest.approx([0.65 + 60 / 120, 0.35 - 10 / 120])
    drawn = picture.inner_html()
    picture.press("ArrowLeft")
    trainer.page.wait_for_function("([e, html]) => e.innerHTML != html", arg=[picture.element_handle(), drawn])
    assert trainer.step() == 0


CASES = [
    ("triples", 0.9, 0.0, 1e-3, 0, 2000),
    ("five", 0.93, 0.0, 1e-3, 6, 2000),
    ("pairs", 0.85, 0.0, 3e-4, 1, 2000),
    ("triples", 0.95, 0.5, 3e-3, 2, 300),
]


@pytest.mark.parametrize(("name", "S", "norm", "rate", "seed", "n_steps"), CASES)
def test_it_takes_the_steps_that_toylib_takes(trainer, name, S, norm, rate, seed, n_steps):
    preset = train.PRESETS[name]
    trainer.choose(name, seed=seed, sparsity=S, norm=norm, rate=rate, pace=0)
    start, radius = trainer.params(), norm * float(preset.features.mean_norm(S))
    np.testing.assert_array_equal(start.W, train.first_weights(preset, seed))
    trainer.root.get_by_role("button", name="+ 100 steps").click()
    trainer.wait("!t.running && t.history.steps.at(-1) === 100")
    trainer.page.evaluate(f"{TRAINER}.worker.postMessage({{ more: {n_steps - 100} }})")
    trainer.wait(f"!t.running && t.history.steps.at(-1) === {n_steps}")
    run = training.train(
        preset.features,
        S,
        n_hidden=preset.n_hidden,
        n_steps=n_steps,
        key=jax.random.key(99),
        start=start,
        learning_rate=rate,
        population=True,
        snapshots=[n_steps],
        perturb=attacks.analytic if norm else None,
        radius=radius,
    )
    found = trainer.params()
    assert np.abs(np.asarray(start.W) - run.params.W).max() > 0.1  # there is something to compare
    np.testing.assert_allclose(found.W, run.params.W, atol=1e-4)
    np.testing.assert_allclose(found.b, run.params.b, atol=1e-4)
    assert trainer.get("t.loss") == pytest.approx(float(run.losses[-1]), rel=1e-3, abs=1e-7)


def test_it_names_models_as_toylib_does(trainer):
    for name, preset in train.PRESETS.items():
        trainer.choose(name, seed=preset.seed)
        assert trainer.get("['sparsity', 'norm', 'rate', 'pace'].map(name => t.stop(name))") == [
            *(preset.sparsity, 0, preset.rate, preset.pace)  # its own, whatever another was moved to
        ]
        run = training.train(
            preset.features,
            preset.sparsity,
            n_hidden=preset.n_hidden,
            n_steps=7000,
            key=jax.random.key(preset.seed),
            scale=preset.scale,
            population=True,
            snapshots=range(0, 7001, 100),
        )
        sets, m, n = preset.features.sets, preset.n_hidden, preset.features.n_features
        noise = np.random.default_rng(4).normal(size=(30, m, n))
        templates = [1.03 * W + 0.03 * E for W, E in zip(geometry.templates(sets, m).values(), noise, strict=False)]
        models = [*run.weights, *templates, *noise, 0.05 * noise[0]]
        flat = [np.ravel(W).tolist() for W in models]
        shown = "t => all => all.map(W => Shape.name(t.preset, W, trainCore().gram(W, t.preset.n)))"
        found = trainer.page.evaluate(f"all => ({shown})({TRAINER})(all)", flat)
        wanted = [geometry.classify(W, sets) for W in models]
        if name == "triples":
            assert {"origin", "pca", "lines", "prism", "twisted", "octahedron", "collinear"} <= set(wanted)
        assert found == wanted
        assert len(set(wanted)) > 2
        regular = "t => all => all.map(([name, W]) => Shape.isRegular(t.preset, name, trainCore().gram(W, t.preset.n)))"
        for shape in preset.rules:
            if shape.startswith(("pentagon", "octahedron")):
                W = geometry.templates(sets, m)[shape]
                askew = [(shape, turned(W, *by).ravel().tolist()) for by in ((9, 1.0), (11, 1.0), (0, 1.09), (0, 1.11))]
                assert trainer.page.evaluate(f"all => ({regular})({TRAINER})(all)", askew) == [True, False, True, False]


def turned(W: np.ndarray, degrees: float, longer: float) -> np.ndarray:
    """Templates, all 1.3 times as long, with the first column turned towards another one, and longer."""
    first, angle = W[:, 0], np.radians(degrees)
    off = next(c - (c @ first) * first for c in W.T[1:] if abs(c @ first) < 0.9)
    moved = np.cos(angle) * first + np.sin(angle) * off / np.linalg.norm(off)
    return 1.3 * np.column_stack([longer * moved, W[:, 1:]])


def test_an_attack_is_dragged_and_amplified(trainer):
    trainer.choose("triples", seed=0, sparsity=0.9, rate=1e-2, pace=0)
    trainer.root.get_by_role("button", name="Start").click()
    trainer.wait("t.history.steps.at(-1) > 2000")
    trainer.root.get_by_role("button", name="Pause").click()
    trainer.wait("!t.running")
    params, told = trainer.params(), trainer.root.locator(".told")
    x = jnp.asarray(trainer.get("t.x"), jnp.float32)

    def check() -> np.ndarray:
        delta = np.array(trainer.get("t.delta"))
        length = np.linalg.norm(delta)
        assert length <= 0.5 + 1e-6
        moved = np.linalg.norm(np.asarray(params.W.T @ params.W) @ delta)
        assert f"‖δ‖ = {length:.2f} becomes ‖WᵀWδ‖ = {moved:.2f}" in told.inner_text()
        out = model.reconstruct(params, x + jnp.asarray(delta, jnp.float32))
        assert f"{float(jnp.square(out - x).sum()):.3f} after" in told.inner_text()
        return delta

    bars = trainer.root.locator(".bars.input .bar")
    bars.first.scroll_into_view_if_needed()
    box = bars.nth(1).bounding_box()
    middle, bottom = box["x"] + box["width"] / 2, box["y"] + box["height"]
    trainer.page.mouse.move(middle, bottom - box["height"] / 4)
    trainer.page.mouse.down()
    trainer.page.mouse.move(middle, bottom - box["height"] * (0.6 + 0.3) / 2.4)
    trainer.page.mouse.up()
    delta = check()
    assert delta == pytest.approx(0.3 * np.eye(6)[1], abs=0.02)
    assert float(bars.nth(1).get_attribute("aria-valuenow")) == pytest.approx(delta[1], abs=0.006)
    bars.nth(4).press("End")  # all of the norm, and nothing is left for the other
    assert check() == pytest.approx(0.5 * np.eye(6)[4], abs=1e-6)
    bars.nth(4).press("ArrowDown")
    bars.nth(0).press("ArrowDown")
    assert check() == pytest.approx(0.45 * np.eye(6)[4] - 0.05 * np.eye(6)[0], abs=1e-6)
    trainer.root.get_by_role("button", name="Worst push").click()
    assert check() == pytest.approx(np.asarray(attacks.analytic(params, x, 0.5)), abs=1e-4)
    trainer.root.get_by_role("button", name="No push").click()
    assert not check().any()


def test_a_slider_acts_while_it_trains(context, site):
    with reading(context, site, width=390, has_touch=True, is_mobile=True) as reader:
        reader.open("index")
        trainer, features = Trainer(reader), train.PRESETS["triples"].features
        trainer.root.locator(".stage").scroll_into_view_if_needed()
        trainer.wait("t.running && t.history.steps.at(-1) > 100")  # by itself, once it is in view
        trainer.move("pace", 300)
        trainer.move("sparsity", 0.5)
        trainer.move("norm", 1)
        trainer.wait("t.history.steps.at(-1) > t.history.moves.at(-1) + 50 && t.running")
        assert len(trainer.get("t.history.moves")) == abs(train.SPARSITIES.index(0.9) - 5) + train.NORMS.index(1)
        trainer.root.get_by_role("button", name="Pause").click()
        trainer.wait("!t.running")
        assert trainer.get("t.setting().radius") == pytest.approx(float(features.mean_norm(0.5)), rel=1e-5)
        nodes, weights = features.population(0.5)
        loss = model.loss(trainer.params(), nodes, weights=weights)
        assert trainer.get("t.loss") == pytest.approx(float(loss), rel=1e-4)
        stopped = trainer.step()
        trainer.page.wait_for_timeout(200)
        assert trainer.step() == stopped > 100
        assert reader.page.evaluate("[innerWidth, document.scrollingElement.scrollWidth]") == [390, 390]
        for theme, dark in (("dark", True), ("light", False)):
            reader.theme(theme)
            text = trainer.root.locator(".directions text").first
            wanted = DARK[LABELS[SET_COLORS[0]]] if dark else LABELS[SET_COLORS[0]]
            is_drawn = """(e, [property, color]) => {
                const other = document.createElement("i")
                other.style.color = color
                return getComputedStyle(e)[property] == other.style.color
            }"""
            assert text.evaluate(is_drawn, ["fill", wanted])
            assert trainer.root.locator(".loss .curve").evaluate(is_drawn, ["stroke", DARK[INK] if dark else INK])
            trainer.root.scroll_into_view_if_needed()
            reader.screenshot(f"site-train-phone-{theme}")
        trainer.root.get_by_role("button", name="Reset").click()
        trainer.wait("t.W && t.history.steps.at(-1) === 0")
        np.testing.assert_array_equal(trainer.params().W, train.first_weights(train.PRESETS["triples"], 0))
        assert reader.problems == []
