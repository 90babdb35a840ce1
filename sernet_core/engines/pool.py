"""Engines by frame size: built when a size first comes, in the background if asked, a bounded number kept."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from contextlib import nullcontext

from sernet_core.engines.base import Engine, Source
from sernet_core.engines.choose import Choice, choose, reference
from sernet_core.engines.plan import Plan
from sernet_core.engines.turn import NotWantedError, alone
from sernet_core.errors import EngineError, SernetError

KEPT = 8
CLOSED = "the segmenter is closed; load it anew"
_Key = tuple[Plan, str]
_log = logging.getLogger(__name__)


class EnginePool:
    """Gives the engine for a plan. Call it from one thread at a time; only `close` from any.

    Engines are built one at a time in the whole process, eager excepted, which is there at once.

    Args:
        source: What engines are built from.
        name: An engine's name or "auto".
        background: Let `engine` serve with eager while an engine builds, instead of waiting for it.
        sizes: Engines that are kept at least, of those used last.
    """

    def __init__(self, source: Source, name: str, *, background: bool, sizes: int = 1) -> None:
        self._source = source
        self._name = name
        self._background = background and name != "eager"
        self._kept = max(sizes, KEPT)
        self._ready: OrderedDict[_Key, Choice] = OrderedDict()
        # Of batches, and of what was to be built in the background: eager is ready in its place.
        self._failed: dict[_Key, str] = {}
        self._lock = threading.Lock()
        self._begun: list[float] = []
        self._builds_aside = False
        self._wanted: _Key | None = None
        self._asked: _Key | None = None
        self._guess: _Key | None = None
        self._closed = threading.Event()

    @property
    def building(self) -> str:
        """Words for what is being built and for how long; "" when nothing is."""
        since = min(self._begun[:], default=None)
        return "" if since is None else f"building {self._name} engine, {time.monotonic() - since:.0f} s"

    @property
    def fault(self) -> str:
        """Why eager serves the plan that was asked for last, where another engine was to; else "".

        Plans of several frames do not count: without their engine, frames go one by one.
        """
        with self._lock:
            choice = None if self._asked is None else self._ready.get(self._asked)
        return "" if choice is None else choice.fault

    def engine(self, plan: Plan, name: str = "", *, guess: bool = False) -> Engine:
        """The engine for a plan, or eager while it builds in the background.

        Args:
            plan: The sizes.
            name: Of an engine, perhaps with its precision, in the place of the pool's own.
            guess: Whether nobody knows yet that this plan will be needed. Its build in the background is
                given up, at its next step, as soon as another plan is asked for, unless this one has been
                asked for in earnest by then.

        Raises:
            EngineError: It cannot be built (never in the background: then `fault` says so), or it is for a
                batch and could not be built before, or the pool is closed.
            ConfigError: The engine cache cannot be written.
        """
        key = (plan, name or self._name)
        self._check_open()
        with self._lock:
            if plan.batch == 1:
                self._note(key, guess=guess)
            if key in self._ready:
                self._ready.move_to_end(key)
                return self._ready[key].engine
        if plan.batch > 1 and key in self._failed:
            raise EngineError(self._failed[key])
        if not self._background:
            return self._built(key)
        with self._lock:
            if not self._builds_aside:
                self._builds_aside = True
                self._begun.append(began := time.monotonic())
                work = (key, began)
                threading.Thread(target=self._build_on, args=work, name="engine build", daemon=True).start()
            else:
                self._wanted = key
        return reference(self._source, plan)

    def prepare(self, plan: Plan) -> None:
        """Have the engine for a plan built, here and now, whether or not the pool builds in the background.

        What could not be built in the background before is tried anew.

        Raises:
            EngineError: It cannot be built, or the pool is or was closed meanwhile.
            ConfigError: The engine cache cannot be written.
        """
        self._check_open()
        key = (plan, self._name)
        with self._lock:
            self._note(key)
            if self._is_built(key):
                return
        self._built(key)

    def close(self) -> None:
        """Drop all engines and build none any more, from any thread; more than once does no harm.

        A build that waits for its turn gives up. One that runs ends at its next step, on its own thread, and
        what it has built goes nowhere.
        """
        self._closed.set()
        with self._lock:
            self._ready.clear()
            self._wanted = None

    def _note(self, key: _Key, *, guess: bool = False) -> None:
        """Remember what is asked for."""
        self._asked = key
        if guess:
            self._guess = key
        elif key == self._guess:
            self._guess = None

    def _is_unwanted(self, key: _Key) -> bool:
        """Whether the build of an engine shall be given up."""
        return self._closed.is_set() or (key == self._guess and key != self._asked)

    def _is_built(self, key: _Key) -> bool:
        """Whether an engine is ready, and not eager because it failed."""
        return key in self._ready and key not in self._failed

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise EngineError(CLOSED)

    def _built(self, key: _Key) -> Engine:
        """An engine, built while the calling thread waits."""
        began = time.monotonic()
        self._begun.append(began)
        try:
            return self._build(key)
        finally:
            self._begun.remove(began)

    def _build_on(self, key: _Key | None, began: float) -> None:
        """Build an engine, and then what was asked for last meanwhile, until nothing of that is missing."""
        while key is not None:
            self._build_aside(key)
            with self._lock:
                key, self._wanted = self._wanted, None
                if key in self._ready or key in self._failed:
                    key = None
                if key is None:
                    self._builds_aside = False
                    self._begun.remove(began)

    def _build_aside(self, key: _Key) -> None:
        plan, _ = key
        try:
            self._build(key)
        except NotWantedError:  # no fault: what is needed instead is built next, or nothing is
            pass
        except Exception as error:  # whatever it is, a thread of its own must not die of it unheard
            if plan.batch > 1 or self._closed.is_set():
                return
            fault = _words(error)
            _log.error("eager serves: %s", fault)
            instead = Choice(reference(self._source, plan), fault)
            with self._lock:
                if not self._is_built(key):  # `prepare` may have succeeded since
                    self._failed[key] = fault
                    self._keep(key, instead)

    def _build(self, key: _Key) -> Engine:
        """Build an engine when its turn has come, unless it was built meanwhile."""
        plan, name = key
        at_once = name.partition(":")[0] == "eager"

        def unwanted() -> bool:
            return self._is_unwanted(key)

        try:
            with nullcontext() if at_once else alone(unwanted):
                with self._lock:
                    if self._is_built(key):
                        return self._ready[key].engine
                choice = choose(name, self._source, plan, unwanted)
                # Before another one has its turn, who may have waited for this very engine.
                with self._lock:
                    self._failed.pop(key, None)
                    self._keep(key, choice)
        except Exception as error:
            if self._closed.is_set():
                raise EngineError(CLOSED) from error
            if plan.batch > 1:
                self._failed[key] = _words(error)
                _log.warning("no batches of %d: %s", plan.batch, _words(error))
            raise
        self._check_open()
        return choice.engine

    def _keep(self, key: _Key, choice: Choice) -> None:
        """Have a choice ready; the lock is held."""
        if self._closed.is_set():
            return
        self._ready[key] = choice
        while len(self._ready) > self._kept:
            self._ready.popitem(last=False)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, SernetError) else f"{type(error).__name__}: {error}"
