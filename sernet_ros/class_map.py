"""What the ids of a recorded ground truth mean to a model: the same classes, or a map from a file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sernet_core.errors import ConfigError, InputError, unknown_name
from sernet_core.labels import IGNORE, ClassSet, class_set
from sernet_ros.sources import Source

VOID = "void"
_SETS = ("camvid", "cityscapes")


@dataclass(frozen=True)
class TruthMap:
    """How the ground truth of a source is read.

    Attributes:
        table: Class of the model by recorded id, uint8 (256,); None where they are the same.
        note: Why the ground truth cannot be used; empty where it can.
    """

    table: np.ndarray | None = None
    note: str = ""


def truth_map(source: Source, classes: ClassSet, choice: str | None) -> TruthMap:
    """Decide how a source's ground truth is read.

    Args:
        source: Where the frames come from.
        classes: The model's.
        choice: What the user says that the ids are: name of a class set, or a CSV file with the columns
            id, name (the model's class, or "void"); None: what the source itself says.

    Raises:
        ConfigError: The class set does not fit the model, or the file does not.
        InputError: The file cannot be read.
    """
    if source.classes is None and not source.with_truth:
        return TruthMap(note="This source has no ground truth: accuracy is left out.")
    if choice in _SETS:
        return _as_set(class_set(choice), classes, f"--class-map {choice}")
    if choice is not None:
        return TruthMap(_read(Path(choice).expanduser(), classes))
    if source.classes is None:
        return TruthMap(
            note="The recording does not say what the ids of its ground truth mean: accuracy is left out. "
            f"Say it with --class-map: {', '.join(_SETS)}, or a CSV file with the columns id,name."
        )
    if source.classes.names != classes.names:
        return TruthMap(
            note=f"The source has the classes of {source.classes.name}, the model those of {classes.name}: "
            "accuracy is left out. A CSV file with the columns id,name maps them (--class-map)."
        )
    return TruthMap()


def _as_set(recorded: ClassSet, classes: ClassSet, option: str) -> TruthMap:
    if recorded.names != classes.names:
        raise ConfigError(
            f"{option}: the model knows the classes of {classes.name}; map them with a CSV file with the "
            f"columns id,name, where name is one of {', '.join(classes.names)} or {VOID}"
        )
    return TruthMap()


def _read(path: Path, classes: ClassSet) -> np.ndarray:
    if not path.is_file():
        raise ConfigError(f"--class-map {path}: neither a file nor one of {', '.join(_SETS)}")
    table = np.full(256, IGNORE, np.uint8)
    seen: set[int] = set()
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
        for number, row in enumerate(rows, 1):
            index, name = int(row["id"]), (row["name"] or VOID).strip()
            if not 0 <= index <= IGNORE or index in seen:
                raise ValueError(f"entry {number}: id {index} stands twice or is not from 0 to {IGNORE}")
            if name != VOID and name not in classes.names:
                words = unknown_name(f"class of {classes.name}", name, classes.names)
                raise ConfigError(f"{path}, entry {number}: {words}, or {VOID}")
            seen.add(index)
            table[index] = IGNORE if name == VOID else classes.id_of(name)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: needs the columns id,name: {error}") from error
    if not seen:
        raise InputError(f"{path}: maps nothing; needs the columns id,name")
    return table
