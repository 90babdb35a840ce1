"""An ablation in a folder: what is done is kept, an interrupted run goes on, the report grows."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import torch

from sernet_core.ablation.cost import time_rows
from sernet_core.ablation.page import render
from sernet_core.ablation.plan import Plan, different_settings
from sernet_core.ablation.rows import BASE
from sernet_core.ablation.runs import LOCK, is_done, read_failures, read_results, train_job
from sernet_core.ablation.table import as_csv, lines
from sernet_core.errors import ConfigError, DivergedError, InputError
from sernet_core.report.facts import machine, versions
from sernet_core.storage import claim, make_folder, write_atomically

RESULT, TABLE, PAGE = "ablation.json", "ablation.csv", "ablation.html"
Report = dict[str, Any]


def run(
    plan: Plan, out: Path, *, time_again: bool = False, tell: Callable[[str], object] = print
) -> Report | None:
    """Train what is not in the folder yet, time the variants; write JSON, CSV and the page after each run.

    Several processes may share a folder: each takes runs that no other one has, and the last times them.

    Args:
        plan: What to train.
        out: Folder of the ablation; each run has a folder in it. An ablation with the same settings goes on.
        time_again: Time the variants even if they have been timed.
        tell: Is told of each run.

    Returns:
        The report, with the runs that failed under `failed` and those that are left under `missing`; None
        where a run was interrupted: the same call goes on.

    Raises:
        InputError: The folder cannot be written, or holds an ablation with other settings.
        ConfigError: Recipe and data do not fit.
    """
    jobs, seconds = plan.jobs(), list[float]()
    to_do = {job.row.name for job in jobs if not is_done(job, out)}
    plan.check([row for row in plan.rows if row.name in to_do])
    make_folder(out)
    _write(plan, out)
    for number, job in enumerate(jobs, 1):
        if is_done(job, out):
            continue
        with claim(job.folder(out), LOCK) as mine:
            if is_done(job, out):  # since we looked
                continue
            if not mine:
                tell(f"run {number} of {len(jobs)}: {job}: another process has it")
                continue
            left = [other for other in jobs[number - 1 :] if not is_done(other, out)]
            tell(f"run {number} of {len(jobs)}: {job}{_forecast(seconds, len(left))}")
            started = time.monotonic()
            try:
                if not train_job(plan, job, out):
                    return None
            except DivergedError as error:
                tell(f"{job} failed, and the others go on: {error}")
                continue
            seconds.append(time.monotonic() - started)
        _write(plan, out)
    report = _write(plan, out)
    timed, there = report["timing"].get("rows", {}).keys(), {line["row"] for line in report["rows"]}
    complete = not set(report["missing"]) - report["failed"].keys()
    if BASE in there and (time_again or (complete and there - timed)):
        tell("timing all variants in turns")
        report = _write(plan, out, _timing(plan, there))
    return report


def _forecast(seconds: list[float], runs: int) -> str:
    if not seconds:
        return ""
    left = timedelta(seconds=round(statistics.fmean(seconds) * runs))
    return f"; about {left} for the {runs} that are left, if no other process helps"


def _timing(plan: Plan, names: set[str]) -> dict[str, Any]:
    """Latency of the variants, and where and beside what it was measured."""
    network = plan.recipe.network
    load = round(os.getloadavg()[0], 2)
    rows = [row for row in plan.known if row.name in names]
    return {
        "when": _now(),
        "threads": torch.get_num_threads(),
        "load_before": load,
        "machine": machine(),
        "rows": time_rows(rows, network, plan.recipe.input_size, plan.repeats),
    }


def _now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _write(plan: Plan, out: Path, timing: dict[str, Any] | None = None) -> Report:
    """Write the report with all runs that are done or failed, whoever tried them.

    Args:
        plan: The ablation.
        out: Its folder.
        timing: New latencies; None keeps those that are there.
    """
    kept, results = _kept(plan, out), read_results(plan, out)
    timing = kept.get("timing", {}) if timing is None else timing
    report = {
        "created": kept.get("created", _now()),
        "settings": plan.settings(),
        "sources": {row.name: found for row in plan.known if (found := plan.sources(row))},
        "rows": lines(plan, results, timing.get("rows", {})),
        "missing": [str(job) for job in plan.jobs() if job.seed not in results.get(job.row.name, {})],
        "failed": read_failures(plan, out),
        "timing": timing,
        "machine": machine(),
        "versions": versions(),
    }
    texts = {RESULT: json.dumps(report, indent=2) + "\n", TABLE: as_csv(report), PAGE: render(report)}
    for name, text in texts.items():
        write_atomically(out / name, lambda path, text=text: path.write_text(text))  # type: ignore[misc]
    return report


def _kept(plan: Plan, out: Path) -> Report:
    """The report that is in the folder; empty where there is none.

    Raises:
        InputError: It is not of this ablation.
    """
    path = out / RESULT
    if not path.is_file():
        return {}
    try:
        report: Report = json.loads(path.read_text())
        different = different_settings(report["settings"], plan.settings()) if report["rows"] else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise InputError(f"{path}: not an ablation's result ({error}); name another folder") from error
    if different:
        raise InputError(
            f"{path}: holds an ablation with other settings or data ({', '.join(different)}); name another "
            "with --out"
        )
    return report
