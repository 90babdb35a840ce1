"""What all tests share: nothing they build goes into the user's own cache, nor stays behind.

Nor does a machine that is slow, or busy with other things, fail an example that Hypothesis has made.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import HealthCheck, settings

if "SERNET_CACHE" not in os.environ:
    os.environ["SERNET_CACHE"] = tempfile.mkdtemp(prefix="sernet-engines-")
    atexit.register(shutil.rmtree, os.environ["SERNET_CACHE"], ignore_errors=True)

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
