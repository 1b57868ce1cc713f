"""Weights of a few bits, against a reader that knows only the format's words."""

import base64

import numpy as np
import pytest

from triptych.playable.quantise import BITS, dequantised, packed, quantise


def read(entry, columns):
    """Bit by bit, as the format is described: the highest first, without gaps."""
    letters = base64.b64decode(entry["weight"])
    bits = "".join(f"{byte:08b}" for byte in letters)
    scale = np.frombuffer(base64.b64decode(entry["scale"]), "<f4")
    wide, most = entry["bits"], 2 ** (entry["bits"] - 1) - 1
    levels = [int(bits[i * wide : (i + 1) * wide], 2) - most for i in range(len(scale) * columns)]
    return np.array(levels, np.float32).reshape(-1, columns) * scale[:, None]


@pytest.mark.parametrize("bits", BITS)
def test_what_is_packed_is_what_a_reader_of_the_format_finds(bits):
    matrix = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    np.testing.assert_array_equal(read(packed(matrix, bits), 5), dequantised(matrix, bits))


@pytest.mark.parametrize("bits", BITS)
def test_no_weight_is_further_off_than_half_a_level(bits):
    matrix = np.random.default_rng(1).normal(size=(6, 50)).astype(np.float32)
    matrix[2] *= 1e-4
    levels, scale = quantise(matrix, bits)
    assert np.abs(levels).max() == 2 ** (bits - 1) - 1
    off = np.abs(dequantised(matrix, bits) - matrix)
    # Half a level, and the rounding of one product in single precision.
    assert (off <= 0.5001 * scale[:, None]).all()


def test_a_row_of_zeros_stays_zero():
    assert not dequantised(np.zeros((2, 3), np.float32), 8).any()
