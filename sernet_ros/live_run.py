"""A run over DDS: a segmenter and the replayer as processes of their own, and a recorder that listens."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import rclpy
from rclpy.signals import SignalHandlerOptions

from sernet_core.errors import EngineError, InputError
from sernet_ros.fastdds import use_profile
from sernet_ros.judged_node import DEMANDED, GIVEN, check_values
from sernet_ros.matching import LineCount, ReplayLog, account, read_log
from sernet_ros.meter import Meter, Usage
from sernet_ros.processes import Child
from sernet_ros.recorder import SEGMENTER, Recorder, Topics
from sernet_ros.recording import Recording

NAMESPACE = "/sernet_demo"
FRAMES = "frames.jsonl"
# What the installed executables do, in this very interpreter.
NODE_COMMAND = (sys.executable, "-m", "sernet_ros.node")
REPLAY_COMMAND = (sys.executable, "-m", "sernet_ros.replay")
VIEW_COMMAND = (sys.executable, "-m", "sernet_ros.view")
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LISTENERS = 2  # segmenter and recorder
_POLL = 0.05  # seconds
_TELL_PERIOD = 10.0  # seconds
# What, beside the domain, decides whether nodes see each other.
_REACH = ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY")


@dataclass
class Outcome:
    """What one replay gave.

    Attributes:
        log: What the replayer sent.
        usage: The segmenter's process, twice a second.
        node_exit: Exit code of the segmenter if it ended during the run.
        interrupted: Whether the replay was interrupted, so that this is a part of it.
        left_out: Pictures that came faster than they could be kept.
    """

    log: ReplayLog = field(default_factory=ReplayLog)
    usage: list[Usage] = field(default_factory=list)
    node_exit: int | None = None
    interrupted: bool = False
    left_out: int = 0


class LiveRun:
    """Starts the segmenter and listens; every replay is a call. To be used as a context manager.

    Args:
        folder: Takes the logs of the processes.
        parameters: Parameters of the segmenter as NAME:=VALUE; those of `GIVEN` outdo them.
        parameter_file: Parameter file of the segmenter; `parameters` outdo it.
        defaults: As `parameters`, for what the file does not say.
        running: A segmenter that runs already, by its topics; then none is started.
        confidence: Whether the confidence is received, too, where the segmenter publishes it.
    """

    def __init__(
        self,
        folder: Path,
        parameters: Sequence[str] = (),
        parameter_file: Path | None = None,
        running: Topics | None = None,
        confidence: bool = False,
        defaults: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._earlier: set[int] = set()
        self._topics = running or Topics(NAMESPACE)
        use_profile()
        self._node: Child | None = None
        self._view: Child | None = None
        if running is not None:
            self.domain = f"ROS domain {_domain()}, namespace {running.namespace}"
        else:
            self.domain = isolate(NAMESPACE)
            command = [*NODE_COMMAND, "--ros-args", "-r", f"__ns:={NAMESPACE}"]
            # What comes later outdoes what comes before.
            command += [word for parameter in defaults for word in ("-p", parameter)]
            if parameter_file is not None:
                command += ["--params-file", str(parameter_file)]
            given = [f"{name}:={value}" for name, value in GIVEN.items()]
            command += [word for parameter in (*parameters, *given) for word in ("-p", parameter)]
            self._node = Child("the node", command, folder / "node.log", child_environment())
        try:
            rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
            self._recorder = Recorder(self._topics, confidence)
        except BaseException:
            self._stop_node()
            raise

    def __enter__(self) -> LiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not leave processes behind, nor the hang-up that follows it.
        previous = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
        try:
            if self._view:
                self._view.stop()
            self._stop_node()
            self._recorder.destroy_node()
            rclpy.try_shutdown()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @property
    def node_values(self) -> dict[str, str]:
        """The node's last diagnostics."""
        return self._recorder.status.values

    @property
    def model(self) -> str:
        """The checkpoint that answers, by name or path; once the node is active.

        Raises:
            EngineError: The node does not say.
        """
        if not (model := self.node_values.get("model")):
            raise EngineError("the node does not say in /diagnostics which model it runs")
        return model

    def check_node(self) -> None:
        """See that the node takes what is replayed, and that its masks can be scored.

        Raises:
            ConfigError: They cannot.
            EngineError: The node does not answer.
        """
        check_values(self._recorder.parameters(tuple(DEMANDED)))

    def last_words(self) -> str:
        """The end of the node's output."""
        return self._node.last_words() if self._node else "  (it runs elsewhere)"

    @property
    def exit_code(self) -> int | None:
        """Of the node, once it has ended; None while it runs, and of one that runs elsewhere."""
        return self._node.exit_code if self._node else None

    def _stop_node(self) -> None:
        if self._node:
            self._node.stop()

    def show(self, port: int, timeout: float = 60.0) -> str:
        """Serve the live view of this run on a port of this machine; returns the address of its page.

        Raises:
            EngineError: It does not come up; most likely its port is taken.
        """
        command = [*VIEW_COMMAND, "--port", str(port), "--ros-args", "-r", f"__ns:={self._topics.namespace}"]
        self._view = Child("the view", command, self._folder / "view.log", child_environment())
        deadline = time.monotonic() + timeout
        while not (found := re.search(r"view: (http\S+)", self._view.last_words())):
            if self._view.exit_code is not None or time.monotonic() > deadline:
                raise EngineError(f"the view did not come up:\n{self._view.last_words()}")
            time.sleep(_POLL)
        return found[1]

    def wait_until_active(self, timeout: float, tell: Callable[[str], None]) -> None:
        """Wait until the node takes frames.

        Args:
            timeout: Seconds.
            tell: Gets the node's own words when they change, e.g. "loading model", and every ten seconds.

        Raises:
            EngineError: It ended, or was not ready in time.
        """
        recorder = self._recorder

        def said() -> str:
            if self._node is None and not recorder.reports:
                return f"waiting for {SEGMENTER} in {self._topics.namespace}"
            return recorder.status.message

        self._wait_while(lambda: not recorder.status.active, timeout, tell, said)

    def wait_for_engine(self, timeout: float, tell: Callable[[str], None]) -> None:
        """Wait until no engine is being built; a frame of a new size begins that.

        Args:
            timeout: Seconds.
            tell: As in `wait_until_active`.

        Raises:
            EngineError: It ended, or was not ready in time.
        """
        recorder = self._recorder
        # The last report may be older than the frame; the second one from now is not.
        fresh = recorder.reports + 2

        def busy() -> bool:
            return recorder.reports < fresh or recorder.status.building

        self._wait_while(
            busy, timeout, tell, lambda: recorder.status.engine_state if recorder.status.building else ""
        )

    def _wait_while(
        self,
        condition: Callable[[], bool],
        timeout: float,
        tell: Callable[[str], None],
        said: Callable[[], str],
    ) -> None:
        deadline, told, told_at = time.monotonic() + timeout, "", 0.0
        while condition():
            if (code := self.exit_code) is not None:
                raise EngineError(
                    f"the node ended with exit code {code} before it was ready:\n{self.last_words()}"
                )
            message = said()
            if time.monotonic() > deadline:
                if self._node is None and not self._recorder.reports:
                    raise EngineError(self._nobody(timeout))
                words = f" (it says: {message})" if message else ""
                raise EngineError(f"the node was not ready after {timeout:g} s{words}:\n{self.last_words()}")
            # "loading model, 12 s" counts on: the same words but for their last part.
            words = message.rpartition(", ")[0] or message
            if words and (words != told or time.monotonic() - told_at > _TELL_PERIOD):
                told, told_at = words, time.monotonic()
                tell(message)
            time.sleep(_POLL)

    def _nobody(self, timeout: float) -> str:
        """What to check where the node that should run says nothing at all."""
        namespace = self._topics.namespace
        name = f"{namespace.rstrip('/')}/{SEGMENTER}"
        reach = ", ".join(f"{one}={value}" for one in _REACH if (value := os.environ.get(one)))
        return (
            f"no {SEGMENTER} is found in {namespace} on ROS_DOMAIN_ID {_domain()}: nothing from it on "
            f"/diagnostics for {timeout:g} s. Check that `ros2 node list` shows {name} in this shell "
            "(--running takes the node's namespace), and that the node was started with the same "
            f"ROS_DOMAIN_ID, {' and '.join(_REACH)} (here: {reach or 'neither of these two is set'})"
        )

    def replay(
        self,
        arguments: Sequence[str],
        recording: Recording | None = None,
        progress: Callable[[int, int], None] = lambda sent, answered: None,
        keep: bool = False,
    ) -> Outcome:
        """Replay once, to its end and the last answer.

        Args:
            arguments: Command line of the replayer.
            recording: Takes what arrives meanwhile; None: it is thrown away.
            progress: Gets the number of frames sent and of answers.
            keep: When the user interrupts, end the replay and give what there is of it.

        Raises:
            InputError: The replayer failed.
        """
        log_path = self._folder / FRAMES
        log_path.unlink(missing_ok=True)
        listeners = _LISTENERS + (self._view is not None)
        command = [*REPLAY_COMMAND, *arguments, "--wait", str(listeners), "--log", str(log_path)]
        # In lock-step the next frame waits for the recorder, too: its memory must not grow with the run.
        answers = self._recorder.taken if recording else self._topics.mask
        left_out = self._recorder.left_out
        command += ["--answers", answers, "--ros-args", "-r", f"__ns:={self._topics.namespace}"]
        command += ["-r", f"image:={self._topics.image}"]
        outcome = Outcome()
        try:
            with Child("the replayer", command, self._folder / "replay.log", child_environment()) as child:
                self._follow(child, outcome, recording, progress)
        except KeyboardInterrupt:
            if not keep:
                raise
            outcome.interrupted = True
        outcome.log = read_log(log_path)
        outcome.left_out = self._recorder.left_out - left_out
        try:
            if outcome.node_exit is None and recording:
                outcome.node_exit = self._await_answers(recording, outcome.log, progress)
        except KeyboardInterrupt:
            if not keep:
                raise
            outcome.interrupted = True
        if recording is None:
            # Of a recording that is kept no answer is late; that of another camera may have the same stamps.
            self._earlier |= {frame.stamp_ns for frame in outcome.log.sent}
        return outcome

    def _follow(
        self,
        child: Child,
        outcome: Outcome,
        recording: Recording | None,
        progress: Callable[[int, int], None],
    ) -> None:
        """Take what arrives until the replayer has ended."""
        meter, sent = Meter(self._node.pid if self._node else None), LineCount(self._folder / FRAMES)
        while child.exit_code is None and outcome.node_exit is None:
            self._collect(recording)
            outcome.node_exit = self.exit_code
            if meter.due():
                meter.sample(outcome.usage)
                progress(sent.count(), len(recording.answers) if recording else 0)
            time.sleep(_POLL)
        if child.exit_code not in (0, None):
            raise InputError(f"the replayer ended with exit code {child.exit_code}:\n{child.last_words()}")

    def _collect(self, recording: Recording | None) -> set[int]:
        """Pass on what arrived, without late answers to an earlier replay; the stamps of that."""
        stamps = set()
        # One by one: what is fetched at once would wait here, where nobody counts it.
        for received in self._recorder.fetch():
            if received.stamp_ns not in self._earlier:
                stamps.add(received.stamp_ns)
                if recording:
                    recording.take(received)
        return stamps

    def _await_answers(
        self, recording: Recording, log: ReplayLog, progress: Callable[[int, int], None]
    ) -> int | None:
        """Wait until every frame is answered or nothing has come for a while; a dead node's exit code."""
        sent = {frame.stamp_ns for frame in log.sent}
        slowest = max(account(log.sent, recording.answers).latency_ms.values(), default=0.0)
        last, silence = time.monotonic(), max(3.0, 4e-3 * slowest)
        while time.monotonic() - last < silence and self.exit_code is None:
            if not sent.isdisjoint(self._collect(recording)):
                last = time.monotonic()
            progress(len(sent), len(recording.answers))
            if sent <= {stamp for stamp, _ in recording.answers}:
                # Overlay and confidence come after their mask; a new recording must not lack the last ones.
                silence = 3.0 if recording.wants_confidence else 0.5
            time.sleep(_POLL)
        return self.exit_code


def isolate(namespace: str) -> str:
    """Keep a run apart from the user's own nodes, unless a domain is set.

    Args:
        namespace: In which the run's nodes are.

    Returns:
        Words that say so.
    """
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    domain = os.environ.get("ROS_DOMAIN_ID")
    if domain:
        return f"ROS domain {domain} (yours), namespace {namespace}"
    # Up to 101: above, the ports may be in use for other things.
    os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randrange(1, 102))
    return f"ROS domain {os.environ['ROS_DOMAIN_ID']} (random), namespace {namespace}"


def _domain() -> str:
    return os.environ.get("ROS_DOMAIN_ID") or "0"


def child_environment() -> dict[str, str]:
    """Environment of a child: it must find this very package, wherever the run was started."""
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
