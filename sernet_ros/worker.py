"""The one thread that owns the network, and the slots that hold the newest frame of each camera.

One thread, because a network may be bound to the thread that warmed it up (CUDA graphs are). One frame a
slot, because an old frame is worth nothing once a newer one waits: the delay cannot grow.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
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
    cameras: list[int]
    since: float
    late: bool = False


@dataclass(frozen=True)
class _Call:
    run: Callable[[], None]
    future: Future[Any]


class Answer(Protocol):
    """What comes out of the network for one picture: `mask` and `confidence` (or None) are uint8 (H, W)."""

    @property
    def mask(self) -> np.ndarray: ...

    @property
    def confidence(self) -> np.ndarray | None: ...


class Segmenter(Protocol):
    """What the worker needs of a network: uint8 (H, W, 3) RGB in, an answer of its size out."""

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> Answer: ...

    def segment_many(
        self, images: Sequence[np.ndarray], *, confidence: bool = False
    ) -> Sequence[Answer | Exception]:
        """Several pictures at once; one that fails gives its error and does not harm the others."""
        ...


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


@dataclass(frozen=True)
class Task:
    """What a frame asks of the network.

    Attributes:
        image: The whole picture, uint8 (H, W, 3) RGB.
        view: The part of it that is segmented.
        confidence: Whether the confidence is wanted, too.
        rules: For `deliver`, which gets the task back.
    """

    image: np.ndarray
    view: np.ndarray
    confidence: bool = False
    rules: Any = None


class Worker:
    """Takes the newest frame of each camera in turn, and hands on its mask.

    A frame ends in exactly one of four ways, which its camera's monitor hears: dropped (a newer one came,
    or the slots were closed), rejected (it could not be decoded), failed (no mask that could be trusted, or
    none in time) or answered.

    Args:
        decode: Turns a frame's message into a task; raises InputError for one it rejects.
        deliver: Hands on the mask of an answer: called with the frame and its task, on the worker's thread.
            What it returns hands on the rest, and is called when all masks of a batch are out.
        monitors: One a camera.
        timeout: Gives the seconds that an inference may take; asked for each frame.
    """

    def __init__(
        self,
        decode: Callable[[Frame], Task],
        deliver: Callable[[Frame, Task, Answer], Callable[[], None]],
        monitors: list[Any],
        timeout: Callable[[], float],
    ) -> None:
        self._decode = decode
        self._deliver = deliver
        self._monitors: list[Monitor] = monitors
        self._timeout = timeout
        self._segmenter: Segmenter | None = None
        self._batch = 1
        self._slots: list[Frame | None] = [None] * len(monitors)
        self._sizes: list[tuple[int, int] | None] = [None] * len(monitors)
        self._turn = 0
        self._tasks: deque[_Call] = deque()
        self._running = True
        self._open = False
        self._epoch = 0
        self._inference: _Inference | None = None
        self._call_since: float | None = None
        self._changed = threading.Condition()
        # Held while a mask is handed on, so that nothing more comes once close() has returned.
        self._delivery = threading.Lock()
        # A daemon, because an inference that hangs for good must not keep the process.
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def call(self, task: Callable[[], T]) -> Future[T]:
        """Run something on the worker's thread before the next frame; cancelled if the worker stops first."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(task())
            except BaseException as error:
                future.set_exception(error)

        with self._changed:
            if self._running:
                self._tasks.append(_Call(run, future))
                self._changed.notify()
            else:
                future.cancel()
        return future

    @property
    def is_open(self) -> bool:
        """Whether frames are accepted."""
        return self._open

    def use(self, segmenter: Segmenter, batch: int = 1) -> None:
        """Segment with this network from the next frame on.

        Args:
            segmenter: The network.
            batch: Most frames, of different cameras, that go through it at once.
        """
        self._segmenter, self._batch = segmenter, batch

    def open(self) -> None:
        """Accept frames from now on."""
        with self._changed:
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

    @property
    def hanging(self) -> float | None:
        """Seconds since an inference began that has run out of time and still has not come back; or None."""
        inference = self._inference
        return time.monotonic() - inference.since if inference is not None and inference.late else None

    @property
    def called_for(self) -> float | None:
        """Seconds for which something of `call` has kept the frames waiting; None while nothing does."""
        since = self._call_since
        return None if since is None else time.monotonic() - since

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Heights and widths that the network segments: that of each camera's last answered frame."""
        return sorted({size for size in self._sizes if size is not None})

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
                call = self._tasks.popleft() if self._tasks else None
                frames = [] if call else self._take()
            if call is not None:
                self._call_since = time.monotonic()
                call.run()
                self._call_since = None
            else:
                self._process(frames)
        for call in self._tasks:
            call.future.cancel()
        self._segmenter = None

    def _take(self) -> list[Frame]:
        """The frame of the camera whose turn it is, of those that have one, and of the next in a batch."""
        count = len(self._slots)
        taken: list[Frame] = []
        for camera in (*range(self._turn, count), *range(self._turn)):
            frame = self._slots[camera]
            if frame is not None and len(taken) < self._batch:
                self._slots[camera] = None
                self._turn = (camera + 1) % count
                taken.append(frame)
        return taken

    def _process(self, frames: list[Frame]) -> None:
        tasks: list[tuple[Frame, Task, list[float]]] = []
        for frame in frames:
            times = [frame.received, time.monotonic()]
            with self._told(frame):
                task = self._decode(frame)
                tasks.append((frame, task, [*times, time.monotonic()]))
        if not tasks:
            return
        answers = self._infer([(frame, task) for frame, task, _ in tasks])
        done = time.monotonic()
        delivered: list[tuple[Frame, Callable[[], None], list[float]]] = []
        for (frame, task, times), answer in zip(tasks, answers, strict=True):
            with self._told(frame):
                if (rest := self._hand_on(frame, task, answer)) is not None:
                    delivered.append((frame, rest, [*times, done]))
        for frame, rest, times in delivered:
            with self._told(frame):
                self._complete(frame, rest, times)

    def _hand_on(self, frame: Frame, task: Task, answer: Answer | Exception) -> Callable[[], None] | None:
        """Hand on a mask; gives what hands on the rest, or None where the slots have been closed since."""
        if isinstance(answer, Exception):
            raise answer
        if answer.mask.shape != task.view.shape[:2]:
            raise EngineError(
                f"the network made a mask of {answer.mask.shape} for an image of {task.view.shape[:2]}"
            )
        height, width = answer.mask.shape
        self._sizes[frame.camera] = height, width
        with self._delivery:
            if frame.epoch != self._epoch:
                self._monitors[frame.camera].dropped()
                return None
            return self._deliver(frame, task, answer)

    def _complete(self, frame: Frame, rest: Callable[[], None], times: list[float]) -> None:
        """Hand on what goes with a mask, unless the slots have been closed since; the frame is answered."""
        with self._delivery:
            if frame.epoch == self._epoch:
                rest()
        times.append(time.monotonic())
        seconds = [end - start for start, end in pairwise(times)]
        total = {"total": times[-1] - times[0]}
        self._monitors[frame.camera].answered(dict(zip(STAGES, seconds, strict=False)) | total)

    @contextmanager
    def _told(self, frame: Frame) -> Iterator[None]:
        """Whatever goes wrong with a frame is told to its monitor, and costs that frame alone."""
        monitor = self._monitors[frame.camera]
        try:
            yield
        except InputError as error:
            monitor.rejected(error)
        except _LateError:
            pass  # It was counted when its time was up.
        except EngineError as error:
            monitor.failed("engine", str(error))
        except Exception as error:  # the node outlives whatever one frame does
            monitor.failed("unexpected", f"{type(error).__name__}: {error}")

    def _infer(self, frames: list[tuple[Frame, Task]]) -> Sequence[Answer | Exception]:
        """An answer or an error for each frame."""
        assert self._segmenter is not None
        views, confidence = [task.view for _, task in frames], any(task.confidence for _, task in frames)
        self._inference = inference = _Inference([frame.camera for frame, _ in frames], time.monotonic())
        answers: Sequence[Answer | Exception]
        try:
            if len(views) == 1:
                answers = [self._segmenter.segment(views[0], confidence=confidence)]
            else:
                answers = self._segmenter.segment_many(views, confidence=confidence)
        except Exception as error:
            answers = [error] * len(views)
        finally:
            self._inference = None
        return [_LateError()] * len(views) if self._is_late(inference) else answers

    def _is_late(self, inference: _Inference) -> bool:
        """Whether an inference has run out of time; the first to ask afterwards tells the monitor."""
        with self._changed:
            elapsed, allowed = time.monotonic() - inference.since, self._timeout()
            newly = not inference.late and elapsed > allowed
            inference.late = inference.late or newly
        if newly:
            words = f"inference takes longer than inference_timeout ({allowed:g} s); its result is discarded"
            for camera in inference.cameras:
                self._monitors[camera].failed("timeout", words)
        return inference.late
