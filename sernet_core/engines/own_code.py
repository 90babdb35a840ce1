"""A digest of the code of ours that decides what a built engine computes, and whether it passes for eager."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import sernet_core
from sernet_core.digests import sources_sha256

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
    return sources_sha256(package, (path for part in PARTS for path in package.glob(part)))
