"""The calibration that belongs to a mask of another size than its image."""

from __future__ import annotations

import copy
from typing import Any


def scaled(info: Any, width: int, height: int) -> Any:
    """Calibration of an image that was resized, as image_proc's resize node publishes it.

    Args:
        info: sensor_msgs/CameraInfo of the image.
        width: Width of the resized image.
        height: Height of the resized image.

    Returns:
        A copy with the intrinsic (K) and projection (P) matrices and the region of interest scaled; the
        distortion does not depend on the size.
    """
    result = copy.deepcopy(info)
    across = width / info.width if info.width else 1.0
    down = height / info.height if info.height else 1.0
    result.width, result.height = width, height
    # K is 3x3 and P is 3x4, by rows: the first row is in pixels across, the second in pixels down.
    result.k[0:3] = info.k[0:3] * across
    result.k[3:6] = info.k[3:6] * down
    result.p[0:4] = info.p[0:4] * across
    result.p[4:8] = info.p[4:8] * down
    result.roi.x_offset, result.roi.width = (
        round(value * across) for value in (info.roi.x_offset, info.roi.width)
    )
    result.roi.y_offset, result.roi.height = (
        round(value * down) for value in (info.roi.y_offset, info.roi.height)
    )
    return result
