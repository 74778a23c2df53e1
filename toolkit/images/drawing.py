"""Pictures of the kinds that `toolkit.images.content` tells apart, drawn: the truth is known.

The sandbox shows them to its made-up people, and a probe judges them before it believes what it
sees elsewhere. The same arguments always give the same picture. Nobody's photo is in here:
`photo` is art that has what photos have (shades, noise, many colours), and flat illustrations.

Fonts: the one that Pillow brings, and those that matplotlib brings; none of the system's.
"""

import colorsys
import hashlib
import io
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from toolkit.images.content import Content

FONTS = ("", "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "cmr10", "cmb10", "STIXGeneral")
"""Fonts of the letters unless told: files of matplotlib without `.ttf`; "" is Pillow's own."""

_LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SCRIPTS = (
    *(_LATIN, "0123456789", "БГДЖИЛПФЦШЯЮ", "ΑΓΔΘΛΞΠΣΦΨΩ", "אבגדהשמ", "ԱԲԳԴԵԶ"),
    *("აბგდეზ", "กขคงจฉ", "अआकखगघ", "عدرسص", "田山川大王李"),
)
_SMOOTHING = 2  # drawn so many times larger, and then reduced
_SMALLEST, _LARGEST = 32, 512  # pixels at which it is drawn
_LARGEST_PHOTO = 112  # nobody sees finer edges below blur and grain
_REMEMBERED = 512  # files that were drawn
_Chance = np.random.Generator
_Colour = tuple[int, int, int]


def drawn(
    content: Content, seed: str, size: int = 96, *, fonts: Sequence[str] = FONTS
) -> Image.Image:
    """Draw a picture of a kind, RGB or RGBA, `size` pixels on each side.

    Args:
        content: what it shows.
        seed: decides everything else: shape, colours, letters, corners.
        size: pixels.
        fonts: for letters: names as in `FONTS`, or paths of font files.
    """
    digest = hashlib.sha256(f"{content} {seed}".encode("utf-8", "replace")).digest()
    chance = np.random.default_rng(int.from_bytes(digest[:8]))
    largest = _LARGEST_PHOTO if content is Content.PHOTO else _LARGEST
    large = min(max(size * _SMOOTHING, _SMALLEST), largest)
    if content is Content.LETTERS:
        image = _monogram(chance, large, fonts)
    else:
        makers = _MAKERS[content]
        image = makers[int(chance.integers(len(makers)))](chance, large)
    way = Image.Resampling.BOX if size <= large else Image.Resampling.BICUBIC
    small = image.resize((size, size), way)
    return _grain(chance, small) if content is Content.PHOTO else small


@lru_cache(maxsize=_REMEMBERED)
def file_of(
    content: Content, seed: str, size: int = 96, kind: str = "png", quality: int = 85
) -> bytes:
    """Return a drawn picture as the bytes of a file: `png`, `jpeg`, `gif` or `webp`."""
    image = drawn(content, seed, size)
    if kind in ("jpeg", "gif") and image.mode == "RGBA":
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image).convert("RGB")
    target = io.BytesIO()
    # What was drawn is served once, so time counts more than size.
    options = {"quality": quality} if kind in ("jpeg", "webp") else {"compress_level": 1}
    image.save(target, kind, **options)
    return target.getvalue()


@lru_cache(maxsize=1)
def emblem() -> bytes:
    """Return a PNG of 512 pixels that nobody takes for a person: a white star on purple."""
    large = _LARGEST * _SMOOTHING
    image = Image.new("RGB", (large, large), "#8459C2")
    points = [
        (
            large / 2 + large * radius * math.sin(math.pi * place / 5),
            large / 2 - large * radius * math.cos(math.pi * place / 5),
        )
        for place, radius in enumerate((0.36, 0.15) * 5)
    ]
    ImageDraw.Draw(image).polygon(points, fill="white")
    target = io.BytesIO()
    image.resize((_LARGEST, _LARGEST), Image.Resampling.BOX).save(target, "png")
    return target.getvalue()


# --- Colours, grounds and corners ---------------------------------------------


def _between(chance: _Chance, low: float, high: float) -> float:
    return float(chance.uniform(low, high))


def _colour(hue: float, saturation: float, light: float) -> _Colour:
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, light, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _pair(chance: _Chance) -> tuple[_Colour, _Colour]:
    """Return a ground and what stands out on it: white on colour, dark on light and others."""
    hue, kind = _between(chance, 0, 1), int(chance.integers(6))
    strong = _colour(hue, _between(chance, 0.3, 0.9), _between(chance, 0.3, 0.55))
    pale = _colour(hue, _between(chance, 0.1, 0.7), _between(chance, 0.84, 0.95))
    dark = _colour(hue, _between(chance, 0.0, 0.6), _between(chance, 0.1, 0.22))
    white, grey = (255, 255, 255), (round(_between(chance, 220, 248)),) * 3
    return (
        (strong, white),
        (strong, white),
        (pale, strong if kind == 2 else dark),
        (pale, dark),
        (dark, pale),
        ((grey[0], grey[1], grey[2]), strong),
    )[kind]


def _ground(chance: _Chance, size: int, colour: _Colour, slope: float) -> Image.Image:
    """One colour, or with a `slope` (0 to 1) a gradient from it to a neighbour."""
    if not slope:
        return Image.new("RGB", (size, size), colour)
    hue, light, saturation = colorsys.rgb_to_hls(*(one / 255 for one in colour))
    light += slope * (0.25 if light < 0.5 else -0.25)
    other = np.array(_colour(hue + slope * _between(chance, -0.15, 0.15), saturation, light))
    angle = _between(chance, 0, math.tau)
    across, down = np.mgrid[-0.5 : 0.5 : size * 1j, -0.5 : 0.5 : size * 1j]
    share = (np.cos(angle) * across + np.sin(angle) * down) / math.sqrt(2) + 0.5
    mixed = np.array(colour) + (other - np.array(colour)) * share[..., None]
    return Image.fromarray(mixed.round().astype(np.uint8))


def _cut(chance: _Chance, image: Image.Image, kinds: Sequence[str]) -> Image.Image:
    """Cut the corners: a circle or round corners, with nothing or white behind; or nothing."""
    kind = kinds[int(chance.integers(len(kinds)))]
    if kind == "square":
        return image
    size = image.width
    radius = size / 2 if kind.startswith("circle") else size * _between(chance, 0.08, 0.25)
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size - 1, size - 1), radius, fill=255)
    if kind.endswith("white"):
        return Image.composite(image, Image.new("RGB", image.size, "white"), mask)
    image.putalpha(mask)
    return image


# --- Letters -------------------------------------------------------------------


@lru_cache(maxsize=64)
def _font(name: str, pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    found = find_spec("matplotlib")
    folder = Path(found.origin or "").parent / "mpl-data/fonts/ttf" if found else Path()
    path = Path(name) if name.endswith((".ttf", ".otf")) else folder / f"{name}.ttf"
    if name and path.is_file():
        return ImageFont.truetype(str(path), pixels)
    return ImageFont.load_default(pixels)


@lru_cache(maxsize=64)
def _scripts(name: str) -> list[str]:
    """Return the alphabets of which a font has every letter, Latin first if it is among them."""
    font = _font(name, 32)
    missing = bytes(font.getmask("\uffff"))
    has = [all(bytes(font.getmask(one)) != missing for one in text) for text in _SCRIPTS]
    return [text for text, there in zip(_SCRIPTS, has, strict=True) if there] or [_LATIN]


def _monogram(chance: _Chance, size: int, fonts: Sequence[str]) -> Image.Image:
    """One to three letters in the middle of a tile, as providers draw them."""
    ground, ink = _pair(chance)
    slope = _between(chance, 0.3, 1) if chance.random() < 0.25 else 0.0
    image = _ground(chance, size, ground, slope)
    draw = ImageDraw.Draw(image)
    many = int(chance.choice((1, 2, 3), p=(0.45, 0.45, 0.1)))
    name = str(fonts[int(chance.integers(len(fonts)))])
    scripts = _scripts(name)
    script = scripts[0] if chance.random() < 0.6 else scripts[int(chance.integers(len(scripts)))]
    text = "".join(str(one) for one in chance.choice(list(script), many))
    if many == 1 and chance.random() < 0.15:
        text = text.lower()
    height = {1: (0.4, 0.68), 2: (0.3, 0.52), 3: (0.24, 0.36)}[many]
    font = _font(name, max(round(size * _between(chance, *height)), 6))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    # By the ink, or by the line as browsers do: then the letters stand a little off the middle.
    off = _between(chance, -0.03, 0.03) * size
    place = ((size - left - right) / 2, (size - top - bottom) / 2 + off)
    draw.text(place, text, fill=ink, font=font)
    kinds = ("square", "square", "circle", "circle white", "round", "round white")
    return _cut(chance, image, kinds)


# --- Patterns ------------------------------------------------------------------


def _cells(chance: _Chance, size: int) -> Image.Image:
    """Mirrored cells as GitHub, Gravatar's retro, blockies and others draw them."""
    side = int(chance.choice((5, 5, 5, 6, 7, 8)))
    ground, ink = _pair(chance)
    colours = [ground, ink, _colour(_between(chance, 0, 1), 0.7, 0.5)]
    several = side > 5 and chance.random() < 0.5
    half = chance.choice((0, 1, 2) if several else (0, 1), (side, (side + 1) // 2))
    half[int(chance.integers(side)), -1] = 1  # never empty
    half[int(chance.integers(side)), 0] = 1
    whole = np.concatenate([half, half[:, : side // 2][:, ::-1]], axis=1)
    cells = Image.fromarray(np.array(colours, np.uint8)[whole])
    margin = int(chance.choice((0, size // 12, size // 12, size // 8)))
    image = Image.new("RGB", (size, size), ground)
    inner = cells.resize((size - 2 * margin,) * 2, Image.Resampling.NEAREST)
    image.paste(inner, (margin, margin))
    return _cut(chance, image, ("square", "square", "square", "round"))


_SHAPES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0, 0), (1, 0), (0, 1)),
    ((0, 0), (1, 0), (1, 1), (0, 1)),
    ((0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)),
    ((0, 0), (0.5, 1), (1, 0)),
    ((0, 0), (0.5, 0), (1, 1), (0, 0.5)),
    ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)),
    ((0.5, 0), (1, 1), (0, 1)),
    ((0, 0), (0.5, 0), (0.5, 1), (0, 1)),
)
# The places of a cell and its turns, in a square of four by four cells.
_RINGS = (
    *(((0, 0), (3, 0), (3, 3), (0, 3)), ((1, 0), (3, 1), (2, 3), (0, 2))),
    *(((2, 0), (3, 2), (1, 3), (0, 1)), ((1, 1), (2, 1), (2, 2), (1, 2))),
)


def _turned(chance: _Chance, size: int) -> Image.Image:
    """Shapes that turn round the middle, as Gravatar's identicon and jdenticon."""
    ground, ink = _pair(chance)
    hue = _between(chance, 0, 1)
    inks = [ink, _colour(hue, 0.5, 0.5), _colour(hue, 0.4, 0.75)]
    image = Image.new("RGB", (size, size), ground)
    draw = ImageDraw.Draw(image)
    margin = size * float(chance.choice((0.0, 0.08)))
    cell = (size - 2 * margin) / 4
    shapes = [_SHAPES[int(one)] for one in chance.integers(len(_SHAPES), size=3)]
    fills = [inks[int(one)] for one in chance.integers(len(inks), size=3)]
    for ring, which in zip(_RINGS, (0, 1, 1, 2), strict=True):
        start = int(chance.integers(4)) if which != 1 else 0
        for turn, (column, row) in enumerate(ring):
            points = []
            for x, y in shapes[which]:
                for _ in range(turn + start):
                    x, y = 1 - y, x  # noqa: PLW2901 - a quarter turn
                points.append((margin + (column + x) * cell, margin + (row + y) * cell))
            draw.polygon(points, fill=fills[which])
    return image


# --- Silhouettes ---------------------------------------------------------------


def _figure(chance: _Chance, size: int) -> Image.Image:
    """A head and shoulders without features."""
    ground, ink = _pair(chance)
    if chance.random() < 0.5:
        light = round(_between(chance, 150, 225))
        ground, ink = (light, light, min(light + 8, 255)), (255, 255, 255)
        if chance.random() < 0.3:
            darker = round(_between(chance, 90, 140))
            ground, ink = ink, (darker,) * 3
    image = Image.new("RGB", (size, size), ground)
    draw = ImageDraw.Draw(image)
    person = Image.new("L", (size, size))
    shape = ImageDraw.Draw(person)
    head = size * _between(chance, 0.15, 0.21)
    middle, eyes = size / 2, size * _between(chance, 0.33, 0.42)
    tall = _between(chance, 1.0, 1.25)
    shape.ellipse((middle - head, eyes - head * tall, middle + head, eyes + head * tall), fill=255)
    wide = size * _between(chance, 0.28, 0.42)
    # Some have a gap between the head and the shoulders, some a neck.
    top = eyes + head * tall + size * _between(chance, 0.02, 0.06)
    if chance.random() < 0.4:
        neck = head * _between(chance, 0.4, 0.6)
        shape.rectangle((middle - neck, eyes, middle + neck, top + size * 0.1), fill=255)
    if chance.random() < 0.7:
        shape.ellipse((middle - wide, top, middle + wide, top + size * 0.9), fill=255)
    else:
        round_ = size * _between(chance, 0.1, 0.2)
        box = (middle - wide, top, middle + wide, size * 1.4)
        shape.rounded_rectangle(box, round_, fill=255)
    end = size if chance.random() < 0.7 else size * _between(chance, 0.8, 0.9)
    shape.rectangle((0, end, size, size), fill=0)
    if chance.random() < 0.12:
        # An outline as sets of icons have it: what is left of the shape without its inside.
        inside = person.filter(ImageFilter.MinFilter(2 * round(size * 0.02) + 1))
        person = ImageChops.subtract(person, inside)
    draw.bitmap((0, 0), person, fill=ink)
    if chance.random() < 0.15:
        # The head in another tone than the shoulders, as LinkedIn's.
        other = tuple(
            round(0.75 * one + 0.25 * below) for one, below in zip(ink, ground, strict=True)
        )
        face = Image.new("L", (size, size))
        box = (middle - head, eyes - head * tall, middle + head, eyes + head * tall)
        ImageDraw.Draw(face).ellipse(box, fill=255)
        draw.bitmap((0, 0), ImageChops.darker(face, person), fill=other)
    kinds = ("square", "square", "square", "circle", "circle white", "round")
    return _cut(chance, image, kinds)


# --- Photos, and art that somebody chose -----------------------------------------


def _noise(chance: _Chance, size: int, cells: int) -> np.ndarray:
    """Smooth noise from -1 to 1, `cells` waves across."""
    coarse = Image.fromarray(chance.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _scene(chance: _Chance, size: int) -> Image.Image:
    """Layers of noise in a few hues: ground, foliage, clouds, out of focus."""
    half = size // 2  # so smooth that nobody sees the difference
    base = np.array([_between(chance, 40, 200) for _ in range(3)], np.float32)
    field = np.zeros((half, half, 3), np.float32) + base
    for cells in (2, 3, 5, 9, 17):
        tint = np.array([_between(chance, 20, 90) for _ in range(3)], np.float32) / math.sqrt(cells)
        field += _noise(chance, half, cells)[..., None] * tint
        field += _noise(chance, half, cells)[..., None] * tint[::-1] * 0.5
    small = Image.fromarray(field.clip(0, 255).astype(np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC)


def _portrait(chance: _Chance, size: int) -> Image.Image:
    """A face in front of something out of focus, lit from one side."""
    image = _scene(chance, size).filter(ImageFilter.GaussianBlur(size / 40))
    skin = _colour(_between(chance, 0.03, 0.09), 0.4, _between(chance, 0.3, 0.75))
    hair = _colour(_between(chance, 0.02, 0.12), 0.4, _between(chance, 0.08, 0.5))
    coat = _colour(_between(chance, 0, 1), _between(chance, 0.1, 0.6), _between(chance, 0.2, 0.7))
    draw = ImageDraw.Draw(image)
    x, y = size * _between(chance, 0.42, 0.58), size * _between(chance, 0.36, 0.48)
    r = size * _between(chance, 0.17, 0.26)
    draw.ellipse((x - 2.1 * r, y + 1.3 * r, x + 2.1 * r, y + 5 * r), fill=coat)
    long_ = _between(chance, 0.2, 1.6)
    draw.ellipse((x - 1.2 * r, y - 1.5 * r, x + 1.2 * r, y + long_ * r), fill=hair)
    draw.rectangle((x - 0.4 * r, y, x + 0.4 * r, y + 1.6 * r), fill=skin)
    draw.ellipse((x - 0.9 * r, y - 1.1 * r, x + 0.9 * r, y + 1.2 * r), fill=skin)
    _features(chance, draw, (x, y, r), hair)
    light = _noise(chance, size, 3) * 40 + np.linspace(-1, 1, size) * _between(chance, -45, 45)
    shaded = np.asarray(image, np.float32) + light[..., None]
    return Image.fromarray(shaded.clip(0, 255).astype(np.uint8))


def _features(
    chance: _Chance, draw: ImageDraw.ImageDraw, head: tuple[float, float, float], hair: _Colour
) -> None:
    """Eyes, nose and mouth of a head at x and y with a radius."""
    x, y, r = head
    for side in (-1, 1):
        eye = x + side * 0.38 * r
        draw.ellipse((eye - 0.15 * r, y - 0.2 * r, eye + 0.15 * r, y + 0.02 * r), fill="white")
        draw.ellipse((eye - 0.08 * r, y - 0.18 * r, eye + 0.08 * r, y), fill=(40, 30, 30))
        draw.line(
            (eye - 0.2 * r, y - 0.35 * r, eye + 0.2 * r, y - 0.35 * r), hair, max(int(r / 9), 1)
        )
    mouth = (x - 0.35 * r, y + 0.35 * r, x + 0.35 * r, y + _between(chance, 0.6, 0.85) * r)
    draw.chord(mouth, 0, 180, fill=(160, 60, 70))


def _cartoon(chance: _Chance, size: int) -> Image.Image:
    """A flat drawing of a face, as people commission or choose."""
    ground = _colour(
        _between(chance, 0, 1), _between(chance, 0.3, 0.8), _between(chance, 0.5, 0.85)
    )
    skin = _colour(_between(chance, 0.03, 0.1), 0.5, _between(chance, 0.4, 0.8))
    hair = _colour(_between(chance, 0, 1), 0.5, _between(chance, 0.1, 0.5))
    coat = _colour(_between(chance, 0, 1), 0.6, _between(chance, 0.25, 0.6))
    image = Image.new("RGB", (size, size), ground)
    draw = ImageDraw.Draw(image)
    x, y, r = size / 2, size * _between(chance, 0.4, 0.48), size * _between(chance, 0.2, 0.27)
    draw.ellipse((x - 1.8 * r, y + 1.2 * r, x + 1.8 * r, y + 5 * r), fill=coat)
    draw.ellipse(
        (x - 1.25 * r, y - 1.4 * r, x + 1.25 * r, y + _between(chance, 0, 1) * r), fill=hair
    )
    draw.ellipse((x - r, y - 0.95 * r, x + r, y + 1.2 * r), fill=skin)
    _features(chance, draw, (x, y, r), hair)
    return _cut(chance, image, ("square", "square", "circle"))


def _poster(chance: _Chance, size: int) -> Image.Image:
    """Flat shapes in several colours: a landscape, a sign of a club, a pet."""
    image = _ground(chance, size, _colour(_between(chance, 0, 1), 0.5, 0.7), 1.0)
    draw = ImageDraw.Draw(image)
    for _ in range(int(chance.integers(6, 14))):
        x, y = (size * _between(chance, -0.1, 1.1) for _ in range(2))
        r = size * _between(chance, 0.06, 0.3)
        fill = _colour(
            _between(chance, 0, 1), _between(chance, 0.3, 0.9), _between(chance, 0.2, 0.8)
        )
        if chance.random() < 0.5:
            draw.ellipse((x - r, y - r * _between(chance, 0.4, 1), x + r, y + r), fill=fill)
        else:
            corners = [
                (x + r * _between(chance, -2, 2), y + r * _between(chance, -2, 2)) for _ in "abc"
            ]
            draw.polygon(corners, fill=fill)
    return image


def _grey(make: Callable[[_Chance, int], Image.Image]) -> Callable[[_Chance, int], Image.Image]:
    return lambda chance, size: make(chance, size).convert("L").convert("RGB")


def _grain(chance: _Chance, image: Image.Image) -> Image.Image:
    """The noise of a sensor; flat drawings get none."""
    flat = (image.width * image.height - 1) // 4  # so many colours at most
    if image.getcolors(flat) is not None:  # None: it has more
        return image
    field = np.asarray(image.convert("RGB"), np.float32)
    grain = chance.normal(0, _between(chance, 0, 6), (*field.shape[:2], 1))
    return Image.fromarray((field + grain).clip(0, 255).astype(np.uint8))


# --- Plain ---------------------------------------------------------------------


def _plain(chance: _Chance, size: int) -> Image.Image:
    """One colour or a gradient."""
    ground, _ = _pair(chance)
    return _cut(
        chance, _ground(chance, size, ground, float(chance.choice((0, 0, 1)))), ("square", "circle")
    )


def _clear(chance: _Chance, size: int) -> Image.Image:  # noqa: ARG001 - one of many makers
    """Nothing at all: a transparent square."""
    return Image.new("RGBA", (size, size), (0, 0, 0, 0))


_MAKERS: dict[Content, tuple[Callable[[_Chance, int], Image.Image], ...]] = {
    Content.PHOTO: (_portrait, _portrait, _portrait, _scene, _cartoon, _poster, _grey(_portrait)),
    Content.PATTERN: (_cells, _cells, _turned),
    Content.SILHOUETTE: (_figure,),
    Content.PLAIN: (_plain, _plain, _clear),
}
