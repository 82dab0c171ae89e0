"""From numbers between 0 and 1 to colours whose lightness rises as evenly as the numbers.

The table runs from a blue that is nearly black over violet and red to a light yellow. It is drawn
in Oklab (B. Ottosson 2020, https://bottosson.github.io/posts/oklab/), where equal steps look
equally large: its lightness is a straight line, so nothing in a picture looks like an edge that is
none in the numbers, and it can be read in grey too.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float, UInt8

LEVELS = 256
LIGHTNESS = (0.13, 0.95)
"""Of the first and the last colour; 0 is black and 1 white."""

HUE = (265.0, 468.0)
"""Of the first and the last colour, in degrees: blue, and yellow (108) once around."""

CHROMA = 0.15
"""Of the middle; the ends, where screens show fewer colours, have a part of it."""


def coloured(values: Float[np.ndarray, "row column"]) -> UInt8[np.ndarray, "row column 3"]:
    """Red, green and blue of every number; what lies outside 0 to 1 is taken for the nearest.

    NaN looks like 0.
    """
    inside = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1)
    return colour_table()[np.rint(inside * (LEVELS - 1)).astype(int)]


@cache
def colour_table() -> UInt8[np.ndarray, "level 3"]:
    """Red, green and blue from the darkest to the lightest colour."""
    share = np.linspace(0, 1, LEVELS)
    lightness = LIGHTNESS[0] + (LIGHTNESS[1] - LIGHTNESS[0]) * share
    hue = np.radians(HUE[0] + (HUE[1] - HUE[0]) * share)
    chroma = CHROMA * (0.35 + 0.65 * np.sin(np.pi * share))
    linear = _linear_rgb(np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], -1))
    return np.rint(_gamma(linear.clip(0, 1)) * 255).astype(np.uint8)


def _linear_rgb(lab: Float[np.ndarray, "level 3"]) -> Float[np.ndarray, "level 3"]:
    """Oklab to linear sRGB: the two matrices and the cube of the page named above."""
    to_cones = np.array(
        [
            [1.0, 0.3963377774, 0.2158037573],
            [1.0, -0.1055613458, -0.0638541728],
            [1.0, -0.0894841775, -1.2914855480],
        ]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    return ((lab @ to_cones.T) ** 3) @ to_rgb.T


def _gamma(linear: Float[np.ndarray, "level 3"]) -> Float[np.ndarray, "level 3"]:
    """The transfer function of sRGB (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
