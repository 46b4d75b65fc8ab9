"""Sliders over drawings, for a live kernel. A slider indexes what is there or runs what is compiled.

`explore(draw, name=values, ...)` puts sliders on any picture of `figures`; `geometry`, `attack` and `robust` are the
explorers of the notebooks; `train` trains a model that one watches, under sliders that act on it. An explorer of your
own is a picture with all but the sliders' values bound:

    explore(lambda sparsity, seed: figures.matrices(grams[sparsity, seed], **texts), sparsity=[0.5, 0.9], seed=range(3))
"""

from toylib.explorers._explorer import Explorer, explore
from toylib.explorers._ready import attack, geometry, robust
from toylib.explorers._train import train
from toylib.explorers._trainer import Trainer

__all__ = ["Explorer", "Trainer", "attack", "explore", "geometry", "robust", "train"]
