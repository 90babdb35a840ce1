"""Train a network.

examples:
  sernet train --recipe config/train_camvid.yaml --data $SERNET_DATA/camvid \\
      --encoder $SERNET_DATA/weights/resnet50_v1_imagenet_encoder.safetensors --run camvid-a
  sernet train --recipe config/train_camvid.yaml --data $SERNET_DATA/camvid --leave-out 0001TP --run fold-1
An interrupted run goes on where it stopped: give the same command again.

Look at the first crops, with their labels, before a long run:
  sernet train --recipe config/train_camvid.yaml --data $SERNET_DATA/camvid --preview crops.png

A final run with settings that are fixed, on all that may be trained on:
  sernet train --recipe config/train_camvid.yaml --data $SERNET_DATA/camvid --split train+val ...

In two processes, each with a GPU of its own or, without GPUs, a share of the cores (torchrun gives each one
thread; --threads says how many it shall have, here of eight cores):
  torchrun --nproc-per-node 2 --no-python -- sernet train --recipe ... --run camvid-a --threads 4
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sernet_core.commands.options import DATA_HELP, root_and_split, warn_of_bfloat16
from sernet_core.errors import ConfigError

if TYPE_CHECKING:
    from sernet_core.datasets import Dataset
    from sernet_core.train import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet train`."""
    parser.add_argument("--recipe", type=Path, required=True, metavar="YAML", help="settings of the run")
    parser.add_argument("--data", metavar="DIR", help=f"{DATA_HELP}; left out: procedural scenes alone")
    parser.add_argument(
        "--split", default="train", help="part of the data set to train on, or train+val (default: train)"
    )
    parser.add_argument(
        "--leave-out",
        nargs="+",
        default=[],
        metavar="PREFIX",
        help="train without the frames whose names begin so, e.g. one sequence of several, and score them on "
        "the way; `sernet evaluate --split train --only PREFIX` scores the result on them",
    )
    parser.add_argument(
        "--validate",
        action="append",
        metavar="DIR:SPLIT",
        help="score this on the way, e.g. synthetic:val; may be repeated (default: the data set's val, "
        "where there is one that is not trained on, or what is left out)",
    )
    parser.add_argument(
        "--extra",
        metavar="DIR:SPLIT",
        help="second data set to train on; the recipe's extra_share says how much. Classes that none of its "
        "frames labels are left open in its labels",
    )
    parser.add_argument(
        "--extra-model",
        metavar="MODEL",
        help="model (path or name) that sees the classes which the second data set does not label: there its "
        "labels become void",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--encoder", type=Path, metavar="FILE", help="ImageNet weights for the encoder")
    start.add_argument("--from", dest="start", metavar="MODEL", help="model to start from (path or name)")
    parser.add_argument(
        "--teacher",
        metavar="MODEL",
        help="larger model to learn from too (path or name); the recipe's distil_weight says how much",
    )
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument(
        "--run",
        metavar="NAME",
        help="run folder: a path, or a name under SERNET_RUNS (default: ~/.cache/sernet/runs)",
    )
    goal.add_argument(
        "--preview", type=Path, metavar="PNG", help="train nothing; draw the first crops with their labels"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N (default: auto)")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare crops (default: 1)")
    parser.add_argument(
        "--threads", type=int, default=0, help="CPU threads of the network (default: torch's choice)"
    )


def run(args: argparse.Namespace) -> int:
    """Train; 0 when the run is complete, 130 when it was interrupted."""
    import torch

    from sernet_core.datasets import only, open_dataset, without
    from sernet_core.train import load_recipe
    from sernet_core.train.parts import open_parts

    if args.threads < 0:
        raise ConfigError(f"--threads: needs 0 (torch's choice) or more, got {args.threads}")
    if args.leave_out and not args.data:
        raise ConfigError("--leave-out: there is no data set to leave anything out of; give --data")
    if args.workers < 0:
        raise ConfigError(f"--workers: needs 0 (the run prepares crops itself) or more, got {args.workers}")
    if args.extra_model and not args.extra:
        raise ConfigError("--extra-model: is for the labels of a second data set; give it with --extra")
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = load_recipe(args.recipe)
    whole = open_parts(args.data, args.split) if args.data else None
    dataset = without(whole, args.leave_out) if whole is not None else None
    second = open_dataset(*root_and_split("--extra", args.extra)) if args.extra else None
    if args.preview:
        return _preview(recipe, dataset, second, args.preview)
    left_out = [only(whole, args.leave_out)] if whole is not None and args.leave_out else []
    return _train(args, recipe, dataset, second, left_out)


def _preview(recipe: Recipe, dataset: Dataset | None, second: Dataset | None, path: Path) -> int:
    from sernet_core.train.preview import write_preview
    from sernet_core.train.stream import TrainingStream

    write_preview(path, TrainingStream(recipe, dataset, second))
    _warn_of_scales(recipe, dataset, second)
    print(f"written: {path}")
    if second is not None:
        print(f"labels of {second.name} as they are: classes that it lacks are left open only in a run")
    return 0


def _train(
    args: argparse.Namespace,
    recipe: Recipe,
    dataset: Dataset | None,
    second: Dataset | None,
    left_out: list[Dataset],
) -> int:
    from sernet_core.checkpoint import load_checkpoint, resolve_model
    from sernet_core.config import load_yaml
    from sernet_core.datasets import open_dataset
    from sernet_core.train import train
    from sernet_core.train.extra import Extra
    from sernet_core.train.processes import join_processes

    validation: list[Dataset] = [
        open_dataset(*root_and_split("--validate", name))
        for name in args.validate or _default_validation(args)
    ]
    validation += left_out
    names = [split.name for split in validation]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(
            f"--validate: two splits are called {twice}, and scores are kept by that name; give one of them, "
            "or rename the folder of one"
        )
    start = load_checkpoint(args.start) if args.start else None
    teacher = load_checkpoint(args.teacher) if args.teacher else None
    model = resolve_model(args.extra_model) if args.extra_model else None
    folder = run_folder(args.run)
    with join_processes(args.device) as processes:
        if processes.first:
            print(f"run folder: {folder}, training on {processes}", flush=True)
            if not validation:
                print(
                    "nothing is scored on the way: no frames are held back; --validate names some",
                    flush=True,
                )
            _warn_of_scales(recipe, dataset, second)
            if teacher is None and load_yaml(args.recipe).get("distil_weight"):
                print(
                    "warning: the recipe's distil_weight is for a teacher, and there is none: the run learns "
                    "from labels alone; give it with --teacher MODEL",
                    flush=True,
                )
            warn_of_bfloat16(recipe, str(processes.device))
            if importlib.util.find_spec("tensorboard") is None:
                print(
                    "no events for TensorBoard, which is not installed (requirements/tensorboard.txt)",
                    flush=True,
                )
        complete = train(
            recipe,
            dataset,
            validation,
            folder,
            encoder=args.encoder,
            start=start,
            teacher=teacher,
            extra=Extra(second, model) if second is not None else None,
            processes=processes,
            workers=args.workers,
        )
        if processes.first:
            print("complete" if complete else "interrupted; give the same command again to go on")
    return 0 if complete else 130


def _warn_of_scales(recipe: Recipe, *datasets: Dataset | None) -> None:
    from sernet_core.train.scales import scale_warnings

    for words in scale_warnings(recipe, [dataset for dataset in datasets if dataset is not None]):
        print(f"warning: {words}", flush=True)


def _default_validation(args: argparse.Namespace) -> list[str]:
    from sernet_core.datasets import SYNTHETIC, splits_of

    if not args.data:
        return [f"{SYNTHETIC}:val"]
    if args.leave_out or {"val", "all"} & {*args.split.split("+")}:
        return []
    there = args.data == SYNTHETIC or "val" in splits_of(args.data)
    return [f"{args.data}:val"] if there else []


def run_folder(name: str) -> Path:
    """Folder of a run given as a path or as a name."""
    if os.sep in name:
        return Path(name)
    runs = os.environ.get("SERNET_RUNS")
    return (Path(runs) if runs else Path.home() / ".cache/sernet/runs") / name
