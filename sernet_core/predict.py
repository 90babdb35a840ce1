"""Masks and overlays of pictures and videos, as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from sernet_core.datasets import open_files, splits_of
from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import overlay
from sernet_core.media import Video, by_stem, is_image, list_images, read_image
from sernet_core.report import OverlayVideo
from sernet_core.runtime import Segmenter
from sernet_core.storage import make_folder, write_atomically


def predict(
    segmenter: Segmenter,
    source: Path,
    out: Path,
    *,
    split: str | None = None,
    alpha: float = 0.5,
    masks: bool = False,
) -> int:
    """Segment an image, every image of a folder or of a split of a data set, or a video.

    Args:
        segmenter: The model.
        source: Image file, folder with images, root of a data set, or video file.
        out: Folder for the results, made if need be.
        split: Part of the data set.
        alpha: Weight of the colours in the overlay, 0..1.
        masks: Also write the mask of each frame of a video.

    Returns:
        Number of frames segmented.

    Raises:
        InputError: There is no such source, nothing in it can be read, or a result cannot be written.
        ConfigError: There is no such split, or a data set has several and none was named.
    """
    if split is None and (splits := splits_of(source)):
        if len(splits) > 1:
            raise ConfigError(f"{source} is a data set: choose one of its splits, {', '.join(splits)}")
        split = splits[0]
    if split is not None:
        return _predict_images(segmenter, open_files(source, split).images, out, alpha)
    if source.is_dir():
        return _predict_images(segmenter, by_stem(list_images(source)), out, alpha)
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder")
    if is_image(source):
        return _predict_images(segmenter, {source.stem: source}, out, alpha)
    return _predict_video(segmenter, source, out, alpha, masks)


def _predict_images(segmenter: Segmenter, paths: Mapping[str, Path], out: Path, alpha: float) -> int:
    make_folder(out)
    failed = []
    for stem, path in tqdm(paths.items(), "predict", unit="frame", disable=None if len(paths) > 1 else True):
        try:
            image = read_image(path)
            mask = segmenter.segment(image).mask
        except InputError as error:
            failed.append(str(error) if str(path) in str(error) else f"{path}: {error}")
            continue
        _write_png(out / f"{stem}_mask.png", mask)
        _write_png(out / f"{stem}_overlay.png", overlay(image, mask, segmenter.classes, alpha)[..., ::-1])
    if failed:
        done = len(paths) - len(failed)
        raise InputError(
            f"{len(failed)} of {len(paths)} image(s) could not be used ({done} done): {failed[0]}"
        )
    return len(paths)


def _predict_video(segmenter: Segmenter, source: Path, out: Path, alpha: float, masks: bool) -> int:
    frames = Video(source)
    make_folder(out)
    count = 0
    with OverlayVideo(out / f"{source.stem}_overlay.webm", frames.rate or 25.0, max_width=1920) as video:
        for image in tqdm(frames, "predict", total=frames.length, unit="frame", disable=None):
            mask = segmenter.segment(image).mask
            video.write(overlay(image, mask, segmenter.classes, alpha))
            if masks:
                _write_png(out / f"{source.stem}_{count:06d}_mask.png", mask)
            count += 1
    return count


def _write_png(path: Path, image: np.ndarray) -> None:
    ok, data = cv2.imencode(".png", np.ascontiguousarray(image))
    if not ok:
        raise InputError(f"{path}: an image of {image.shape} {image.dtype} cannot be encoded as PNG")
    write_atomically(path, lambda target: data.tofile(target))
