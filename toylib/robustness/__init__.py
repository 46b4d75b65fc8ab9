"""What adversarial training leaves of a model: what it still represents, how cleanly, at what loss; and how it is read.

`superposition` measures what a model represents, `saving` what it is worth, and `outcome` names how training under
attack ended: superposition is eliminated, the model has given up, superposition is reduced, or none of these. No rule
has a unit. `attacked_loss` is the loss under the strongest attack by gradients. `probe` reads features from the hidden
activations by linear probes, and `rotated` turns the hidden space until its axes are as nearly features as they can be,
which `monosemanticity` measures.

Source: Elhage et al. 2022, "Relationship to Adversarial Robustness", last two paragraphs.
"""

from toylib.robustness._outcomes import (
    GIVEN_UP,
    KEPT,
    Superposition,
    attacked_loss,
    eliminated,
    given_up,
    measured,
    outcome,
    outcomes,
    reduced,
    saving,
    superposition,
)
from toylib.robustness._reading import Probe, monosemanticity, probe, rotated

__all__ = [
    "GIVEN_UP",
    "KEPT",
    "Probe",
    "Superposition",
    "attacked_loss",
    "eliminated",
    "given_up",
    "measured",
    "monosemanticity",
    "outcome",
    "outcomes",
    "probe",
    "reduced",
    "rotated",
    "saving",
    "superposition",
]
