"""Toy models of superposition: how they learn to store more features than dimensions, and what attacks make of it.

A room per noun of the paper, each loaded when it is first used:

- `features`: what the data are; `model`: ReLU(WᵀWx + b) and its linear twin; `training`: the loop, and runs.
- `theory`: exact losses, thresholds and rates; `geometry`: where a model puts its features; `attacks`: what pushes do.
- `robustness`: what training under attack leaves; `sweeps`: many thousands of models, labelled and resumable.
- `figures`: drawings of all this; `explorers`: sliders over drawings; `reporting`: intervals and claims.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
