"""Building an engine by name, and choosing the fastest one that can be trusted."""

from __future__ import annotations

import dataclasses
import logging
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sernet_core.engines.base import Engine, Source
from sernet_core.engines.cache import device_name, weights_hash
from sernet_core.engines.eager import Eager
from sernet_core.engines.parity import Parity, compare, street_frames
from sernet_core.engines.plan import Plan
from sernet_core.engines.processor import int8_doubt
from sernet_core.engines.quantised import Quantised, read_quantised
from sernet_core.engines.registry import engine_class
from sernet_core.engines.turn import check_wanted, never
from sernet_core.errors import ConfigError, EngineError, SernetError

# What "auto" tries beside eager, by kind of device. Not compile on a CPU: it needs a compiler and a minute.
CONTENDERS = {"cpu": ("openvino", "onnx"), "cuda": ("tensorrt", "cudagraph")}
# Eager must be this much faster than an engine made for speed: a few frames on a busy machine say less.
EAGER_LEAD = 1.3
INT8 = "openvino:int8"
# Its masks are not quite those of the weights: it must be this much faster than the best exact engine.
INT8_LEAD = 1.2
LONGEST_REASON = 300  # characters; some libraries list all that they know
_log = logging.getLogger(__name__)


def reference(source: Source, plan: Plan) -> Eager:
    """The eager engine; in its own precision where it does not have the one asked for."""
    has_it = not Eager.obstacle(source.device, source.precision)
    return Eager(source if has_it else dataclasses.replace(source, precision="auto"), plan)


@dataclass(frozen=True)
class Choice:
    """What was built, or serves in its place.

    Attributes:
        engine: The engine.
        fault: Why it is eager where another one was to be faster, but failed; "" otherwise.
    """

    engine: Engine
    fault: str = ""


def build(name: str, source: Source, plan: Plan) -> Engine:
    """The engine of `choose`."""
    return choose(name, source, plan).engine


def choose(name: str, source: Source, plan: Plan, stopped: Callable[[], bool] = never) -> Choice:
    """Build one engine, or with "auto" the fastest one.

    Args:
        name: Of the engine, perhaps with a precision of its own: "openvino:int8".
        source: What it is built from.
        plan: Its sizes.
        stopped: Whether "auto" shall give up; asked between two engines.

    Raises:
        EngineError: It cannot run here or cannot be built, with the reason; with "auto", no engine has the
            precision that was asked for.
        NotWantedError: It was stopped.
        ConfigError: The cache cannot be written.
    """
    return _fastest(source, plan, stopped) if name == "auto" else Choice(_named(name, source, plan))


def _named(name: str, source: Source, plan: Plan) -> Engine:
    name, _, precision = name.partition(":")
    if precision:
        source = dataclasses.replace(source, precision=precision)
    kind = engine_class(name)
    if obstacle := kind.obstacle(source.device, source.precision):
        raise EngineError(f"engine {name}: {obstacle}")
    try:
        return kind(source, plan)
    except SernetError:
        raise
    except Exception as error:  # whatever an engine's library raises
        raise EngineError(f"engine {name} could not be built: {_words(error)}") from error


def contenders(device: str, precision: str) -> list[str]:
    """Engines that "auto" compares with eager on a device, fastest first by experience."""
    names = CONTENDERS[device.partition(":")[0]]
    return [name for name in names if not engine_class(name).obstacle(device, precision)]


def _fastest(source: Source, plan: Plan, stopped: Callable[[], bool]) -> Choice:
    """The fastest engine that passes the parity check; eager, with the reason, when none does.

    The outcome is kept in the cache, so that the check is made once for weights, sizes, device and versions.
    Not where an engine could not be built or run, which may pass.
    """
    names = contenders(source.device, source.precision)
    may_be_int8 = source.precision in ("auto", "int8") and "openvino" in names
    made = read_quantised(source.path) if may_be_int8 else None
    if made is not None and source.precision == "auto" and _may_race(made, source, plan):
        names.append(INT8)
    if not names:
        return _fall_back(source, plan, "")
    built: dict[str, Engine] = {}
    crashes: dict[str, str] = {}
    key = {
        **source.identity,
        "frame": plan.frame,
        "network": plan.network,
        "precision": source.precision,
        "threads": source.threads,
        "device": device_name(source.device),
        "engines": {name: engine_class(name.partition(":")[0]).versions() for name in names},
        "int8": made and f"{made.weights} {made.calibrated_on} {dict(made.scores)} {made.sha256}",
    }
    try:
        outcome = source.cache.record(
            "auto",
            key,
            lambda: _race(names, source, plan, built, crashes, stopped),
            lasts=lambda: not crashes,
        )
    except ConfigError as error:
        return _fall_back(source, plan, str(error))
    faults = {**crashes, **outcome["faults"]}
    for name, fault in faults.items():
        _log.warning("auto: %s is out: %s", name, fault)
    winner = outcome["winner"]
    _log.info("auto: %s of %s", winner, outcome["checks"])
    if winner == "eager":
        return _fall_back(source, plan, "; ".join(f"{name}: {fault}" for name, fault in faults.items()))
    try:
        return Choice(built[winner] if winner in built else _named(winner, source, plan))
    except SernetError as error:
        return _fall_back(source, plan, str(error))


def _may_race(made: Quantised, source: Source, plan: Plan) -> bool:
    """Whether an int8 model may compete where no precision was asked for; the log says why not."""
    if made.weights != weights_hash(source.model):
        _log.warning("auto: int8 is out: %s was made from other weights than %s", made.path, source.path)
        return False
    if doubt := made.doubt_at(*plan.network) or int8_doubt():
        _log.info("auto: int8 is out: %s", doubt)
        return False
    return True


def _fall_back(source: Source, plan: Plan, fault: str) -> Choice:
    """Eager, because it is the fastest or, with a fault, because others failed.

    Raises:
        EngineError: It does not have the precision that was asked for.
    """
    engine = reference(source, plan)
    if source.precision not in ("auto", engine.precision):
        reason = fault or "no engine that runs here has it"
        raise EngineError(
            f"precision {source.precision} cannot be had: {reason}. The precision auto takes what there is"
        )
    if fault:
        _log.warning("auto: eager serves: %s", fault)
    return Choice(engine, fault)


def _race(
    names: list[str],
    source: Source,
    plan: Plan,
    built: dict[str, Engine],
    crashes: dict[str, str],
    stopped: Callable[[], bool],
) -> dict[str, Any]:
    """Build and compare engines: the winner, each one's parity, and the faults of those that failed it.

    Args:
        names: Engines beside eager.
        source: What they are built from.
        plan: Their sizes.
        built: Receives the engines.
        crashes: Receives why others could not be built or run.
        stopped: Whether to give up.
    """
    for name in names:
        check_wanted(stopped)
        try:
            built[name] = _named(name, source, plan)
        except ConfigError:
            raise
        except SernetError as error:
            crashes[name] = str(error)
    check_wanted(stopped)
    eager = built["eager"] = reference(source, plan)
    exact = Eager(dataclasses.replace(source, precision="auto"), plan)
    checks: dict[str, Parity] = {}
    for name, found in compare(exact, built, street_frames(*plan.frame)).items():
        if isinstance(found, Parity):
            checks[name] = found
        else:
            crashes[name] = str(found) if isinstance(found, EngineError) else _words(found)
            del built[name]
    verdicts = ((name, parity.fault(built[name].precision)) for name, parity in checks.items())
    faults = {name: fault for name, fault in verdicts if fault and name != "eager"}
    sound = [name for name in checks if name not in faults]
    if "eager" in sound and source.precision not in ("auto", eager.precision) and len(sound) > 1:
        sound.remove("eager")  # it runs, but not in the precision that was asked for
    handicap = {"eager": EAGER_LEAD}
    winner = min(
        (name for name in sound if name != INT8),
        key=lambda name: checks[name].seconds * handicap.get(name, 1.0),
        default=INT8 if INT8 in sound else "eager",
    )
    if INT8 in sound and checks[INT8].seconds * INT8_LEAD < checks[winner].seconds:
        winner = INT8
    return {
        "winner": winner,
        "checks": {name: dataclasses.asdict(parity) for name, parity in checks.items()},
        "faults": faults,
    }


def _words(error: Exception) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {error}", LONGEST_REASON)
