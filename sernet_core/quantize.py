"""int8 for OpenVINO by post-training quantisation (NNCF), calibrated on frames of a data set."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sernet_core.datasets import Dataset
from sernet_core.digests import file_sha256
from sernet_core.engines.base import Source, missing_packages
from sernet_core.engines.cache import weights_hash
from sernet_core.engines.graph import INPUT, export_graph
from sernet_core.engines.openvino import converted, name_ports, no_reports, save
from sernet_core.engines.quantised import SECTION, quantised_path
from sernet_core.engines.turn import alone
from sernet_core.errors import ConfigError, InputError
from sernet_core.evaluate import check_split, evaluate
from sernet_core.input_size import InputSize
from sernet_core.runtime import Segmenter

DEFAULT_FRAMES = 300


def quantize(
    source: Source,
    dataset: Dataset,
    *,
    frames: int = DEFAULT_FRAMES,
    score: Dataset | None = None,
    quiet: bool = False,
) -> Path:
    """Write the int8 model of a checkpoint beside it, where the engine openvino finds it.

    Weights and activations of convolutions become int8; normalisation, gates and resizing stay float32. The
    ranges of the activations are those that the network has on the frames.

    Args:
        source: On the CPU.
        dataset: Frames like those of the network's task, best those that it was trained on.
        frames: How many to use, spread over the data set.
        score: Frames with ground truth, not trained on. The mIoU of float32 and of int8 on them is kept in
            the file; by it the engine auto decides whether int8 is good enough.
        quiet: No progress bar while frames are read.

    Returns:
        The .xml file; the weights lie in a .bin file beside it.

    Raises:
        ConfigError: A package is missing, no frame is to be used, or one is to calibrate and to score on.
        InputError: The files cannot be written, or `score` was trained on.
    """
    if fault := missing_packages(("openvino", "nncf")):
        raise ConfigError(f"quantisation: {fault}")
    if frames < 1:
        raise ConfigError(f"frames: needs at least 1, got {frames}")
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(frames, len(dataset))).round().astype(int))
    if score is not None:
        check_split(score, source.info, str(source.path))
        if both := {dataset.stems[index] for index in chosen} & set(score.stems):
            raise ConfigError(
                f"score: {len(both)} frames of {score.name} are calibrated on too, such as {min(both)}: "
                f"its mIoU would flatter int8; calibrate on another part than that, e.g. train"
            )
    path = quantised_path(source.path)
    inputs = _inputs(source, dataset, chosen, quiet=quiet)
    model = _quantized(source, inputs)
    name_ports(model)
    facts = {
        "weights": weights_hash(source.model),
        "calibrated_on": f"{len(inputs)} frames of {dataset.name}",
        "notice": source.info.notice,
    }
    for key, value in facts.items():
        model.set_rt_info(value, [SECTION, key])
    _save(model, path)
    if score is not None:  # by what is in the file
        model.set_rt_info(json.dumps(_scores(source, score, quiet=quiet)), [SECTION, "scores"])
        _save(model, path)
    return path


def _scores(source: Source, dataset: Dataset, *, quiet: bool) -> dict[str, Any]:
    """mIoU in percent of the engine openvino in float32 and in int8, as users run it."""
    values = {}
    for precision in ("fp32", "int8"):
        segmenter = Segmenter.load(
            source.path, device="cpu", engine="openvino", precision=precision, threads=source.threads
        )
        values[precision] = round(evaluate(segmenter, dataset, quiet=quiet).miou, 2)
    return {"split": dataset.name, **values, "input_size": list(source.info.input_size)}


def _save(model: Any, path: Path) -> None:
    """Write a model's two files: both, or neither, or a .bin file alone, which nothing takes for a model.

    The .xml keeps the .bin's digest: whoever reads both while they are replaced finds it out.

    Raises:
        InputError: They cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as folder:
            draft = Path(folder) / path.name
            save(model, draft)
            model.set_rt_info(file_sha256(draft.with_suffix(".bin")), [SECTION, "bin_sha256"])
            save(model, draft)
            # Where the .xml is, its weights are: an old one goes first, the new one comes last.
            path.unlink(missing_ok=True)
            draft.with_suffix(".bin").replace(path.with_suffix(".bin"))
            draft.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _inputs(source: Source, dataset: Dataset, chosen: np.ndarray, *, quiet: bool) -> list[np.ndarray]:
    """Frames of a data set as the network gets them, uint8 (h, w, 3)."""
    sizing = InputSize.parse("model", source.info.input_size)
    prepared = []
    for index in tqdm(chosen, "read frames", unit="frame", leave=False, disable=quiet or None):
        image = dataset[int(index)].image
        height, width = image.shape[:2]
        prepared.append(source.plan((height, width), sizing.of(height, width)).prepare(image))
    return prepared


def _quantized(source: Source, inputs: list[np.ndarray]) -> Any:
    """The network in int8 as OpenVINO's model; NNCF shows its progress itself."""
    with no_reports():
        import nncf
    nncf.set_log_level(logging.ERROR)
    model = converted(export_graph(source.model.copied(), source.stride))
    name_ports(model)
    with alone():
        return nncf.quantize(
            model,
            nncf.Dataset(inputs, lambda frame: {INPUT: frame[None]}),
            # Gates make activations that are not symmetric: silu's lowest value is -0.28, its highest any.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(inputs),
        )
