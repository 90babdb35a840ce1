"""The fused argmax: the mask of the full-size logits without writing them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sernet_core.engines import upsample
from sernet_core.engines.plan import Plan
from sernet_core.engines.upsample import Upsampler


def street_like(plan: Plan, classes: int, seed: int) -> torch.Tensor:
    """Smooth logits (K, h/4, w/4): areas of one class, with borders between them."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.randn(1, classes, 5, 6, generator=generator)
    height, width = (side // 4 for side in plan.padded)
    return functional.interpolate(small, (height, width), mode="bicubic")[0].contiguous()


def equal_but_for_ties(upsampler: Upsampler, logits: torch.Tensor) -> None:
    full = upsampler.full(logits)
    best = full.topk(2, 0).values
    clear = (best[0] - best[1] > 1e-5).numpy()
    assert clear.mean() > 0.99
    assert (upsampler.mask(logits) == full.argmax(0).numpy())[clear].all()


@given(
    st.tuples(st.integers(64, 200), st.integers(64, 200)),
    st.tuples(st.integers(10, 400), st.integers(10, 400)),
    st.sampled_from((8, 16, 32)),
    st.booleans(),
    st.integers(2, 19),
)
@settings(max_examples=60)
def test_mask_equals_argmax_of_full_logits(network, frame, stride, same, classes) -> None:
    plan = Plan(network if same else frame, network, stride)
    equal_but_for_ties(Upsampler(plan), street_like(plan, classes, seed=classes))


def test_noise_where_every_pixel_lies_between_classes() -> None:
    plan = Plan((90, 130), (72, 100), 16)
    logits = torch.randn(11, 20, 28, generator=torch.Generator().manual_seed(0))
    equal_but_for_ties(Upsampler(plan), logits)


@pytest.mark.parametrize("frame", [(72, 100), (90, 130), (20, 31)])
def test_the_mask_is_the_same_however_many_pixels_are_decided_at_once(
    frame: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(frame, (72, 100), 16)
    logits = torch.randn(11, 20, 28, generator=torch.Generator().manual_seed(0))
    whole = Upsampler(plan).mask(logits)
    for pixels in (1, 100, 1000):
        monkeypatch.setattr(upsample, "PIXELS_AT_ONCE", pixels)
        assert (Upsampler(plan).mask(logits) == whole).all()


def test_full_is_the_networks_own_upsampling() -> None:
    plan = Plan((200, 300), (70, 101), 16)
    logits = street_like(plan, 5, 0)
    x = functional.interpolate(logits[None], (80, 112), mode="bilinear", align_corners=False)[..., :70, :101]
    x = functional.interpolate(x, (200, 300), mode="bilinear", align_corners=False)
    assert torch.equal(Upsampler(plan).full(logits), x[0])


def test_areas_of_one_class_are_not_interpolated(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan((128, 192), (128, 192), 16)
    upsampler = Upsampler(plan)
    logits = torch.randn(4, 32, 48, generator=torch.Generator().manual_seed(1))
    logits[2, :, :24] += 50
    logits[3, :, 24:] += 50
    seen = np.zeros((128, 192), bool)
    decide = upsampler._decide

    def watched(mask: np.ndarray, logits: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
        before = mask.copy()
        mask[:] = 255
        decide(mask, logits, rows, columns)
        seen[mask < 255] = True
        mask[mask == 255] = before[mask == 255]

    monkeypatch.setattr(upsampler, "_decide", watched)
    mask = upsampler.mask(logits)
    assert set(seen.nonzero()[1]) == {94, 95, 96, 97}  # the border, half a cell to either side
    assert seen.sum() == 4 * 128
    assert (mask[:, :94] == 2).all() and (mask[:, 98:] == 3).all()
    monkeypatch.setattr(upsampler, "_decide", None)
    logits[3] += 100
    assert (upsampler.mask(logits) == 3).all()


def test_confidence_is_the_largest_probability() -> None:
    plan = Plan((100, 150), (70, 101), 16)
    upsampler = Upsampler(plan)
    logits = 3 * street_like(plan, 6, 2)
    wanted = upsampler.full(logits).softmax(0).amax(0) * 255
    assert np.abs(upsampler.confidence(logits) - wanted.numpy()).max() <= 0.51


def test_plan_pads_by_repeating_the_last_row_and_column() -> None:
    image = np.random.default_rng(0).integers(0, 256, (70, 101, 3), np.uint8)
    plan = Plan((70, 101), (70, 101), 16)
    assert plan.padded == (80, 112)
    assert (plan.prepare(image) == np.pad(image, ((0, 10), (0, 11), (0, 0)), "edge")).all()
    assert Plan((128, 96), (64, 48), 16).prepare(np.zeros((128, 96, 3), np.uint8)).shape == (64, 48, 3)
