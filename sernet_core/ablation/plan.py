"""What an ablation trains: budget, rows, seeds, data; and what makes two ablations the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sernet_core.ablation.rows import REPEATED, Row, rows_of
from sernet_core.checkpoint import Checkpoint
from sernet_core.datasets import Dataset
from sernet_core.errors import ConfigError
from sernet_core.train import Recipe
from sernet_core.train.origin import weights_sha256
from sernet_core.train.recipe import read_recipe


@dataclasses.dataclass(frozen=True)
class Plan:
    """What an ablation trains.

    Attributes:
        recipe: Budget and network of every run; its seed is the first one.
        rows: The variants to train, the base first.
        known: All that a folder may hold; none: those of the recipe's network.
        dataset: Frames to train on.
        validation: Split to score, and to compare by.
        also: Further splits to score.
        seeds: Runs of each row of `REPEATED` groups.
        other_seeds: Runs of each other row.
        encoder: ImageNet weights for the encoder of every run.
        extra: Second data set, for the rows whose recipe takes a share of it.
        teacher: Model to learn from, for the rows whose recipe gives it a weight.
        device: "cpu" or "cuda:N".
        workers: Processes that prepare crops.
        repeats: Rounds of the timing.
    """

    recipe: Recipe
    rows: Sequence[Row]
    dataset: Dataset
    validation: Dataset
    known: Sequence[Row] = ()
    also: Sequence[Dataset] = ()
    seeds: int = 3
    other_seeds: int = 1
    encoder: Path | None = None
    extra: Dataset | None = None
    teacher: Checkpoint | None = None
    device: str = "cpu"
    workers: int = 1
    repeats: int = 30

    def __post_init__(self) -> None:
        for name in ("seeds", "other_seeds", "repeats"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: needs at least 1, got {getattr(self, name)}")
        recipes = {row.name: row.apply(self.recipe) for row in self.rows}
        for setting, given, option in (
            ("extra_share", self.extra, "a second data set (--extra)"),
            ("distil_weight", self.teacher, "a teacher (--teacher)"),
        ):
            used = [name for name, recipe in recipes.items() if getattr(recipe, setting)]
            if given is not None and not used:
                raise ConfigError(f"{option} is given, and no row's {setting} makes use of it")
            if given is None and used and (setting == "extra_share" or len(used) < len(recipes)):
                raise ConfigError(f"row '{used[0]}': its {setting} needs {option}")
        if not self.known:
            object.__setattr__(self, "known", rows_of(self.recipe.network))

    def jobs(self) -> list[Job]:
        """The runs: all rows with the first seed, then the next seed."""
        return [
            Job(row, self.recipe.seed + number)
            for number in range(max(self.seeds, self.other_seeds))
            for row in self.rows
            if number < (self.seeds if row.group in REPEATED else self.other_seeds)
        ]

    def settings(self) -> dict[str, Any]:
        """What the runs in a folder must have in common, as JSON-ready values.

        Raises:
            CheckpointError: The encoder's or the teacher's file cannot be read.
        """
        values = {
            "recipe": dataclasses.asdict(self.recipe),
            "train": self.dataset.name,
            "frames": len(self.dataset),
            "validation": self.validation.name,
            "also": [split.name for split in self.also],
            "stems_sha256": hashlib.sha256("\n".join(self.dataset.stems).encode()).hexdigest(),
            "encoder": self.encoder.name if self.encoder else None,
            "encoder_sha256": weights_sha256(self.encoder) if self.encoder else None,
            "extra": self.extra.name if self.extra else None,
            "teacher": weights_sha256(self.teacher.path) if self.teacher else None,
        }
        return json.loads(json.dumps(values))


@dataclasses.dataclass(frozen=True)
class Job:
    """One run: a variant and its seed."""

    row: Row
    seed: int

    def __str__(self) -> str:
        return f"{self.row.name}, seed {self.seed}"

    def folder(self, out: Path) -> Path:
        """Where it is, in the folder of an ablation."""
        words = self.row.name.replace(",", "").replace(" ", "-")
        return out / "runs" / f"{words}_seed{self.seed}"


def same_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two ablations can stand in one table, by what both of them say.

    A setting of the recipe that one is too old to know had its default. What else is scored may differ.

    Raises:
        ConfigError: Their recipes cannot be read.
        KeyError: They have none.
    """
    first, second = ({**each, "recipe": read_recipe(each["recipe"])} for each in (one, other))
    return all(first[key] == second[key] for key in (first.keys() & second.keys()) - {"also"})
