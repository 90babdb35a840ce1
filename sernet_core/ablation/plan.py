"""What an ablation trains: budget, rows, seeds, data; and what makes two ablations the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sernet_core.ablation.rows import REPEATED, Row
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
            CheckpointError: The encoder's file cannot be read.
        """
        values = {
            "recipe": dataclasses.asdict(self.recipe),
            "train": self.dataset.name,
            "frames": len(self.dataset),
            "validation": self.validation.name,
            "stems_sha256": hashlib.sha256("\n".join(self.dataset.stems).encode()).hexdigest(),
            "encoder": self.encoder.name if self.encoder else None,
            "encoder_sha256": weights_sha256(self.encoder) if self.encoder else None,
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

    A setting of the recipe that one is too old to know had its default.

    Raises:
        ConfigError: Their recipes cannot be read.
        KeyError: They have none.
    """
    first, second = ({**each, "recipe": read_recipe(each["recipe"])} for each in (one, other))
    return all(first[key] == second[key] for key in first.keys() & second.keys())
