"""Autoware's run-length encoding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sernet_core.errors import InputError
from sernet_ros.rle import decode, encode


def test_the_bytes_are_those_that_autoware_reads() -> None:
    mask = np.array([[9, 9, 9, 10], [10, 10, 15, 15]], np.uint8)
    assert encode(mask).tobytes().hex(" ", 1) == "09 03 00 00 00 0a 03 00 00 00 0f 02 00 00 00"


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
def test_round_trip(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(encode(mask).tobytes(), *mask.shape), mask)


def test_a_view_with_strides_is_encoded_as_it_looks() -> None:
    mask = np.random.default_rng(0).integers(0, 3, (20, 30), np.uint8)[::2, ::3]
    np.testing.assert_array_equal(decode(encode(mask), *mask.shape), mask)


@pytest.mark.parametrize("data", ["0903", "0903000000", "09ffffffff090a000000", "0900000000"])
def test_broken_runs_are_refused(data: str) -> None:
    with pytest.raises(InputError):
        decode(bytes.fromhex(data), 2, 4)
