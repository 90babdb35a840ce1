"""Going on from a model of other classes or parts: what fits is kept, and what does not is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from sernet_core.checkpoint import Checkpoint
from sernet_core.decoder import LATERAL_SCALE
from sernet_core.labels import ClassSet
from sernet_core.network import NetworkConfig, SernetFormer

# Names of one thing in the class sets of this field, in lower case.
_SYNONYMS = (
    {"pavement", "sidewalk"},
    {"tree", "vegetation"},
    {"signsymbol", "traffic sign", "traffic_sign"},
    {"pedestrian", "person"},
    {"bicyclist", "rider"},
    {"bicycle", "bike"},
    {"traffic light", "traffic_light"},
)
_LAST = ("head.classify.weight", "head.classify.bias")
# Settings that change neither names nor shapes of weights, by the part that they are of.
_UNSEEN = {"encoder": "output_stride", "context": "dbn_rates"}
# Size at which a new input that is added to a trained one starts, of that in a network that is new as a
# whole: at the full size it would drown what the other has learned, and at 0, behind its ReLU, it would
# never learn.
_QUIET = 0.1


@dataclass(frozen=True)
class Transfer:
    """What a model gave to one with other classes or other parts.

    Attributes:
        kept: Classes of the new set that go on from a class of the old one, with its name.
        fresh: Classes of the new set that start from nothing.
        dropped: Classes of the old set that the new one has no use for.
        parts: Parts of the network that start from nothing, for want of such shapes in the old one.
        settings: Settings that weights which are kept were not trained with: the new value and the old one.
    """

    kept: dict[str, str] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    settings: dict[str, tuple[object, object]] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = []
        if self.parts:
            fresh = ", ".join(self.parts)
            lines.append(f"other parts than the model to start from: {fresh} start from nothing")
        for name, (new, old) in self.settings.items():
            lines.append(f"other settings than the model to start from: {name} {new}, its weights know {old}")
        if self.kept or self.fresh or self.dropped:
            kept = ", ".join(new if new == old else f"{new} (from {old})" for new, old in self.kept.items())
            lines += [
                "other classes than the model to start from; of its last layer",
                f"  go on:   {kept or 'none'}",
                f"  new:     {', '.join(self.fresh) or 'none'}",
                f"  dropped: {', '.join(self.dropped) or 'none'}",
            ]
        return "\n".join(lines)


def start_from(network: SernetFormer, start: Checkpoint, classes: ClassSet) -> Transfer | None:
    """Load a model's weights: the parts of the same shapes, and of the last layer the classes of both sets.

    Classes are the same by their names, whatever the case, and by a few usual synonyms. A lateral input
    that is new in a branch that is kept starts at a tenth of its size.

    Args:
        network: To load into, as it was built.
        start: The model to start from, with the same encoder.
        classes: Class set of the network.

    Returns:
        What was kept and what not; None where all was.
    """
    given, own = start.network.state_dict(), network.state_dict()
    parts = [fresh for name, _ in network.named_children() for fresh in _fresh(name, given, own)]
    settings = other_settings(start.info.network, network.config, parts)
    weights = {
        key: own[key] if key.startswith(tuple(f"{part}." for part in parts)) else given[key] for key in own
    }
    joined = tuple(f"{part}." for part in parts if part.endswith(".lateral"))
    weights |= {
        key: _QUIET * own[key] for key in own if key.startswith(joined) and key.endswith(LATERAL_SCALE)
    }
    if not start.info.classes.difference(classes):
        network.load_state_dict(weights)
        return Transfer(parts=parts, settings=settings) if parts or settings else None
    pairs = {} if "head" in parts else _same(start.info.classes, classes)
    for key in _LAST:
        merged = own[key].clone()
        if pairs:  # else the layers may differ in width
            merged[list(pairs)] = given[key][list(pairs.values())].to(merged)
        weights[key] = merged
    network.load_state_dict(weights)
    return Transfer(
        {classes.names[new]: start.info.classes.names[old] for new, old in pairs.items()},
        [name for new, name in enumerate(classes.names) if new not in pairs],
        [name for old, name in enumerate(start.info.classes.names) if old not in pairs.values()],
        parts,
        settings,
    )


def other_settings(
    old: NetworkConfig, new: NetworkConfig, fresh: Sequence[str]
) -> dict[str, tuple[object, object]]:
    """Settings, new and old, that no weight shows and that differ in the parts that are kept.

    Args:
        old: Of the model to start from.
        new: Of the network that takes its weights.
        fresh: Parts of the network that start from nothing.
    """
    begun = {name.partition(".")[0] for name in fresh}
    kept = [name for part, name in _UNSEEN.items() if part not in begun and (part == "encoder" or new.dbn)]
    pairs = {name: (getattr(new, name), getattr(old, name)) for name in kept}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _fresh(part: str, given: dict[str, Tensor], own: dict[str, Tensor]) -> list[str]:
    """What of a part starts from nothing: nothing, what the old network lacks in it, or the whole part."""
    shapes = [
        {
            key: value.shape[1:] if key in _LAST else value.shape  # the number of classes apart
            for key, value in weights.items()
            if key.startswith(f"{part}.")
        }
        for weights in (given, own)
    ]
    lacking = sorted({".".join(key.split(".")[:2]) for key in shapes[1].keys() - shapes[0].keys()})
    kept = {key: shape for key, shape in shapes[1].items() if ".".join(key.split(".")[:2]) not in lacking}
    return lacking if kept and kept == shapes[0] else [part]


def _same(old: ClassSet, new: ClassSet) -> dict[int, int]:
    """Ids of the old set by the ids of the new one that mean the same."""
    by_meaning = {_meaning(name): number for number, name in enumerate(old.names)}
    return {
        number: by_meaning[_meaning(name)]
        for number, name in enumerate(new.names)
        if _meaning(name) in by_meaning
    }


def _meaning(name: str) -> str:
    plain = name.lower()
    return next((min(names) for names in _SYNONYMS if plain in names), plain)
