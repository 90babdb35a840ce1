"""What all tests share: nothing they build goes into the user's own cache."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("SERNET_CACHE", tempfile.mkdtemp(prefix="sernet-engines-"))
