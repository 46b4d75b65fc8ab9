"""What the pictures of docs/speed.md have in common."""

from collections.abc import Mapping, Sequence
from typing import Any

from times import conditions


def headed(title: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The layout of a title, and below it on what was measured and when, with room for a legend under both."""
    said = {"text": conditions(stored), "font_size": 11}
    return {"title": {"text": title, "subtitle": said, "y": 1, "yanchor": "top", "pad_t": 14}, "margin_t": 96}


def points(found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The x of a trace: medians as points, with the range of each."""
    ends = {
        "type": "data",
        "array": [each["high"] - each["median"] for each in found],
        "arrayminus": [each["median"] - each["low"] for each in found],
    }
    return {"x": [each["median"] for each in found], "error_x": ends, "mode": "markers"}
