import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image

from bench.report.png import data_url, encode


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]), st.integers(0, 99))
def test_other_readers_see_the_same_pixels(
    height: int, width: int, channels: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    with Image.open(io.BytesIO(encode(pixels))) as image:
        assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_only_grey_and_colour_are_pictures() -> None:
    with pytest.raises(ValueError, match="2 channels"):
        encode(np.zeros((1, 1, 2), np.uint8))


def test_the_address_holds_the_picture() -> None:
    assert data_url(np.zeros((1, 1, 1), np.uint8)).startswith("data:image/png;base64,iVBOR")
