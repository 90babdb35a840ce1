"""The Segmenter: masks equal the plain network's, bad frames and settings are refused."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sernet_core.checkpoint import load_checkpoint
from sernet_core.engines import threads
from sernet_core.engines.eager import Eager
from sernet_core.engines.registry import engine_class
from sernet_core.errors import CheckpointError, ConfigError, EngineError, InputError
from sernet_core.input_size import InputSize
from sernet_core.runtime import DeviceMemory, Segmenter


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_mask_and_confidence_equal_the_plain_network(small_model: Path) -> None:
    image = noise(70, 101)
    checkpoint = load_checkpoint(small_model)
    mean, std = torch.tensor(checkpoint.info.mean), torch.tensor(checkpoint.info.std)
    x = (torch.from_numpy(image).float() / 255 - mean) / std
    with torch.no_grad():
        probability = checkpoint.network(x.permute(2, 0, 1)[None]).softmax(1)[0]
    result = Segmenter.load(small_model, input_size="source").segment(image, confidence=True)
    assert result.mask.dtype == np.uint8 and result.mask.shape == (70, 101)
    top = probability.topk(2, 0).values
    clear = (top[0] - top[1] > 1e-4).numpy()  # the arithmetic is ordered otherwise: ties may fall either way
    assert clear.mean() > 0.99
    assert (result.mask == probability.argmax(0).numpy())[clear].all()
    assert result.confidence is not None
    assert np.abs(result.confidence / 255 - top[0].numpy()).max() < 0.003


@pytest.mark.parametrize("input_size", ["model", "source", "128x80"])
@pytest.mark.parametrize("size", [(64, 96), (201, 333), (30, 40)])
def test_mask_has_the_size_of_the_frame(small_model: Path, input_size: str, size: tuple[int, int]) -> None:
    segmenter = Segmenter.load(small_model, input_size=input_size)
    assert segmenter.segment(noise(*size)).mask.shape == size


@given(st.integers(1, 4000), st.floats(1 / 16, 16))
@settings(max_examples=200)
def test_model_size_keeps_aspect_and_cost(height: int, aspect: float) -> None:
    width = min(max(round(height * aspect), -(-height // 16)), 16 * height)
    rows, columns = InputSize.parse("model", (480, 360)).of(height, width)
    assert rows >= 64 and columns >= 64
    if rows > 64 and columns > 64:
        assert rows * columns == pytest.approx(480 * 360, rel=0.02)
        assert columns / rows == pytest.approx(width / height, rel=0.02)


@pytest.mark.parametrize("text", ["9000000x9000000", "70000x1000", f"64x{'9' * 5000}", "640x0", "640", "x"])
def test_impossible_input_sizes_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="input_size: '"):
        InputSize.parse(text, (480, 360))


def test_native_frames_are_not_resized() -> None:
    assert InputSize.parse("model", (480, 360)).of(360, 480) == (360, 480)
    assert InputSize.parse("model", (480, 360)).of(720, 960) == (360, 480)


@pytest.mark.parametrize("input_size", ["model", "source", "128x80"])
def test_strips_are_refused(small_model: Path, input_size: str) -> None:
    with pytest.raises(InputError, match="longer than 16 times"):
        Segmenter.load(small_model, input_size=input_size).segment(noise(1, 20))


def test_strided_views_are_fine(small_model: Path) -> None:
    segmenter = Segmenter.load(small_model)
    image = noise(64, 96)
    assert (segmenter.segment(image[:, ::-1]).mask == segmenter.segment(image[:, ::-1].copy()).mask).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
    ],
)
def test_bad_frames(small_model: Path, image: np.ndarray) -> None:
    with pytest.raises(InputError, match="a frame is uint8"):
        Segmenter.load(small_model).segment(image)


def test_non_finite_output_is_no_mask(small_model: Path) -> None:
    segmenter = Segmenter.load(small_model)
    with torch.no_grad():
        segmenter._source.model.network.head.classify.bias[0] = float("nan")
    with pytest.raises(EngineError, match="not finite"):
        segmenter.segment(noise(64, 96))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"engine": "eagre"}, "Did you mean 'eager'"),
        ({"precision": "fp61"}, "Did you mean 'fp16'"),
        ({"device": "gpu"}, "neither"),
        ({"device": "cuda:97"}, "is not here"),
        ({"input_size": "640"}, "neither"),
        ({"input_size": "32x32"}, "at least 64x64"),
        ({"threads": -1}, "threads"),
        ({"device": "cpu", "precision": "fp16"}, "needs a CUDA device"),
    ],
)
def test_bad_settings(small_model: Path, setting: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Segmenter.load(small_model, **setting)  # type: ignore[arg-type]


def test_unknown_model() -> None:
    with pytest.raises(CheckpointError, match="unknown model 'sernet-r51'"):
        Segmenter.load("sernet-r51")


def test_bf16_agrees_mostly(small_model: Path) -> None:
    image = noise(64, 96)
    full = Segmenter.load(small_model, precision="fp32").segment(image).mask
    half = Segmenter.load(small_model, precision="bf16").segment(image).mask
    assert (full == half).mean() > 0.9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the GPU path was not run")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_cuda_agrees_with_cpu(small_model: Path, precision: str) -> None:
    image = noise(64, 96)
    cpu = Segmenter.load(small_model, device="cpu").segment(image).mask
    gpu = Segmenter.load(small_model, device="cuda:0", precision=precision).segment(image).mask
    assert (cpu == gpu).mean() > 0.9


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError("Unable to allocate 1.00 GiB for an array"),
        RuntimeError("Exception from src/core/src/runtime/allocator.cpp:79:\nstd::bad_alloc\n"),
        type("Fail", (Exception,), {})("[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory"),
    ],
)
def test_too_little_memory_is_told_with_the_remedy_and_passes(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    segmenter = Segmenter.load(small_model)
    image = np.zeros((96, 128, 3), np.uint8)
    whole = segmenter.segment(image).mask

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Eager, "batch_logits", fail)
        with pytest.raises(EngineError, match=r"too little memory for a network input of .* input_size"):
            segmenter.segment(image)
    np.testing.assert_array_equal(segmenter.segment(image).mask, whole)


@pytest.mark.timeout(600)  # tracing takes long on a machine that is busy with other things
@pytest.mark.parametrize("engine", ["eager", "openvino", "onnx"])
def test_too_little_memory_is_told_whatever_the_engines_library_calls_it(
    small_model: Path, tmp_path: Path, engine: str
) -> None:
    """In a process of its own, whose memory ends soon after what it needs for small frames."""
    if obstacle := engine_class(engine).obstacle("cpu", "auto"):
        pytest.skip(f"engine {engine}: {obstacle}")
    script = (
        "import resource, sys\n"
        "import numpy as np\n"
        "from sernet_core.errors import EngineError\n"
        "from sernet_core.runtime import Segmenter\n"
        "model, engine, cache = sys.argv[1:]\n"
        "segmenter = Segmenter.load(model, device='cpu', engine=engine, threads=1, input_size='source',\n"
        "                           engine_cache_dir=cache)\n"
        "small, large = (np.zeros((side, side, 3), np.uint8) for side in (64, 4096))\n"
        "segmenter.segment(small)\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    segmenter.segment(large)\n"
        "except EngineError as error:\n"
        "    print(error)\n"
    )
    arguments = [sys.executable, "-c", script, small_model, engine, tmp_path]
    ended = subprocess.run(arguments, capture_output=True, text=True)
    assert "cpu has too little memory for a network input of 4096x4096: take a smaller" in ended.stdout, ended


def test_threads_are_as_many_as_asked_for_whatever_thread_computes(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_own", None)
    compute, numbers = Eager.batch_logits, list[int]()

    def watched(engine: Eager, frames: np.ndarray) -> torch.Tensor:
        numbers.append(torch.get_num_threads())
        return compute(engine, frames)

    monkeypatch.setattr(Eager, "batch_logits", watched)
    three, two, free = (
        Segmenter.load(small_model, device="cpu", threads=number, input_size="source") for number in (3, 2, 0)
    )
    image = noise(64, 96)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(torch.get_num_threads).result() == 1
        for segmenter in (free, three, two, free):
            other.submit(segmenter.segment, image).result()
            segmenter.examine(image)
    assert numbers == [1, 1, 3, 3, 2, 2, 1, 1]  # one is what was in force before


def test_memory_of_a_gpu(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With figures in place of a GPU's: this shows how they are put together, not what a driver answers."""
    segmenter = Segmenter.load(small_model, device="cpu")
    assert segmenter.device_memory is None
    segmenter.device = "cuda:1"
    asked: list[str] = []
    for name, answer in (
        ("mem_get_info", (3000, 8000)),
        ("memory_reserved", 2000),
        ("memory_allocated", 1500),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda device, answer=answer: asked.append(device) or answer)
    assert segmenter.device_memory == DeviceMemory(used=2000, left=3500, total=8000)
    assert set(asked) == {"cuda:1"}

    def fail(_: str) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    assert segmenter.device_memory is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: its memory was not asked for")
def test_memory_of_the_gpu_that_is_here(small_model: Path) -> None:
    segmenter = Segmenter.load(small_model, device="cuda:0")
    segmenter.segment(noise(64, 96))
    memory = segmenter.device_memory
    assert memory is not None and 0 < memory.used < memory.total and 0 < memory.left < memory.total


def test_other_runtime_errors_stay_what_they_are(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = Segmenter.load(small_model)

    def fail(*_: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(Eager, "batch_logits", fail)
    with pytest.raises(RuntimeError, match="something else"):
        segmenter.segment(np.zeros((96, 128, 3), np.uint8))
