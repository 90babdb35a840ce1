"""What each stage of the live path takes beside the plain way of writing it.

  .venv/bin/python scripts/measure_stages.py --threads 2

The plain way is what a first version of such a node does. Both take turns on the same synthetic street and on
the logits that the model gives for it; the network itself is not timed.
"""

from __future__ import annotations

import argparse

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from sernet_core.benchmark.timing import Task, interleave, speedup, summary
from sernet_core.commands.options import frame_size
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache, default_folder
from sernet_core.engines.choose import build
from sernet_core.engines.parity import street_frames
from sernet_ros.image_codec import fill, to_rgb

PLAIN, OURS = "plain", "ours"


def main() -> None:
    """Time every stage in turns and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="sernet-r29-camvid")
    parser.add_argument("--size", type=frame_size, default=(960, 720), metavar="WxH")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    source = Source.load(args.model, EngineCache(default_folder()), threads=args.threads)
    size = (args.size[1], args.size[0])
    engine = build("openvino", source, source.plan(size, size))
    (frame,) = street_frames(*size, 1)
    logits = engine.logits(engine.plan.prepare(frame)).clone()
    mask = engine.upsampler.mask(logits)
    reference = engine.upsampler.full(logits).numpy().argmax(0).astype(np.uint8)
    rgb, bgr = (fill(Image(), image, Header()) for image in (frame, np.ascontiguousarray(frame[..., ::-1])))
    bgr.encoding = "bgr8"

    stages: dict[str, dict[str, Task]] = {
        "rgb8 message to RGB array": {PLAIN: lambda _: plain_read(rgb), OURS: lambda _: to_rgb(rgb)},
        "bgr8 message to RGB array": {PLAIN: lambda _: plain_read(bgr), OURS: lambda _: to_rgb(bgr)},
        "logits to mask": {
            PLAIN: lambda _: engine.upsampler.full(logits).numpy().argmax(0).astype(np.uint8),
            OURS: lambda _: engine.upsampler.mask(logits),
        },
        "mask to message": {
            PLAIN: lambda _: plain_message(mask),
            OURS: lambda _: fill(Image(), mask, Header()),
        },
    }
    times = interleave(
        {f"{stage} {way}": task for stage, ways in stages.items() for way, task in ways.items()},
        1,
        args.repeats,
    )
    print(
        f"{args.size[0]}x{args.size[1]}, {100 * (mask == reference).mean():.4f} % of the masks' pixels alike"
    )
    for stage in stages:
        plain, ours = times[f"{stage} {PLAIN}"], times[f"{stage} {OURS}"]
        print(
            f"{stage:<28}{PLAIN} {summary(plain)['median_ms']:>8.2f} ms   "
            f"{OURS} {summary(ours)['median_ms']:>7.2f} ms   {speedup(plain, ours)['median']:>7.1f}x"
        )


def plain_read(message: Image) -> np.ndarray:
    """A message's pixels, copied, and once more where blue comes first."""
    image = np.array(message.data, np.uint8).reshape(message.height, message.width, 3)
    return image[..., ::-1].copy() if message.encoding == "bgr8" else image


def plain_message(mask: np.ndarray) -> Image:
    """A message whose data is assigned as bytes."""
    message = Image(header=Header(), height=mask.shape[0], width=mask.shape[1], encoding="mono8")
    message.step = mask.shape[1]
    message.data = mask.tobytes()
    return message


if __name__ == "__main__":
    main()
