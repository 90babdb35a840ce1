"""The whole network: every variant builds, runs and learns; sizes; the parts against plain formulas."""

from __future__ import annotations

import functools
import itertools
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sernet_core.blocks import GateKind
from sernet_core.context import DilationNetwork
from sernet_core.decoder import AttentionFusion, Fusion, FusionHead, Lateral, resize
from sernet_core.encoder import DEPTHS, OUTPUT_STRIDES
from sernet_core.errors import ConfigError, InputError
from sernet_core.network import NetworkConfig, SernetFormer, build_network

GATES: tuple[GateKind, ...] = get_args(GateKind)
FUSIONS: tuple[Fusion, ...] = get_args(Fusion)
LATERALS: tuple[Lateral, ...] = get_args(Lateral)
SWITCHES = ("abm", "dbn", "afn1", "afn2")


def make_network(**choices: object) -> SernetFormer:
    torch.manual_seed(0)
    return build_network(NetworkConfig(**{"depth": 18, "dbn_rates": (1, 2, 3), **choices})).eval()  # type: ignore[arg-type]


def variants() -> list[NetworkConfig]:
    """At depth 18 every combination of switches, gate and fusion, with the other choices in turn;
    at each other depth three that between them show it every value of every choice."""
    combinations = itertools.product(itertools.product((True, False), repeat=4), GATES, FUSIONS)
    # `index // 3` shifts the strides against the three fusions, so that all pairs occur, and `index // 9` the
    # laterals against both.
    found = [
        variant(
            18,
            OUTPUT_STRIDES[(index + index // 3) % 3],
            switches,
            gate,
            fusion,
            LATERALS[index // 9 % 3],
            index % 5 > 0,
        )
        for index, (switches, gate, fusion) in enumerate(combinations)
    ]
    for depth in (29, 34, 50, 101):
        found += [
            variant(depth, 8, (True, True, True, False), "learned", "concat", "none", True),
            variant(depth, 16, (True, False, False, True), "fixed", "add", "skip", False),
            variant(depth, 32, (False, True, True, True), "learned", "gated", "context", True),
        ]
    return found


def variant(
    depth: int,
    stride: int,
    switches: tuple[bool, ...],
    gate: GateKind,
    fusion: Fusion,
    lateral: Lateral,
    separable: bool,
) -> NetworkConfig:
    abm, dbn, afn1, afn2 = switches
    return NetworkConfig(
        11, depth, stride, abm, dbn, afn1, afn2, gate, fusion, lateral, dbn_separable=separable
    )


def describe(config: NetworkConfig) -> str:
    parts = "+".join(switch for switch in SWITCHES if getattr(config, switch)) or "bare"
    return f"{config.depth}-os{config.output_stride}-{parts}-{config.gate}-{config.fusion}-{config.lateral}"


def test_variants_cover_every_pair_of_choices() -> None:
    fields: dict[str, tuple[Any, ...]] = dict.fromkeys((*SWITCHES, "dbn_separable"), (True, False))
    fields |= {
        "gate": GATES,
        "fusion": FUSIONS,
        "lateral": LATERALS,
        "output_stride": OUTPUT_STRIDES,
        "depth": tuple(DEPTHS),
    }
    for (one, ones), (other, others) in itertools.combinations(fields.items(), 2):
        met = {(getattr(config, one), getattr(config, other)) for config in variants()}
        assert met == set(itertools.product(ones, others)), (one, other)


@pytest.mark.parametrize("config", variants(), ids=describe)
def test_variant_builds_runs_and_back_propagates(config: NetworkConfig) -> None:
    torch.manual_seed(0)
    network = build_network(config).train()
    logits = network(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 11, 64, 64)
    functional.cross_entropy(logits, torch.randint(0, 11, (2, 64, 64))).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{name} takes no part"
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().max() > 0, name


def test_switches_remove_what_they_name() -> None:
    names = dict(make_network().named_parameters()).keys()
    for switch, part in zip(SWITCHES, ("gate", "context.branches", "afn1.boost", "afn2.boost"), strict=True):
        fewer = dict(make_network(**{switch: False}).named_parameters()).keys()
        gone = names - fewer
        assert gone and fewer < names
        assert all(part in name for name in gone), switch
        assert not any(part in name for name in fewer if switch != "abm" or name.startswith("encoder."))


@torch.no_grad()
def test_learned_gates_change_nothing_at_first() -> None:
    learned, plain = make_network(gate="learned"), make_network(abm=False)
    plain.load_state_dict(learned.state_dict(), strict=False)
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(learned(image), plain(image))
    learned.encoder.layer2[-1].gate.gain.fill_(0.5)  # type: ignore[index, union-attr]
    assert not torch.equal(learned(image), plain(image))


@functools.cache
def shape_network(stride: int) -> SernetFormer:
    """A network on the meta device, which follows shapes and computes nothing."""
    with torch.device("meta"):
        return build_network(NetworkConfig(depth=18, output_stride=stride)).eval()


@pytest.mark.parametrize("stride", OUTPUT_STRIDES)
@given(st.integers(64, 2000), st.integers(64, 2000))
@settings(max_examples=8)
@torch.no_grad()
def test_any_size_gives_logits_of_that_size(stride: int, height: int, width: int) -> None:
    network, image = shape_network(stride), torch.empty(1, 3, height, width, device="meta")
    padded = network.pad(image).shape[-2:]
    assert network(image).shape == (1, 11, height, width)
    assert all(size % stride == 0 for size in padded)
    assert 0 <= padded[0] - height < stride and 0 <= padded[1] - width < stride


@given(st.sampled_from(OUTPUT_STRIDES), st.integers(64, 100), st.integers(64, 100))
@settings(max_examples=12)
@torch.no_grad()
def test_padding_repeats_the_border_and_is_cropped_away(stride: int, height: int, width: int) -> None:
    network = make_network(output_stride=stride)
    image = torch.randn(1, 3, height, width)
    logits = network(image)
    rows = torch.arange(-(-height // stride) * stride).clamp(max=height - 1)
    columns = torch.arange(-(-width // stride) * stride).clamp(max=width - 1)
    assert torch.equal(logits, network(image[:, :, rows][..., columns])[..., :height, :width])
    assert torch.isfinite(logits).all()


def test_exact_multiples_are_not_padded() -> None:
    image = torch.randn(1, 3, 80, 96)
    assert make_network(output_stride=16).pad(image) is image
    assert make_network(output_stride=32).pad(image) is not image


@pytest.mark.parametrize(
    "shape", [(1, 3, 63, 64), (1, 3, 64, 63), (3, 64, 64), (1, 1, 64, 64), (1, 64, 64, 3)]
)
def test_wrong_input_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"64x64|\(N, 3, H, W\)"):
        make_network()(torch.zeros(shape))


@torch.no_grad()
def test_eval_is_deterministic_and_leaves_no_trace() -> None:
    network = make_network()
    images = torch.randn(2, 3, 70, 90)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    first = network(images)
    assert torch.equal(first, network(images))
    torch.testing.assert_close(
        network(images[1:]), first[1:], rtol=1e-3, atol=1e-3 * first.abs().max().item()
    )
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(make_network()(images), first)  # the same seed, the same weights


@torch.no_grad()
def test_dbn_branches_look_as_far_as_their_rates() -> None:
    dbn = DilationNetwork(1, 1, (2, 5), separable=False).eval()
    for parameter in dbn.parameters():
        parameter.fill_(1.0 if parameter.ndim == 4 else parameter[0].item())
    impulse = torch.zeros(1, 1, 13, 13)
    impulse[..., 6, 6] = 1
    rows, columns = dbn(impulse)[0, 0].nonzero(as_tuple=True)
    seen = {(int(row) - 6, int(column) - 6) for row, column in zip(rows, columns, strict=True)}
    assert seen == {(rate * i, rate * j) for rate in (2, 5) for i in (-1, 0, 1) for j in (-1, 0, 1)}


@torch.no_grad()
def test_dbn_sums_its_branches() -> None:
    for separable in (True, False):
        dbn = DilationNetwork(6, 4, (1, 2, 3), separable=separable).eval()
        x = torch.randn(1, 6, 9, 8)
        projected = dbn.project(x).relu()
        expected = sum(branch(projected) for branch in dbn.branches).relu()  # type: ignore[union-attr]
        torch.testing.assert_close(dbn(x), expected)
        dbn.branches = torch.nn.ModuleList()
        torch.testing.assert_close(dbn(x), projected)


@torch.no_grad()
def test_attention_fusion_adds_its_boosted_convolutions() -> None:
    x, size = torch.randn(1, 6, 8, 10), (32, 40)
    for strides in ((1, 1, 1), (2, 2, 1)):
        afn = AttentionFusion(6, 4, "fixed", strides).eval()
        projected = resize(afn.project(x).relu(), size)
        boosted = projected
        for convolution, stride in zip(afn.boost, strides, strict=True):
            before = boosted.shape[-1]
            boosted = convolution(boosted)
            assert boosted.shape[-1] == before // stride
        torch.testing.assert_close(afn(x, size), projected + resize(boosted, size))
    torch.testing.assert_close(AttentionFusion(6, 4, "fixed", ()).eval()(x, size).shape, projected.shape)


@torch.no_grad()
def test_a_lateral_input_joins_before_the_boosted_convolutions() -> None:
    x, second, size = torch.randn(1, 6, 8, 10), torch.randn(1, 5, 16, 20), (32, 40)
    afn = AttentionFusion(6, 4, "fixed", (2, 2, 1), lateral=5).eval()
    assert afn.lateral is not None
    joined = resize(afn.project(x).relu(), size) + resize(afn.lateral(second).relu(), size)
    torch.testing.assert_close(afn(x, size, second), joined + resize(afn.boost(joined), size))
    networks = {lateral: make_network(lateral=lateral) for lateral in LATERALS}
    inputs = {name: (bool(n.afn1.lateral), bool(n.afn2.lateral)) for name, n in networks.items()}
    assert inputs == {"none": (False, False), "skip": (True, False), "context": (False, True)}
    features = networks["skip"].encoder(torch.randn(1, 3, 64, 64))
    for name, network in networks.items():
        given = network.coarse_logits(features)
        without = network.coarse_logits((*features[:2], torch.zeros_like(features[2]), *features[3:]))
        assert torch.equal(given, without) == (name == "none")


@torch.no_grad()
def test_fusions_follow_their_formulas() -> None:
    skip, context = torch.randn(2, 1, 4, 6, 7)

    def rest(head: FusionHead, fused: torch.Tensor) -> torch.Tensor:
        return head.classify(head.conv(fused).relu())

    for fusion, fused in (("concat", torch.cat([skip, context], 1)), ("add", skip + context)):
        head = FusionHead(4, 3, fusion).eval()  # type: ignore[arg-type]
        torch.testing.assert_close(head(skip, context), rest(head, fused))
    gated = FusionHead(4, 3, "gated").eval()
    assert gated.mix is not None and gated.mix.bias is not None
    gated.mix.weight.zero_()
    for bias, fused in ((99.0, skip), (-99.0, context), (0.0, (skip + context) / 2)):
        gated.mix.bias.fill_(bias)
        torch.testing.assert_close(gated(skip, context), rest(gated, fused))


def test_resize_aligns_pixel_centres() -> None:
    row = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    torch.testing.assert_close(resize(row, (2, 4))[0, 0, 0], torch.tensor([0, 0.25, 0.75, 1]))
    assert resize(row, (2, 2)) is row


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"depth": 20}, "depth: 20 is not one of 18, 29, 34, 50, 101"),
        ({"output_stride": 4}, "output_stride: 4 is not one of 8, 16, 32"),
        ({"gate": "none"}, "gate: 'none' is not one of learned, fixed"),
        ({"fusion": "sum"}, "fusion: 'sum' is not one of concat, add, gated"),
        ({"lateral": "both"}, "lateral: 'both' is not one of none, skip, context"),
        ({"dbn_rates": ()}, "dbn_rates"),
        ({"dbn_rates": (6, 0)}, "dbn_rates"),
        ({"classes": 0}, "classes: needs at least 1"),
        ({"afn_channels": 0}, "afn_channels: needs at least 1"),
        ({"dbn_channels": -1}, "dbn_channels"),
    ],
)
def test_impossible_variants_are_refused(choices: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NetworkConfig(**choices)  # type: ignore[arg-type]


def test_widths_follow_depth_unless_given() -> None:
    with torch.device("meta"):
        for depth in DEPTHS:
            own = build_network(NetworkConfig(depth=depth)).context.project[0]
            given_width = build_network(NetworkConfig(depth=depth, dbn_channels=96)).context.project[0]
            assert own.out_channels == (128 if depth < 50 else 256) and given_width.out_channels == 96
