"""Measure whether several frames at once take less time than one by one: `scripts/measure_batch.py --help`.

Both are timed in turns on the same synthetic streets, after a warm-up; the ratio is per frame.
"""

from __future__ import annotations

import argparse
import dataclasses

import torch

from sernet_core.benchmark.timing import interleave, speedup, summary
from sernet_core.commands.options import DEFAULT_MODEL, frame_size
from sernet_core.devices import resolve_device
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache, default_folder
from sernet_core.engines.choose import build
from sernet_core.engines.parity import street_frames


def main() -> None:
    """Build both engines, time them and print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--size", type=frame_size, default=(480, 360), metavar="WxH")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    source = Source.load(
        args.model,
        EngineCache(default_folder()),
        device=resolve_device(args.device),
        precision=args.precision,
        threads=args.threads,
    )
    size = (args.size[1], args.size[0])
    plan = source.plan(size, size)
    single = build(args.engine, source, plan)
    several = build(args.engine, source, dataclasses.replace(plan, batch=args.batch))
    frames = street_frames(*size, args.batch)
    times = interleave(
        {
            "one by one": lambda _: [single.segment(frame) for frame in frames],
            "at once": lambda _: several.segment_batch(frames),
        },
        1,
        args.repeats,
    )
    ratio = speedup(times["one by one"], times["at once"])
    medians = {name: summary(values)["median_ms"] / args.batch for name, values in times.items()}
    place = f"{args.engine} {single.precision} on {source.device}, {args.size[0]}x{args.size[1]}"
    times_words = ", ".join(f"{name} {median:.1f} ms a frame" for name, median in medians.items())
    print(
        f"{place}, batch {args.batch}: {ratio['median']:.2f}x ({ratio['p25']:.2f} to {ratio['p75']:.2f}) "
        f"as fast at once as one by one; {times_words}"
    )


if __name__ == "__main__":
    main()
