"""Going on from a model of other classes: what fits is kept, and what does not is told."""

from __future__ import annotations

from dataclasses import dataclass

from sernet_core.checkpoint import Checkpoint
from sernet_core.labels import ClassSet
from sernet_core.network import SernetFormer

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


@dataclass(frozen=True)
class Transfer:
    """What a model gave to one with other classes.

    Attributes:
        kept: Classes of the new set that go on from a class of the old one, with its name.
        fresh: Classes of the new set that start from nothing.
        dropped: Classes of the old set that the new one has no use for.
    """

    kept: dict[str, str]
    fresh: list[str]
    dropped: list[str]

    def __str__(self) -> str:
        kept = ", ".join(new if new == old else f"{new} (from {old})" for new, old in self.kept.items())
        return (
            "other classes than the model to start from; all of it is kept but for the last layer, where\n"
            f"  go on:   {kept or 'none'}\n"
            f"  new:     {', '.join(self.fresh) or 'none'}\n"
            f"  dropped: {', '.join(self.dropped) or 'none'}"
        )


def start_from(network: SernetFormer, start: Checkpoint, classes: ClassSet) -> Transfer | None:
    """Load a model's weights; of its last layer, those of the classes that both sets have.

    Classes are the same by their names, whatever the case, and by a few usual synonyms.

    Args:
        network: To load into, as it was built.
        start: The model to start from: the same network but for its classes.
        classes: Class set of the network.

    Returns:
        What was kept and what not; None where the classes are the same.
    """
    weights = start.network.state_dict()
    if not start.info.classes.difference(classes):
        network.load_state_dict(weights)
        return None
    pairs, own = _same(start.info.classes, classes), network.state_dict()
    for key in ("head.classify.weight", "head.classify.bias"):
        merged = own[key].clone()
        merged[list(pairs)] = weights[key][list(pairs.values())].to(merged)
        weights[key] = merged
    network.load_state_dict(weights)
    return Transfer(
        {classes.names[new]: start.info.classes.names[old] for new, old in pairs.items()},
        [name for new, name in enumerate(classes.names) if new not in pairs],
        [name for old, name in enumerate(start.info.classes.names) if old not in pairs.values()],
    )


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
