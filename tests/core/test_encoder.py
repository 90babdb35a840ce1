"""The encoder against other implementations of the same trunk, its dilation undone, and ImageNet weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from reference_resnet import reference_features
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sernet_core.blocks import AttentionBoostingGate, BoostedConv, GateKind
from sernet_core.encoder import DEPTHS, OUTPUT_STRIDES, BasicBlock, Encoder
from sernet_core.errors import CheckpointError
from sernet_core.pretrained import load_imagenet_encoder

EVEN, ODD = (64, 96), (65, 99)  # multiples of 32; odd at every stage


def make_encoder(depth: int, output_stride: int = 32, gate: GateKind | None = None) -> Encoder:
    """A float64 encoder in eval mode; norms are far from identity, so that a wrong one shows."""
    torch.manual_seed(depth)
    encoder = Encoder(depth, output_stride, gate).double().eval()
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 0.8)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.05, 0.15)
    return encoder


def image(height: int, width: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(1, 3, height, width, dtype=torch.float64)


def weights_of(encoder: Encoder) -> dict[str, Tensor]:
    """What an ImageNet file holds."""
    skipped = ("num_batches_tracked", "gain")
    return {key: value for key, value in encoder.state_dict().items() if not key.endswith(skipped)}


def assert_same(features: tuple[Tensor, ...], expected: list[Tensor]) -> None:
    assert len(features) == len(expected) == 5
    for ours, theirs in zip(features, expected, strict=True):
        assert ours.std() > 1e-3  # not everything was cut off by a ReLU
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("depth", "size"), [(18, EVEN), (18, ODD), (29, ODD), (34, ODD), (50, EVEN), (50, ODD), (101, ODD)]
)
@torch.no_grad()
def test_plain_trunk_equals_the_reference(depth: int, size: tuple[int, int]) -> None:
    encoder = make_encoder(depth)
    assert_same(encoder(image(*size)), reference_features(encoder.state_dict(), image(*size), depth))


@pytest.mark.parametrize("depth", DEPTHS)
@torch.no_grad()
def test_plain_trunk_equals_transformers(depth: int) -> None:
    transformers = pytest.importorskip(
        "transformers", reason="a second reference; not among the requirements"
    )
    encoder = make_encoder(depth)
    basic = DEPTHS[depth].block is BasicBlock
    config = transformers.ResNetConfig(
        depths=list(DEPTHS[depth].counts),
        hidden_sizes=list(DEPTHS[depth].outputs),
        layer_type="basic" if basic else "bottleneck",
        downsample_in_bottleneck=True,  # the first version of the network
    )
    other = transformers.ResNetModel(config).double().eval()
    other.load_state_dict({_transformers_key(key): value for key, value in encoder.state_dict().items()})
    features = encoder(image(*ODD))
    result = other(image(*ODD), output_hidden_states=True)
    for ours, theirs in zip(features[1:], result.hidden_states[1:], strict=True):
        torch.testing.assert_close(ours, theirs)


def _transformers_key(key: str) -> str:
    key = re.sub(r"^conv1\.", "embedder.embedder.convolution.", key)
    key = re.sub(r"^bn1\.", "embedder.embedder.normalization.", key)
    key = re.sub(r"^layer(\d)\.(\d+)\.", lambda m: f"encoder.stages.{int(m[1]) - 1}.layers.{m[2]}.", key)
    key = re.sub(r"downsample\.0", "shortcut.convolution", key)
    key = re.sub(r"downsample\.1", "shortcut.normalization", key)
    key = re.sub(r"\.conv(\d)\.", lambda m: f".layer.{int(m[1]) - 1}.convolution.", key)
    return re.sub(r"\.bn(\d)\.", lambda m: f".layer.{int(m[1]) - 1}.normalization.", key)


@pytest.mark.parametrize(
    ("depth", "gate", "size"),
    [
        (18, None, EVEN),
        (18, "fixed", ODD),
        (34, None, ODD),
        (50, None, EVEN),
        (50, "fixed", ODD),
        (101, None, ODD),
    ],
)
@torch.no_grad()
def test_dilation_computes_the_same_features_on_a_finer_grid(
    depth: int, gate: GateKind | None, size: tuple[int, int]
) -> None:
    coarse = make_encoder(depth, 32, gate)
    expected = coarse(image(*size))
    for output_stride, steps in ((16, (1, 1, 1, 1, 2)), (8, (1, 1, 1, 2, 4))):
        fine = make_encoder(depth, output_stride, gate)
        fine.load_state_dict(coarse.state_dict())
        features = fine(image(*size))
        assert_same(tuple(f[..., ::s, ::s] for f, s in zip(features, steps, strict=True)), list(expected))


@pytest.mark.parametrize("depth", [18, 50])
@torch.no_grad()
def test_boosting_modules_follow_the_formula(depth: int) -> None:
    fixed, learned = make_encoder(depth, gate="fixed"), make_encoder(depth, gate="learned")
    weights = fixed.state_dict()
    assert_same(fixed(image(*EVEN)), reference_features(weights, image(*EVEN), depth, gain=1.0))

    learned.load_state_dict(weights, strict=False)
    assert_same(learned(image(*EVEN)), reference_features(weights, image(*EVEN), depth))
    gains = [parameter for name, parameter in learned.named_parameters() if name.endswith("gain")]
    assert len(gains) == 5
    for gain in gains:
        gain.fill_(-0.3)
    assert_same(learned(image(*EVEN)), reference_features(weights, image(*EVEN), depth, gain=-0.3))


def test_gate_is_silu() -> None:
    z = torch.linspace(-9, 9, 1001, dtype=torch.float64)
    gate = AttentionBoostingGate("fixed")
    assert not list(gate.parameters())
    torch.testing.assert_close(gate(z), nn.functional.silu(z))
    torch.testing.assert_close(gate(z), torch.sigmoid(z) * z)


def test_learned_gate_starts_silent_and_learns() -> None:
    gate, z = AttentionBoostingGate("learned"), torch.randn(100)
    assert gate(z).abs().max() == 0
    gate(z).sum().backward()
    assert gate.gain is not None and gate.gain.grad is not None
    torch.testing.assert_close(gate.gain.grad, nn.functional.silu(z).sum())


@torch.no_grad()
def test_boosted_convolution() -> None:
    block = BoostedConv(4, "fixed", stride=2).eval()
    x = torch.randn(1, 4, 9, 12)
    z = nn.functional.conv2d(x, block.conv[0].weight, stride=2, padding=1) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(block(x), z.relu() + z * z.sigmoid())


@pytest.mark.parametrize("output_stride", OUTPUT_STRIDES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_feature_shapes(depth: int, output_stride: int) -> None:
    with torch.device("meta"):
        features = Encoder(depth, output_stride, "learned")(torch.empty(2, 3, 736, 960))
    e = 1 if depth in (18, 34) else 4
    widest = 256 if depth == 29 else 512
    strides = [2, 4, 8, min(16, output_stride), output_stride]
    for feature, channels, stride in zip(
        features, [64, 64 * e, 128 * e, 256 * e, widest * e], strides, strict=True
    ):
        assert feature.shape == (2, channels, 736 // stride, 960 // stride)


@torch.no_grad()
def test_imagenet_weights_load(data_root: Path) -> None:
    path = data_root / "weights/resnet50_v1_imagenet_encoder.safetensors"
    encoder = Encoder(50, 32, "learned").eval()
    load_imagenet_encoder(encoder, path)
    assert all(value.dtype == torch.float32 for value in encoder.state_dict().values() if value.ndim)
    encoder.double()
    stored = {key: value.double() for key, value in load_file(path).items()}
    assert_same(encoder(image(*EVEN)), reference_features(stored, image(*EVEN), 50))


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    """Weights of a depth-18 trunk as an ImageNet file has them: convolutions float16, norms float32."""
    weights = weights_of(make_encoder(18))
    stored = {key: value.half() if value.ndim == 4 else value.float() for key, value in weights.items()}
    save_file(stored, tmp_path / "encoder.safetensors")
    return tmp_path / "encoder.safetensors"


def test_file_fills_the_encoder_and_leaves_the_gates(weights_file: Path) -> None:
    encoder = Encoder(18, 16, "learned")
    load_imagenet_encoder(encoder, weights_file)
    stored = load_file(weights_file)
    assert weights_of(encoder).keys() == stored.keys()
    for key, value in weights_of(encoder).items():
        assert value.dtype == torch.float32 and torch.equal(value, stored[key].float())
    assert all(value == 0 for key, value in encoder.state_dict().items() if key.endswith("gain"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("layer2.1.conv1.weight", None, r"missing \['layer2.1.conv1.weight'\] \(1 in all\)"),
        ("fc.weight", torch.zeros(2), r"unexpected \['fc.weight'\] \(1 in all\)"),
        ("layer3.0.bn2.bias", torch.zeros(7), r"'layer3.0.bn2.bias' is \(7,\), the encoder needs \(256,\)"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(
    weights_file: Path, key: str, value: Tensor | None, message: str
) -> None:
    weights = load_file(weights_file)
    weights.pop(key, None)
    save_file(weights if value is None else {**weights, key: value}, weights_file)
    encoder = Encoder(18, 16, None)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    with pytest.raises(CheckpointError, match=message) as error:
        load_imagenet_encoder(encoder, weights_file)
    assert str(weights_file) in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


def test_weights_of_another_depth_are_refused(weights_file: Path) -> None:
    with pytest.raises(CheckpointError, match="does not fit this encoder"):
        load_imagenet_encoder(Encoder(34, 16, None), weights_file)


def test_unreadable_weights(tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    with pytest.raises(CheckpointError, match="cannot read"):
        load_imagenet_encoder(Encoder(18, 16, None), path)
    path.write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="cannot read"):
        load_imagenet_encoder(Encoder(18, 16, None), path)
