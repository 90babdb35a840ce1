"""Building an engine by name, and choosing the fastest one that can be trusted."""

from __future__ import annotations

import dataclasses
import logging
import textwrap
from typing import Any

from sernet_core.engines.base import Engine, Source
from sernet_core.engines.cache import device_name, weights_hash
from sernet_core.engines.eager import Eager
from sernet_core.engines.parity import compare, street_frames
from sernet_core.engines.plan import Plan
from sernet_core.engines.processor import int8_doubt
from sernet_core.engines.quantised import read_quantised
from sernet_core.engines.registry import engine_class
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


def build(name: str, source: Source, plan: Plan) -> Engine:
    """Build one engine, or with "auto" the fastest one.

    Args:
        name: Of the engine, perhaps with a precision of its own: "openvino:int8".
        source: What it is built from.
        plan: Its sizes.

    Raises:
        EngineError: It cannot run here or cannot be built, with the reason.
        ConfigError: The cache cannot be written.
    """
    if name == "auto":
        return _fastest(source, plan)
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


def _fastest(source: Source, plan: Plan) -> Engine:
    """The fastest engine that passes the parity check; eager, with a logged reason, when none does.

    The outcome is kept in the cache, so that the check is made once for weights, sizes, device and versions.
    """
    names = contenders(source.device, source.precision)
    made = read_quantised(source.path) if source.precision == "auto" and "openvino" in names else None
    if made is not None and made.weights != weights_hash(source.model):
        _log.warning("auto: int8 is out: %s was made from other weights than %s", made.path, source.path)
    elif made is not None and (doubt := made.doubt_at(*plan.network) or int8_doubt()):
        _log.info("auto: int8 is out: %s", doubt)
    elif made is not None:
        names.append(INT8)
    if not names:
        return reference(source, plan)
    built: dict[str, Engine] = {}
    key = {
        **source.identity,
        "frame": plan.frame,
        "network": plan.network,
        "precision": source.precision,
        "threads": source.threads,
        "device": device_name(source.device),
        "engines": {name: engine_class(name.partition(":")[0]).versions() for name in names},
        "int8": f"{made.calibrated_on} {dict(made.scores)} {made.sha256}" if made is not None else "",
    }
    try:
        outcome = source.cache.record("auto", key, lambda: _race(names, source, plan, built))
    except ConfigError as error:
        _log.warning("auto: eager serves: %s", error)
        return reference(source, plan)
    for name, fault in outcome["faults"].items():
        _log.warning("auto: %s is out: %s", name, fault)
    winner = outcome["winner"]
    _log.info("auto: %s of %s", winner, outcome["checks"])
    if winner in built:
        return built[winner]
    try:
        return reference(source, plan) if winner == "eager" else build(winner, source, plan)
    except SernetError as error:
        _log.warning("auto: eager serves: %s", error)
        return reference(source, plan)


def _race(names: list[str], source: Source, plan: Plan, built: dict[str, Engine]) -> dict[str, Any]:
    """Build and compare engines: the winner, each one's parity, and the faults of those that are out.

    Args:
        names: Engines beside eager.
        source: What they are built from.
        plan: Their sizes.
        built: Receives the engines.
    """
    faults: dict[str, str] = {}
    frames = street_frames(*plan.frame)
    for name in names:
        try:
            engine = build(name, source, plan)
            engine.segment(frames[0])
        except ConfigError:
            raise
        except Exception as error:  # it may also fail when it runs
            faults[name] = str(error) if isinstance(error, EngineError) else _words(error)
        else:
            built[name] = engine
    eager = built["eager"] = reference(source, plan)
    exact = Eager(dataclasses.replace(source, precision="auto"), plan)
    checks = compare(exact, built, frames)
    for name, parity in checks.items():
        if name != "eager" and (fault := parity.fault(built[name].precision)):
            faults[name] = fault
    sound = [name for name in checks if name not in faults]
    if source.precision not in ("auto", eager.precision) and len(sound) > 1:
        sound.remove("eager")  # it runs, but not in the precision that was asked for
    handicap = {"eager": EAGER_LEAD}
    exact_ones = [name for name in sound if name != INT8]
    winner = min(exact_ones, key=lambda name: checks[name].seconds * handicap.get(name, 1.0))
    if INT8 in sound and checks[INT8].seconds * INT8_LEAD < checks[winner].seconds:
        winner = INT8
    return {
        "winner": winner,
        "checks": {name: dataclasses.asdict(parity) for name, parity in checks.items()},
        "faults": faults,
    }


def _words(error: Exception) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {error}", LONGEST_REASON)
