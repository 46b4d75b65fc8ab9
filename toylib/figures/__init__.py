"""Every picture: pure functions from arrays to a `Drawing`, plain data that a notebook shows as a plotly figure.

`Drawing.figure()` gives the plotly Figure itself, to be changed or exported. A picture scrubs without a kernel through
`frames(draw, name=values)`, and with one through `explorers.explore(draw, name=values, ...)`; `draw` is a picture with
all else bound. `style` has the colours, which are told apart by colour-blind eyes too, and the theme.
"""

from toylib.figures import style
from toylib.figures._adversarial import Limits, attacked_models, attacked_sample, interference, outcome_map, represented
from toylib.figures._curves import histogram, lines, means, scatter, shares, stacked, trade
from toylib.figures._directions import directions, planes, plateaus
from toylib.figures._drawing import Axis, Drawing, frames
from toylib.figures._polyhedra import branches, polyhedron, stages, story
from toylib.figures._samples import blocks, gallery, graded, linked, matrices, phase_diagram, spectra

__all__ = [
    "Axis",
    "Drawing",
    "Limits",
    "attacked_models",
    "attacked_sample",
    "blocks",
    "branches",
    "directions",
    "frames",
    "gallery",
    "graded",
    "histogram",
    "interference",
    "lines",
    "linked",
    "matrices",
    "means",
    "outcome_map",
    "phase_diagram",
    "planes",
    "plateaus",
    "polyhedron",
    "represented",
    "scatter",
    "shares",
    "spectra",
    "stacked",
    "stages",
    "story",
    "style",
    "trade",
]
