"""A benchmark run: sizes one after another, everything of one size in turns, each finished size kept."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import torch
from tqdm import tqdm

from sernet_core.benchmark.cases import TUTORIAL, Case, levels_of, tutorial
from sernet_core.benchmark.page import render
from sernet_core.benchmark.timing import WARM_UP, Task, interleave, speedup, summary
from sernet_core.checkpoint import read_info, resolve_model
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache, default_folder, device_name
from sernet_core.engines.choose import build, reference
from sernet_core.engines.parity import street_frames
from sernet_core.engines.plan import Plan
from sernet_core.engines.registry import ENGINES, engine_class
from sernet_core.errors import ConfigError, EngineError, InputError
from sernet_core.report.facts import machine, versions
from sernet_core.runtime import InputSize
from sernet_core.storage import make_folder, write_atomically

RESULT, TABLE, PAGE = "benchmark.json", "benchmark.csv", "benchmark.html"
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run is asked to do.

    Attributes:
        models: Paths or names.
        engines: Names and precisions, e.g. "openvino" or "openvino:int8"; eager is always among them.
        sizes: Widths and heights of the frames.
        input_size: Rule for the size at which the network sees them, as for the Segmenter.
        device: "cpu" or "cuda:N".
        threads: CPU threads; 0 leaves the choice to the engine.
        repeats: Rounds; ten are enough where a frame takes over 0.3 s.
    """

    models: tuple[str, ...]
    engines: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    input_size: str
    device: str
    threads: int
    repeats: int

    def __post_init__(self) -> None:
        if self.repeats < 1 or self.threads < 0:
            raise ConfigError(f"needs repeats >= 1 and threads >= 0, got {self.repeats} and {self.threads}")
        for engine in self.engines:
            engine_class(engine.partition(":")[0])


def run(settings: Settings, out: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Time everything that is not in the folder yet, and write JSON, CSV and the page after each size.

    Args:
        settings: What to time.
        out: Folder for the results. A run with the same settings on the same machine goes on in it.
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
        rows, faults = _measured(settings, width, height, quiet=quiet)
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
    flat = [
        {
            **{key: value for key, value in row.items() if not isinstance(value, dict)},
            **{f"speedup_{key}": value for key, value in row["speedup"].items()},
        }
        for row in rows
    ]
    text = io.StringIO()
    if flat:
        writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
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
    settings: Settings, width: int, height: int, *, quiet: bool
) -> tuple[list[Row], dict[str, str]]:
    """Rows of one size, and why an engine has none."""
    tasks: dict[str, Task] = {}
    where: dict[str, tuple[Case, str, float]] = {}
    faults: dict[str, str] = {}
    frames = street_frames(height, width)

    def add(case: Case, level: str, task: Task, memory: float) -> None:
        name = f"{case.model} {case.engine} {case.precision} {level}"
        tasks[name], where[name] = task, (case, level, memory)

    for model in settings.models:
        for engine in dict.fromkeys(("eager", *settings.engines)):
            name, _, precision = engine.partition(":")
            before = psutil.Process().memory_info().rss
            try:
                source, plan = _source(settings, model, precision or "auto", width, height)
                built = reference(source, plan) if engine == "eager" else build(name, source, plan)
            except EngineError as error:
                faults[f"{resolve_model(model).stem} {engine}"] = str(error)
                continue
            memory = (psutil.Process().memory_info().rss - before) / 1e6
            case = Case(source.path.stem, name, built.precision, width, height)
            for level, task in levels_of(built, source.info.classes, frames).items():
                add(case, level, task, memory)
            if engine == "eager":
                add(
                    dataclasses.replace(case, engine=TUTORIAL), "overlay", tutorial(source, plan, frames), 0.0
                )
    with tqdm(
        total=settings.repeats + WARM_UP, desc=f"{width}x{height}", unit="round", disable=quiet or None
    ) as bar:
        times = interleave(tasks, len(frames), settings.repeats, on_round=bar.update)
    rows = []
    for name, (case, level, memory) in where.items():
        base = times[f"{case.model} eager {_eager_precision(where, case.model)} {level}"]
        rows.append(
            {
                **dataclasses.asdict(case),
                "level": level,
                **summary(times[name]),
                "speedup": speedup(base, times[name]),
                "built_memory_mb": round(memory, 1),
            }
        )
    return rows, faults


def _eager_precision(where: dict[str, tuple[Case, str, float]], model: str) -> str:
    return next(
        case.precision for case, _, _ in where.values() if case.model == model and case.engine == "eager"
    )


def _source(settings: Settings, model: str, precision: str, width: int, height: int) -> tuple[Source, Plan]:
    source = Source.load(
        model,
        EngineCache(default_folder()),
        device=settings.device,
        precision=precision,
        threads=settings.threads,
    )
    sizing = InputSize.parse(settings.input_size, source.info.input_size)
    return source, source.plan((height, width), sizing.of(height, width))
