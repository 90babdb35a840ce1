"""Compressed image messages to arrays, and masks to compressed ones. Nothing here imports ROS."""

from __future__ import annotations

from array import array
from typing import Any, Protocol

import cv2
import numpy as np

from sernet_ros.image_codec import ImageRejectedError


class CompressedMessage(Protocol):
    """The fields of sensor_msgs/CompressedImage."""

    format: str
    data: Any


def compressed_to_rgb(message: CompressedMessage) -> np.ndarray:
    """The picture of a compressed image message (JPEG, PNG or whatever else OpenCV reads).

    A grey picture becomes RGB, 16-bit samples lose their low byte, and a rotation noted by the camera (EXIF)
    is not applied: the mask must fit the pixels as they are stored.

    Returns:
        uint8 (H, W, 3) RGB, contiguous.

    Raises:
        ImageRejectedError: Empty, a depth image, or not decodable.
    """
    kind, size = message.format, f"{len(message.data)} bytes"
    if "compressedDepth" in kind or kind.startswith(("16UC1", "32FC1")):
        words = "is a depth image; give the node the colour image"
        raise ImageRejectedError(kind, size, "depth_image", words)
    if not len(message.data):
        raise ImageRejectedError(kind, size, "zero_size", "has no data")
    try:
        image = cv2.imdecode(
            np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:  # such as a header that promises more pixels than OpenCV will take
        raise ImageRejectedError(kind, size, "undecodable", f"cannot be decoded: {error.err}") from error
    if image is None:
        raise ImageRejectedError(
            kind, size, "undecodable", "cannot be decoded (cut off, or no image at all?)"
        )
    return np.ascontiguousarray(image)


def fill_compressed(message: Any, mask: np.ndarray, header: Any) -> Any:
    """Put a mask into a compressed image message, as PNG: without loss, which class ids must not suffer.

    Args:
        message: An empty sensor_msgs/CompressedImage.
        mask: uint8 (H, W).
        header: Header of the message, taken over as it is.
    """
    # Level 1 takes a fraction of the default's time; masks are flat, so it costs little size.
    _, png = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    message.header = header
    message.format = "mono8; png compressed mono8"
    message.data = array("B", png.tobytes())
    return message
