"""The int8 model beside a checkpoint: where it lies, what it says of itself, and whether it can be used.

It is an OpenVINO model, NAME.int8.xml and NAME.int8.bin, that `sernet quantize` makes. What it says stands in
the .xml file, which is read here without OpenVINO.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sernet_core.engines.base import Source
from sernet_core.engines.cache import weights_hash
from sernet_core.errors import EngineError

SECTION = "sernet"  # of the metadata (rt_info)
MOST_LOST = 0.5
"""Points of mIoU that int8 may cost before `auto` leaves it alone."""


@dataclass(frozen=True)
class Quantised:
    """What an int8 model says of itself.

    Attributes:
        path: Its .xml file.
        weights: Digest of the weights that it was made from.
        calibrated_on: Frames that its ranges are of.
        scores: mIoU in percent on a labelled split, never trained on: `split`, `fp32` and `int8`; empty where
            it was not scored.
    """

    path: Path
    weights: str
    calibrated_on: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_mb(self) -> float:
        """Of both files."""
        return sum(file.stat().st_size for file in (self.path, self.path.with_suffix(".bin"))) / 1e6

    @property
    def words(self) -> str:
        """Its figures in a line."""
        if not self.scores:
            return "not scored"
        exact, coarse = self.scores["fp32"], self.scores["int8"]
        return f"mIoU {coarse:.2f} % on {self.scores['split']} (fp32 {exact:.2f} %)"

    @property
    def doubt(self) -> str:
        """Why `auto` does not choose it; empty when it may."""
        if not self.scores:
            return "its accuracy is not known (sernet quantize --score)"
        lost = self.scores["fp32"] - self.scores["int8"]
        if lost <= MOST_LOST:
            return ""
        return f"costs {lost:.2f} points of mIoU on {self.scores['split']}, more than {MOST_LOST:g}"


def quantised_path(checkpoint: Path) -> Path:
    """Where the int8 model of a checkpoint lies."""
    return checkpoint.with_suffix(".int8.xml")


def read_quantised(checkpoint: Path) -> Quantised | None:
    """What the int8 model of a checkpoint says of itself; None where there is none that says anything."""
    path = quantised_path(checkpoint)
    try:
        facts = ElementTree.parse(path).getroot().find(f"rt_info/{SECTION}")
        if facts is None or not path.with_suffix(".bin").is_file():
            return None
        values = {fact.tag: fact.get("value", "") for fact in facts}
        scores = json.loads(values.get("scores") or "{}")
        return Quantised(path, values["weights"], values.get("calibrated_on", ""), scores)
    except (OSError, ElementTree.ParseError, KeyError, ValueError):
        return None


def quantised(source: Source) -> Path:
    """File of the int8 model that belongs to these weights.

    Raises:
        EngineError: There is none, or it was made from other weights.
    """
    path = quantised_path(source.path)
    remedy = f"sernet quantize --model {source.path} --data TREE makes it"
    if not path.is_file():
        raise EngineError(f"precision int8 needs {path}, which is not there; {remedy}")
    found = read_quantised(source.path)
    if found is None or found.weights != weights_hash(source.model):
        raise EngineError(f"{path} was made from other weights than those of {source.path}; {remedy} anew")
    return path
