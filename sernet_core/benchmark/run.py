"""A benchmark run: sizes one after another, everything of one size in turns, each finished size kept."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from sernet_core.benchmark.cases import LEVELS, Entry
from sernet_core.benchmark.gather import Settings, gather
from sernet_core.benchmark.page import render
from sernet_core.benchmark.timing import WARM_UP, Times, interleave, speedup, summary
from sernet_core.checkpoint import read_info, resolve_model
from sernet_core.engines.cache import device_name
from sernet_core.engines.parity import street_frames
from sernet_core.engines.quantised import read_quantised
from sernet_core.engines.registry import ENGINES, engine_class
from sernet_core.errors import InputError
from sernet_core.peers.registry import PEERS, PeerConfig, cost  # makes their checkpoints readable, too
from sernet_core.report.facts import machine, versions
from sernet_core.runtime import InputSize
from sernet_core.storage import make_folder, write_atomically

RESULT, TABLE, PAGE = "benchmark.json", "benchmark.csv", "benchmark.html"
Row = dict[str, Any]
Extra = Callable[
    [Settings, Sequence[Entry], Sequence[np.ndarray], dict[str, str]], AbstractContextManager[list[Entry]]
]
"""Further tasks for the turns of one size, given those that run in this process and the frames.

The dictionary receives why something cannot be timed."""


def run(settings: Settings, out: Path, extra: Extra | None = None, *, quiet: bool = False) -> dict[str, Any]:
    """Time everything that is not in the folder yet, and write JSON, CSV and the page after each size.

    Args:
        settings: What to time.
        out: Folder for the results. A run with the same settings on the same machine goes on in it.
        extra: Gives tasks that need more than this package, such as a running node.
        quiet: No progress bars.

    Raises:
        InputError: The folder cannot be written, or holds results of another run.
        CheckpointError: A model cannot be loaded.
    """
    make_folder(out)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    report = _begun(settings, out)
    done = {tuple(size) for size in report["done"]}
    for width, height in settings.sizes:
        if (width, height) in done:
            continue
        rows, faults = _measured(settings, width, height, extra, quiet=quiet)
        report["rows"] += rows
        report["faults"] = {**report["faults"], **faults}
        report["done"].append([width, height])
        write(report, out)
    return report


def write(report: dict[str, Any], out: Path) -> None:
    """Write a report as JSON, CSV and page, each atomically."""
    texts = {RESULT: json.dumps(report, indent=2) + "\n", TABLE: table(report["rows"]), PAGE: render(report)}
    for name, text in texts.items():
        write_atomically(out / name, lambda target, text=text: target.write_text(text))  # type: ignore[misc]


def table(rows: Sequence[Row]) -> str:
    """Rows as CSV, nested values spread over columns."""
    flat = []
    for row in rows:
        line: Row = {}
        for key, value in row.items():
            nested = value.items() if isinstance(value, dict) else ()
            line |= {f"{key}_{part}": figure for part, figure in nested} or {key: value}
        flat.append(line)
    text = io.StringIO()
    if flat:
        columns = list(dict.fromkeys(key for line in flat for key in line))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    return text.getvalue()


def _begun(settings: Settings, out: Path) -> dict[str, Any]:
    """The report so far: of an earlier run to go on with, or an empty one."""
    asked = json.loads(json.dumps(dataclasses.asdict(settings)))
    place = {**machine(), "device": device_name(settings.device)}
    software = {**versions(), **{name: v for e in ENGINES for name, v in _versions(e).items()}}
    path = out / RESULT
    if path.is_file():
        try:
            report: dict[str, Any] = json.loads(path.read_text())
            same = (report["settings"], report["machine"], report["versions"]) == (asked, place, software)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a benchmark's result ({error}); name another folder") from error
        if not same:
            raise InputError(
                f"{path}: holds a run with other settings, machine or versions; name another with --out"
            )
        return report
    return {
        "created": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "settings": asked,
        "machine": place,
        "versions": software,
        "torch_threads": torch.get_num_threads(),
        "accuracy": {resolve_model(m).stem: dict(read_info(m).metrics) for m in settings.models},
        "int8_accuracy": {
            path.stem: dict(made.scores)
            for path in map(resolve_model, settings.models)
            if (made := read_quantised(path)) and made.scores
        },
        "network_sizes": _network_sizes(settings),
        "costs": _costs(settings),
        "done": [],
        "faults": {},
        "rows": [],
    }


def _versions(engine: str) -> dict[str, str]:
    kind = engine_class(engine)
    try:
        return kind.versions()
    except ModuleNotFoundError:  # a package that is not installed
        return {}


def _measured(
    settings: Settings, width: int, height: int, extra: Extra | None, *, quiet: bool
) -> tuple[list[Row], dict[str, str]]:
    """Rows of one size, and why something has none."""
    faults: dict[str, str] = {}
    frames = street_frames(height, width)
    entries = gather(settings, width, height, frames, faults)
    with extra(settings, entries, frames, faults) if extra else nullcontext([]) as more:
        entries += more
        tasks = {entry.name: entry.task for entry in entries}
        total = settings.repeats + WARM_UP
        with tqdm(total=total, desc=f"{width}x{height}", unit="round", disable=quiet or None) as bar:
            times = interleave(tasks, len(frames), settings.repeats, on_round=bar.update)
        return [_row(entry, entries, times) for entry in entries], faults


def _row(entry: Entry, entries: Sequence[Entry], times: Times) -> Row:
    """What is kept of one entry.

    Its ratios are to its model's eager, to the first model's eager, and to the network alone on its engine.
    """
    own = times[entry.name]
    eager = next(
        (
            times[other.name]
            for other in entries
            if (other.case.model, other.case.engine, other.level) == (entry.case.model, "eager", entry.level)
        ),
        own,
    )
    row = {
        **dataclasses.asdict(entry.case),
        "level": entry.level,
        **summary(own),
        "speedup": speedup(eager, own),
        # The first entry is the first model's eager: one reference for all models and peers.
        "over_first": speedup(times.get(entries[0].name_at(entry.level), own), own),
        "built_memory_mb": round(entry.memory_mb, 1),
    }
    network = times.get(entry.name_at("network"))
    if network is not None and entry.level in LEVELS:
        row["over_network"] = speedup(own, network)
        beyond = [mine - base for mine, base in zip(own, network, strict=True)]
        row["beyond_network_ms"] = summary(beyond)["median_ms"]
    if entry.split is not None:
        row["split_ms"] = dict(entry.split())
    return row


def _network_sizes(settings: Settings) -> dict[str, dict[str, tuple[int, int]]]:
    """Width and height at which each model sees the frames of each size."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for model in settings.models:
        sizing = InputSize.parse(settings.input_size, read_info(model).input_size)
        networks = {f"{w}x{h}": sizing.of(h, w) for w, h in settings.sizes}
        found[resolve_model(model).stem] = {
            size: (width, height) for size, (height, width) in networks.items()
        }
    return found


def _costs(settings: Settings) -> dict[str, Any]:
    """Parameters of every model and peer, and multiply-accumulates at each size of the frames."""
    configs = {resolve_model(model).stem: read_info(model).network for model in settings.models}
    configs |= {
        name: PeerConfig(name) for name in settings.peers if not (name in PEERS and PEERS[name].obstacle())
    }
    return {
        name: {
            "parameters": cost(config, *settings.sizes[0])[0],
            "gmac": {f"{w}x{h}": round(cost(config, w, h)[1] / 1e9, 2) for w, h in settings.sizes},
        }
        for name, config in configs.items()
    }
