"""A network that gets ready in the background while another one, or none, serves."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sernet_ros.settings import NETWORK, Settings

_TRIALS = 3  # of each kind
# A batch must take less than this share of the time that its images take one by one: the first of them has to
# wait for the last, and three trials on a busy machine differ by a tenth without any gain.
_GAIN = 0.8
_POLL = 0.2  # seconds
_LONGEST_BUILD = 3600.0  # seconds; TensorRT may take many minutes


@dataclass(frozen=True)
class Network:
    """A network that is ready.

    Attributes:
        segmenter: A `sernet_core.runtime.Segmenter`.
        settings: What it was loaded with.
        size: Height and width of a frame that it has been warmed up with.
        batch: How many images it should take at once.
        untried: How many it might take, which `find_batch` is to find out; 0 when it is known.
    """

    segmenter: Any
    settings: Settings
    size: tuple[int, int]
    batch: int = 1
    untried: int = 0

    @property
    def words(self) -> str:
        """What a log says of it."""
        one = self.segmenter
        width, height = one.input_size
        batch = f", up to {self.batch} images at once" if self.batch > 1 else ""
        return (
            f"model '{one.model}': {one.engine} on {one.device}, {one.precision}, {len(one.classes)} classes "
            f"of {one.classes.name}, made for {width}x{height}{batch}"
        )


def same_network(one: Settings, other: Settings) -> bool:
    """Whether two settings mean the same network."""
    return all(getattr(one, name) == getattr(other, name) for name in NETWORK)


def load(loader: Callable[..., Any], settings: Settings) -> Any:
    """Load the network that the settings name."""
    keywords = {name: getattr(settings, name) for name in NETWORK if name != "model"}
    return loader(settings.model, **keywords)


def warm_up(segmenter: Any, settings: Settings, sizes: Sequence[tuple[int, int]] = ()) -> Network:
    """Run a network before the first frame, and find the batch that pays; on the thread that will run it.

    Not the batch while engines are built beside it: eager stands in for them, and takes no batches. Nor on a
    CPU, where one frame keeps all cores busy.

    Args:
        segmenter: A `sernet_core.runtime.Segmenter`.
        settings: What it was loaded with.
        sizes: Height and width of each frame to expect. Where none is known it is what the network was
            trained with, and the engine for that is built until a frame of another size comes.
    """
    known = bool(sizes)
    sizes = sizes or [segmenter.input_size[::-1]]
    for height, width in sizes:
        segmenter.warm_up(height, width, guess=not known)
    network = Network(segmenter, settings, sizes[0])
    most = min(settings.max_batch, len(settings.cameras))
    if most == 1 or segmenter.device == "cpu":
        return network
    if not segmenter.building:
        segmenter.segment_many([_noise(network)] * most)
    if segmenter.building:
        return replace(network, untried=most)
    return replace(network, batch=most if _gains(network, most) else 1)


def find_batch(
    network: Network, call: Callable[[Callable[[], Any]], Future[Any]], in_use: Callable[[], bool]
) -> Network:
    """Wait for the engines of a network that serves already, and find the batch that pays.

    Args:
        network: With a batch that is untried.
        call: Runs something on the network's thread.
        in_use: Whether the network still serves; when not, the waiting ends.

    Returns:
        The network with its batch; as it was where its engines do not come.
    """
    segmenter, most = network.segmenter, network.untried
    if not _is_built(segmenter, in_use):
        return network
    call(lambda: segmenter.segment_many([_noise(network)] * most)).result()  # begins the batch's engine
    if not _is_built(segmenter, in_use):
        return network
    pays = call(lambda: _gains(network, most)).result()
    return replace(network, batch=most if pays else 1, untried=0)


def _is_built(segmenter: Any, in_use: Callable[[], bool]) -> bool:
    """Wait until nothing is built any more; whether that came."""
    end = time.monotonic() + _LONGEST_BUILD
    while segmenter.building:
        if time.monotonic() > end or not in_use():
            return False
        time.sleep(_POLL)
    return in_use()


def _noise(network: Network) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*network.size, 3), np.uint8)


def _gains(network: Network, batch: int) -> bool:
    """Whether a batch takes less time than its images one by one; both have run before."""
    segmenter, noise = network.segmenter, _noise(network)
    segmenter.segment_many([noise] * batch)
    together, alone = [], []
    for _ in range(_TRIALS):
        began = time.monotonic()
        segmenter.segment_many([noise] * batch)
        between = time.monotonic()
        segmenter.segment(noise)
        together.append((between - began) / batch)
        alone.append(time.monotonic() - between)
    return statistics.median(together) < _GAIN * statistics.median(alone)


class Background:
    """Something that a thread of its own works on; the thread does not keep the process.

    Attributes:
        since: When it began, in seconds of the monotonic clock.
        future: Its result or error.
    """

    def __init__(self, work: Callable[[], Network]) -> None:
        self.since = time.monotonic()
        self.future: Future[Network] = Future()
        self._work = work
        threading.Thread(target=self._run, name="loading", daemon=True).start()

    def _run(self) -> None:
        try:
            self.future.set_result(self._work())
        except BaseException as error:
            self.future.set_exception(error)
