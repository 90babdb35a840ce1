"""The one thread that owns the network, and the slots that hold the newest frame of each camera.

One thread, because a network may be bound to the thread that warmed it up (CUDA graphs are). One frame a
slot, because an old frame is worth nothing once a newer one waits: the delay cannot grow.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import numpy as np

from sernet_core.errors import EngineError, InputError

T = TypeVar("T")

STAGES = ("wait", "decode", "inference", "publish", "total")
"""What a frame's time goes to: in the slot, to an array, through the network, out; and all of it."""


class _LateError(EngineError):
    """A result that came after its time: it would describe a world that has moved on."""


@dataclass
class _Inference:
    camera: int
    since: float
    late: bool = False


class Segmentation(Protocol):
    """What comes out of the network for one frame: `mask` is uint8 (H, W)."""

    @property
    def mask(self) -> np.ndarray: ...


class Segmenter(Protocol):
    """What the worker needs of a network: uint8 (H, W, 3) RGB in, a segmentation of its size out."""

    def segment(self, image: np.ndarray) -> Segmentation: ...


class Monitor(Protocol):
    """Who hears what became of each frame of a camera; called from several threads."""

    def received(self) -> None: ...

    def dropped(self) -> None: ...

    def rejected(self, error: InputError) -> None: ...

    def failed(self, reason: str, message: str) -> None: ...

    def answered(self, seconds: Mapping[str, float]) -> None: ...


@dataclass(frozen=True)
class Frame:
    """What waits in a slot; the worker never looks into the message, but hands it back.

    Attributes:
        camera: Index of the camera.
        message: What was put into the slot.
        received: When it was put there, in seconds of the monotonic clock.
        epoch: Which opening of the slots it belongs to.
    """

    camera: int
    message: Any
    received: float
    epoch: int


class Worker:
    """Takes the newest frame of each camera in turn, and hands on its mask.

    A frame ends in exactly one of four ways, which its camera's monitor hears: dropped (a newer one came,
    or the slots were closed), rejected (it could not be decoded), failed (no mask that could be trusted, or
    none in time) or answered.

    Args:
        decode: Turns a message into uint8 (H, W, 3) RGB; raises InputError for one it rejects.
        deliver: Hands on a mask: called with the frame, its image and the mask, on the worker's thread.
        monitors: One a camera.
        timeout: Gives the seconds that an inference may take; asked for each frame.
    """

    def __init__(
        self,
        decode: Callable[[Any], np.ndarray],
        deliver: Callable[[Frame, np.ndarray, np.ndarray], None],
        monitors: list[Any],
        timeout: Callable[[], float],
    ) -> None:
        self._decode = decode
        self._deliver = deliver
        self._monitors: list[Monitor] = monitors
        self._timeout = timeout
        self._segmenter: Segmenter | None = None
        self._slots: list[Frame | None] = [None] * len(monitors)
        self._turn = 0
        self._tasks: deque[Callable[[], None]] = deque()
        self._running = True
        self._open = False
        self._epoch = 0
        self._inference: _Inference | None = None
        self._changed = threading.Condition()
        # Held while a mask is handed on, so that nothing more comes once close() has returned.
        self._delivery = threading.Lock()
        # A daemon, because an inference that hangs for good must not keep the process.
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def call(self, task: Callable[[], T]) -> Future[T]:
        """Run something on the worker's thread, before the next frame."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(task())
            except BaseException as error:
                future.set_exception(error)

        with self._changed:
            self._tasks.append(run)
            self._changed.notify()
        return future

    @property
    def is_open(self) -> bool:
        """Whether frames are accepted."""
        return self._open

    def open(self, segmenter: Segmenter) -> None:
        """Accept frames from now on and segment them with this network."""
        with self._changed:
            self._segmenter = segmenter
            self._open = True

    def close(self) -> None:
        """Accept no more frames; once this returns, no mask comes, not even of a frame that is under way."""
        with self._delivery, self._changed:
            self._open = False
            self._epoch += 1
            waiting = [frame for frame in self._slots if frame is not None]
            self._slots = [None] * len(self._slots)
        for frame in waiting:
            self._monitors[frame.camera].dropped()

    def put(self, camera: int, message: Any) -> None:
        """Make this the newest frame of a camera; one that still waits is dropped. Never blocks for long."""
        with self._changed:
            if not self._open:
                return
            replaced = self._slots[camera] is not None
            self._slots[camera] = Frame(camera, message, time.monotonic(), self._epoch)
            self._changed.notify()
        self._monitors[camera].received()
        if replaced:
            self._monitors[camera].dropped()

    def watch(self) -> None:
        """Notice an inference that hangs; to be called now and then from another thread."""
        inference = self._inference
        if inference is not None:
            self._is_late(inference)

    def stop(self, timeout: float) -> bool:
        """Let go of the network and end the thread.

        Args:
            timeout: Seconds to wait for an inference that is under way.

        Returns:
            Whether the thread has ended. One that has not (its inference hangs) ends itself later; it
            delivers nothing any more.
        """
        self.close()
        with self._changed:
            self._running = False
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._tasks or any(self._slots) or not self._running)
                if not self._running:
                    break
                task = self._tasks.popleft() if self._tasks else None
                frame = None if task else self._take()
            if task is not None:
                task()
            elif frame is not None:
                self._process(frame)
        self._segmenter = None

    def _take(self) -> Frame | None:
        """The frame of the camera whose turn it is, of those that have one."""
        count = len(self._slots)
        for camera in (*range(self._turn, count), *range(self._turn)):
            frame = self._slots[camera]
            if frame is not None:
                self._slots[camera] = None
                self._turn = (camera + 1) % count
                return frame
        return None

    def _process(self, frame: Frame) -> None:
        monitor = self._monitors[frame.camera]
        times = [frame.received, time.monotonic()]
        try:
            image = self._decode(frame.message)
            times.append(time.monotonic())
            mask = self._infer(frame.camera, image)
            times.append(time.monotonic())
            with self._delivery:
                if frame.epoch != self._epoch:
                    monitor.dropped()
                    return
                self._deliver(frame, image, mask)
            times.append(time.monotonic())
        except InputError as error:
            monitor.rejected(error)
        except _LateError:
            pass  # It was counted when its time was up.
        except EngineError as error:
            monitor.failed("engine", str(error))
        except Exception as error:  # the node outlives whatever one frame does
            monitor.failed("unexpected", f"{type(error).__name__}: {error}")
        else:
            seconds = [end - start for start, end in pairwise(times)]
            monitor.answered(dict(zip(STAGES, (*seconds, times[-1] - times[0]), strict=True)))

    def _infer(self, camera: int, image: np.ndarray) -> np.ndarray:
        assert self._segmenter is not None
        self._inference = inference = _Inference(camera, time.monotonic())
        try:
            mask = self._segmenter.segment(image).mask
        except Exception:
            if not self._is_late(inference):
                raise
        finally:
            self._inference = None
        if self._is_late(inference):
            raise _LateError
        if mask.shape != image.shape[:2]:
            raise EngineError(f"the network made a mask of {mask.shape} for an image of {image.shape[:2]}")
        return mask

    def _is_late(self, inference: _Inference) -> bool:
        """Whether an inference has run out of time; the first to ask afterwards tells the monitor."""
        with self._changed:
            elapsed, allowed = time.monotonic() - inference.since, self._timeout()
            newly = not inference.late and elapsed > allowed
            inference.late = inference.late or newly
        if newly:
            words = f"inference takes longer than inference_timeout ({allowed:g} s); its result is discarded"
            self._monitors[inference.camera].failed("timeout", words)
        return inference.late
