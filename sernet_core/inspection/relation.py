"""Over a split: do the gates follow the quality of the masks, and do the parts help?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from sernet_core.bootstrap import Estimate, iou_differences, mean_estimate, rank_correlation
from sernet_core.datasets import Dataset
from sernet_core.engines.plan import Plan
from sernet_core.errors import ConfigError, InputError
from sernet_core.evaluate import check_split
from sernet_core.frame_scores import frame_counts, iou_of, mean_iou
from sernet_core.inspection.probe import Probe

STRETCH = 10  # neighbouring frames that are drawn together
FEWEST = 8  # frames that say anything of a correlation


@dataclass
class Relation:
    """Figures of every frame looked at.

    Attributes:
        stems: Their names.
        counts: int32 (3, K) each, see `frame_counts`.
        activity: By gate: its activity in each frame, in percent.
        contrast: By gate: mean energy where the mask is wrong over that where it is right; nan where it is
            all right, or all wrong.
        without: By part: counts of the masks of the network without it.
    """

    stems: list[str] = field(default_factory=list)
    counts: list[np.ndarray] = field(default_factory=list)
    activity: dict[str, list[float]] = field(default_factory=dict)
    contrast: dict[str, list[float]] = field(default_factory=dict)
    without: dict[str, list[np.ndarray]] = field(default_factory=dict)


def relate(
    probe: Probe, model: str, dataset: Dataset, *, without: bool = False, every: int = 1, quiet: bool = False
) -> Relation:
    """Look at the frames of a split.

    Args:
        probe: Looks at frames.
        model: What to call its model.
        dataset: Frames with ground truth.
        without: Also run without each part in turn.
        every: Take every n-th frame.
        quiet: No progress bar.

    Raises:
        InputError: A frame has no ground truth, or see `frames_to_relate`.
        ConfigError: No such step.
    """
    numbers = frames_to_relate(probe, model, dataset, every)
    found, size = Relation(), len(dataset.classes)
    for number in tqdm(numbers, f"inspect {dataset.name}", unit="frame", leave=False, disable=quiet or None):
        sample = dataset[number]
        if sample.label is None:
            raise InputError(
                f"{dataset.name}: {sample.stem} has no ground truth, so nothing can be related to it"
            )
        look = probe.look(sample.image, without=without)
        found.stems.append(sample.stem)
        found.counts.append(frame_counts(sample.label, look.mask, size))
        for name, gate in look.gates.items():
            found.activity.setdefault(name, []).append(gate.activity)
            energy = _over_frame(gate.energy, look.plan)
            found.contrast.setdefault(name, []).append(_contrast(energy, sample.label, look.mask, size))
        for part, mask in look.without.items():
            found.without.setdefault(part, []).append(frame_counts(sample.label, mask, size))
    if not any(counts.any() for counts in found.counts):
        raise InputError(f"{dataset.name}: nothing in it is labelled, so nothing can be related to it")
    return found


def frames_to_relate(probe: Probe, model: str, dataset: Dataset, every: int) -> range:
    """Numbers of the frames that `relate` looks at.

    Raises:
        InputError: The class sets differ, the split was trained on, or too few frames are left.
        ConfigError: No such step.
    """
    if every < 1:
        raise ConfigError(f"--every: needs 1 or more, got {every}")
    check_split(dataset, probe.info, model)
    numbers = range(0, len(dataset), every)
    if len(numbers) < FEWEST:
        raise InputError(
            f"{dataset.name}: {len(numbers)} frames are too few to relate anything; {FEWEST} are not"
        )
    return numbers


def _over_frame(energy: np.ndarray, plan: Plan) -> np.ndarray:
    """Energy in cells of the padded input as energy of the frame's pixels, by the way that logits take."""
    height, width = plan.network
    unpadded = cv2.resize(energy, plan.padded[::-1], interpolation=cv2.INTER_LINEAR)[:height, :width]
    return cv2.resize(unpadded, plan.frame[::-1], interpolation=cv2.INTER_LINEAR)


def _contrast(energy: np.ndarray, truth: np.ndarray, mask: np.ndarray, size: int) -> float:
    """Mean energy at wrong pixels over that at right ones; nan where either are missing or have none."""
    known = truth < size
    wrong, right = known & (mask != truth), known & (mask == truth)
    if not (wrong.any() and right.any() and energy[right].any()):
        return float("nan")
    return float(energy[wrong].mean() / energy[right].mean())


def figures_of(relation: Relation, probe: Probe, names: list[str], every: int) -> dict[str, Any]:
    """What the frames say together, ready for JSON.

    Args:
        relation: The frames.
        probe: What looked at them.
        names: Of the classes.
        every: Step at which frames were taken.
    """
    # Of fewer than five stretches, draws would hardly differ.
    block = max(1, min(STRETCH // every, len(relation.stems) // 5))
    counts = np.stack(relation.counts)
    whole = mean_iou(iou_of(counts.sum(0)))
    quality = np.array([mean_iou(iou_of(one)) for one in relation.counts], float)  # None becomes nan
    gates = {}
    for name, activity in relation.activity.items():
        values = np.array(activity)
        kept = np.isfinite(quality)
        gates[name] = {
            "gain": round(probe.gains[name], 4),
            "activity": {
                "median": _plain(np.median(values)),
                "min": _plain(values.min()),
                "max": _plain(values.max()),
            },
            "with_miou": _estimate(rank_correlation(values[kept], quality[kept], block=block)),
            "wrong_over_right": _estimate(mean_estimate(np.array(relation.contrast[name]), block=block)),
        }
    parts = {}
    for part, without in relation.without.items():
        miou, classes = iou_differences(counts, np.stack(without), paired=True, block=block)
        parts[part] = {
            "miou": _plain(miou.second),
            "change": {"value": _plain(miou.value), "low": _plain(miou.low), "high": _plain(miou.high)},
            "by_class": {name: _plain(one.value) for name, one in zip(names, classes, strict=True)},
        }
    return {
        "frames": len(relation.stems),
        "every": every,
        "frames_together": block,
        "miou": None if whole is None else _plain(whole),
        "gates": gates,
        "without": parts,
    }


def _estimate(found: Estimate) -> dict[str, float | None]:
    return {"value": _plain(found.value), "low": _plain(found.low), "high": _plain(found.high)}


def _plain(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
