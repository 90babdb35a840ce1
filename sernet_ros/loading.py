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
        batch: How many images it should take at once.
        untried: How many it might take, which `find_batch` is to find out; 0 when it is known.
    """

    segmenter: Any
    settings: Settings
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
    # Cameras of one size have a single engine, and some for batches: no more of them than cameras.
    return loader(settings.model, **keywords, frame_sizes=len(settings.cameras))


def warm_up(segmenter: Any, settings: Settings, sizes: Sequence[tuple[int, int]] = ()) -> Network:
    """Run a network before the first frame, on the thread that will run it.

    Args:
        segmenter: A `sernet_core.runtime.Segmenter`.
        settings: What it was loaded with.
        sizes: Height and width of each frame to expect. Where none is known it is what the network was
            trained with, and the engine for that is built until a frame of another size comes.
    """
    for height, width in sizes or [segmenter.input_size[::-1]]:
        segmenter.warm_up(height, width, guess=not sizes)
    # On a CPU one frame keeps all cores busy.
    most = 1 if segmenter.device == "cpu" else min(settings.max_batch, len(settings.cameras))
    return Network(segmenter, settings, untried=most if most > 1 else 0)


def find_batch(
    network: Network,
    sizes: Callable[[], Sequence[tuple[int, int]]],
    call: Callable[[Callable[[], Any]], Future[Any]],
    in_use: Callable[[], bool],
) -> Network:
    """Find the batch that pays for a network that serves already.

    Tried with the size of frames that come, so it waits for the first one; and until engines are built, since
    eager, which stands in for them, takes no batches.

    Args:
        network: With a batch that is untried.
        sizes: Gives the heights and widths of the frames that have come.
        call: Runs something on the network's thread.
        in_use: Whether the network still serves; when not, the waiting ends.

    Returns:
        The network with its batch; as it was where no frame and no engines come.
    """
    segmenter, most = network.segmenter, network.untried
    while not sizes():
        if not in_use():
            return network
        time.sleep(_POLL)
    noise = np.random.default_rng(0).integers(0, 256, (*sizes()[0], 3), np.uint8)
    if not _is_built(segmenter, in_use):
        return network
    call(lambda: segmenter.segment_many([noise] * most)).result()  # begins the batch's engine
    if not _is_built(segmenter, in_use):
        return network
    pays = call(lambda: _gains(segmenter, noise, most)).result()
    return replace(network, batch=most if pays else 1, untried=0)


def _is_built(segmenter: Any, in_use: Callable[[], bool]) -> bool:
    """Wait until nothing is built any more; whether that came."""
    end = time.monotonic() + _LONGEST_BUILD
    while segmenter.building:
        if time.monotonic() > end or not in_use():
            return False
        time.sleep(_POLL)
    return in_use()


def _gains(segmenter: Any, noise: np.ndarray, batch: int) -> bool:
    """Whether a batch takes less time than its images one by one; both have run before."""
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
