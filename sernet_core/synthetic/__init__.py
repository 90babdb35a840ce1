"""Procedural street scenes seen from a moving car, with exact labels of the 11 CamVid classes.

`Sequence` is a continuous drive, `random_frame` a single varied frame; both depend on their arguments alone.
"""

from sernet_core.synthetic.light import CONDITIONS, EVALUATION_CONDITIONS
from sernet_core.synthetic.sequence import Frame, Sequence, random_frame
from sernet_core.synthetic.towns import HELD_OUT_TOWN, TOWNS, TRAINING_TOWNS

__all__ = [
    "CONDITIONS",
    "EVALUATION_CONDITIONS",
    "HELD_OUT_TOWN",
    "TOWNS",
    "TRAINING_TOWNS",
    "Frame",
    "Sequence",
    "random_frame",
]
