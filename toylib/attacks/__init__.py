"""L2 attacks on the reconstruction: perturbations δ, ‖δ‖ ≤ radius, that raise e = ‖x - model(x + δ)‖².

Every attack is called as attack(params, x, radius, key=key) (the protocol `Attack`), takes one model and one sample,
and returns δ, not x + δ; jax.vmap takes more of either, and for thousands of samples
`jax.lax.map(..., batch_size=64)` is faster on a CPU. A deterministic attack ignores the key, a random one raises
without it. Options are bound with functools.partial: `partial(pgd, n_steps=5)` is an attack too, and `train` takes any.
The target is always the clean x, and δ may leave [0, 1]. A dead feature (W_i = 0), a zero gradient and radius 0 give
δ = 0.

For the classifiers of `model` an attack lets another class win while the label stays: `pairwise`, `margin_pgd`, their
success `flipped`, and `least_flip`, what the best one needs.

`worst_case` bounds what any attack can do, `vulnerability` measures what one does to many samples, and `audit` and
`readings` do all of this to one model.

Sources: Elhage et al. 2022, "Relationship to Adversarial Robustness"; Stevinson et al. 2026, arXiv 2510.11709.
"""

from toylib.attacks._analytic import analytic, analytic_dataset, random_direction, random_feature
from toylib.attacks._ascent import latent, one_step, pgd
from toylib.attacks._audit import NOISE, Audit, Readings, Silence, audit, readings, silence
from toylib.attacks._certificates import worst_case
from toylib.attacks._contract import Attack, error, vulnerability
from toylib.attacks._margin import Ascent, flipped, least_flip, margin_pgd, pairwise, rivals

__all__ = [
    "NOISE",
    "Ascent",
    "Attack",
    "Audit",
    "Readings",
    "Silence",
    "analytic",
    "analytic_dataset",
    "audit",
    "error",
    "flipped",
    "latent",
    "least_flip",
    "margin_pgd",
    "one_step",
    "pairwise",
    "pgd",
    "random_direction",
    "random_feature",
    "readings",
    "rivals",
    "silence",
    "vulnerability",
    "worst_case",
]
