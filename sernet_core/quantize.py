"""int8 for OpenVINO by post-training quantisation (NNCF), calibrated on frames of a data set."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from sernet_core.datasets import Dataset
from sernet_core.engines.base import Source, missing_packages
from sernet_core.engines.cache import weights_hash
from sernet_core.engines.graph import INPUT, export_graph
from sernet_core.engines.openvino import HINTS, import_openvino, name_ports, no_reports
from sernet_core.engines.plan import Plan
from sernet_core.engines.quantised import SECTION, quantised_path
from sernet_core.engines.upsample import Upsampler
from sernet_core.errors import ConfigError, InputError
from sernet_core.evaluate import check_split
from sernet_core.metrics import ConfusionMatrix
from sernet_core.runtime import InputSize

DEFAULT_FRAMES = 300


def quantize(
    source: Source,
    dataset: Dataset,
    *,
    frames: int = DEFAULT_FRAMES,
    score: Dataset | None = None,
    max_drop: float | None = None,
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
        max_drop: Most points of mIoU that may be lost on `score`: where it is more, those operations go back
            to float32 that cost most. Takes as many evaluations as it has to try.
        quiet: No progress bar while frames are read.

    Returns:
        The .xml file; the weights lie in a .bin file beside it.

    Raises:
        ConfigError: A package is missing, no frame is to be used, or a drop is limited that is not measured.
        InputError: The files cannot be written, or `score` was trained on.
    """
    if fault := missing_packages(("openvino", "nncf")):
        raise ConfigError(f"quantisation: {fault}")
    if frames < 1:
        raise ConfigError(f"frames: needs at least 1, got {frames}")
    if max_drop is not None and (score is None or max_drop < 0):
        raise ConfigError("max_drop: needs 0 or more, and frames with ground truth to score on")
    judge = None if score is None else _Judge(source, score)
    path = quantised_path(source.path)
    inputs = _inputs(source, dataset, frames, quiet=quiet)
    model = _converted(source)
    made = _quantized(model, inputs, judge, max_drop)
    name_ports(made)
    facts = {
        "weights": weights_hash(source.model),
        "calibrated_on": f"{len(inputs)} frames of {dataset.name}",
        "notice": source.info.notice,
    }
    if judge is not None:
        facts["scores"] = json.dumps(judge.scores(model, made))
    for key, value in facts.items():
        made.set_rt_info(value, [SECTION, key])
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as folder:
            draft = Path(folder) / path.name
            import_openvino().save_model(made, draft, compress_to_fp16=False)
            # Where the .xml is, its weights are: it comes last.
            draft.with_suffix(".bin").replace(path.with_suffix(".bin"))
            draft.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


class _Judge:
    """Scores OpenVINO models of a network on a split, by masks like those of the engine openvino.

    Raises:
        InputError: The split was trained on, has other classes, or a frame has no ground truth.
    """

    def __init__(self, source: Source, dataset: Dataset) -> None:
        check_split(dataset, source.info, str(source.path))
        self._source, self._dataset = source, dataset
        self._sizing = InputSize.parse("model", source.info.input_size)
        self.indices = list(range(len(dataset)))

    def input(self, index: int) -> dict[str, np.ndarray]:
        """What a model gets for a frame of the split."""
        image = self._dataset[index].image
        return {INPUT: self._plan(image).prepare(image)[None]}

    def miou(self, compiled: Any, indices: Iterable[int]) -> float:
        """mIoU in percent of a compiled model on some frames."""
        matrix = ConfusionMatrix(self._dataset.classes)
        upsamplers: dict[Plan, Upsampler] = {}
        for index in indices:
            sample = self._dataset[index]
            if sample.label is None:
                raise InputError(f"{self._dataset.name}: {sample.stem} has no ground truth to score against")
            plan = self._plan(sample.image)
            if plan not in upsamplers:
                upsamplers[plan] = Upsampler(plan)
            logits = compiled(self.input(index))[0][0]
            matrix.update(sample.label, upsamplers[plan].mask(torch.from_numpy(logits)))
        return matrix.miou

    def scores(self, exact: Any, coarse: Any) -> dict[str, Any]:
        """Figures of a float32 and an int8 model as they are kept."""
        core = import_openvino().Core()
        values = {}
        for precision, model in (("fp32", exact), ("int8", coarse)):
            compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": HINTS[precision]})
            values[precision] = round(self.miou(compiled, self.indices), 2)
        return {"split": self._dataset.name, **values, "input_size": list(self._source.info.input_size)}

    def _plan(self, image: np.ndarray) -> Plan:
        height, width = image.shape[:2]
        return self._source.plan((height, width), self._sizing.of(height, width))


def _inputs(source: Source, dataset: Dataset, frames: int, *, quiet: bool) -> list[np.ndarray]:
    """Frames as the network gets them, uint8 (h, w, 3), evenly spread over a data set."""
    sizing = InputSize.parse("model", source.info.input_size)
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(frames, len(dataset))).round().astype(int))
    prepared = []
    for index in tqdm(chosen, "read frames", unit="frame", leave=False, disable=quiet or None):
        image = dataset[int(index)].image
        height, width = image.shape[:2]
        prepared.append(source.plan((height, width), sizing.of(height, width)).prepare(image))
    return prepared


def _converted(source: Source) -> Any:
    openvino = import_openvino()
    model = openvino.convert_model(export_graph(source.model.copied(), source.stride))
    name_ports(model)
    return model


def _quantized(model: Any, inputs: list[np.ndarray], judge: _Judge | None, max_drop: float | None) -> Any:
    """The model in int8; NNCF shows its progress itself."""
    with no_reports():
        import nncf
    nncf.set_log_level(logging.ERROR)
    calibration = nncf.Dataset(inputs, lambda frame: {INPUT: frame[None]})
    # Gates make activations that are not symmetric: silu's lowest value is -0.28, its highest any.
    options = {"preset": nncf.QuantizationPreset.MIXED, "subset_size": len(inputs)}
    if judge is None or max_drop is None:
        return nncf.quantize(model, calibration, **options)
    return nncf.quantize_with_accuracy_control(
        model,
        calibration,
        nncf.Dataset(judge.indices, judge.input),
        lambda compiled, indices: (judge.miou(compiled, indices), None),
        max_drop=max_drop,
        **options,
    )
