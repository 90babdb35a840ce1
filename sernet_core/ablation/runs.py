"""The runs of an ablation, each in a folder of its own that one process at a time works in."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sernet_core.ablation.plan import Job, Plan, different_settings
from sernet_core.ablation.rows import Row
from sernet_core.checkpoint import read_info
from sernet_core.errors import ConfigError, DivergedError, InputError
from sernet_core.storage import make_folder, write_atomically
from sernet_core.train import train
from sernet_core.train.loop import STATE
from sernet_core.train.validate import BEST, MODEL

RUN = "result.json"
LOCK = ".lock"  # of who takes a run; training holds the folder itself
FAILED = "failed.txt"  # why, in the folder of a run whose loss stopped being finite


def is_done(job: Job, out: Path) -> bool:
    """Whether a run's scores are there."""
    return (job.folder(out) / RUN).is_file()


def train_job(plan: Plan, job: Job, out: Path) -> bool:
    """Train one run, or go on with it; whether it is complete.

    Raises:
        DivergedError: Its loss is not finite.
        ConfigError: Recipe and data do not fit.
    """
    folder, started = job.folder(out), time.monotonic()
    (folder / FAILED).unlink(missing_ok=True)
    recipe = dataclasses.replace(job.row.apply(plan.recipe), seed=job.seed)
    try:
        done = train(
            recipe,
            plan.dataset,
            [plan.validation, *plan.also],
            folder,
            encoder=plan.encoder,
            teacher=plan.teacher_of(job.row),
            extra=plan.extra_of(job.row),
            first_weights_as=plan.recipe.network,
            device=plan.device,
            workers=plan.workers,
        )
    except DivergedError as error:
        reason = f"{error}\n"
        make_folder(folder)
        write_atomically(folder / FAILED, lambda path: path.write_text(reason))
        raise
    if done:
        metrics = read_info(folder / MODEL).metrics
        if metrics[plan.validation.name]["miou"] is None:
            raise InputError(f"{plan.validation.name}: nothing in it is labelled, so that no row has a score")
        result = {
            "row": job.row.name,
            "seed": job.seed,
            "changes": job.row.changes,
            "sources": plan.sources(job.row),
            "settings": plan.settings(),
            "seconds": round(time.monotonic() - started, 1),  # of the last start, where it was interrupted
            **metrics[plan.validation.name],
            # What an earlier start of this run was not asked for is not there.
            "also": {split.name: metrics[split.name] for split in plan.also if split.name in metrics},
        }
        text = json.dumps(result, indent=2) + "\n"
        write_atomically(folder / RUN, lambda path: path.write_text(text))
        for name in (STATE, BEST):  # several times the model, and the same as the model
            (folder / name).unlink(missing_ok=True)
    return done


def read_results(plan: Plan, out: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """Scores of all runs that are done, by row and seed.

    Raises:
        InputError: A file is not a run's result, or is of an ablation with other settings.
    """
    found: dict[str, dict[int, dict[str, Any]]] = {}
    settings, rows = plan.settings(), {row.name: row for row in plan.known}
    for path in sorted((out / "runs").glob(f"*/{RUN}")):
        try:
            result = json.loads(path.read_text())
            row = result["row"]
            found.setdefault(row, {})[result["seed"]] = result
            different = different_settings(result["settings"], settings)
            if row in rows:
                different += _different_row(plan, rows[row], result)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise InputError(f"{path}: not the result of an ablation's run ({error}); remove it") from error
        if different:
            raise InputError(
                f"{path}: of an ablation with other settings or data ({', '.join(different)}); remove it, or "
                "name another with --out"
            )
    return found


def _different_row(plan: Plan, row: Row, result: Mapping[str, Any]) -> list[str]:
    """Whether a result is of another row of that name; an old one does not say what it changed."""
    changes = json.loads(json.dumps(row.changes))
    found = [f"what row '{row.name}' changes"] if result.get("changes", changes) != changes else []
    learned, given = result.get("sources", {}), plan.sources(row)
    # A row that was trained before may be read without giving again what it learned from.
    found += [f"the {key} of row '{row.name}'" for key in given if given[key] != learned.get(key)]
    return found


def read_failures(plan: Plan, out: Path) -> dict[str, str]:
    """Why runs failed, whoever tried them, by run."""
    paths = {str(job): job.folder(out) / FAILED for job in plan.jobs() if not is_done(job, out)}
    return {job: path.read_text().strip() for job, path in paths.items() if path.is_file()}
