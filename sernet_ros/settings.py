"""The node's parameters as one table: names, defaults, rules and words; read as one frozen `Settings`."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from sernet_core.engines.registry import CHOICES, PRECISIONS
from sernet_core.errors import unknown_name

Takes = Literal["live", "swap", "configure", "start"]
"""When a change takes effect: between two frames; once a network with it has been loaded in the background;
when the node is configured the next time; when the process starts."""


def _parameter(
    default: Any,
    description: str,
    takes: Takes,
    *,
    limits: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    pattern: str = "",
    length: int | None = None,
    empty: bool = False,
) -> Any:
    """A field of `Settings`.

    Args:
        default: Value where the user gives none; its type is the parameter's, a tuple stands for a list.
        description: What `ros2 param describe` says.
        takes: When a change takes effect.
        limits: Smallest and largest number.
        choices: The words that are allowed.
        pattern: Regular expression of what is allowed beside the choices.
        length: Number of entries of a list.
        empty: Whether a string may be empty.
    """
    rules = {"description": description, "takes": takes, "limits": limits, "choices": choices}
    return field(default=default, metadata={**rules, "pattern": pattern, "length": length, "empty": empty})


@dataclass(frozen=True)
class Settings:
    """The values of all parameters at one moment."""

    # The network
    model: str = _parameter(
        "auto",
        "Checkpoint: auto (sernet-r50-camvid on a GPU, sernet-r29-camvid on a CPU), a shipped name, a name "
        "in the user's model folder, or a path",
        "swap",
    )
    device: str = _parameter(
        "auto",
        "Where the network runs: auto, cpu, cuda or cuda:N",
        "swap",
        choices=("auto", "cpu", "cuda"),
        pattern=r"cuda:\d+",
    )
    engine: str = _parameter(
        "auto",
        "What runs the network; auto: the fastest here whose masks are those of eager, or as good with int8",
        "swap",
        choices=CHOICES,
    )
    precision: str = _parameter(
        "auto",
        "Arithmetic of the network: the engine's choice, fp32, bf16, fp16 (CUDA alone) or int8 (needs a "
        "quantised model)",
        "swap",
        choices=PRECISIONS,
    )
    threads: int = _parameter(
        0, "CPU threads of the network; 0 leaves the choice to the engine", "swap", limits=(0, 1024)
    )
    input_size: str = _parameter(
        "model",
        "Size at which the network sees the image: model (the size it was trained for, aspect kept), "
        "source (the image's own) or WxH; the mask always has the image's size",
        "swap",
        choices=("model", "source"),
        pattern=r"[1-9]\d{1,4}x[1-9]\d{1,4}",
    )

    engine_cache_dir: str = _parameter(
        "", "Folder for built engines; empty: SERNET_CACHE or the user's cache", "swap", empty=True
    )
    force_engine_update: bool = _parameter(
        False, "Build engines anew instead of taking them from the folder", "swap"
    )

    # The cameras
    cameras: tuple[str, ...] = _parameter(
        ("",),
        "Prefix of each camera's topics (front: front/image, front/semantic_mask, ...); one empty name is a "
        "camera without a prefix",
        "configure",
        pattern=r"|[A-Za-z]\w*(/[A-Za-z]\w*)*",
    )
    image_transport: str = _parameter(
        "raw",
        "raw (sensor_msgs/Image) or compressed (sensor_msgs/CompressedImage on the topic image/compressed)",
        "configure",
        choices=("raw", "compressed"),
    )
    input_qos: str = _parameter(
        "auto",
        "Reliability of the image subscription: auto (that of the publisher, best effort until one is seen), "
        "sensor_data (best effort) or reliable",
        "configure",
        choices=("auto", "sensor_data", "reliable"),
    )
    roi: tuple[int, ...] = _parameter(
        (0, 0, 0, 0),
        "Part of the image that is segmented, [x, y, width, height] in pixels; width or height 0 reaches to "
        "the edge; pixels outside are unlabeled",
        "live",
        limits=(0, 2**31 - 1),
        length=4,
    )
    ignore_mask: str = _parameter(
        "",
        "Picture that is not black where pixels never get a class, such as the own bonnet; {camera} in the "
        "path stands for the camera's prefix; empty: none",
        "live",
        empty=True,
    )

    # The outputs
    output_qos: str = _parameter(
        "auto",
        "Reliability of what is published: auto (reliable, which any subscriber can receive), "
        "sensor_data (best effort) or reliable",
        "configure",
        choices=("auto", "sensor_data", "reliable"),
    )
    mask_scale: float = _parameter(
        1.0,
        "Size of mask and confidence over that of the image, 0.01 to 1; below 1 semantic_mask/camera_info is "
        "published too",
        "live",
        limits=(0.01, 1.0),
    )
    mask_encoding: str = _parameter(
        "raw",
        "raw (one byte a pixel) or autoware_rle (runs of id and length, for Autoware's point cloud fusion)",
        "live",
        choices=("raw", "autoware_rle"),
    )
    label_remap: str = _parameter(
        "",
        "CSV file (from,to,name) that turns the model's classes into published ids, or a name such as "
        "autoware for the file of that name in this package; empty: the model's own ids",
        "live",
        empty=True,
    )
    confidence_threshold: float = _parameter(
        0.0, "Confidence, 0 to 1, below which a pixel is unlabeled (255)", "live", limits=(0.0, 1.0)
    )
    publish_confidence: bool = _parameter(False, "Publish confidence, 0..255 for 0..1", "live")
    publish_color_mask: bool = _parameter(False, "Publish color_mask, the classes in their colours", "live")
    publish_compressed_mask: bool = _parameter(
        False, "Publish semantic_mask/compressed, a lossless PNG", "live"
    )
    publish_overlay: bool = _parameter(True, "Publish the overlay while somebody listens to it", "live")
    overlay_alpha: float = _parameter(
        0.5, "Weight of the class colours in the overlay, 0 to 1", "live", limits=(0.0, 1.0)
    )
    color_palette: tuple[int, ...] = _parameter(
        (-1,),
        "24-bit colour of each published class, in rising order of ids, e.g. [0x804080, ...]; [-1]: those of "
        "the model",
        "live",
        limits=(-1, 0xFFFFFF),
    )

    # The node
    max_batch: int = _parameter(
        4,
        "Most images of different cameras that go through the network at once; used where a trial "
        "with the first ones shows that it helps",
        "configure",
        limits=(1, 64),
    )
    inference_timeout: float = _parameter(
        5.0,
        "Seconds that an inference may take; what comes later is discarded",
        "live",
        limits=(0.01, 600.0),
    )
    diagnostics_period: float = _parameter(
        1.0, "Seconds between two messages on /diagnostics", "live", limits=(0.1, 60.0)
    )
    enable: bool = _parameter(True, "Whether images are segmented; ~/enable sets it too", "live")
    autostart: bool = _parameter(True, "Configure and activate the node as soon as it runs", "start")


FIELDS: Mapping[str, Any] = {entry.name: entry for entry in fields(Settings)}
NETWORK = tuple(name for name, entry in FIELDS.items() if entry.metadata["takes"] == "swap")
"""Parameters that a network is loaded with."""


def fault_of(name: str, value: Any) -> str:
    """What is wrong with a value of a parameter; empty when nothing is.

    Args:
        name: Name of a parameter that exists.
        value: A whole number will do for a float.
    """
    entry = FIELDS[name]
    if isinstance(entry.default, tuple):
        return _fault_of_list(name, value)
    return _fault_of_one(name, value, type(entry.default), entry.metadata)


def _fault_of_list(name: str, value: Any) -> str:
    entry = FIELDS[name]
    rules, kind = entry.metadata, type(entry.default[0])
    if not isinstance(value, list | tuple | array):
        return f"{name}: must be a list, each entry {_KIND[kind]}; is {value!r}"
    if rules["length"] not in (None, len(value)):
        return f"{name}: must have {rules['length']} entries, has {len(value)}. {rules['description']}"
    if not value:
        return f"{name}: must have an entry at least. {rules['description']}"
    if kind is str and len(set(value)) != len(value):
        return f"{name}: an entry stands twice in {list(value)}"
    faults = (_fault_of_one(name, one, kind, rules) for one in value)
    return next(filter(None, faults), "")


def _fault_of_one(name: str, value: Any, wanted: type, rules: Mapping[str, Any]) -> str:
    given = type(value)
    if given is not wanted and not (wanted is float and given is int):
        return f"{name}: must be {_KIND[wanted]}, is {value!r}"
    if rules["limits"] is not None:
        low, high = rules["limits"]
        if not (math.isfinite(value) and low <= value <= high):
            return f"{name}: must lie between {low:.10g} and {high:.10g}, is {value:g}"
    if wanted is not str:
        return ""
    if rules["choices"]:
        if value not in rules["choices"] and not re.fullmatch(rules["pattern"], value):
            return f"{name}: {unknown_name('value', value, rules['choices'])}. {rules['description']}"
    elif rules["pattern"] and not re.fullmatch(rules["pattern"], value, re.ASCII):
        return f"{name}: '{value}' is no name that can begin a topic. {rules['description']}"
    if value == "" and not rules["empty"] and not rules["pattern"]:
        return f"{name}: must not be empty. {rules['description']}"
    return ""


_KIND = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def typed(name: str, value: Any) -> Any:
    """A value without fault, in the type that `Settings` has."""
    kind: Callable[[Any], Any] = type(FIELDS[name].default)
    return kind(value)


def unknown_overrides(names: Iterable[str]) -> list[str]:
    """Words for each name that a user has set but the node does not have: most likely a slip of the pen."""
    standard = ("use_sim_time", "qos_overrides.", "start_type_description_service")
    strange = [name for name in names if name not in FIELDS and not name.startswith(standard)]
    return [unknown_name("parameter", name, FIELDS) for name in strange]
