"""What an ablation trains: budget, rows, seeds, data; and what makes two ablations the same."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sernet_core.ablation.rows import REPEATED, Row, folder_name, rows_of
from sernet_core.checkpoint import Checkpoint
from sernet_core.datasets import Dataset
from sernet_core.errors import ConfigError, SernetError
from sernet_core.network import build_network
from sernet_core.pretrained import load_imagenet_encoder
from sernet_core.train import Recipe
from sernet_core.train.extra import Extra
from sernet_core.train.loop import check_run
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
        names = [split.name for split in (self.validation, *self.also)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ConfigError(
                f"two splits to score are called {twice}; give one, or rename the folder of one"
            )
        object.__setattr__(self, "known", self.known or rows_of(self.recipe.network))
        if self.extra is not None and not any(row.apply(self.recipe).extra_share for row in self.known):
            raise ConfigError("--extra: a second data set is given, and no row has an extra_share")
        if self.teacher is not None and not any(row.apply(self.recipe).distil_weight for row in self.known):
            raise ConfigError("--teacher: a teacher is given, and no row has a distil_weight")

    def check(self, rows: Sequence[Row]) -> None:
        """Find out before the first step whether rows can be trained and scored.

        Raises:
            ConfigError: Of a row, recipe and data do not fit, or what it learns from is not given.
            InputError: A split to score was trained on, by a row's teacher for one, or has other classes.
            CheckpointError: A file of weights cannot be read, or does not fit.
        """
        encoders: set[Any] = set()
        for row in rows:
            recipe = row.apply(self.recipe)
            try:
                if self.teacher is None and any(key.startswith("distil_") for key in row.recipe):
                    raise ConfigError("it changes how a teacher is learned from; give one with --teacher")
                splits = [self.validation, *self.also]
                check_run(
                    recipe,
                    self.dataset,
                    splits,
                    encoder=self.encoder,
                    teacher=self.teacher_of(row),
                    extra=self.extra_of(row),
                )
                if self.encoder is not None and (kind := _encoder_of(recipe.network)) not in encoders:
                    load_imagenet_encoder(build_network(recipe.network).encoder, self.encoder)
                    encoders.add(kind)
            except SernetError as error:
                raise type(error)(f"row '{row.name}': {error}") from error

    def extra_of(self, row: Row) -> Extra | None:
        """The second data set, for a row that takes a share of it."""
        used = self.extra is not None and row.apply(self.recipe).extra_share
        return Extra(self.extra) if used and self.extra is not None else None

    def teacher_of(self, row: Row) -> Checkpoint | None:
        """The teacher, for a row that gives it a weight."""
        return self.teacher if row.apply(self.recipe).distil_weight else None

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
            "stems_sha256": _digest(self.dataset.stems),
            "validation": self.validation.name,
            "validation_sha256": _digest(self.validation.stems),
            "also": [split.name for split in self.also],
            "also_sha256": {split.name: _digest(split.stems) for split in self.also},
            "encoder": self.encoder.name if self.encoder else None,
            "encoder_sha256": weights_sha256(self.encoder) if self.encoder else None,
            "rows": self.known[0].group,
        }
        return json.loads(json.dumps(values))

    def sources(self, row: Row) -> dict[str, Any]:
        """What a row learns from besides, as JSON-ready values: second data set and teacher.

        Raises:
            CheckpointError: The teacher's file cannot be read.
        """
        extra, teacher = self.extra_of(row), self.teacher_of(row)
        found: dict[str, Any] = {}
        if extra is not None:
            found["extra"] = {"train": extra.dataset.name, "stems_sha256": _digest(extra.dataset.stems)}
        if teacher is not None:
            found["teacher"] = {"file": teacher.path.name, "sha256": self._teacher_sha256}
        return found

    @functools.cached_property
    def _teacher_sha256(self) -> str:
        """Read once, for all rows and runs that name it."""
        return weights_sha256(self.teacher.path) if self.teacher is not None else ""


def _digest(stems: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(stems).encode()).hexdigest()


def _encoder_of(network: Any) -> Any:
    """What decides whether weights fit the encoder of a network."""
    return (type(network), getattr(network, "name", None) or (network.depth, network.output_stride == 32))


@dataclasses.dataclass(frozen=True)
class Job:
    """One run: a variant and its seed."""

    row: Row
    seed: int

    def __str__(self) -> str:
        return f"{self.row.name}, seed {self.seed}"

    def folder(self, out: Path) -> Path:
        """Where it is, in the folder of an ablation."""
        return out / "runs" / f"{folder_name(self.row.name)}_seed{self.seed}"


def different_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What keeps two ablations from standing in one table, of what both of them say.

    A setting of the recipe that one is too old to know had its default. What else is scored may differ, but
    frames of one name must be the same.

    Raises:
        ConfigError: Their recipes cannot be read.
        KeyError: They have none.
    """

    def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
        recipe = {f"recipe.{key}": value for key, value in vars(read_recipe(settings["recipe"])).items()}
        frames = {f"frames of {name}": value for name, value in settings.get("also_sha256", {}).items()}
        return {**settings, **recipe, **frames}

    first, second = flat(one), flat(other)
    compared = (first.keys() & second.keys()) - {"recipe", "also", "also_sha256"}
    return sorted(key for key in compared if first[key] != second[key])
