"""Masks and overlays of pictures and videos, as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from sernet_core.datasets import IMAGE_SUFFIXES, read_image
from sernet_core.errors import InputError
from sernet_core.labels import overlay
from sernet_core.report import OverlayVideo
from sernet_core.runtime import Segmenter
from sernet_core.storage import write_atomically

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v")


def predict(segmenter: Segmenter, source: Path, out: Path, *, alpha: float = 0.5, masks: bool = False) -> int:
    """Segment an image, every image of a folder, or a video.

    Args:
        segmenter: The model.
        source: Image file, folder with images, or video file.
        out: Folder for the results, made if need be.
        alpha: Weight of the colours in the overlay, 0..1.
        masks: Also write the mask of each frame of a video.

    Returns:
        Number of frames segmented.

    Raises:
        InputError: There is no such source, or nothing in it can be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    if source.suffix.lower() in VIDEO_SUFFIXES and source.is_file():
        return _predict_video(segmenter, source, out, alpha, masks)
    if source.is_dir():
        paths = sorted(path for path in source.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        if not paths:
            raise InputError(f"{source}: no images ({', '.join(IMAGE_SUFFIXES)}) in this folder")
    elif source.is_file():
        paths = [source]
    else:
        raise InputError(f"{source}: no such file or folder")
    failed = []
    for path in tqdm(paths, "predict", unit="frame", disable=None if len(paths) > 1 else True):
        try:
            image = read_image(path)
        except InputError as error:
            failed.append(str(error))
            continue
        mask = segmenter.segment(image).mask
        _write_png(out / f"{path.stem}_mask.png", mask)
        _write_png(
            out / f"{path.stem}_overlay.png", overlay(image, mask, segmenter.classes, alpha)[..., ::-1]
        )
    if failed:
        done = len(paths) - len(failed)
        raise InputError(
            f"{len(failed)} of {len(paths)} image(s) could not be read ({done} done): {failed[0]}"
        )
    return len(paths)


def _predict_video(segmenter: Segmenter, source: Path, out: Path, alpha: float, masks: bool) -> int:
    capture = cv2.VideoCapture(str(source))
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) or None
    count = 0
    with OverlayVideo(out / f"{source.stem}_overlay.webm", rate, max_width=1920) as video:
        for image in tqdm(_frames(capture), "predict", total=total, unit="frame", disable=None):
            mask = segmenter.segment(image).mask
            video.write(overlay(image, mask, segmenter.classes, alpha))
            if masks:
                _write_png(out / f"{source.stem}_{count:06d}_mask.png", mask)
            count += 1
    if not count:
        raise InputError(f"{source}: no frame of this video could be decoded")
    return count


def _frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    try:
        while True:
            ok, frame = capture.read()
            if not ok:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def _write_png(path: Path, image: np.ndarray) -> None:
    ok, data = cv2.imencode(".png", np.ascontiguousarray(image))
    if not ok:
        raise InputError(f"{path}: an image of {image.shape} {image.dtype} cannot be encoded as PNG")
    write_atomically(path, lambda target: data.tofile(target))
