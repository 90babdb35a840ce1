r"""Crops a second that the training stream gives, by number of workers, beside what a training step takes.

  .venv/bin/python scripts/measure_loader.py --recipe config/train_camvid.yaml --data $SERNET_DATA/camvid
  .venv/bin/python scripts/measure_loader.py --recipe config/train_camvid_refine.yaml \
      --data $SERNET_DATA/camvid --extra $SERNET_DATA/labelmefacade:train
  .venv/bin/python scripts/measure_loader.py --recipe RECIPE --data DIR --workers 4 8 --device cuda:0

The loader is measured alone, nothing is learned meanwhile; the step alone, on one batch that is ready, with
cross-entropy in place of the recipe's loss. Where the two share CPU cores, both get less than they show here.
The device is kept busy where the loader's rate is well above the step's.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from sernet_core.datasets import Dataset, open_dataset
from sernet_core.devices import resolve_device
from sernet_core.errors import SernetError
from sernet_core.labels import IGNORE
from sernet_core.train import Recipe, load_recipe
from sernet_core.train.state import TrainingState
from sernet_core.train.stream import TrainingStream, training_batches

# Batches that are not counted, for each worker: one while it imports and opens files, and those that it makes
# ahead, which would count as made in no time.
WARM_UP = 6


def loader_rate(
    recipe: Recipe, dataset: Dataset | None, extra: Dataset | None, workers: int, batches: int
) -> float:
    """Crops a second of the stream alone; its workers' start is not counted."""
    skipped = WARM_UP * max(1, workers)
    stream = TrainingStream(replace(recipe, steps=max(recipe.steps, batches + skipped)), dataset, extra)
    found = iter(training_batches(stream, 0, workers))
    for _ in range(skipped):
        next(found)
    begun = time.perf_counter()
    count = sum(1 for _ in itertools.islice(found, batches))
    return count * recipe.batch_size / (time.perf_counter() - begun)


def step_rate(recipe: Recipe, batch: tuple[Tensor, Tensor], device: str, steps: int) -> float:
    """Crops a second that forward, backward and optimiser get through, by the median step."""
    state = TrainingState(recipe, {}, device)
    image, label = batch[0].to(device).float() / 255, batch[1].to(device)
    state.model.train()
    times = []
    for _ in range(steps + 1):
        begun = time.perf_counter()
        with torch.autocast(state.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits, auxiliary = state.model(image.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(logits.float(), label, ignore_index=IGNORE)
        if auxiliary is not None:
            loss = loss + auxiliary.float().square().mean()  # for its gradients, not for what it teaches
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.set_rates()
        state.advance()
        if state.device.type == "cuda":
            torch.cuda.synchronize(state.device)
        times.append(time.perf_counter() - begun)
    return recipe.batch_size / statistics.median(times[1:])


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--data", metavar="DIR", help="left out: procedural scenes alone")
    parser.add_argument("--split", default="train")
    parser.add_argument("--extra", metavar="DIR:SPLIT", help="second data set, where the recipe takes one")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    parser.add_argument("--batches", type=int, default=50, help="of the loader, each time (default: 50)")
    parser.add_argument("--steps", type=int, default=10, help="0 leaves the step out (default: 10)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of the step (default: torch's)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        _measure(args)
    except SernetError as error:
        raise SystemExit(f"measure_loader: {error}") from error


def _measure(args: argparse.Namespace) -> None:
    recipe = load_recipe(args.recipe)
    dataset = open_dataset(args.data, args.split) if args.data else None
    extra = open_dataset(*args.extra.rsplit(":", 1)) if args.extra else None
    step = None
    if args.steps:
        device = resolve_device(args.device)
        batch = next(iter(training_batches(TrainingStream(recipe, dataset, extra), 0, 0)))
        step = step_rate(recipe, batch, device, args.steps)
        print(f"step on {device}: {step:.1f} crops/s (batches of {recipe.batch_size})", flush=True)
    for workers in args.workers:
        rate = loader_rate(recipe, dataset, extra, workers, args.batches)
        beside = f", {rate / step:.1f} times the step's" if step else ""
        print(f"loader with {workers} worker(s): {rate:.1f} crops/s{beside}", flush=True)


if __name__ == "__main__":
    main()
