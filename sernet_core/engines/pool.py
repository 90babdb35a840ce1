"""Engines by frame size: built when a size first comes, in the background if asked, a bounded number kept."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict

from sernet_core.engines.base import Engine, Source
from sernet_core.engines.choose import build, reference
from sernet_core.engines.plan import Plan
from sernet_core.errors import EngineError, SernetError

KEPT = 8
_log = logging.getLogger(__name__)


class EnginePool:
    """Gives the engine for a plan. Call it from one thread at a time.

    Args:
        source: What engines are built from.
        name: An engine's name or "auto".
        background: Serve with eager while an engine builds, instead of waiting for it.

    Attributes:
        fault: Why the last engine could not be built in the background, so that eager serves; "" if it could.
            One for several frames at once is not meant: without it they go one by one.
    """

    def __init__(self, source: Source, name: str, *, background: bool) -> None:
        self._source = source
        self._name = name
        self._background = background and name != "eager"
        self._ready: OrderedDict[tuple[Plan, str], Engine] = OrderedDict()
        self._lock = threading.Lock()
        self._since: float | None = None
        self._wanted: tuple[Plan, str] | None = None
        self._failed: dict[tuple[Plan, str], str] = {}  # of batches
        self.fault = ""

    @property
    def building(self) -> str:
        """Words for what is being built and for how long; "" when nothing is."""
        since = self._since
        return "" if since is None else f"building {self._name} engine, {time.monotonic() - since:.0f} s"

    def engine(self, plan: Plan, name: str = "") -> Engine:
        """The engine for a plan, or eager while it builds in the background.

        Args:
            plan: The sizes.
            name: Of an engine, perhaps with its precision, in the place of the pool's own.

        Raises:
            EngineError: It cannot be built (never in the background: then `fault` says so), or it is for a
                batch and could not be built before.
            ConfigError: The engine cache cannot be written.
        """
        key = (plan, name or self._name)
        with self._lock:
            if key in self._ready:
                self._ready.move_to_end(key)
                return self._ready[key]
        if key in self._failed:
            raise EngineError(self._failed[key])
        if not self._background:
            self._since = time.monotonic()
            try:
                self._build(*key)
            finally:
                self._since = None
            return self._ready[key]
        with self._lock:
            if self._since is None:
                self._since = time.monotonic()
                threading.Thread(target=self._build_on, args=(key,), name="engine build", daemon=True).start()
            else:
                self._wanted = key
        return reference(self._source, plan)

    def _build_on(self, key: tuple[Plan, str] | None) -> None:
        """Build an engine, and then what was asked for last meanwhile, until nothing of that is missing."""
        while key is not None:
            self._build_aside(*key)
            with self._lock:
                key, self._wanted = self._wanted, None
                if key in self._ready or key in self._failed:
                    key = None
                if key is None:
                    self._since = None

    def _build(self, plan: Plan, name: str) -> None:
        try:
            self._keep(plan, name, build(name, self._source, plan))
        except Exception as error:
            if plan.batch > 1:
                self._failed[plan, name] = _words(error)
                _log.warning("no batches of %d: %s", plan.batch, _words(error))
            raise

    def _build_aside(self, plan: Plan, name: str) -> None:
        try:
            self._build(plan, name)
        except Exception as error:  # whatever it is, a thread of its own must not die of it unheard
            if plan.batch > 1:
                return
            self.fault = _words(error)
            _log.error("eager serves: %s", self.fault)
            self._keep(plan, name, reference(self._source, plan))
        else:
            self.fault = "" if plan.batch == 1 else self.fault

    def _keep(self, plan: Plan, name: str, engine: Engine) -> None:
        with self._lock:
            self._ready[plan, name] = engine
            while len(self._ready) > KEPT:
                self._ready.popitem(last=False)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, SernetError) else f"{type(error).__name__}: {error}"
