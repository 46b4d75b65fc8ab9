"""One training loop for everything: fresh batches or the population, plain or attacked, one model or an ensemble.

The defaults, beside the notebook that accompanies the paper (anthropics/toy-models-of-superposition, as of 2022; the
paper itself gives none for correlated features):

    |                | here                                         | the paper's notebook                         |
    |----------------|----------------------------------------------|----------------------------------------------|
    | optimiser      | Adam, learning rate 1e-3, constant           | AdamW, 1e-3, constant, weight decay 0.01     |
    | batch          | 1,024, fresh, or population nodes            | 1,024, fresh                                 |
    | steps          | 10,000                                       | 10,000                                       |
    | loss           | sum over features, mean over the batch       | mean over both                               |
    | initial W      | 0.01·N(0, 1)                                 | Xavier-normal over (instances, n, m):        |
    |                |                                              | deviation sqrt(2/((n + instances)·m)), which |
    |                |                                              | for n = 6, m = 3 is 0.31 with one instance   |
    | initial b      | 0                                            | 0                                            |

`train` gives a finished `Run`, `states` the same run piece by piece, `train_ensemble` the product of many settings.
"""

from toylib.training._run import Diverged, Interrupted, Run, State, log_spaced
from toylib.training._train import states, train, train_ensemble

__all__ = ["Diverged", "Interrupted", "Run", "State", "log_spaced", "states", "train", "train_ensemble"]
