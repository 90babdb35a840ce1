"""The network that serves, from configuring to cleaning up, and another one that is to take its place."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from sernet_core.errors import ConfigError, EngineError, SernetError
from sernet_core.labels import ClassSet
from sernet_ros.channel import Channel, rules_for
from sernet_ros.diagnostics import CameraMonitor
from sernet_ros.loading import Background, Network, find_batch, load, same_network, warm_up
from sernet_ros.settings import NETWORK, Settings
from sernet_ros.worker import Worker

_OF_CLASSES = ("label_remap", "color_palette")
WITH_NETWORK = (*NETWORK, *_OF_CLASSES)
"""Parameters that are set back with a network that does not come: what it is loaded with, and what only fits
the classes of one."""


@dataclass
class _Next:
    """A network that is to take over; `segmenter` once it is loaded, `background` once that has begun."""

    settings: Settings
    segmenter: Any = None
    background: Background | None = None


class Serving:
    """A network, the worker that runs it, and the cameras that it serves.

    It is called on the executor's thread. Another network is loaded, and its engines are built, on a thread
    of its own; it takes over on the worker's thread, between two frames, under a lock.

    Args:
        loader: Makes a network, see `SegmenterNode`.
        wanted: Gives the parameters as they are now.
        monitors: One a camera.
        logger: Of the node.

    Attributes:
        worker: Runs the network.
        channels: The cameras; filled by the node.
        network: What serves; None until the first one is ready.
        settings: What it goes by. While a network is loaded the parameters say otherwise.
        refused: Why the last other network could not be used; empty when it could.
    """

    def __init__(
        self,
        loader: Callable[..., Any],
        wanted: Callable[[], Settings],
        monitors: list[CameraMonitor],
        logger: Any,
    ) -> None:
        self._loader = loader
        self._wanted = wanted
        self._logger = logger
        self.worker = Worker(
            lambda frame: self.channels[frame.camera].decode(frame),
            lambda frame, task, answer: self.channels[frame.camera].deliver(frame, task, answer),
            monitors,
            lambda: wanted().inference_timeout,
        )
        self.channels: list[Channel] = []
        self.network: Network | None = None
        self.settings = wanted()
        self.refused = ""
        self._next: _Next | None = None
        self._released = False
        self._lock = Lock()  # held while network, settings or the channels' rules change

    # The first network

    def start(self) -> Future[Network]:
        """Load the network of the parameters and warm it up, on the worker's thread."""
        return self.worker.call(self._first)

    def _first(self) -> Network:
        segmenter = load(self._loader, self.settings)
        try:
            network = warm_up(segmenter, self.settings)
            with self._lock:
                self._check(not self._released)
                self.network = network
                self.worker.use(segmenter, network.batch)
        except BaseException:
            segmenter.close()
            raise
        return network

    # Another one in its place

    @property
    def loading(self) -> float | None:
        """Seconds for which another network has been loaded; None while none is."""
        following = self._next
        if following is None or following.background is None:
            return None
        return time.monotonic() - following.background.since

    def serves(self, settings: Settings) -> bool:
        """Whether settings mean the network that serves."""
        with self._lock:
            return same_network(settings, self.settings)

    def follow(self, before: Settings, after: Settings) -> None:
        """Do what a change of the parameters asks for.

        Another network is loaded, and one that is no longer meant is given up; whatever else has changed
        holds from the next frame on.
        """
        if not same_network(after, before):
            self._cancel()
            if not self.serves(after):
                self._load(after)
        with self._lock:
            self.settings = self._in_force()
        for channel in self.channels:
            try:
                with self._lock:
                    assert self.network is not None
                    channel.take(rules_for(self.settings, self.network.segmenter.classes, channel.prefix))
            except ConfigError as error:  # a file that has gone since it was checked
                self._logger.error(f"the change has no effect: {error}")
            channel.follow_settings()

    def _in_force(self) -> Settings:
        """What the present network goes by; the colours and ids of another model come with that."""
        wanted = self._wanted()
        if self._next is None or same_network(wanted, self.settings):
            return wanted
        kept = NETWORK if wanted.model == self.settings.model else WITH_NETWORK
        return replace(wanted, **{name: getattr(self.settings, name) for name in kept})

    def _load(self, settings: Settings) -> None:
        self._logger.info(f"loading model '{settings.model}' in the background")
        following = self._next = _Next(settings)
        following.background = Background(lambda: self._prepare(following))

    def _prepare(self, following: _Next) -> Network:
        """On a thread of its own: get a network ready, engines included, and have it take over."""
        segmenter = load(self._loader, following.settings)
        try:
            with self._lock:
                following.segmenter = segmenter
                self._check(following is self._next)
                before = self.network
            # For the frames that come now; when other ones do, their engine is built aside.
            sizes = self.worker.sizes
            for height, width in sizes or [segmenter.input_size[::-1]]:
                segmenter.prepare(height, width)
            network = self.worker.call(lambda: self._take_over(following, sizes)).result()
        except BaseException:
            segmenter.close()
            raise
        self._logger.info(network.words)
        assert before is not None
        before.segmenter.close()
        self.find_batch()
        return network

    def _take_over(self, following: _Next, sizes: list[tuple[int, int]]) -> Network:
        """On the worker's thread: send the next frame through another network, with its class names."""
        segmenter = following.segmenter
        network = warm_up(segmenter, following.settings, sizes)
        with self._lock:
            wanted = self._wanted()
            self._check(following is self._next and same_network(wanted, following.settings))
            # Raises, before anything has changed, where the new classes do not fit the other parameters.
            rules = [rules_for(wanted, segmenter.classes, one.prefix) for one in self.channels]
            for channel, new in zip(self.channels, rules, strict=True):
                channel.take(new)
            self.worker.use(segmenter, network.batch)
            self.network, self.settings = network, wanted
            self._next, self.refused = None, ""
        return network

    @staticmethod
    def _check(wanted: bool) -> None:
        if not wanted:
            raise EngineError("the network is no longer wanted")

    def _cancel(self) -> None:
        """Give up a network that is being loaded."""
        with self._lock:
            given_up, self._next = self._next, None
        if given_up is not None and given_up.segmenter is not None:
            given_up.segmenter.close()  # ends what it waits for

    def has_failed(self) -> bool:
        """Whether a network that was to take over could not; says why, once. To be called now and then.

        The parameters are to be set back to `settings` then.
        """
        following = self._next
        if following is None or following.background is None or not following.background.future.done():
            return False
        error = following.background.future.exception()
        if error is None:
            return False  # It took over just now.
        self._next = None
        self.refused = f"the new network cannot be used, '{self.settings.model}' stays: {words_of(error)}"
        self._logger.error(self.refused)
        return True

    # Batches

    def find_batch(self) -> None:
        """Find the batch that pays, on a thread of its own, once frames come."""
        network = self.network
        if network is None or not network.untried:
            return

        def work() -> Network:
            try:
                found = find_batch(
                    network,
                    lambda: self.worker.sizes,
                    self.worker.call,
                    lambda: self.network is network,
                )
                return self.worker.call(lambda: take(found)).result()
            except CancelledError:  # the worker has stopped
                return network
            except Exception as error:
                if self.network is network:
                    self._logger.warning(f"images go through the network one by one: {words_of(error)}")
                return network

        def take(found: Network) -> Network:
            with self._lock:
                if self.network is network:
                    self.worker.use(found.segmenter, found.batch)
                    self.network = found
                    if found.batch > 1:
                        self._logger.info(found.words)
            return found

        Background(work)

    # The end

    def release(self, timeout: float) -> bool:
        """Let go of everything; nothing that is still under way comes back in.

        Args:
            timeout: Seconds to wait for the worker.

        Returns:
            Whether the worker's thread has ended.
        """
        self._cancel()
        with self._lock:
            self._released = True
            network, self.network = self.network, None
        ended = self.worker.stop(timeout)
        for channel in self.channels:
            channel.close()
        self.channels.clear()
        if network is not None:
            network.segmenter.close()
        return ended


def fault_of_change(
    serving: Serving, before: Settings, after: Settings, classes_of: Callable[[str], ClassSet | None]
) -> str:
    """Why parameters cannot be changed together, beyond what is wrong with a single value.

    Args:
        serving: What serves.
        before: The parameters as they are.
        after: As they would be.
        classes_of: Gives a model's classes, None where they are not known before it is loaded; raises
            SernetError for a model that cannot be loaded.
    """
    present, network = serving.settings, serving.network
    assert network is not None
    other = not same_network(after, present)
    if other and serving.loading is not None and not same_network(after, before):
        return "a network is being loaded already: try again when it has taken over, or set it back first"
    checked = (*WITH_NETWORK, "ignore_mask")
    if any(all(getattr(after, name) == getattr(one, name) for name in checked) for one in (before, present)):
        return ""  # Nothing that may not fit: a file that has gone since must not keep anyone from `enable`.
    try:
        classes = network.segmenter.classes if after.model == present.model else classes_of(after.model)
        if classes is not None:
            for channel in serving.channels:
                rules_for(after, classes, channel.prefix)
    except SernetError as error:
        return str(error)
    return ""


def words_of(error: BaseException) -> str:
    """What a user is told of an error."""
    return str(error) if isinstance(error, SernetError) else f"{type(error).__name__}: {error}"
