"""Image messages to arrays: against reference conversions, and with everything that can be wrong in them."""

from __future__ import annotations

import sys
from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sernet_ros import image_codec
from sernet_ros.image_codec import ENCODINGS, ImageRejectedError, fill, to_rgb

BAYER = {"rggb": "RG/GB", "bggr": "BG/GR", "gbrg": "GB/RG", "grbg": "GR/BG"}


def message(rows: np.ndarray, width: int, height: int, encoding: str, **fields) -> SimpleNamespace:
    base = {"height": height, "width": width, "encoding": encoding, "is_bigendian": 0, "step": rows.shape[1]}
    return SimpleNamespace(**{**base, "data": array("B", rows.tobytes()), **fields})


def padded(rows: np.ndarray, padding: int, seed: int = 0) -> np.ndarray:
    junk = np.random.default_rng(seed).integers(0, 256, (len(rows), padding), np.uint8)
    return np.hstack([rows, junk])


def row_bytes(encoding: str, width: int) -> int:
    """Bytes of a row without padding."""
    samples = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "yuyv": 2, "uyvy": 2, "yuv422": 2, "yuv422_yuy2": 2}
    if encoding == "8UC3":
        return 3 * width
    name = encoding.removesuffix("16").removesuffix("8")
    return width * samples.get(name, 1) * (2 if encoding.endswith("16") else 1)


def random_rows(encoding: str, width: int, height: int, seed: int) -> np.ndarray:
    count = height * 3 // 2 if encoding in ("nv12", "nv21") else height
    return np.random.default_rng(seed).integers(0, 256, (count, row_bytes(encoding, width)), np.uint8)


def reference(rows: np.ndarray, encoding: str, width: int, height: int, bigendian: bool) -> np.ndarray:
    """The picture by other means than the code under test: unpadded, through BGR or by indexing."""
    if encoding.endswith("16"):
        samples = rows.copy().view(">u2" if bigendian else "<u2")
        return reference((samples >> 8).astype(np.uint8), encoding[:-2] + "8", width, height, bigendian)
    if encoding in ("nv12", "nv21"):
        code = {"nv12": cv2.COLOR_YUV2BGR_NV12, "nv21": cv2.COLOR_YUV2BGR_NV21}[encoding]
        return cv2.cvtColor(rows, code)[..., ::-1]
    pixels = rows.reshape(height, width, -1)
    if encoding.startswith("bayer"):
        # OpenCV's old names tell the second row from its second column on.
        old = {"rggb": "BG", "bggr": "RG", "gbrg": "GR", "grbg": "GB"}[encoding[6:10]]
        return cv2.cvtColor(pixels, getattr(cv2, f"COLOR_Bayer{old}2BGR"))[..., ::-1]
    if pixels.shape[2] == 2:
        code = cv2.COLOR_YUV2BGR_YUY2 if encoding in ("yuyv", "yuv422_yuy2") else cv2.COLOR_YUV2BGR_UYVY
        return cv2.cvtColor(pixels, code)[..., ::-1]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    return pixels[..., :3] if encoding.startswith("rgb") else pixels[..., 2::-1]


@pytest.mark.parametrize("padding", [0, 1, 13])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_as_the_reference_has_it(encoding: str, padding: int) -> None:
    width, height = 22, 12
    for bigendian in (0, 1):
        rows = random_rows(encoding, width, height, seed=padding)
        image = to_rgb(message(padded(rows, padding), width, height, encoding, is_bigendian=bigendian))
        assert image.dtype == np.uint8 and image.flags.c_contiguous
        np.testing.assert_array_equal(image, reference(rows, encoding, width, height, bool(bigendian)))


def encode_flat(color: tuple[int, int, int], encoding: str, width: int, height: int) -> np.ndarray:
    """Rows of an image of one colour, written out by hand from what each encoding means."""
    red, green, blue = color
    luma = 16 + (65.738 * red + 129.057 * green + 25.064 * blue) / 256
    u = 128 + (-37.945 * red - 74.494 * green + 112.439 * blue) / 256
    v = 128 + (112.439 * red - 94.154 * green - 18.285 * blue) / 256
    y, u, v = round(luma), round(u), round(v)
    if encoding.endswith("16"):
        low = encode_flat(color, encoding[:-2] + "8", width, height)
        return np.stack([np.full_like(low, 77), low], axis=-1).reshape(height, -1)
    if encoding in ("nv12", "nv21"):
        pair = [u, v] if encoding == "nv12" else [v, u]
        return np.array([[y] * width] * height + [pair * (width // 2)] * (height // 2), np.uint8)
    if encoding.startswith("bayer"):
        samples = {"R": red, "G": green, "B": blue}
        tile = [[samples[letter] for letter in row] for row in BAYER[encoding[6:10]].split("/")]
        return np.tile(np.array(tile, np.uint8), (height // 2, width // 2))
    pixel = {
        "rgb8": [red, green, blue],
        "bgr8": [blue, green, red],
        "8UC3": [blue, green, red],
        "rgba8": [red, green, blue, 9],
        "bgra8": [blue, green, red, 9],
        "yuyv": [y, u, y, v],
        "yuv422_yuy2": [y, u, y, v],
        "uyvy": [u, y, v, y],
        "yuv422": [u, y, v, y],
    }[encoding]
    repeats = row_bytes(encoding, width) // len(pixel)
    return np.tile(np.array(pixel, np.uint8), (height, repeats))


@pytest.mark.parametrize("color", [(200, 30, 40), (20, 180, 60), (30, 50, 220)])
@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name not in ("mono8", "mono16", "8UC1")])
def test_no_channel_is_swapped(encoding: str, color: tuple[int, int, int]) -> None:
    image = to_rgb(message(encode_flat(color, encoding, 16, 8), 16, 8, encoding))
    difference = np.abs(image[2:-2, 2:-2].astype(int) - color)
    assert difference.max() <= 3


@settings(max_examples=150)
@given(
    encoding=st.sampled_from(ENCODINGS),
    width=st.integers(2, 24),
    height=st.integers(2, 18),
    padding=st.integers(0, 9),
    bigendian=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_size_and_padding(encoding, width, height, padding, bigendian, seed) -> None:
    width, height = 2 * width, 2 * height
    rows = random_rows(encoding, width, height, seed)
    image = to_rgb(message(padded(rows, padding, seed), width, height, encoding, is_bigendian=int(bigendian)))
    np.testing.assert_array_equal(image, reference(rows, encoding, width, height, bigendian))


@settings(max_examples=400)
@given(
    encoding=st.one_of(
        st.sampled_from((*ENCODINGS, "16UC1", "32FC1", "", "RGB8", "nv24")), st.text(max_size=60)
    ),
    width=st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1)),
    height=st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1)),
    step=st.one_of(st.integers(0, 200), st.integers(0, 2**32 - 1)),
    bigendian=st.integers(0, 255),
    data=st.binary(max_size=4000),
    fitting=st.booleans(),
)
def test_nonsense_is_rejected_and_nothing_else_happens(
    encoding, width, height, step, bigendian, data, fitting
) -> None:
    if fitting and step * height < 10_000:
        data = (data + bytes(10_000))[: step * height]
    fields = {"encoding": encoding, "width": width, "height": height, "step": step, "is_bigendian": bigendian}
    try:
        image = to_rgb(SimpleNamespace(**fields, data=array("B", data)))
    except ImageRejectedError as error:
        assert error.reason and encoding[:40] in str(error)
    else:
        assert image.dtype == np.uint8 and image.shape == (height, width, 3)


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("zero_size", {"width": 0}),
        ("zero_size", {"height": 0}),
        ("depth_image", {"encoding": "16UC1"}),
        ("depth_image", {"encoding": "32FC1"}),
        ("unknown_encoding", {"encoding": "rgb9"}),
        ("unknown_encoding", {"encoding": ""}),
        ("bad_step", {"step": 23}),
        ("bad_step", {"step": 0}),
        ("wrong_data_size", {"data": array("B", bytes(24 * 6 - 1))}),
        ("wrong_data_size", {"data": array("B", bytes(24 * 6 + 1))}),
        ("wrong_data_size", {"data": array("B")}),
        ("wrong_data_size", {"encoding": "nv12", "width": 24}),
        ("odd_size", {"encoding": "yuyv", "width": 7}),
        ("odd_size", {"encoding": "nv21", "width": 24, "height": 5}),
        ("too_small", {"encoding": "bayer_rggb8", "width": 2}),
    ],
)
def test_rejections_say_why(reason: str, changes: dict) -> None:
    broken = message(np.zeros((6, 24), np.uint8), 8, 6, "rgb8")
    vars(broken).update(changes)
    with pytest.raises(ImageRejectedError) as caught:
        to_rgb(broken)
    assert caught.value.reason == reason


def test_the_nearest_encoding_is_named() -> None:
    with pytest.raises(ImageRejectedError, match="Did you mean 'rgb8'"):
        to_rgb(message(np.zeros((6, 24), np.uint8), 8, 6, "rbg8"))


def test_rgb8_is_not_copied() -> None:
    source = message(np.zeros((6, 24), np.uint8), 8, 6, "rgb8")
    assert np.shares_memory(to_rgb(source), np.frombuffer(source.data, np.uint8))


class TestBridge:
    """cv_bridge exists in a ROS installation alone: a stand-in takes its place."""

    @pytest.fixture
    def bridge(self, monkeypatch: pytest.MonkeyPatch):
        calls: list[tuple[str, str]] = []
        result = {"image": np.full((6, 8, 3), 7, np.uint8)}

        class CvBridge:
            def imgmsg_to_cv2(self, image, desired_encoding="passthrough"):
                calls.append((image.encoding, desired_encoding))
                if isinstance(result["image"], Exception):
                    raise result["image"]
                return result["image"]

        monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=CvBridge))
        image_codec._bridge.cache_clear()
        yield SimpleNamespace(calls=calls, result=result)
        image_codec._bridge.cache_clear()

    def test_converts_what_is_left_out(self, bridge) -> None:
        image = to_rgb(message(np.zeros((18, 8), np.uint8), 8, 6, "nv24"))
        assert bridge.calls == [("nv24", "rgb8")]
        np.testing.assert_array_equal(image, bridge.result["image"])

    @pytest.mark.parametrize("encoding", ENCODINGS)
    def test_is_not_asked_for_the_others(self, bridge, encoding: str) -> None:
        bridge.result["image"] = RuntimeError("must not be asked")
        to_rgb(message(random_rows(encoding, 8, 6, 0), 8, 6, encoding))
        assert not bridge.calls

    @pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
    def test_is_not_asked_for_depth_images(self, bridge, encoding: str) -> None:
        with pytest.raises(ImageRejectedError):
            to_rgb(message(np.zeros((6, 32), np.uint8), 8, 6, encoding))
        assert not bridge.calls

    @pytest.mark.parametrize(
        "answer",
        [RuntimeError("no such conversion"), np.zeros((5, 8, 3), np.uint8), np.zeros((6, 8), np.uint8)],
    )
    def test_a_refusal_or_nonsense_rejects_the_image(self, bridge, answer) -> None:
        bridge.result["image"] = answer
        with pytest.raises(ImageRejectedError) as caught:
            to_rgb(message(np.zeros((6, 32), np.uint8), 8, 6, "8UC4"))
        assert caught.value.reason == "unknown_encoding"

    def test_a_broken_installation_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail() -> None:
            raise RuntimeError("built against NumPy 1")

        monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=fail))
        image_codec._bridge.cache_clear()
        with pytest.raises(ImageRejectedError, match="built against NumPy 1"):
            to_rgb(message(np.zeros((6, 32), np.uint8), 8, 6, "8UC4"))
        image_codec._bridge.cache_clear()


@pytest.mark.parametrize(("shape", "encoding", "step"), [((4, 6), "mono8", 6), ((4, 6, 3), "rgb8", 18)])
def test_fill(shape: tuple[int, ...], encoding: str, step: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape[:1], 2 * shape[1], *shape[2:]), np.uint8)[
        :, ::2
    ]
    header = object()
    filled = fill(SimpleNamespace(), image, header)
    assert filled.header is header
    assert (filled.height, filled.width, filled.encoding, filled.step) == (4, 6, encoding, step)
    assert isinstance(filled.data, array) and filled.data.typecode == "B"
    assert filled.data.tobytes() == image.tobytes()
