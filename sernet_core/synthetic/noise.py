"""Random numbers by key, and periodic noise that several surfaces share."""

from __future__ import annotations

import zlib
from functools import lru_cache

import cv2
import numpy as np


def generator(*keys: int | str) -> np.random.Generator:
    """A random generator that depends on the keys alone.

    Text goes through CRC-32: Python's own `hash` differs from process to process.

    Args:
        keys: Integers (any sign) and strings.
    """
    words = [zlib.crc32(key.encode()) if isinstance(key, str) else key % (1 << 63) for key in keys]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


@lru_cache(maxsize=64)
def fractal(size: int, first: int, octaves: int, seed: int, roll_off: float = 0.55) -> np.ndarray:
    """Multi-octave noise that repeats without a seam.

    Args:
        size: Side in pixels.
        first: Cells along a side in the coarsest octave.
        octaves: How many octaves, each with twice the cells of the one before.
        seed: Which noise.
        roll_off: Amplitude of an octave relative to the one before.

    Returns:
        float32 (size, size) with mean 0 and standard deviation 1; do not write into it.
    """
    rng = generator("fractal", seed)
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        cells = min(first << octave, size)
        grid = rng.standard_normal((cells, cells)).astype(np.float32)
        step = size // cells
        padded = np.pad(grid, 2, mode="wrap")
        smooth = cv2.resize(padded, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += roll_off**octave * smooth[2 * step : 2 * step + size, 2 * step : 2 * step + size]
    total -= total.mean()
    total /= total.std()
    total.setflags(write=False)
    return total


@lru_cache(maxsize=1)
def grain() -> np.ndarray:
    """Sensor noise to cut pieces from: float32 (1024, 1024, 3), standard deviation 1, slightly coloured."""
    rng = generator("grain")
    luma = rng.standard_normal((1024, 1024, 1)).astype(np.float32)
    chroma = rng.standard_normal((1024, 1024, 3)).astype(np.float32)
    tile = 0.85 * luma + 0.5 * chroma
    tile.setflags(write=False)
    return tile
