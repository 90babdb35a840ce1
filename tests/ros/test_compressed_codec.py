"""Compressed images in, compressed masks out; needs no ROS."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sernet_ros.compressed_codec import compress, compressed_to_ids, compressed_to_rgb, fill_compressed
from sernet_ros.image_codec import BAYER, ImageRejectedError, to_rgb

IMAGE = np.random.default_rng(0).integers(0, 256, (18, 24, 3), np.uint8)


def message(image: np.ndarray, suffix: str, kind: str = "jpeg") -> SimpleNamespace:
    """Image given in RGB, or grey."""
    stored = image[..., ::-1] if image.ndim == 3 else image
    return SimpleNamespace(format=kind, data=cv2.imencode(suffix, stored)[1].tobytes())


def with_note(jpeg: bytes, note: bytes) -> bytes:
    """A JPEG with a note of the camera (APP1) in its header."""
    return jpeg[:2] + b"\xff\xe1" + (len(note) + 2).to_bytes(2, "big") + note + jpeg[2:]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp"])
def test_without_loss_it_is_the_same_picture(suffix: str) -> None:
    image = IMAGE if suffix != ".webp" else np.full_like(IMAGE, 77)
    np.testing.assert_allclose(compressed_to_rgb(message(image, suffix)), image, atol=suffix == ".webp")


def test_a_jpeg_has_its_colours_in_order() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[...] = (200, 100, 20)
    decoded = compressed_to_rgb(message(image, ".jpg", "rgb8; jpeg compressed bgr8"))
    assert decoded.dtype == np.uint8 and decoded.flags.c_contiguous
    assert np.abs(decoded.astype(int) - (200, 100, 20)).max() < 6


def test_an_old_opencv_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ubuntu 24.04 has 4.6; the flag came with 4.11."""
    monkeypatch.delattr(cv2, "IMREAD_COLOR_RGB", raising=False)
    np.testing.assert_array_equal(compressed_to_rgb(message(IMAGE, ".png")), IMAGE)


def test_the_cameras_note_of_a_rotation_is_not_applied() -> None:
    jpeg = message(np.full((16, 24, 3), 90, np.uint8), ".jpg").data
    # Exif with one entry: Orientation (0x0112), SHORT, 1 value, 6 = to be turned by 90 degrees.
    tiff = b"MM\0\x2a\0\0\0\x08\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + bytes(4)
    turned = with_note(jpeg, b"Exif\0\0" + tiff)
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (24, 16, 3)
    assert compressed_to_rgb(SimpleNamespace(format="jpeg", data=turned)).shape == (16, 24, 3)


def test_grey_and_16_bit_pictures_become_rgb() -> None:
    grey = IMAGE[..., 0]
    assert (compressed_to_rgb(message(grey, ".png")) == grey[..., None]).all()
    deep = IMAGE.astype(np.uint16) * 256 + 13
    assert (compressed_to_rgb(message(deep, ".png")) == IMAGE).all()


@pytest.mark.parametrize("encoding", BAYER)
def test_a_compressed_mosaic_has_the_colours_of_the_raw_one(encoding: str) -> None:
    depth = np.uint16 if encoding.endswith("16") else np.uint8
    mosaic = IMAGE[..., 0].astype(depth) * (256 if depth is np.uint16 else 1)
    height, width = mosaic.shape
    fields = {"height": height, "width": width, "encoding": encoding, "is_bigendian": 0}
    raw = SimpleNamespace(**fields, step=mosaic[0].nbytes, data=mosaic.tobytes())
    decoded = compressed_to_rgb(message(mosaic, ".png", f"{encoding}; png compressed "))
    np.testing.assert_array_equal(decoded, to_rgb(raw))


def test_a_jpeg_of_a_mosaic_has_its_colours_too() -> None:
    tile = np.array([[200, 90], [90, 20]], np.uint8)
    kind = "bayer_rggb8; jpeg compressed "
    decoded = compressed_to_rgb(message(np.tile(tile, (24, 32)), ".jpg", kind)).astype(int)
    assert np.abs(decoded[4:-4, 4:-4] - (200, 90, 20)).max() < 20


def test_what_has_colours_already_is_no_mosaic() -> None:
    np.testing.assert_array_equal(compressed_to_rgb(message(IMAGE, ".png", "bayer_rggb8; png")), IMAGE)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (SimpleNamespace(format="16UC1; compressedDepth", data=b"x"), "depth_image"),
        (message(IMAGE[:2, :, 0], ".png", "bayer_rggb8; png compressed "), "too_small"),
        (SimpleNamespace(format="jpeg", data=b""), "zero_size"),
        (SimpleNamespace(format="jpeg", data=b"certainly no picture"), "undecodable"),
        (SimpleNamespace(format="png", data=message(IMAGE, ".png").data[:40]), "undecodable"),
    ],
)
def test_what_is_no_picture_is_rejected(broken: SimpleNamespace, reason: str) -> None:
    with pytest.raises(ImageRejectedError) as caught:
        compressed_to_rgb(broken)
    assert caught.value.reason == reason and broken.format in str(caught.value)


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("preview", [b"", message(IMAGE[:8, :8], ".jpg").data], ids=["plain", "preview"])
def test_a_jpeg_that_is_cut_off_is_rejected_by_any_opencv(
    monkeypatch: pytest.MonkeyPatch, progressive: int, preview: bytes
) -> None:
    """4.6 decodes it to the full size; a preview in the header has an end of its own."""
    jpeg = cv2.imencode(".jpg", IMAGE, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    jpeg = with_note(jpeg, preview)
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: IMAGE.copy())
    for end in ((jpeg.rfind(b"\xff\xda") + len(jpeg)) // 2, len(jpeg) - 1):
        for padding in (b"", bytes(64)):
            with pytest.raises(ImageRejectedError, match="cut off") as caught:
                compressed_to_rgb(SimpleNamespace(format="jpeg", data=jpeg[:end] + padding))
            assert caught.value.reason == "undecodable"
    compressed_to_rgb(SimpleNamespace(format="jpeg", data=jpeg))


@pytest.mark.parametrize("appended", [bytes(4096), b"\xff", b"\x0d\x0a junk of a buffer \xff\xd9 \x12"])
def test_what_a_camera_appends_to_a_jpeg_does_no_harm(appended: bytes) -> None:
    jpeg = message(IMAGE, ".jpg")
    wanted = compressed_to_rgb(jpeg)
    jpeg.data += appended
    np.testing.assert_array_equal(compressed_to_rgb(jpeg), wanted)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"]),
    st.text(max_size=60),
)
def test_rubbish_is_rejected_or_decoded_but_never_raises_otherwise(
    data: bytes, start: bytes, kind: str
) -> None:
    try:
        image = compressed_to_rgb(SimpleNamespace(format=kind, data=start + data))
    except ImageRejectedError:
        return
    assert image.dtype == np.uint8 and image.ndim == 3


def test_a_compressed_mask_loses_nothing() -> None:
    mask = IMAGE[..., 0]
    sent = fill_compressed(SimpleNamespace(), mask, "header")
    assert sent.header == "header" and sent.format == "mono8; png compressed mono8"
    stored = cv2.imdecode(np.frombuffer(sent.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (stored == mask).all() and stored.ndim == 2


@pytest.mark.parametrize("image", [IMAGE, IMAGE[..., 0]], ids=["colour", "grey"])
@pytest.mark.parametrize(("kind", "loss"), [("png", 0), ("jpeg", 40)])
def test_what_is_compressed_can_be_read_again(image: np.ndarray, kind: str, loss: int) -> None:
    smooth = cv2.GaussianBlur(image, (9, 9), 4)
    words, data = compress(smooth, kind, 95)
    assert kind in words and data.dtype == np.uint8 and data.ndim == 1
    decoded = compressed_to_rgb(SimpleNamespace(format=words, data=data)).astype(int)
    assert np.abs(decoded - (smooth if smooth.ndim == 3 else smooth[..., None])).max() <= loss


def test_class_ids_come_back_exactly_or_are_refused() -> None:
    ids = IMAGE[..., 0] % 11
    words, data = compress(ids)
    np.testing.assert_array_equal(compressed_to_ids(SimpleNamespace(format=words, data=data)), ids)
    for broken, reason in (
        (SimpleNamespace(format="mono8; jpeg compressed mono8", data=data), "lossy_ids"),
        (message(IMAGE, ".png", "png"), "no_ids"),
        (message(ids.astype(np.uint16), ".png", "16UC1; png compressed"), "no_ids"),
        (SimpleNamespace(format="png", data=b""), "zero_size"),
        (SimpleNamespace(format="png", data=data[:30].tobytes()), "undecodable"),
    ):
        with pytest.raises(ImageRejectedError) as caught:
            compressed_to_ids(broken)
        assert caught.value.reason == reason
