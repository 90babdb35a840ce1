"""Run-length encoded masks as Autoware's point cloud fusion reads them: (uint8 id, int32 length) by rows."""

from __future__ import annotations

import numpy as np

from sernet_core.errors import InputError

_RUN = np.dtype([("id", "u1"), ("length", "<i4")])  # packed: five bytes a run


def encode(mask: np.ndarray) -> np.ndarray:
    """Runs of a mask, uint8 (H, W), as bytes: uint8 (5 * runs,)."""
    flat = np.ascontiguousarray(mask).ravel()
    starts = (
        np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1]) if flat.size else np.array([], int)
    )
    runs = np.empty(len(starts), _RUN)
    runs["id"] = flat[starts]
    runs["length"] = np.diff(starts, append=flat.size)
    return runs.view(np.uint8)


def decode(data: bytes | np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask, uint8 (H, W), that `encode` made bytes of.

    Raises:
        InputError: The runs are not whole, or do not make up the size.
    """
    buffer = np.frombuffer(data, np.uint8)
    if buffer.size % _RUN.itemsize:
        raise InputError(f"run-length data has {buffer.size} bytes, not a multiple of {_RUN.itemsize}")
    runs = buffer.view(_RUN)
    if (runs["length"] <= 0).any() or runs["length"].sum(dtype=np.int64) != height * width:
        raise InputError(f"the runs do not make up a mask of {width}x{height}")
    return np.repeat(runs["id"], runs["length"]).reshape(height, width)
