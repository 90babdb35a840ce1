"""Train variants of a recipe under one budget, and say what each part or setting brings.

Rows of the network: each of abm, dbn, afn1 and afn2 off, all of them off (group "components"), the paper's
literal gate ("gate"), a map at an eighth of the input for the decoder ("lateral"), a narrower decoder, at the
cost of the next ("width"), DeepLabV3+ and Unet of the same depth under the same budget ("peers"): three seeds
each; fusion, output stride, DbN: one seed each, or --other-seeds. --changes takes rows from a file instead:
names, and the settings of the recipe that each changes. --leave-out scores a recorded sequence that is kept
out of training, --also further data sets.

Runs that are done are kept and an interrupted one goes on: give the same command again; more rows or seeds
may be added to it. The same command in a second terminal, e.g. with --threads 1 in both, shares the runs.
--out gets ablation.html, .json and .csv.

example:
  sernet ablate --data $SERNET_DATA/camvid --out out/ablation
  sernet ablate --data $SERNET_DATA/camvid --rows components gate --seeds 5
  sernet ablate --data $SERNET_DATA/camvid --time     # latency again, on a quiet machine
  sernet ablate --data $SERNET_DATA/camvid --leave-out 0006R0 --also $SERNET_DATA/kitti48:val \\
      --recipe config/ablation_settings.yaml --changes config/ablation_settings_rows.yaml \\
      --extra $SERNET_DATA/labelmefacade:train --rows "no scenes" sgd "second data set" \\
      --encoder $SERNET_DATA/weights/resnet50_v1_imagenet_encoder.safetensors --out out/settings
  sernet ablate --list
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sernet_core.commands.options import DATA_HELP, root_and_split, warn_of_bfloat16
from sernet_core.errors import ConfigError
from sernet_core.package_files import config_file

RECIPE = "ablation.yaml"  # in the folder config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sernet ablate`."""
    parser.add_argument("--data", metavar="DIR", help=DATA_HELP)
    parser.add_argument("--split", default="train", help="part to train on (default: train)")
    parser.add_argument(
        "--validate",
        metavar="SPLIT",
        help="part to score, and to compare by (default: val, or what is left out)",
    )
    parser.add_argument(
        "--leave-out",
        nargs="+",
        default=[],
        metavar="PREFIX",
        help="train without the frames whose names begin so, and score them",
    )
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="DIR:SPLIT",
        help="score this too, e.g. another city; may be repeated. Runs that are done are not scored again",
    )
    parser.add_argument(
        "--recipe", type=Path, metavar="YAML", help=f"budget and network (default: {RECIPE} of this package)"
    )
    parser.add_argument(
        "--changes",
        type=Path,
        metavar="YAML",
        help="rows in place of the network's: names, and the settings of the recipe that each changes",
    )
    parser.add_argument("--steps", type=int, help="steps of each run (default: the recipe's)")
    parser.add_argument("--rows", nargs="+", default=[], metavar="NAME", help="rows or groups (default: all)")
    parser.add_argument(
        "--list", action="store_true", help="list the rows and their groups, and train nothing"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=3,
        help="runs of each row of components, gate, lateral, width, peers and --changes (default: 3)",
    )
    parser.add_argument("--other-seeds", type=int, default=1, help="runs of each other row (default: 1)")
    parser.add_argument("--encoder", type=Path, metavar="FILE", help="ImageNet weights for the encoder")
    parser.add_argument(
        "--extra",
        metavar="DIR:SPLIT",
        help="second data set to train on, for the rows with an extra_share",
    )
    parser.add_argument(
        "--teacher",
        metavar="MODEL",
        help="larger model to learn from too (path or name), for the rows with a distil_weight; it must "
        "not have seen what is scored",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N (default: auto)")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare crops (default: 1)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's choice)")
    parser.add_argument(
        "--time", action="store_true", help="time the variants again, even if nothing new was trained"
    )
    parser.add_argument("--repeats", type=int, default=30, help="rounds of the timing (default: 30)")
    parser.add_argument(
        "--out", type=Path, default=Path("out/ablation"), metavar="DIR", help="folder for runs and report"
    )


def run(args: argparse.Namespace) -> int:
    """Train and print the table; 1 where a run failed, 130 when interrupted."""
    from dataclasses import replace

    import torch

    from sernet_core.ablation.changes import load_rows
    from sernet_core.ablation.plan import Plan
    from sernet_core.ablation.rows import choose, rows_of
    from sernet_core.ablation.run import PAGE, run
    from sernet_core.ablation.table import as_text
    from sernet_core.checkpoint import load_checkpoint
    from sernet_core.datasets import only, open_dataset, without
    from sernet_core.devices import resolve_device
    from sernet_core.train import load_recipe

    recipe = load_recipe(args.recipe or _recipe())
    if args.steps is not None:
        recipe = replace(recipe, steps=args.steps)
    recipe = replace(recipe, validate_every=recipe.steps)
    known = load_rows(args.changes, recipe) if args.changes else rows_of(recipe.network)
    rows = choose(known, args.rows)
    if args.list:
        print("\n".join(f"{row.name:<26}{row.group}" for row in rows))
        return 0
    if not args.data:
        raise ConfigError("--data: which data set to train on is missing")
    if args.leave_out and args.validate:
        raise ConfigError("--validate: what is left out is scored; give other splits with --also")
    if min(args.threads, args.workers) < 0:
        raise ConfigError("--threads and --workers: need 0 or more")
    if args.threads:
        torch.set_num_threads(args.threads)
    whole = open_dataset(args.data, args.split)
    plan = Plan(
        recipe,
        rows,
        without(whole, args.leave_out),
        only(whole, args.leave_out) if args.leave_out else open_dataset(args.data, args.validate or "val"),
        known,
        also=[open_dataset(*root_and_split("--also", name)) for name in args.also],
        seeds=args.seeds,
        other_seeds=args.other_seeds,
        encoder=args.encoder,
        extra=open_dataset(*root_and_split("--extra", args.extra)) if args.extra else None,
        teacher=load_checkpoint(args.teacher) if args.teacher else None,
        device=resolve_device(args.device),
        workers=args.workers,
        repeats=args.repeats,
    )
    warn_of_bfloat16(recipe, plan.device)
    report = run(plan, args.out, time_again=args.time, tell=lambda words: print(words, flush=True))
    if report is None:
        print("interrupted; give the same command again to go on")
        return 130
    print(as_text(report))
    for name in report["missing"]:
        print(f"{name}: {report['failed'].get(name, 'not trained yet, or by another process')}")
    print(f"\nwritten: {args.out / PAGE} (and .json, .csv)")
    return 1 if report["failed"] else 0


def _recipe() -> Path:
    """The recipe that the package brings along."""
    if path := config_file(RECIPE):
        return path
    raise ConfigError(
        f"--recipe: this installation lacks its config/{RECIPE}; name a recipe, or install the package anew"
    )
