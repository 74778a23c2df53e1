"""Pictures drawn on the spot: the same seed always gives the same bytes."""

import hashlib
import io
from functools import lru_cache

from PIL import Image, ImageColor, ImageDraw, ImageFont

_CELLS = 5
_REMEMBERED = 256
_GREY = "#c6ccd2"


@lru_cache(maxsize=_REMEMBERED)
def pattern(seed: str, size: int, kind: str = "png") -> bytes:
    """Return a square of mirrored cells in a colour of its own, `png` or `jpeg`."""
    digest = hashlib.sha256(seed.encode("utf-8", "replace")).digest()
    colour = (digest[0] // 2 + 40, digest[1] // 2 + 40, digest[2] // 2 + 40)
    cells = Image.new("RGB", (_CELLS, _CELLS), "#f2f4f6")
    for x in range((_CELLS + 1) // 2):
        for y in range(_CELLS):
            if digest[3 + x * _CELLS + y] % 2:
                cells.putpixel((x, y), colour)
                cells.putpixel((_CELLS - 1 - x, y), colour)
    return _encoded(cells.resize((size, size), Image.Resampling.NEAREST), kind)


@lru_cache(maxsize=_REMEMBERED)
def face(seed: str, size: int, kind: str = "png") -> bytes:
    """Return a picture that somebody might have of themselves: a head, hair, shoulders."""
    digest = hashlib.sha256(seed.encode("utf-8", "replace")).digest()
    ground, coat = (
        f"hsl({digest[n] * 360 // 256}, 40%, {light}%)" for n, light in ((0, 78), (1, 42))
    )
    skin = f"hsl({18 + digest[2] % 16}, {35 + digest[3] % 25}%, {35 + digest[4] % 45}%)"
    hair = f"hsl({digest[5] % 45}, {10 + digest[6] % 45}%, {12 + digest[7] % 45}%)"
    image = Image.new("RGB", (size, size), ImageColor.getrgb(ground))
    draw = ImageDraw.Draw(image)
    parts = (
        ((0.14, 0.68, 0.86, 1.5), coat),
        ((0.29, 0.13, 0.71, 0.55 + digest[8] % 32 / 100), hair),
        ((0.33, 0.22, 0.67, 0.66), skin),
    )
    for box, colour in parts:
        draw.ellipse(tuple(size * edge for edge in box), fill=ImageColor.getrgb(colour))
    return _encoded(image, kind)


@lru_cache(maxsize=_REMEMBERED)
def silhouette(size: int, kind: str = "png") -> bytes:
    """Return the outline of nobody in particular."""
    image = Image.new("RGB", (size, size), _GREY)
    draw = ImageDraw.Draw(image)
    draw.ellipse((size * 0.32, size * 0.18, size * 0.68, size * 0.54), fill="white")
    draw.ellipse((size * 0.14, size * 0.62, size * 0.86, size * 1.4), fill="white")
    return _encoded(image, kind)


@lru_cache(maxsize=_REMEMBERED)
def blank(size: int) -> bytes:
    """Return a transparent square."""
    return _encoded(Image.new("RGBA", (size, size), (0, 0, 0, 0)), "png")


@lru_cache(maxsize=_REMEMBERED)
def letters(text: str, size: int = 128) -> bytes:
    """Return a coloured square with a few letters on it."""
    hue = hashlib.sha256(text.encode()).digest()[0] * 360 // 256
    image = Image.new("RGB", (size, size), ImageColor.getrgb(f"hsl({hue}, 45%, 45%)"))
    middle = (size / 2, size / 2)
    font = ImageFont.load_default(size * 0.45)
    ImageDraw.Draw(image).text(middle, text, fill="white", font=font, anchor="mm")
    return _encoded(image, "png")


def _encoded(image: Image.Image, kind: str) -> bytes:
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()
