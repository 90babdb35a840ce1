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

from sernet_core.digests import file_sha256
from sernet_core.engines.base import Source
from sernet_core.engines.cache import weights_hash
from sernet_core.engines.plan import same_scale
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
        scores: mIoU in percent on a labelled split, never trained on: `split`, `fp32` and `int8`, and the
            `input_size` (width, height) that the network had; empty where it was not scored.
        sha256: Of the .bin file that the .xml belongs to; "" where it does not say.
    """

    path: Path
    weights: str
    calibrated_on: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

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
        """Why `auto` does not choose it, whatever the frame's size; empty when it may."""
        if self.is_mixed:
            return f"{self.path} and its .bin file are of two models (sernet quantize)"
        if not self.scores:
            return "its accuracy is not known (sernet quantize --score)"
        if self.scores["split"].startswith("synthetic"):
            return f"its accuracy is known on {self.scores['split']} alone, not on real frames"
        lost = self.scores["fp32"] - self.scores["int8"]
        if lost <= MOST_LOST:
            return ""
        return f"costs {lost:.2f} points of mIoU on {self.scores['split']}, more than {MOST_LOST:g}"

    def doubt_at(self, height: int, width: int) -> str:
        """As `doubt`, where the network sees frames at a size: ranges and scores are those of another one."""
        if self.doubt or not (size := self.scores.get("input_size")):
            return self.doubt
        if same_scale((width, height), size):
            return ""
        return f"its accuracy is known at {size[0]}x{size[1]}, not at {width}x{height}"

    @property
    def is_mixed(self) -> bool:
        """Whether the .bin file is another than the one that the .xml file was written with."""
        return bool(self.sha256) and file_sha256(self.path.with_suffix(".bin")) != self.sha256


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
        scores = _checked(json.loads(values.get("scores") or "{}"))
        sha256 = values.get("bin_sha256", "")
        return Quantised(path, values["weights"], values.get("calibrated_on", ""), scores, sha256)
    except (OSError, ElementTree.ParseError, KeyError, ValueError):
        return None


def _checked(scores: Any) -> Mapping[str, Any]:
    """Scores that can be relied on; none where a figure or the split is missing."""
    whole = (
        isinstance(scores, dict)
        and isinstance(scores.get("split"), str)
        and all(isinstance(scores.get(name), int | float) for name in ("fp32", "int8"))
    )
    if not whole:
        return {}
    size = scores.pop("input_size", None)
    sized = isinstance(size, list) and len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)
    return {**scores, "input_size": size} if sized else scores


def quantised(source: Source) -> Path:
    """File of the int8 model that belongs to these weights.

    Raises:
        EngineError: There is none, it was made from other weights, or its two files do not belong together.
    """
    path = quantised_path(source.path)
    remedy = f"sernet quantize --model {source.path} --data TREE makes it"
    if not path.is_file():
        raise EngineError(f"precision int8 needs {path}, which is not there; {remedy}")
    found = read_quantised(source.path)
    if found is None or found.weights != weights_hash(source.model):
        raise EngineError(f"{path} was made from other weights than those of {source.path}; {remedy} anew")
    if found.is_mixed:
        raise EngineError(f"{path} and its .bin file are of two models; {remedy} anew")
    return path
