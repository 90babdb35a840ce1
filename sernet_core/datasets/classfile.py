"""The classes of a data set as a CSV file: names, and the ids and colours that stand for them in labels."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sernet_core.datasets.camvid32 import CAMVID32
from sernet_core.datasets.files import Color, LabelDecoder
from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import CAMVID, CITYSCAPES, IGNORE, ClassSet

NAMES = ("classes.csv", "class_dict.csv")
VOID = ("void", "unlabelled", "unlabeled", "ignore")  # names of rows that are no class


def class_file(root: Path) -> Path | None:
    """The class file of a tree, None where it has none."""
    return next((root / name for name in NAMES if (root / name).is_file()), None)


def decoder_of(root: Path) -> LabelDecoder:
    """How to read the labels of a tree: by its class file; CamVid's eleven ids where it has none.

    Raises:
        InputError: The class file cannot be used.
    """
    path = class_file(root)
    return LabelDecoder.of(CAMVID) if path is None else read_classes(path)


def read_classes(path: Path) -> LabelDecoder:
    """Read a class file: columns name, r, g, b, and id where ids are not the numbers of the rows, from 0.

    A row with the id 255 or one of the names in `VOID` is no class: its id and its colour mean void. A set
    with the names of a known one is that one, in the colours of the file; CamVid's 32 classes become its
    eleven. Where all colours are greys, white is that of a class and there is no column id, labels of one
    channel may hold these greys: masks in black and white.

    Raises:
        InputError: It cannot be used; the message says why.
    """
    try:
        rows, numbered = _rows(path)
        if {color for _, _, color in rows} == set(CAMVID32):
            ids = {number: CAMVID32[color] for number, _, color in rows}
            return LabelDecoder(CAMVID, ids | {IGNORE: IGNORE}, CAMVID32)
        decoder = _decoder(path, rows)
        return decoder if numbered else _with_greys(decoder, [color for _, _, color in rows])
    except (KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(
            f"{path}: needs the columns name,r,g,b (and id) with whole numbers: {error!r}"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ConfigError as error:
        raise InputError(f"{path}: {error}") from error


def _rows(path: Path) -> tuple[list[tuple[int, str, Color]], bool]:
    """Id, name and colour of each row, in the order of the ids; and whether the file states the ids."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [
            {key.strip().lower(): value.strip() for key, value in row.items()}
            for row in csv.DictReader(file, skipinitialspace=True)
        ]
    found = sorted(
        (int(row.get("id", number)), row["name"], (int(row["r"]), int(row["g"]), int(row["b"])))
        for number, row in enumerate(rows)
    )
    return found, any("id" in row for row in rows)


def _with_greys(decoder: LabelDecoder, colors: Sequence[Color]) -> LabelDecoder:
    """The decoder, reading masks in black and white too if the classes have such colours.

    Where a value means one class as an id and another as a grey, 255 for void aside, labels hold no ids.
    """
    greys = {color[0]: number for color, number in decoder.colors.items()}
    if any(len(set(color)) > 1 for color in colors) or greys.get(IGNORE, IGNORE) == IGNORE:
        return decoder
    ids = {value: number for value, number in decoder.ids.items() if value != IGNORE}
    agree = all(greys.get(value, number) == number for value, number in ids.items())
    return replace(decoder, ids={**(ids if agree else {}), **greys}, greys=frozenset(greys))


def _decoder(path: Path, rows: list[tuple[int, str, Color]]) -> LabelDecoder:
    stored = [number for number, _, _ in rows if number != IGNORE]
    if stored != list(range(len(stored))):
        raise InputError(f"{path}: ids must run from 0 without a gap (255 = void)")
    void = [row for row in rows if row[0] == IGNORE or row[1].lower() in VOID]
    for _, name, color in void:  # the class set checks those of the classes
        if not all(0 <= value <= 255 for value in color):
            raise InputError(f"{path}: colours must be from 0 to 255, {name} has {list(color)}")
    real = [row for row in rows if row not in void]
    names, palette = tuple(name for _, name, _ in real), tuple(color for _, _, color in real)
    known = next((known for known in (CAMVID, CITYSCAPES) if known.names == names), None)
    if known is None or known.palette != palette:
        name = known.name if known else path.absolute().parent.name
        known = ClassSet(name, names, palette)
    ids = {number: position for position, (number, _, _) in enumerate(real)}
    ids |= {number: IGNORE for number, _, _ in void} | {IGNORE: IGNORE}
    colors = [(color, ids[number]) for number, _, color in rows]
    once = [color for color, _ in colors]
    return LabelDecoder(known, ids, {color: number for color, number in colors if once.count(color) == 1})
