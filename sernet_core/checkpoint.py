"""Checkpoints: safetensors with everything that is needed to use them in the metadata.

Convolution weights are stored in float16, batch norms in float32. Loading is strict and never unpickles.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sernet_core.errors import CheckpointError, ConfigError, InputError, unknown_name
from sernet_core.input_size import MAX_PIXELS, MIN_SIZE
from sernet_core.labels import ClassSet
from sernet_core.network import build_network, read_config
from sernet_core.provenance import ROLES
from sernet_core.segmentation_network import SegmentationNetwork
from sernet_core.storage import write_atomically

FORMAT = "sernet-1"
SHIPPED = Path(__file__).parent / "weights"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself.

    Attributes:
        network: Configuration of the network: a `NetworkConfig`, or that of another architecture.
        classes: Class set of the logits.
        input_size: Width and height that the network was trained for.
        mean: Of RGB in 0..1, subtracted from the input.
        std: Of RGB in 0..1, divides the input.
        temperature: Divides the logits before the confidence is taken, see `calibration`.
        notice: Terms under which the weights may be used.
        recipe: Settings of the training run; empty for an average, whose models have theirs in `data`.
        data: What it was trained on; `stems` lists the training frames of all data sets by name.
        metrics: Figures measured on this file's weights, by data set, each with precision and input size.
    """

    network: Any
    classes: ClassSet
    input_size: tuple[int, int]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    temperature: float = 1.0
    notice: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = (*self.mean, *self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(isinstance(x, float | int) for x in numbers):
            raise ConfigError(f"mean and std: need three numbers each, got {self.mean} and {self.std}")
        if not all(map(math.isfinite, numbers)) or min(self.std) <= 0:
            raise ConfigError(
                f"mean and std: must be finite and std positive, got {self.mean} and {self.std}"
            )
        heat = self.temperature
        if not isinstance(heat, float | int) or not (math.isfinite(heat) and heat > 0):
            raise ConfigError(f"temperature: must be finite and positive, is {heat!r}")
        size = self.input_size
        if len(size) != 2 or not all(isinstance(x, int) and x >= MIN_SIZE for x in size):
            raise ConfigError(f"input_size: needs two numbers from {MIN_SIZE}, got {size}")
        if size[0] * size[1] > MAX_PIXELS:
            raise ConfigError(f"input_size: may have {MAX_PIXELS} pixels at most, got {size}")
        parts = (self.recipe, self.data, self.metrics, *self.metrics.values())
        if not all(isinstance(part, Mapping) for part in parts):
            raise ConfigError("recipe, data and metrics must be mappings")
        if not isinstance(self.notice, str):
            raise ConfigError(f"notice: must be text, is {self.notice!r}")
        _check_data(self.data)


def _check_data(data: Any) -> None:
    """Refuse a description of training data whose known parts are of other types."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"data: must be a mapping, is {data!r}")
    stems, share = data.get("stems", []), data.get("synthetic_share", 0.0)
    if not isinstance(stems, list) or not all(isinstance(stem, str) for stem in stems):
        raise ConfigError("data: the training list (stems) must be a list of names")
    if not isinstance(share, float | int) or not 0 <= share <= 1:
        raise ConfigError(f"data: synthetic_share must be from 0 to 1, is {share!r}")
    if not isinstance(data.get("train"), str | None):
        raise ConfigError(f"data: train must be a name, is {data['train']!r}")
    parts, extra = data.get("parts", []), data.get("extra", {"train": "", "share": 0})
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ConfigError(f"data: parts must be a list of names, is {parts!r}")
    if not (
        isinstance(extra, Mapping)
        and isinstance(extra.get("train"), str)
        and isinstance(extra.get("share"), float | int)
    ):
        raise ConfigError(f"data: extra must have train and share, is {extra!r}")
    if "masked" in extra:
        masked = extra["masked"]  # that of an earlier version tells nothing of its data
        _check_model("masked", {"data": {}, **masked} if isinstance(masked, Mapping) else masked)
    encoder = data.get("encoder")
    if encoder is not None and not (
        isinstance(encoder, Mapping) and all(isinstance(encoder.get(key), str) for key in ("file", "sha256"))
    ):
        raise ConfigError(f"data: encoder must have file and sha256, is {encoder!r}")
    for role in ROLES:
        if (before := data.get(role)) is not None:
            _check_model(role, before)
    averaged = data.get("averaged", [])
    if not isinstance(averaged, list):
        raise ConfigError(f"data: averaged must be a list of models, is {averaged!r}")
    for before in averaged:
        _check_model("averaged", before)


def _check_model(role: str, model: Any) -> None:
    if not isinstance(model, Mapping):
        raise ConfigError(f"data: {role} must be a mapping, is {model!r}")
    if not isinstance(model.get("sha256"), str | None):
        raise ConfigError(f"data: {role}: sha256 must be text, is {model['sha256']!r}")
    _check_data(model.get("data"))


@dataclass(frozen=True)
class Checkpoint:
    """A network in eval mode with its weights, what its file says of it, and that file."""

    network: SegmentationNetwork
    info: CheckpointInfo
    path: Path


def model_folders() -> list[Path]:
    """Folders in which a model name is looked up: `SERNET_MODELS`, the user's own, the shipped one."""
    own = os.environ.get("SERNET_MODELS")
    return [*([Path(own)] if own else []), Path.home() / ".local/share/sernet/models", SHIPPED]


def available_models() -> dict[str, Path]:
    """Every model that has a name, by name; a user's own model hides a shipped one of the same name."""
    found: dict[str, Path] = {}
    for folder in model_folders():
        if folder.is_dir():
            for path in sorted(folder.glob("*.safetensors")):
                if not path.name.startswith("."):  # a file that is being written
                    found.setdefault(path.stem, path)
    return found


def resolve_model(model: str | Path) -> Path:
    """File of a model given as a path or as a name.

    Raises:
        CheckpointError: There is no such file or name; the message lists the names that exist.
    """
    try:
        path = Path(model).expanduser()
    except RuntimeError as error:  # ~ of nobody
        raise CheckpointError(f"{model}: no such checkpoint file: {error}") from error
    if path.is_file():
        return path
    is_name = path.suffix != ".safetensors" and path.parent == Path()
    known = available_models() if is_name else {}
    if path.is_dir() and path.name not in known:
        raise CheckpointError(f"{path}: a folder; name the model in it, such as {path / 'model.safetensors'}")
    if not is_name:
        raise CheckpointError(f"{path}: no such checkpoint file")
    if path.name not in known:
        folders = ", ".join(map(str, model_folders()))
        raise CheckpointError(f"{unknown_name('model', path.name, known)} (looked in {folders})")
    return known[path.name]


def save_checkpoint(path: Path, network: SegmentationNetwork, info: CheckpointInfo) -> None:
    """Write a network and its description, atomically.

    Raises:
        CheckpointError: The description belongs to another network, a weight is not finite as it would be
            stored, or the file cannot be written. A file of before is untouched.
    """
    if info.network != network.config or len(info.classes) != network.config.classes:
        raise CheckpointError(f"{path}: the description does not belong to this network")
    norms = {
        f"{name}." for name, module in network.named_modules() if isinstance(module, torch.nn.BatchNorm2d)
    }
    tensors = {
        key: value.detach().to("cpu", _stored_type(key, norms)).contiguous()
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    for key, value in tensors.items():
        if not torch.isfinite(value).all():
            largest = network.state_dict()[key].abs().max().item()
            raise CheckpointError(
                f"{path}: not written: {key} reaches {largest:g}, which is not finite as {value.dtype}"
            )
    values = asdict(info)
    values["classes"] = {
        "name": info.classes.name,
        "names": info.classes.names,
        "palette": info.classes.palette,
    }
    metadata = {"format": FORMAT, **{key: json.dumps(value) for key, value in values.items()}}
    try:
        write_atomically(path, lambda target: save_file(tensors, target, metadata))
    except InputError as error:
        raise CheckpointError(str(error)) from error
    except SafetensorError as error:  # what a full disk gives
        raise CheckpointError(f"{path}: cannot be written: {error}") from error


def _stored_type(key: str, norms: set[str]) -> torch.dtype:
    # Running variances reach beyond float16's range; norms are a hundredth of the file.
    return torch.float32 if key[: key.rfind(".") + 1] in norms else torch.float16


def read_info(model: str | Path) -> CheckpointInfo:
    """Description of a checkpoint, without its weights.

    Raises:
        CheckpointError: No such model, or not a checkpoint of this project.
    """
    path = resolve_model(model)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: not a {FORMAT} checkpoint (its metadata has format={metadata.get('format')!r})"
        )
    try:
        values = {key: json.loads(value) for key, value in metadata.items() if key != "format"}
        labels = values.pop("classes")
        info = CheckpointInfo(
            network=read_config(values.pop("network"), "network"),
            classes=ClassSet(labels["name"], tuple(labels["names"]), tuple(map(tuple, labels["palette"]))),
            input_size=tuple(values.pop("input_size")),
            mean=tuple(values.pop("mean")),
            std=tuple(values.pop("std")),
            **values,
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError,
            ConfigError) as error:  # fmt: skip
        raise CheckpointError(f"{path}: its metadata is not understood: {error}") from error
    if info.network.classes != len(info.classes):
        raise CheckpointError(
            f"{path}: its network has {info.network.classes} classes, but it names {len(info.classes)}"
        )
    return info


def load_checkpoint(model: str | Path) -> Checkpoint:
    """Load a checkpoint strictly: every weight must be there, fit, and be finite.

    Args:
        model: Path of a file, name of a shipped model, or name in a model folder.

    Raises:
        CheckpointError: With what does not fit.
    """
    path = resolve_model(model)
    info = read_info(path)
    network = build_network(info.network)
    own = {
        key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")
    }
    try:
        with safe_open(path, "pt") as file:
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot read the weights: {error}") from error
    _check_fit(path, own, stored)
    network.load_state_dict({key: value.to(torch.float32) for key, value in stored.items()}, strict=False)
    return Checkpoint(network.eval(), info, path)


def _check_fit(path: Path, own: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> None:
    problems = [f"missing {key}" for key in own.keys() - stored.keys()]
    problems += [f"unexpected {key}" for key in stored.keys() - own.keys()]
    for key in own.keys() & stored.keys():
        if own[key].shape != stored[key].shape:
            problems.append(f"{key} is {tuple(stored[key].shape)}, must be {tuple(own[key].shape)}")
        elif not torch.isfinite(stored[key].float()).all():
            problems.append(f"{key} holds values that are not finite")
    if problems:
        shown = "; ".join(sorted(problems)[:5])
        raise CheckpointError(f"{path}: {len(problems)} weight(s) do not fit the network: {shown}")
