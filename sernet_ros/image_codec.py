"""Image messages to arrays and back.

Nothing here imports ROS: a message is anything with the fields of sensor_msgs/Image, and the encodings are
the names that sensor_msgs knows. Every image becomes uint8 (H, W, 3) RGB, the order that the network reads.
"""

from __future__ import annotations

import functools
import importlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from sernet_core.errors import InputError, unknown_name


class ImageMessage(Protocol):
    """The fields of sensor_msgs/Image that are read here."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


class ImageRejectedError(InputError):
    """An image that cannot be segmented.

    Args:
        encoding: As the message names it; cut off, since a broken sender may write anything there.
        size: Width and height, or number of bytes, for the message.
        reason: Short name under which it is counted.
        words: What is wrong.

    Attributes:
        reason: As given.
        cause: What is logged once: the reason and the encoding.
    """

    def __init__(self, encoding: str, size: str, reason: str, words: str) -> None:
        encoding = encoding[:40]
        super().__init__(f"'{encoding}' image of {size}: {words}")
        self.reason = reason
        self.cause = (reason, encoding)


def _rejected(message: ImageMessage, reason: str, words: str) -> ImageRejectedError:
    return ImageRejectedError(message.encoding, f"{message.width}x{message.height}", reason, words)


@dataclass(frozen=True)
class _Packed:
    """An encoding whose pixels lie side by side.

    Attributes:
        channels: Samples a pixel.
        convert: cv2 conversion code to RGB; None where the samples are RGB already.
        depth: Bytes a sample, 1 or 2.
        even_width: Whether two neighbours share their colour, so that the width must be even.
        smallest: Shortest side that the conversion works on.
    """

    channels: int
    convert: int | None
    depth: int = 1
    even_width: bool = False
    smallest: int = 1


BAYER: Mapping[str, int] = {
    f"bayer_{pattern}{bits}": code
    # A pattern is named by its first row and then its second, as in sensor_msgs.
    for pattern, code in {
        "rggb": cv2.COLOR_BayerRGGB2RGB,
        "bggr": cv2.COLOR_BayerBGGR2RGB,
        "gbrg": cv2.COLOR_BayerGBRG2RGB,
        "grbg": cv2.COLOR_BayerGRBG2RGB,
    }.items()
    for bits in (8, 16)
}
"""Code that makes RGB of a mosaic's 8-bit samples, by encoding."""

SMALLEST_BAYER = 3
"""Pixels a side; below there is no neighbourhood to interpolate in."""

_YUYV = _Packed(2, cv2.COLOR_YUV2RGB_YUYV, even_width=True)
_UYVY = _Packed(2, cv2.COLOR_YUV2RGB_UYVY, even_width=True)

_PACKED: Mapping[str, _Packed] = {
    "rgb8": _Packed(3, None),
    "bgr8": _Packed(3, cv2.COLOR_BGR2RGB),
    "rgba8": _Packed(4, cv2.COLOR_RGBA2RGB),
    "bgra8": _Packed(4, cv2.COLOR_BGRA2RGB),
    "mono8": _Packed(1, cv2.COLOR_GRAY2RGB),
    # OpenCV's own names say nothing about colour: its order is BGR.
    "8UC1": _Packed(1, cv2.COLOR_GRAY2RGB),
    "8UC3": _Packed(3, cv2.COLOR_BGR2RGB),
    "rgb16": _Packed(3, None, depth=2),
    "bgr16": _Packed(3, cv2.COLOR_BGR2RGB, depth=2),
    "rgba16": _Packed(4, cv2.COLOR_RGBA2RGB, depth=2),
    "bgra16": _Packed(4, cv2.COLOR_BGRA2RGB, depth=2),
    "mono16": _Packed(1, cv2.COLOR_GRAY2RGB, depth=2),
    "yuyv": _YUYV,
    "yuv422_yuy2": _YUYV,
    "uyvy": _UYVY,
    "yuv422": _UYVY,
    **{
        name: _Packed(1, code, depth=2 if name.endswith("16") else 1, smallest=SMALLEST_BAYER)
        for name, code in BAYER.items()
    },
}

# Brightness at full size, below it the colour of each 2 x 2 block; both planes have rows of `step` bytes.
_TWO_PLANES: Mapping[str, int] = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}

ENCODINGS: tuple[str, ...] = (*_PACKED, *_TWO_PLANES)
"""Every encoding that is converted without cv_bridge."""

_DEPTH = {"16UC1", "32FC1"}


def to_rgb(message: ImageMessage) -> np.ndarray:
    """The picture of an image message.

    Padded rows (`step`) are honoured; of 16-bit samples the high byte is taken, by `is_bigendian`.

    Args:
        message: A sensor_msgs/Image.

    Returns:
        uint8 (H, W, 3) RGB, contiguous; for unpadded rgb8 it shares the memory of `message.data`.

    Raises:
        ImageRejectedError: The encoding is unknown or a depth image, a side is zero, or `step` or `data` do
            not fit the size.
    """
    encoding = message.encoding
    if message.height == 0 or message.width == 0:
        raise _rejected(message, "zero_size", "has no pixels")
    if encoding in _DEPTH:
        raise _rejected(message, "depth_image", "is a depth image; give the node the colour image")
    if encoding in _PACKED:
        return _packed_to_rgb(message, _PACKED[encoding])
    if encoding in _TWO_PLANES:
        return _two_planes_to_rgb(message, _TWO_PLANES[encoding])
    return _bridge_to_rgb(message)


def _packed_to_rgb(message: ImageMessage, layout: _Packed) -> np.ndarray:
    height, width = message.height, message.width
    if layout.even_width and width % 2:
        raise _rejected(message, "odd_size", "this encoding needs an even width")
    if min(height, width) < layout.smallest:
        raise _rejected(message, "too_small", f"this encoding needs {layout.smallest} pixels a side")
    pixels = _rows(message, height, width * layout.channels * layout.depth)
    if layout.depth == 2:
        pixels = pixels[:, 0 if message.is_bigendian else 1 :: 2]
    pixels = np.ascontiguousarray(pixels).reshape(height, width, layout.channels)
    return pixels if layout.convert is None else cv2.cvtColor(pixels, layout.convert)


def _two_planes_to_rgb(message: ImageMessage, code: int) -> np.ndarray:
    height, width = message.height, message.width
    if height % 2 or width % 2:
        raise _rejected(message, "odd_size", "this encoding needs an even width and height")
    planes = _rows(message, height + height // 2, width)
    return cv2.cvtColor(np.ascontiguousarray(planes), code)


def _rows(message: ImageMessage, count: int, used: int) -> np.ndarray:
    """Rows of bytes without their padding: a view, uint8 (count, used), on the data of the message."""
    if message.step < used:
        raise _rejected(message, "bad_step", f"step is {message.step}, a row needs {used} bytes")
    size, needed = len(message.data), message.step * count
    if size != needed:
        words = f"data has {size} bytes, {count} rows of step {message.step} need {needed}"
        raise _rejected(message, "wrong_data_size", words)
    return np.frombuffer(message.data, np.uint8).reshape(count, message.step)[:, :used]


def _bridge_to_rgb(message: ImageMessage) -> np.ndarray:
    bridge, missing = _bridge()
    unknown = unknown_name("encoding", message.encoding[:40], ENCODINGS)
    if bridge is None:
        raise _rejected(message, "unknown_encoding", f"{unknown}; {missing}")
    try:
        image = np.asarray(bridge.imgmsg_to_cv2(message, "rgb8"))
    except Exception as error:
        raise _rejected(message, "unknown_encoding", f"{unknown}; cv_bridge says: {error}") from error
    if image.dtype != np.uint8 or image.shape != (message.height, message.width, 3):
        raise _rejected(message, "unknown_encoding", f"cv_bridge made {image.dtype} {image.shape} of it")
    return np.ascontiguousarray(image)


@functools.cache
def _bridge() -> tuple[Any | None, str]:
    """The cv_bridge of a ROS installation, or None and why there is none; tried once a process."""
    try:
        return importlib.import_module("cv_bridge").CvBridge(), ""
    except Exception as error:  # one that was built against another NumPy fails in many ways
        return None, f"cv_bridge, which knows more encodings, cannot be used here ({error})"


def fill(message: Any, image: np.ndarray, header: Any) -> Any:
    """Put an array into an image message.

    Args:
        message: An empty sensor_msgs/Image.
        image: uint8 (H, W), becomes mono8, or uint8 (H, W, 3) RGB, becomes rgb8.
        header: Header of the message, taken over as it is.

    Returns:
        The message.
    """
    encoding = "mono8" if image.ndim == 2 else "rgb8"
    fill_bytes(message, np.ascontiguousarray(image), header, image.shape[:2], encoding)
    message.step = image[0].nbytes
    return message


def fill_bytes(message: Any, data: np.ndarray, header: Any, size: tuple[int, ...], encoding: str) -> Any:
    """Put bytes into an image message; its `step` is left to the caller.

    Args:
        message: An empty sensor_msgs/Image.
        data: uint8, contiguous, of any shape.
        header: Header of the message, taken over as it is.
        size: Height and width of the image.
        encoding: What the bytes are.
    """
    message.header = header
    message.height, message.width = size
    message.encoding = encoding
    message.is_bigendian = 0
    # An array("B") is taken over as it is; of a list or a NumPy array rclpy checks every element, which takes
    # tens of milliseconds for a mask and hundreds for an image.
    values = array("B")
    values.frombytes(data.data)
    message.data = values
    return message
