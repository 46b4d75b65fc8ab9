"""Sweeps over grids of settings: labelled, resumable after any interruption, on any executor. docs/sweeps.md.

`run` calls a function on every point of a grid, `plan` says what that will take and `status` what a store holds.
`product` gives a batch's points back as axes, and `train_points` trains them, for `as_run` to make a Run again.

The names load when they are first used: a worker that is handed a batch needs NumPy, and neither xarray nor zarr.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
