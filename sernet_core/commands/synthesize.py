"""Write procedural street scenes with exact labels as a data set.

examples:
  sernet synthesize --out data/scenes --frames 150 --town brickford --condition dusk
  sernet synthesize --out data/scenes --split train --frames 2000 --varied
  sernet synthesize --sheet sheet.jpg
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import CAMVID, IGNORE
from sernet_core.storage import make_folder, write_atomically
from sernet_core.synthetic import EVALUATION_CONDITIONS, TOWNS, Frame, Sequence, random_frame

_SHEET_QUALITY = 75


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet synthesize`."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the data set; made when absent")
    parser.add_argument("--split", default="train", metavar="NAME", help="part to write (default: train)")
    parser.add_argument("--frames", type=int, default=150, metavar="N", help="how many frames (default: 150)")
    parser.add_argument("--size", default="480x360", metavar="WxH", help="pixels (default: 480x360)")
    parser.add_argument("--town", default=TOWNS[0], help=f"one of {', '.join(TOWNS)} (default: {TOWNS[0]})")
    parser.add_argument(
        "--condition", default="day", help=f"one of {', '.join(EVALUATION_CONDITIONS)} (default: day)"
    )
    parser.add_argument("--seed", type=int, default=0, help="which drive through the town (default: 0)")
    parser.add_argument(
        "--rate", type=float, default=15.0, metavar="HZ", help="frames a second (default: 15)"
    )
    parser.add_argument(
        "--varied",
        action="store_true",
        help="single frames from all training towns in the conditions of training, seeds from --seed up",
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="write a contact sheet of all towns and conditions"
    )


def run(args: argparse.Namespace) -> int:
    """Write the data set, the contact sheet, or both."""
    if args.out is None and args.sheet is None:
        raise ConfigError("nothing to write: give --out DIR, --sheet FILE, or both")
    if args.sheet is not None:
        _write_sheet(args.sheet, args.seed)
        print(f"written: {args.sheet}")
    if args.out is not None:
        _write_split(args)
        print(f"written: {args.frames} frames of split '{args.split}' to {args.out}")
    return 0


def _size_of(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise ConfigError(f"--size must look like 480x360, not '{text}'")
    return int(width), int(height)


def _write_sheet(path: Path, seed: int) -> None:
    import cv2

    from sernet_core.synthetic.sheet import contact_sheet

    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise ConfigError(f"--sheet must end in .jpg or .png, not '{path.name}'")
    make_folder(path.parent)
    page = contact_sheet(seed)
    _write(path, page[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _SHEET_QUALITY])


def _write_split(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    if args.frames < 1:
        raise ConfigError(f"--frames must be at least 1, not {args.frames}")
    stem_of, frame_of = _source(args)
    images, labels = args.out / args.split / "images", args.out / args.split / "labels"
    for folder in (images, labels):
        make_folder(folder)
    stems = [stem_of(index) for index in range(args.frames)]
    for index, stem in enumerate(tqdm(stems, desc="rendering", unit="frame")):
        frame = frame_of(index)
        _write(images / f"{stem}.png", frame.image[..., ::-1])
        _write(labels / f"{stem}.png", frame.label)
    write_atomically(args.out / "classes.csv", _write_classes)
    # Last, so that where there is a list, all of its frames are there.
    listed = "".join(f"{stem}\n" for stem in stems)
    write_atomically(args.out / f"{args.split}.txt", lambda path: path.write_text(listed, encoding="utf-8"))


def _write_classes(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("id", "name", "r", "g", "b"))
        for number, (name, color) in enumerate(zip(CAMVID.names, CAMVID.palette, strict=True)):
            rows.writerow((number, name, *color))
        rows.writerow((IGNORE, "Void", 0, 0, 0))


def _source(args: argparse.Namespace) -> tuple[Callable[[int], str], Callable[[int], Frame]]:
    """How frames are called and made."""
    size, seed = _size_of(args.size), args.seed
    if args.varied:
        return (lambda i: f"varied_{seed + i:07d}"), (lambda i: random_frame(seed + i, size))
    sequence = Sequence(args.town, args.condition, seed, size, args.rate, args.frames)
    return (lambda i: f"{args.town}_{args.condition}_{seed}_{i:05d}"), sequence.__getitem__


def _write(path: Path, image: object, options: list[int] | None = None) -> None:
    import cv2
    import numpy as np

    done, data = cv2.imencode(path.suffix, np.ascontiguousarray(image), options or [])
    if not done:
        raise InputError(f"cannot encode {path}")
    write_atomically(path, lambda target: target.write_bytes(data.tobytes()))
