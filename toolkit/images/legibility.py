"""How well a picture does as an avatar: measured, not guessed.

Each measure looks at the picture's middle square, as apps show it. Contrast is that of
WCAG 2 ("contrast ratio"): 1 is no difference, 21 is black on white; 3 is what WCAG 1.4.11
asks of things that are not text.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from toolkit.images.decode import squared

LIGHT, DARK = "#ffffff", "#111827"
"""The pages on which pictures are looked at."""

Array = NDArray[np.floating[Any]]

_SIDE, _SMALL = 256, 32
_RIM = 0.9  # the outer tenth of the circle's radius
_CLEAR = 0.1  # alpha below which nothing is seen
_SOLID = 0.5
_STEP = 0.06  # a difference between neighbours that the eye takes for an edge
_PLAIN = 1e-4  # variance of luminance below which there is no detail to lose


@dataclass(frozen=True, slots=True)
class Detail:
    """What is left of a picture at 32 pixels.

    Attributes:
        contrast: between its darkest and its lightest parts there.
        kept: share of the variation in lightness that is still there, 0 to 1.
    """

    contrast: float
    kept: float


@dataclass(frozen=True, slots=True)
class Rim:
    """How a picture, cut to a circle, stands out from a page.

    Attributes:
        contrast: between the page and the circle's rim; where the rim is transparent,
            between the page and what is seen inside.
        transparent: whether the page shows through the rim.
    """

    contrast: float
    transparent: bool


def detail_left(image: Image.Image) -> Detail:
    """Measure what is left at 32 pixels, on the page where more is left."""
    return max((_detail(image, page) for page in (LIGHT, DARK)), key=lambda left: left.contrast)


def lost_in_corners(image: Image.Image) -> float:
    """Return the share of the picture's edges, 0 to 1, that a circle cuts off."""
    pixels = _pixels(image, _SIDE)
    seen = np.concatenate([pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]], axis=2)
    across = np.abs(np.diff(seen, axis=1)).max(axis=2)[:-1, :]
    down = np.abs(np.diff(seen, axis=0)).max(axis=2)[:, :-1]
    edges = np.maximum(across, down) > _STEP
    if not edges.any():
        return 0.0
    outside = _radius(_SIDE)[:-1, :-1] > 1
    return float((edges & outside).sum() / edges.sum())


def rim(image: Image.Image, page: str) -> Rim:
    """Measure how the picture, cut to a circle, stands out from a page of one colour."""
    pixels = _pixels(image, _SIDE)
    radius, alpha = _radius(_SIDE), pixels[..., 3]
    edge = (radius <= 1) & (radius >= _RIM)
    transparent = bool(np.median(alpha[edge]) < _CLEAR)
    where = (radius <= 1) & (alpha > _SOLID) if transparent else edge
    if not where.any():
        return Rim(1.0, transparent)
    shades = _contrast(_luminance(_over(pixels, page)), float(_luminance(_colour(page))))
    return Rim(float(np.median(shades[where])), transparent)


def _detail(image: Image.Image, page: str) -> Detail:
    inside = _radius(_SIDE) <= 1
    large = _luminance(_over(_pixels(image, _SIDE), page))
    small = _luminance(_over(_pixels(image, _SMALL), page))
    dark, light = np.quantile(small[_radius(_SMALL) <= 1], [0.02, 0.98])
    back = np.asarray(
        Image.fromarray(small.astype(np.float32)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    )
    whole = float(np.var(large[inside]))
    kept = 1 - float(np.mean((large - back)[inside] ** 2)) / whole if whole > _PLAIN else 1.0
    return Detail(float(_contrast(light, dark)), max(0.0, kept))


def _pixels(image: Image.Image, side: int) -> Array:
    """Return the middle square as red, green, blue and alpha, each 0 to 1."""
    return np.asarray(squared(image, side), dtype=np.float64) / 255


def _radius(side: int) -> Array:
    """Return each pixel's distance from the middle; 1 is where the circle ends."""
    line = (np.arange(side) + 0.5) / side * 2 - 1
    return np.hypot(line[:, None], line[None, :])


def _colour(page: str) -> Array:
    return np.asarray(ImageColor.getrgb(page)[:3], dtype=np.float64) / 255


def _over(pixels: Array, page: str) -> Array:
    alpha = pixels[..., 3:]
    return pixels[..., :3] * alpha + _colour(page) * (1 - alpha)


def _luminance(colour: Array) -> Array:
    """Relative luminance (WCAG 2)."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004 - sRGB's
    luminance: Array = linear @ np.array([0.2126, 0.7152, 0.0722])
    return luminance


def _contrast(one: Array | float, other: Array | float) -> Array:
    return (np.maximum(one, other) + 0.05) / (np.minimum(one, other) + 0.05)
