"""An ablation in a folder: what is done is kept, an interrupted run goes on, the report grows."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sernet_core.ablation.cost import count, time_rows
from sernet_core.ablation.differences import paired, spread
from sernet_core.ablation.page import render
from sernet_core.ablation.rows import BASE, REPEATED, Row, rows_of
from sernet_core.checkpoint import read_info
from sernet_core.datasets import Dataset
from sernet_core.errors import ConfigError, InputError
from sernet_core.report.facts import machine, versions
from sernet_core.storage import make_folder, write_atomically
from sernet_core.train import Recipe, train
from sernet_core.train.loop import STATE
from sernet_core.train.validate import MODEL

RESULT, TABLE, PAGE, RUN = "ablation.json", "ablation.csv", "ablation.html", "result.json"
Report = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What an ablation trains.

    Attributes:
        recipe: Budget and network of every run; its seed is the first one.
        rows: The variants, the base first.
        dataset: Frames to train on.
        validation: Split to score.
        seeds: Runs of each row of `REPEATED` groups.
        other_seeds: Runs of each other row.
        encoder: ImageNet weights for the encoder of every run.
        device: "cpu" or "cuda:N".
        workers: Processes that prepare crops.
        repeats: Rounds of the timing.
    """

    recipe: Recipe
    rows: Sequence[Row]
    dataset: Dataset
    validation: Dataset
    seeds: int = 3
    other_seeds: int = 1
    encoder: Path | None = None
    device: str = "cpu"
    workers: int = 1
    repeats: int = 30

    def __post_init__(self) -> None:
        for name in ("seeds", "other_seeds", "repeats"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: needs at least 1, got {getattr(self, name)}")

    def jobs(self) -> list[tuple[Row, int]]:
        """Variant and seed of each run: all rows with the first seed, then the next seed."""
        return [
            (row, self.recipe.seed + number)
            for number in range(max(self.seeds, self.other_seeds))
            for row in self.rows
            if number < (self.seeds if row.group in REPEATED else self.other_seeds)
        ]

    def settings(self) -> dict[str, Any]:
        """What the runs in a folder must have in common, as JSON-ready values."""
        values = {
            "recipe": dataclasses.asdict(self.recipe),
            "train": self.dataset.name,
            "frames": len(self.dataset),
            "validation": self.validation.name,
            "encoder": self.encoder.name if self.encoder else None,
        }
        return json.loads(json.dumps(values))


def run(plan: Plan, out: Path, *, tell: Callable[[str], object] = print) -> Report | None:
    """Train what is not in the folder yet, time the variants; write JSON, CSV and the page after each run.

    Args:
        plan: What to train.
        out: Folder of the ablation; each run has a folder in it. An ablation with the same settings goes on.
        tell: Is told of each run.

    Returns:
        The report; None where a run was interrupted: the same call goes on.

    Raises:
        InputError: The folder cannot be written, or holds an ablation with other settings.
        ConfigError: Recipe and data do not fit.
    """
    make_folder(out)
    report = _begun(plan, out)
    jobs = plan.jobs()
    for number, (row, seed) in enumerate(jobs, 1):
        folder = out / "runs" / f"{row.name.replace(' ', '-')}_seed{seed}"
        if not (folder / RUN).is_file():
            tell(f"run {number} of {len(jobs)}: {row.name}, seed {seed}")
            if not _train(plan, row, seed, folder):
                return None
        _write(plan, report, out)
    trained = {row["row"] for row in report["rows"]}
    if set(report["latency"]) != trained:
        tell("timing all variants in turns")
        rows = [row for row in rows_of(plan.recipe.network) if row.name in trained]
        report["latency"] = time_rows(rows, plan.recipe.network, plan.recipe.input_size, plan.repeats)
    return _write(plan, report, out)


def _train(plan: Plan, row: Row, seed: int, folder: Path) -> bool:
    """One run; whether it is complete."""
    network = row.network(plan.recipe.network)
    recipe = dataclasses.replace(plan.recipe, network=network, seed=seed)  # type: ignore[arg-type]
    done = train(
        recipe,
        plan.dataset,
        [plan.validation],
        folder,
        encoder=plan.encoder,
        device=plan.device,
        workers=plan.workers,
    )
    if done:
        scores = read_info(folder / MODEL).metrics[plan.validation.name]
        result = {"row": row.name, "seed": seed, **scores}
        text = json.dumps(result, indent=2) + "\n"
        write_atomically(folder / RUN, lambda path: path.write_text(text))
        (folder / STATE).unlink(missing_ok=True)  # several times the model, and of no more use
    return done


def _begun(plan: Plan, out: Path) -> Report:
    """The report so far: of an ablation to go on with, or an empty one."""
    path, settings = out / RESULT, plan.settings()
    if path.is_file():
        try:
            report: Report = json.loads(path.read_text())
            same = report["settings"] == settings
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not an ablation's result ({error}); name another folder") from error
        if not same:
            raise InputError(
                f"{path}: holds an ablation with other settings or data; name another with --out"
            )
        return report
    created = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return {"created": created, "settings": settings, "latency": {}, "rows": []}


def _write(plan: Plan, report: Report, out: Path) -> Report:
    """Bring the report up to date with the runs that are done, and write it."""
    results = [json.loads(path.read_text()) for path in sorted((out / "runs").glob(f"*/{RUN}"))]
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for result in results:
        found.setdefault(result["row"], {})[result["seed"]] = result
    base = found.get(BASE, {})
    report["rows"] = [
        _row(plan, row, found[row.name], base, report["latency"].get(row.name))
        for row in rows_of(plan.recipe.network)  # those of earlier calls too
        if row.name in found
    ]
    report["missing"] = [
        f"{row.name}, seed {seed}" for row, seed in plan.jobs() if seed not in found.get(row.name, {})
    ]
    report["machine"], report["versions"] = machine(), versions()
    texts = {RESULT: json.dumps(report, indent=2) + "\n", TABLE: table(report), PAGE: render(report)}
    for name, text in texts.items():
        write_atomically(out / name, lambda path, text=text: path.write_text(text))  # type: ignore[misc]
    return report


def _row(
    plan: Plan,
    row: Row,
    runs: dict[int, dict[str, Any]],
    base: dict[int, dict[str, Any]],
    latency: dict[str, Any] | None,
) -> dict[str, Any]:
    """Everything known of one variant."""
    return {
        "row": row.name,
        "group": row.group,
        "settings": row.settings,
        "miou": spread([run["miou"] for run in runs.values()]),
        "runs": {str(seed): run["miou"] for seed, run in sorted(runs.items())},
        "iou": _by_class(runs),
        "against_all": None if row.name == BASE else paired(_miou(base), _miou(runs)),
        **count(row.network(plan.recipe.network), plan.recipe.input_size),
        "latency": latency,
    }


def _miou(runs: dict[int, dict[str, Any]]) -> dict[int, float]:
    return {seed: run["miou"] for seed, run in runs.items()}


def _by_class(runs: dict[int, dict[str, Any]]) -> dict[str, float | None]:
    """Mean IoU of each class over the seeds in which it has one."""
    names = next(iter(runs.values()))["iou"]
    values = {name: [run["iou"][name] for run in runs.values()] for name in names}
    known = {name: [value for value in found if value is not None] for name, found in values.items()}
    return {name: round(sum(found) / len(found), 4) if found else None for name, found in known.items()}


def table(report: Report) -> str:
    """The rows as CSV, a line a variant."""
    lines = []
    for row in report["rows"]:
        against, latency = row["against_all"] or {}, row["latency"] or {}
        lines.append(
            {
                "row": row["row"],
                "group": row["group"],
                **{f"miou_{key}": value for key, value in row["miou"].items()},
                **{f"difference_{key}": against.get(key) for key in ("sd", "low", "high")},
                "difference": against.get("difference"),
                "verdict": against.get("verdict"),
                "parameters": row["parameters"],
                "gmac": row["gmac"],
                "latency_ms": latency.get("median_ms"),
                "latency_ratio": latency.get("ratio"),
            }
        )
    text = io.StringIO()
    if lines:
        writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return text.getvalue()
