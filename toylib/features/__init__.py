"""What the data are: sparse features whose gates open independently, in sets, partly so, one per set, or down a tree.

S is the probability that a gate is off and p = 1 - S the density. A feature whose gate lets it through takes a value
from U[0, 1]; all others are exactly zero. Every random quantity is a threshold on, or a copy of, uniform numbers that
do not depend on S (`Features.from_uniforms`): one stream of uniforms serves every sparsity, and scrubbing S moves
single features in and out of the picture instead of drawing a new one.

A design of your own is a subclass of `Features`, which says what it must give.

Source: Elhage et al. 2022, sections "Demonstrating Superposition" and "The Geometry of Superposition" (correlated and
anticorrelated features). The hierarchical tree follows the data of Saxe, McClelland, Ganguli 2019 (arXiv 1810.10531).
"""

from toylib.features._base import Features, States
from toylib.features._sets import Anticorrelated, Correlated, Independent, PartlyCorrelated
from toylib.features._tree import Hierarchical

__all__ = ["Anticorrelated", "Correlated", "Features", "Hierarchical", "Independent", "PartlyCorrelated", "States"]
