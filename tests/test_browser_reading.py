"""Pages of the site, read in a real browser: what folds opens, what is cut off says so, the slider stays in sight."""

import pytest
from reader import DRAWN, reading

STORY, PHONE, LAPTOP = "code-e3bd56e7", {"width": 390, "height": 844}, {"width": 1400, "height": 900}


def top_of(reader, figure):
    """Scroll until the figure begins below the page's header."""
    figure.evaluate("f => f.scrollIntoView({ block: 'start', behavior: 'instant' })")
    reader.page.wait_for_function(DRAWN, arg=figure.element_handle())


def in_view(reader, box):
    return box["y"] >= 0 and box["y"] + box["height"] <= reader.page.viewport_size["height"]


def test_a_page_is_read_on_a_laptop(context, site):
    with reading(context, site) as reader:
        page = reader.page
        page.set_viewport_size(LAPTOP)
        reader.open("2_training_dynamics")
        figure = page.locator(f"#{STORY}")
        top_of(reader, figure)
        slider, plot = reader.slider(figure), reader.plot(figure)
        assert in_view(reader, slider.bounding_box())
        assert in_view(reader, plot.locator("canvas").first.bounding_box())
        reader.screenshot("reading-laptop")

        # Play says what it does; while the plot is turned it waits, goes on afterwards, and stops where it is.
        reader.press(slider, "Home")
        figure.get_by_role("button", name="Play").click()
        page.wait_for_function("s => s.value > 1", arg=slider.element_handle())
        box = plot.locator("canvas").first.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        before = reader.eye(plot)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 60, y, steps=4)
        page.wait_for_timeout(300)  # of a frame that is being drawn
        at = int(slider.input_value())
        page.mouse.move(x + 120, y, steps=4)
        page.wait_for_timeout(500)
        assert int(slider.input_value()) == at
        turned = reader.eye(plot)
        assert max(abs(turned[axis] - before[axis]) for axis in "xyz") > 0.3
        page.mouse.up()
        page.wait_for_function("([s, n]) => s.value > n", arg=[slider.element_handle(), at + 2])
        figure.get_by_role("button", name="Pause").click()
        assert reader.eye(plot) == pytest.approx(turned, abs=0.1)
        at = int(slider.input_value())
        page.wait_for_timeout(300)
        assert int(slider.input_value()) == at < int(slider.get_attribute("max"))

        # Code opens by key and all at once; answers open on a click.
        code = page.locator("details.above-input")
        opened = "all => all.filter((one) => one.open).length"
        assert code.evaluate_all(opened) == 0
        code.first.locator("summary").focus()
        page.keyboard.press("Enter")
        assert code.evaluate_all(opened) == 1
        page.get_by_role("button", name="Show all code").click()
        assert code.evaluate_all(opened) == code.count() > 20
        page.get_by_role("button", name="Fold all code").click()
        assert code.evaluate_all(opened) == 0
        answer = page.locator(".bd-article li > details").first
        assert not answer.locator("p").first.is_visible()
        answer.locator("summary").click()
        assert answer.locator("p").first.is_visible()
        assert reader.problems == []


def test_what_is_cut_off_on_a_phone_says_so(context, site):
    more = "box => [box.dataset.more, getComputedStyle(box).maskImage.includes('gradient')]"
    with reading(context, site, width=390, has_touch=True, is_mobile=True, reduced_motion="reduce") as reader:
        page = reader.page
        reader.open("2_training_dynamics")
        figure = page.locator(f"#{STORY}")
        top_of(reader, figure)
        assert in_view(reader, reader.slider(figure).bounding_box())
        assert reader.slider(figure).bounding_box()["width"] > 90
        sideways = figure.locator(".sideways")
        assert sideways.evaluate(more) == ["right", True]
        assert "scroll sideways" in figure.evaluate("f => getComputedStyle(f, '::before').content")
        sideways.evaluate("box => box.scrollTo(999, 0)")
        page.wait_for_function("box => box.dataset.more == 'left'", arg=sideways.element_handle())
        assert in_view(reader, reader.slider(figure).bounding_box())
        reader.screenshot("reading-phone")

        reader.open("claims")
        table = page.locator(".pst-scrollable-table-container").first
        assert table.evaluate(more) == ["right", True]
        page.set_viewport_size({"width": 1400, "height": 844})
        # A word in two lines has two boxes.
        page.set_viewport_size(PHONE)
        broken = page.locator("td").evaluate_all(
            """cells => cells.slice(0, 60).flatMap((cell) => {
                const text = [...cell.childNodes].flatMap((n) => n.nodeType == 3 ? [n] : [...n.childNodes])
                    .find((n) => n.nodeType == 3);
                return [...(text?.data ?? "").matchAll(/[a-z]{3,}/g)].filter((word) => {
                    const range = new Range();
                    range.setStart(text, word.index);
                    range.setEnd(text, word.index + word[0].length);
                    return range.getClientRects().length > 1;
                }).map((word) => word[0]);
            })"""
        )
        assert broken == []
        assert reader.problems == []
