"""The network as a file for other runtimes: bytes in, mask out, and what it takes to use it as metadata."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sernet_core.engines.base import Source, missing_packages
from sernet_core.engines.cache import device_name, weights_hash
from sernet_core.engines.choose import reference
from sernet_core.engines.device import lean_network
from sernet_core.engines.eager import PRECISIONS
from sernet_core.engines.graph import INPUT, LARGEST, FrameNetwork, export_graph
from sernet_core.engines.onnx import import_onnxruntime, write_onnx
from sernet_core.engines.openvino import converted, save, shared_core
from sernet_core.engines.parity import Parity, likeness, street_frames
from sernet_core.engines.registry import engine_class
from sernet_core.engines.tensorrt import TensorRt
from sernet_core.engines.turn import alone
from sernet_core.errors import ConfigError, EngineError, InputError, unknown_name
from sernet_core.input_size import MIN_SIZE

FORMAT = "sernet-export-1"
OUTPUTS = ("mask", "logits")
TORCH_METADATA = "sernet.json"

Metadata = dict[str, str]
Runner = Callable[[np.ndarray], np.ndarray]


class MaskNetwork(nn.Module):
    """uint8 RGB (1, H, W, 3) to the mask uint8 (1, H, W) and the logits float32 (1, K, h/4, w/4) behind it.

    h and w are H and W, padded to multiples of the output stride.
    """

    def __init__(self, frames: FrameNetwork, stride: int, *, pads: bool) -> None:
        super().__init__()
        self.frames = frames
        self.stride = stride
        self.pads = pads

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        height, width = frame.shape[1], frame.shape[2]
        if self.pads:
            image = frame.permute(0, 3, 1, 2).float()
            edges = (0, -width % self.stride, 0, -height % self.stride)
            frame = functional.pad(image, edges, mode="replicate").permute(0, 2, 3, 1)
        logits = self.frames(frame)
        scale = float(self.frames.network.logits_stride)
        full = functional.interpolate(logits, scale_factor=scale, mode="bilinear", align_corners=False)
        return full[..., :height, :width].argmax(1).to(torch.uint8), logits


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        suffix: Of the file that is named.
        packages: Distributions that writing and checking need.
        engine: Name of an engine that must be able to run here, on the network's device; "" for none.
        precision: That the network has in the file.
        write: Writes a traced graph with metadata; further files may lie beside the one that is named.
        read: Gives the metadata of a file, and a function that runs it on a uint8 (H, W, 3) frame.
    """

    suffix: str
    packages: tuple[str, ...]
    write: Callable[[torch.export.ExportedProgram, Path, Metadata], None]
    read: Callable[[Path], tuple[Metadata, Runner]]
    engine: str = ""
    precision: str = "fp32"


def _write_onnx(graph: torch.export.ExportedProgram, path: Path, metadata: Metadata) -> None:
    write_onnx(graph, path, list(OUTPUTS), metadata)


def _read_onnx(path: Path) -> tuple[Metadata, Runner]:
    session = import_onnxruntime().InferenceSession(path, providers=["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map), lambda frame: session.run(
        ["mask"], {INPUT: frame[None]}
    )[0][0]


def _write_openvino(graph: torch.export.ExportedProgram, path: Path, metadata: Metadata) -> None:
    model = converted(graph)
    model.input().set_names({INPUT})
    for port, name in zip(model.outputs, OUTPUTS, strict=True):
        port.set_names({name})
    for key, value in metadata.items():
        model.set_rt_info(value, ["sernet", key])
    save(model, path)


def _read_openvino(path: Path) -> tuple[Metadata, Runner]:
    core = shared_core()
    model = core.read_model(path)
    metadata = {key: value.astype(str) for key, value in model.get_rt_info()["sernet"].items()}
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return metadata, lambda frame: compiled([frame[None]])["mask"][0]


def _write_torch(graph: torch.export.ExportedProgram, path: Path, metadata: Metadata) -> None:
    torch.export.save(graph, path, extra_files={TORCH_METADATA: json.dumps(metadata)})


def _read_torch(path: Path) -> tuple[Metadata, Runner]:
    extra = {TORCH_METADATA: ""}
    program = torch.export.load(path, extra_files=extra).module()

    def run(frame: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return program(torch.from_numpy(frame)[None])[0][0].numpy()

    return json.loads(extra[TORCH_METADATA]), run


def _write_tensorrt(graph: torch.export.ExportedProgram, path: Path, metadata: Metadata) -> None:
    """Written against the signatures of torch-tensorrt 2.13.0, as the engine is; it never ran on TensorRT.

    What TensorRT has no converter for, such as bytes, the package leaves to PyTorch in the same file.
    """
    import torch_tensorrt

    (frame,) = graph.example_inputs[0]
    module = torch_tensorrt.dynamo.compile(
        graph, arg_inputs=[frame], device=frame.device, immutable_weights=True
    )
    extra = {TORCH_METADATA: json.dumps(metadata)}
    torch_tensorrt.save(
        module, str(path), output_format="exported_program", arg_inputs=[frame], extra_files=extra
    )


def _read_tensorrt(path: Path) -> tuple[Metadata, Runner]:
    import torch_tensorrt

    extra = {TORCH_METADATA: ""}
    module = torch_tensorrt.load(str(path), extra_files=extra).module()
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def run(frame: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(frame).to(device)[None])[0][0].cpu().numpy()

    return json.loads(extra[TORCH_METADATA]), run


FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime"), _write_onnx, _read_onnx),
    "openvino": Format(".xml", ("openvino",), _write_openvino, _read_openvino),
    "torch": Format(".pt2", (), _write_torch, _read_torch),
    "tensorrt": Format(".ep", TensorRt.packages, _write_tensorrt, _read_tensorrt, "tensorrt", "fp16"),
}


def export(source: Source, kind: str, path: Path, size: tuple[int, int] | None) -> list[Path]:
    """Write the network as a file, run that file, and only then put it in its place.

    Args:
        source: On the CPU; for tensorrt on the GPU that the file is for.
        kind: Key of `FORMATS`.
        path: File to write, with the format's suffix.
        size: Width and height of the frames; None leaves them free, in multiples of the output stride.

    Returns:
        The files written: OpenVINO's weights lie in a second one.

    Raises:
        ConfigError: No such format, a package for it is missing, or a bad size or suffix.
        EngineError: The file does not give the network's masks.
        InputError: The file cannot be written.
    """
    form = _checked(kind, path, size, source.device)
    stride = source.stride
    shape = None if size is None else (size[1], size[0])
    lean = form.precision != "fp32"
    frames = lean_network(source.model, PRECISIONS[form.precision]) if lean else source.model.copied()
    model = MaskNetwork(frames, stride, pads=bool(shape and any(side % stride for side in shape)))
    metadata = describe(source, size) | {"precision": form.precision}
    if form.engine:
        metadata["device"] = device_name(source.device)
    graph = export_graph(model, stride, shape)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as folder:
            draft = Path(folder) / path.name
            with alone():
                form.write(graph, draft, metadata)
            _check(source, form, draft, metadata, shape or (6 * stride, 8 * stride))
            # Where the named file is, its others are: an old one goes first, the new one comes last.
            parts = sorted(Path(folder).iterdir(), key=lambda part: part.name == path.name)
            if len(parts) > 1:
                path.unlink(missing_ok=True)
            return [part.replace(path.parent / part.name) for part in parts]
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def describe(source: Source, size: tuple[int, int] | None) -> Metadata:
    """What a file says of itself; every value is text, lists are JSON."""
    info = source.info
    stride = source.stride
    free = f"free, multiples of {stride}, {MIN_SIZE} to {LARGEST}"
    return {
        "format": FORMAT,
        "model": source.path.stem,
        "weights": weights_hash(source.model),
        "input": f"{INPUT}: uint8 (1, H, W, 3), RGB, 0..255",
        "output": "mask: uint8 (1, H, W), class ids; logits: float32 (1, K, H/4, W/4) of the padded frame",
        "size": free if size is None else f"{size[0]}x{size[1]}",
        "normalisation": "inside: (frame / 255 - mean) / std",
        "mean": json.dumps(info.mean),
        "std": json.dumps(info.std),
        "class_set": info.classes.name,
        "class_names": json.dumps(info.classes.names),
        "palette": json.dumps(info.classes.palette),
        "notice": info.notice,
    }


def _checked(kind: str, path: Path, size: tuple[int, int] | None, device: str) -> Format:
    if kind not in FORMATS:
        raise ConfigError(unknown_name("format", kind, FORMATS))
    form = FORMATS[kind]
    if form.engine:
        fault = engine_class(form.engine).obstacle(device, form.precision)
    else:
        fault = missing_packages(form.packages)
    if fault:
        raise ConfigError(f"format {kind}: {fault}")
    if form.engine and size is None:
        raise ConfigError(f"size: a file of format {kind} is for one size, not for any")
    if path.suffix != form.suffix:
        raise ConfigError(f"{path}: a file of format {kind} ends in {form.suffix}")
    if size is not None and not all(MIN_SIZE <= side <= LARGEST for side in size):
        raise ConfigError(f"size: needs {MIN_SIZE} to {LARGEST} pixels a side, got {size[0]}x{size[1]}")
    return form


def _check(source: Source, form: Format, draft: Path, metadata: Metadata, shape: tuple[int, int]) -> None:
    """Read a file as a user would, and hold its masks against eager's.

    Raises:
        EngineError: It lost its metadata or gives other masks.
    """
    stored, run = form.read(draft)
    lost: dict[str, Any] = {key: value for key, value in metadata.items() if stored.get(key) != value}
    if lost:
        raise EngineError(f"the file that was written lost its metadata: {', '.join(lost)}")
    plan = source.plan(shape, shape)
    engine = reference(source, plan)
    frame = street_frames(*shape, count=1)[0]
    parity = Parity(*likeness(engine.segment(frame).mask, run(frame)), seconds=0.0)
    if fault := parity.fault(form.precision):
        raise EngineError(f"the file that was written {fault}; nothing was kept")
