"""Judges a model on a recording, through the live node or offline: `ros2 run sernet_ros evaluate_bag BAG`."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sernet_core.errors import ConfigError, EngineError, SernetError
from sernet_core.waiting import rest_while_waiting
from sernet_ros.bag.formats import is_bag
from sernet_ros.interrupts import Interrupts
from sernet_ros.options import (
    LONGEST,
    add_bag_arguments,
    check_speed,
    file_path,
    number,
    parse_factor,
    parse_rate,
    whole_number,
)
from sernet_ros.startup import BAD_REQUEST, FAILED, INTERRUPTED, MISSING_PACKAGE, explain_missing

_STARTED = ("param", "params_file")  # for a node that is started
EPILOG = """\
examples:
  evaluate_bag ~/bags/drive                            through a node of its own, in real time
  evaluate_bag ~/bags/val --rate lockstep              every frame, one after the other: the same in every run
  evaluate_bag ~/bags/val --speed 0.5 --model mine.safetensors --engine eager --precision bf16
  evaluate_bag ~/bags/drive --running /front           the node that runs in the namespace /front
  evaluate_bag ~/bags/* --offline --out out/all        without ROS, several recordings, with a summary
  evaluate_bag ~/bags/val --offline --engine openvino --precision int8      the masks of the int8 model
  torchrun --nproc-per-node 4 -m sernet_ros.evaluate_bag ~/bags/drive --offline    shared by four processes
  evaluate_bag ~/bags/drive --image-topic /left/image --truth-topic /left/labels --class-map ids.csv
  evaluate_bag ~/bags/drive --all-cameras              one camera after the other, each alone, with a summary

exit codes: 0 the frames were judged; 1 the node failed, too little was answered, a recording breaks off, or
one of several could not be judged (what there is, is kept); 2 the request cannot be met; 130 interrupted
(likewise).
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate recordings.

    Args:
        argv: Command line without the program's name; that of the process when None.

    Returns:
        0, or one of the exit codes that `--help` explains.
    """
    rest_while_waiting()
    interrupts = Interrupts(INTERRUPTED, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    words = list(sys.argv[1:] if argv is None else argv)
    # launch appends the names that it gives a node, which this program is not.
    if "--ros-args" in words:
        words = words[: words.index("--ros-args")]
    options = build_parser().parse_intermixed_args(words)
    try:
        import sernet_core.checkpoint  # noqa: F401
        import sernet_ros.evaluation

        if not options.offline:
            import sernet_ros.judge_live  # noqa: F401
    except (ImportError, OSError) as error:
        print(explain_missing("evaluate_bag", error, sys.executable), file=sys.stderr)
        return MISSING_PACKAGE
    try:
        interrupts.begin()
        return _run(options, shlex.join(["evaluate_bag", *words]), interrupts)
    except SernetError as error:
        print(f"evaluate_bag: error: {error}", file=sys.stderr)
        return FAILED if isinstance(error, EngineError) else BAD_REQUEST
    except KeyboardInterrupt:
        print("evaluate_bag: interrupted before anything was judged", file=sys.stderr)
        return INTERRUPTED
    finally:
        interrupts.ignore()


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="evaluate_bag",
        description="Replay a recording into a segmenter and report how good and how fast its masks were.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "bags",
        metavar="BAG",
        nargs="+",
        help="recording (or any source that `replay` knows); of several there is a summary, too",
    )
    parser.add_argument(
        "--out",
        type=file_path,
        default=Path("out/evaluate_bag"),
        help="folder of the results (out/evaluate_bag)",
    )
    parser.add_argument(
        "--record",
        type=file_path,
        metavar="NEW_BAG",
        help="copy the recording and add masks, overlays (JPEG), confidence and class names",
    )
    parser.add_argument("--offline", action="store_true", help="without ROS, as fast as the machine goes")
    parser.add_argument("--frames", type=whole_number(1), metavar="N", help="stop after N frames")
    parser.add_argument("--split", help="where BAG is a data set: its part, e.g. val")
    parser.add_argument(
        "--class-map",
        metavar="MAP",
        help="what the ids of the ground truth are: camvid, cityscapes, or a CSV file with the columns "
        "id,name (name of the model's class, or void); default: what the recording says",
    )
    add_bag_arguments(parser, several=True)
    _add_pace_arguments(parser.add_argument_group("pace of a live run"))
    _add_model_arguments(parser.add_argument_group("model"))
    _add_running_arguments(parser.add_argument_group("a node that runs already"))
    return parser


def _add_pace_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--rate",
        type=parse_rate,
        default="source",
        help="'source' (default): real time, frame by frame as recorded; 'lockstep': the next frame when the "
        "last one is answered; or Hz",
    )
    group.add_argument(
        "--speed",
        type=parse_factor,
        metavar="FACTOR",
        help="of real time (default: 1), with --rate source alone",
    )
    group.add_argument(
        "--answer-timeout",
        type=number(0.0, LONGEST),
        default=60.0,
        metavar="S",
        help="in lock-step go on after S seconds; the frame counts as unanswered (default: 60)",
    )
    group.add_argument(
        "--min-answered",
        type=number(0.0, 100.0),
        default=0.0,
        metavar="PERCENT",
        help="fail when fewer frames are answered (default: 0, but one must be)",
    )


def _add_model_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model",
        help="checkpoint: a name, a path or auto (default: auto as the node's, or what runs already)",
    )
    # Without defaults: what is not given is left to the parameter file, or to the node's own defaults.
    group.add_argument("--device", help="auto (default), cpu or cuda:N")
    group.add_argument(
        "--engine",
        help="what runs the network: auto, or a name that `sernet engines` lists (default: auto as the "
        "node's, offline eager as of `sernet evaluate`, or openvino for int8)",
    )
    group.add_argument("--precision", help="auto (default), fp32, bf16, int8 or, on CUDA, fp16")
    group.add_argument(
        "--threads", type=whole_number(0), help="CPU threads (default: 0, the engine's choice)"
    )
    group.add_argument("--input-size", metavar="SIZE", help="model (default), source or WxH")
    group.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME:=VALUE",
        help="a parameter of the node that is started; may be repeated",
    )
    group.add_argument(
        "--params-file",
        type=file_path,
        help="parameter file of the node that is started; the options above and --param outdo it",
    )
    group.add_argument(
        "--ready-timeout",
        type=number(0.0, LONGEST),
        default=120.0,
        metavar="S",
        help="wait S seconds for the node (default: 120)",
    )


def _add_running_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--running", metavar="NAMESPACE", help="use the node sernet_segmenter there ('/': without namespace)"
    )
    group.add_argument("--node-image", default="image", metavar="TOPIC", help="what it listens to")
    group.add_argument("--node-mask", default="semantic_mask", metavar="TOPIC", help="its masks")
    group.add_argument("--node-overlay", default="semantic_overlay", metavar="TOPIC", help="its overlays")
    group.add_argument(
        "--node-confidence", default="confidence", metavar="TOPIC", help="its confidence, for --record"
    )


def _run(options: argparse.Namespace, command: str, interrupts: Interrupts) -> int:
    from sernet_ros.results import prepare

    _check(options)
    began = time.monotonic()
    if options.offline:
        from sernet_ros.judge_offline import judge_offline

        return judge_offline(options, command, began, interrupts)
    from sernet_ros.judge_live import judge_live

    prepare(options.out)
    return judge_live(options, command, began, interrupts)


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together: what is accepted must not be ignored."""
    from sernet_core.default_model import AUTO
    from sernet_ros.given_parameters import check_given
    from sernet_ros.judged_node import check_words

    if options.running and options.model == AUTO:
        options.model = None
    given = {name for name, value in vars(options).items() if value not in (None, [])}
    given -= {"rate"} if options.rate == "source" else set()
    if options.offline and (vain := given & {"running", "rate", "speed", "param", "params_file"}):
        raise ConfigError(f"--offline knows no node and no pace: leave {_names(vain)} away")
    check_speed(options.rate, options.speed)
    if options.running and (
        vain := given & {"device", "engine", "precision", "threads", "input_size", *_STARTED}
    ):
        raise ConfigError(f"--running takes the node as it is: leave {_names(vain)} away")
    check_given(options.param, options.params_file)
    check_words(options.param)
    if options.record:
        _check_record(options)


def _check_record(options: argparse.Namespace) -> None:
    several = max(len(options.bags), len(options.image_topic or ())) > 1 or options.all_cameras
    if several:
        raise ConfigError("--record takes one camera of one recording at a time")
    if not is_bag(Path(options.bags[0]).expanduser()):
        raise ConfigError(f"--record needs a recording, which {options.bags[0]} is not: see make_bag")
    if options.record.exists():
        raise ConfigError(
            f"--record: {options.record} exists already: choose another name, or remove it first"
        )


def _names(options: set[str]) -> str:
    words = sorted("--" + name.replace("_", "-") for name in options)
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


if __name__ == "__main__":
    sys.exit(main())
