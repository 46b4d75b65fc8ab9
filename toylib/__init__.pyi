from . import (
    attacks,
    explorers,
    features,
    figures,
    geometry,
    model,
    reporting,
    robustness,
    sweeps,
    theory,
    training,
)

__all__ = [
    "attacks",
    "explorers",
    "features",
    "figures",
    "geometry",
    "model",
    "reporting",
    "robustness",
    "sweeps",
    "theory",
    "training",
]
