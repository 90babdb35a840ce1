"""A benchmark run: sizes one after another, everything of one size in turns, each finished size kept.

Last comes the picture of accuracy against latency, where all models take turns at sizes of their own.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from sernet_core.benchmark import memory
from sernet_core.benchmark.cases import LEVELS, Entry
from sernet_core.benchmark.floor import HALF, Rates, measure
from sernet_core.benchmark.gather import Missing, gather
from sernet_core.benchmark.identity import differences, identity
from sernet_core.benchmark.page import render
from sernet_core.benchmark.picture import Score, picture_entries, planned, scores_from, scores_of
from sernet_core.benchmark.settings import Settings
from sernet_core.benchmark.timing import WARM_UP, Times, interleave, paired, speedup, summary
from sernet_core.checkpoint import read_info
from sernet_core.engines.parity import FRAMES, street_frames
from sernet_core.errors import EngineError, InputError
from sernet_core.peers.registry import PEERS, PeerConfig, cost  # makes their checkpoints readable, too
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
        out: Folder for the results. A run whose `identity` is the same goes on in it.
        extra: Gives tasks that need more than this package, such as a running node.
        quiet: No progress bars.

    Raises:
        InputError: The folder cannot be written, or holds results of another run.
        CheckpointError: A model cannot be read.
        ConfigError: The memory does not suffice.
    """
    make_folder(out)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    report = _begun(settings, out)
    done = {tuple(size) for size in report["done"]}
    ahead = [size for size in settings.sizes if size not in done]
    # Those of the result, which the page shows too: models may have changed since.
    scores = {model: scores_from(report["scores"][name]) for model, name in settings.names.items()}
    if settings.device == "cpu":
        _check_memory(settings, ahead, scores if report["picture"] is None else {}, report["costs"])
    for width, height in ahead:
        missing = Missing(settings.named)
        rows = _measured(settings, width, height, report["device_rates"], missing, extra, quiet=quiet)
        report["rows"] += rows
        report["done"].append([width, height])
        _note(missing, report)
        write(report, out)
    if report["picture"] is None:
        missing = Missing(settings.named)
        entries = picture_entries(settings, scores, missing)
        times = _timed(entries, settings.repeats, "picture", missing.faults, quiet=quiet)
        report["picture"] = [
            {**dataclasses.asdict(entry.case), **summary(times[entry.name])}
            for entry in entries
            if entry.name in times
        ]
        _note(missing, report)
    write(report, out)
    return report


def _check_memory(
    settings: Settings,
    ahead: Sequence[tuple[int, int]],
    scores: Mapping[str, Mapping[str, Score]],
    costs: Mapping[str, Any],
) -> None:
    """See that the memory suffices for the sizes and the scores of the picture that are still to be timed."""
    parameters = {name: cost["parameters"] for name, cost in costs.items()}
    sizes = 0.0
    if ahead:
        sizes = memory.needed(dataclasses.replace(settings, sizes=tuple(ahead)), parameters, settings.peers)
    engines = [
        (settings.names[model], size)
        for model, by_precision in scores.items()
        for _, _, size in planned(settings, by_precision)
    ]
    memory.check(sizes, memory.needed_by_picture(engines, parameters))


def _note(missing: Missing, report: dict[str, Any]) -> None:
    report["faults"] |= missing.faults
    report["left_out"] |= missing.left_out


def write(report: dict[str, Any], out: Path) -> None:
    """Write a report as JSON, CSV and page, each atomically: first of all what was measured."""
    texts: dict[str, Callable[[], str]] = {
        RESULT: lambda: json.dumps(report, indent=2) + "\n",
        TABLE: lambda: table(report["rows"]),
        PAGE: lambda: render(report),
    }
    for name, text in texts.items():
        write_atomically(out / name, lambda target, text=text: target.write_text(text()))  # type: ignore[misc]


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
    now = identity(settings)
    path = out / RESULT
    if path.is_file():
        try:
            report: dict[str, Any] = json.loads(path.read_text())
            other = differences(report, now)
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(
                f"{path}: not a benchmark's result ({error}); name another folder with --out"
            ) from error
        if other:
            raise InputError(
                f"{path}: holds a run with other {', '.join(other)}; name another folder with --out"
            )
        return report
    return {
        "created": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        **now,
        "torch_threads": torch.get_num_threads(),
        "scores": {
            name: {kind: dataclasses.asdict(score) for kind, score in scores_of(model).items()}
            for model, name in settings.names.items()
        },
        "device_rates": None if settings.device == "cpu" else dataclasses.asdict(measure(settings.device)),
        "costs": _costs(settings),
        "done": [],
        "faults": {},
        "left_out": {},
        "rows": [],
        "picture": None,
    }


def _measured(
    settings: Settings,
    width: int,
    height: int,
    rates: dict[str, float] | None,
    missing: Missing,
    extra: Extra | None,
    *,
    quiet: bool,
) -> list[Row]:
    """Rows of one size."""
    frames = street_frames(height, width)
    entries = gather(settings, width, height, frames, missing)
    best = Rates(**rates) if rates else None
    with extra(settings, entries, frames, missing.faults) if extra else nullcontext([]) as more:
        entries += more
        times = _timed(entries, settings.repeats, f"{width}x{height}", missing.faults, quiet=quiet)
        return [_row(entry, entries, times, best, missing.faults) for entry in entries if entry.name in times]


def _timed(
    entries: Sequence[Entry], repeats: int, turns: str, faults: dict[str, str], *, quiet: bool
) -> Times:
    """Times of all entries, by name, taken in turns; those of one that fails meanwhile are not there.

    Args:
        entries: What is timed.
        repeats: Rounds.
        turns: What they are called.
        faults: Receives why an entry has failed.
        quiet: No progress bar.
    """

    def note(name: str, error: Exception) -> None:
        words = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
        faults[f"{name}, {turns}"] = f"failed while it was timed: {words}"

    tasks = {entry.name: entry.task for entry in entries}
    with tqdm(total=repeats + WARM_UP, desc=turns, unit="round", disable=quiet or None) as bar:
        return interleave(tasks, FRAMES, repeats, on_round=bar.update, on_failure=note)


def _row(
    entry: Entry, entries: Sequence[Entry], times: Times, rates: Rates | None, faults: dict[str, str]
) -> Row:
    """What is kept of one entry that was timed.

    Its ratios are to its model's eager, to the first model's eager, and to the network alone on its engine:
    in the same process, always. A ratio to what was not timed is not there.
    """
    own = times[entry.name]
    row: Row = {**dataclasses.asdict(entry.case), "level": entry.level, **summary(own)}
    eager = {
        other.case.model: times.get(other.name)
        for other in entries
        if (other.case.asked, other.case.engine, other.level) == ("eager", "eager", entry.level)
    }
    first = eager.get(entries[0].case.model)  # one reference for all models and peers
    for ratio, reference in (("speedup", eager.get(entry.case.model)), ("over_first", first)):
        if reference is not None:
            row[ratio] = speedup(reference, own)
    row |= {
        name: round(size, 1)
        for name, size in (("built_memory_mb", entry.built_mb), ("process_memory_mb", entry.process_mb))
        if size is not None
    }
    if entry.stages is not None:
        try:
            stages = entry.stages()
        except EngineError as error:
            faults[f"{entry.name}, its stages"] = str(error)
            return row
        row["stages_ms"] = {stage: summary(seconds)["median_ms"] for stage, seconds in stages.items()}
    else:
        network = times.get(entry.name_at("network"))
        stages = {"network": network} if network is not None and entry.level in LEVELS else {}
    for base in ("network", "inference"):
        if base in stages:
            row[f"over_{base}"] = speedup(own, stages[base])
            beyond = [mine - other for mine, other in paired(own, stages[base])]
            row[f"beyond_{base}_ms"] = summary(beyond)["median_ms"]
    if entry.work is not None and rates is not None and entry.case.precision in HALF:
        row["floor_ms"] = round(entry.work.floor_ms(rates), 4)
        row["over_floor"] = round(row["median_ms"] / row["floor_ms"], 2)
    return row


def _costs(settings: Settings) -> dict[str, Any]:
    """Parameters of every model and peer, and multiply-accumulates at each size of the frames."""
    configs = {name: read_info(model).network for model, name in settings.names.items()}
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
