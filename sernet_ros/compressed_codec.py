"""Compressed image messages to arrays, and arrays to compressed ones. Nothing here imports ROS."""

from __future__ import annotations

from array import array
from typing import Any, Protocol

import cv2
import numpy as np

from sernet_ros.image_codec import BAYER, SMALLEST_BAYER, ImageRejectedError


class CompressedMessage(Protocol):
    """The fields of sensor_msgs/CompressedImage."""

    format: str
    data: Any


def compressed_to_rgb(message: CompressedMessage) -> np.ndarray:
    """The picture of a compressed image message (JPEG, PNG or whatever else OpenCV reads).

    A grey picture becomes RGB, and so does the mosaic of a Bayer image, as image_transport compresses it;
    16-bit samples lose their low byte. A rotation noted by the camera (EXIF) is not applied: the mask must
    fit the pixels as they are stored.

    Returns:
        uint8 (H, W, 3) RGB, contiguous.

    Raises:
        ImageRejectedError: Empty, a depth image, a mosaic too small for its colours, or not decodable.
    """
    kind = message.format
    if "compressedDepth" in kind or kind.startswith(("16UC1", "32FC1")):
        words = "is a depth image; give the node the colour image"
        raise ImageRejectedError(kind, _size(message), "depth_image", words)
    # Not IMREAD_COLOR_RGB, which OpenCV has from 4.11 on: Ubuntu 24.04 has 4.6.
    pixels = _decompress(message, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels.ndim == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
    mosaic = BAYER.get(kind.partition(";")[0])
    if mosaic is None:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if min(pixels.shape) < SMALLEST_BAYER:
        words = f"this encoding needs {SMALLEST_BAYER} pixels a side"
        raise ImageRejectedError(kind, _size(message), "too_small", words)
    return cv2.cvtColor(pixels, mosaic)


def compressed_to_ids(message: CompressedMessage) -> np.ndarray:
    """The class ids of a compressed mask, as they were before the compression.

    Returns:
        uint8 (H, W), contiguous.

    Raises:
        ImageRejectedError: Compressed with loss, not one channel of 8 bits, empty or not decodable.
    """
    kind = message.format
    if "jpeg" in kind or "jpg" in kind:
        words = "JPEG has lost the class ids: they must be raw (mono8) or PNG"
        raise ImageRejectedError(kind, _size(message), "lossy_ids", words)
    ids = _decompress(message, cv2.IMREAD_UNCHANGED)
    if ids.ndim != 2 or ids.dtype != np.uint8:
        words = f"class ids are one channel of 8 bits, this is {ids.shape} {ids.dtype}"
        raise ImageRejectedError(kind, _size(message), "no_ids", words)
    return ids


def _decompress(message: CompressedMessage, flags: int) -> np.ndarray:
    kind, size, data = message.format, _size(message), bytes(message.data)
    if not data:
        raise ImageRejectedError(kind, size, "zero_size", "has no data")
    if _is_cut_jpeg(data):
        raise ImageRejectedError(kind, size, "undecodable", "is cut off: the JPEG has no end")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # such as a header that promises more pixels than OpenCV will take
        raise ImageRejectedError(kind, size, "undecodable", f"cannot be decoded: {error.err}") from error
    if image is None:
        raise ImageRejectedError(
            kind, size, "undecodable", "cannot be decoded (cut off, or no image at all?)"
        )
    return np.ascontiguousarray(image)


def _is_cut_jpeg(data: bytes) -> bool:
    """Whether a JPEG ends before its end marker; OpenCV 4.6 repeats its last row down to the full size.

    Neither marker can occur within a scan. So the end is looked for behind the start of the last scan: it is
    not that of a preview in the header, and whatever a camera has appended does no harm.
    """
    start_of_scan, end_of_image = b"\xff\xda", b"\xff\xd9"
    return data.startswith(b"\xff\xd8") and data.rfind(end_of_image) < data.rfind(start_of_scan)


def _size(message: CompressedMessage) -> str:
    return f"{len(message.data)} bytes"


def compress(image: np.ndarray, kind: str = "png", quality: int = 90) -> tuple[str, np.ndarray]:
    """Format and data of a compressed image message, as image_transport writes them.

    Args:
        image: uint8 (H, W), or (H, W, 3) RGB.
        kind: "png", which is without loss, as class ids need it, or "jpeg".
        quality: Of JPEG, 1 to 100.

    Returns:
        The words for `format`, and the bytes for `data`, uint8 (N,).
    """
    grey = image.ndim == 2
    pixels = image if grey else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    # PNG's level 1 takes a fraction of the default's time; masks are flat, so it costs them little size.
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality] if kind == "jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 1]
    data = cv2.imencode(".jpg" if kind == "jpeg" else ".png", pixels, settings)[1]
    words = f"mono8; {kind} compressed mono8" if grey else f"rgb8; {kind} compressed bgr8"
    return words, data.reshape(-1)


def fill_compressed(message: Any, mask: np.ndarray, header: Any) -> Any:
    """Put a mask into a compressed image message, without loss.

    Args:
        message: An empty sensor_msgs/CompressedImage.
        mask: uint8 (H, W).
        header: Header of the message, taken over as it is.
    """
    message.format, png = compress(mask)
    message.header = header
    message.data = array("B", png.tobytes())
    return message
