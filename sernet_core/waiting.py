"""How the processor's threads wait: a setting that has to be made before torch is imported."""

from __future__ import annotations

import os


def rest_while_waiting() -> None:
    """Let OpenMP's threads sleep while they wait, unless the environment says otherwise.

    torch's would spin, and take the cores from OpenVINO's threads and from every other process. OpenMP reads
    the setting when torch is imported, so a program calls this first.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
