"""A digest of the code of ours that decides what a built engine computes, and whether it passes for eager."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import sernet_core

PARTS = (
    "blocks.py",
    "context.py",
    "decoder.py",
    "encoder.py",
    "network.py",
    "segmentation_network.py",
    "engines/*.py",
    "peers/*.py",
)
"""Below the package: the networks, and all that turns one into an engine and judges it."""


@cache
def code_hash(package: Path = Path(sernet_core.__file__).parent) -> str:
    """Digest of these sources, by name and content; read once in a process.

    Args:
        package: Folder of the package.
    """
    total = hashlib.sha256()
    for path in sorted(path for part in PARTS for path in package.glob(part)):
        source = path.read_bytes()
        total.update(f"{path.relative_to(package).as_posix()} {len(source)} ".encode())
        total.update(source)
    return total.hexdigest()
