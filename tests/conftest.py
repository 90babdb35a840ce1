"""What all tests share: nothing they build goes into the user's own cache, nor stays behind."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

if "SERNET_CACHE" not in os.environ:
    os.environ["SERNET_CACHE"] = tempfile.mkdtemp(prefix="sernet-engines-")
    atexit.register(shutil.rmtree, os.environ["SERNET_CACHE"], ignore_errors=True)
