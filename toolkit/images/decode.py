"""Pictures from anywhere, decoded safely, and pictures drawn here.

Only PNG, JPEG, GIF and WebP are decoded, each by its own decoder, chosen by the first
bytes. The size is read from the header before anything is decoded. SVG can hold scripts and
addresses and is never drawn.
"""

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

# The first bytes of what browsers show in an <img> (WHATWG MIME Sniffing, "Matching an
# image type pattern"; ISO BMFF brands for AVIF and HEIC).
_MAGIC = (
    ("png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("jpeg", re.compile(rb"\xff\xd8\xff")),
    ("gif", re.compile(rb"GIF8[79]a")),
    ("webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("avif", re.compile(rb"....ftypavi[fs]", re.DOTALL)),
    ("heic", re.compile(rb"....ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)", re.DOTALL)),
    ("bmp", re.compile(rb"BM.{12}", re.DOTALL)),
    ("ico", re.compile(rb"\x00\x00\x01\x00")),
    ("svg", re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:svg[\s>]|(?:\?xml|!).*<svg)", re.DOTALL)),
)
_SNIFFED = 1024  # bytes


def kind_of(body: bytes) -> str | None:
    """Return `png`, `jpeg`, `gif`, `webp`, `avif`, `heic`, `bmp`, `ico`, `svg`, or None.

    An image's first kilobyte is enough.
    """
    return next((kind for kind, magic in _MAGIC if magic.match(body[:_SNIFFED])), None)


MOST_PIXELS = 25_000_000
"""Pixels that a picture may have: 100 MB once decoded."""

# Image.open() warns of large pictures through `warnings`, which threads share; the
# decoders themselves do not, and the size is checked here.
_DECODERS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "png": PngImageFile,
    "jpeg": JpegImageFile,
    "gif": GifImageFile,
    "webp": WebPImageFile,
}
# Each scan of a progressive JPEG is a pass over the whole picture; encoders write ten.
_MOST_SCANS = 64
_SCAN = b"\xff\xda"
# Smooth edges: the circle is drawn larger and then reduced.
_SMOOTHING = 4
_REMEMBERED = 256  # pictures that were drawn


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a picture cannot be drawn, in words."""

    reason: str


def decoded(body: bytes) -> Image.Image | Unreadable:
    """Decode a picture's first frame as RGBA, turned as its EXIF says. Never raises."""
    kind = kind_of(body)
    if kind not in _DECODERS:
        return Unreadable("it is no image" if kind is None else f"{kind.upper()} is not drawn here")
    if kind == "webp" and _too_large(_webp_size(body)):
        return _TOO_LARGE  # its decoder takes the memory as soon as it is made
    if kind == "jpeg" and body.count(_SCAN) > _MOST_SCANS:
        return Unreadable("it would take too long to decode: it is a JPEG of very many scans")
    try:
        with _DECODERS[kind](io.BytesIO(body)) as picture:
            if _too_large(picture.size):
                return _TOO_LARGE
            picture.load()
            return ImageOps.exif_transpose(_eight_bits(picture)).convert("RGBA")
    except Exception as error:  # noqa: BLE001 - a hostile file makes Pillow raise almost anything
        return Unreadable(f"it is broken: it cannot be decoded ({type(error).__name__})")


def thumbnail(body: bytes, size: int = 64) -> bytes | Unreadable:
    """Return a picture's middle square as PNG bytes, `size` pixels wide, or why there are none."""
    picture = decoded(body)
    return picture if isinstance(picture, Unreadable) else encoded(squared(picture, size))


def squared(image: Image.Image, size: int) -> Image.Image:
    """Cut the middle square out of a picture and bring it to `size` pixels."""
    return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)


def rounded(image: Image.Image) -> Image.Image:
    """Cut the largest circle out of a square RGBA picture; the rest turns transparent."""
    side = image.width * _SMOOTHING
    circle = Image.new("L", (side, side))
    ImageDraw.Draw(circle).ellipse((0, 0, side - 1, side - 1), fill=255)
    clear = Image.new("RGBA", image.size)
    return Image.composite(image, clear, circle.resize(image.size, Image.Resampling.BOX))


def encoded(image: Image.Image, kind: str = "png") -> bytes:
    """Return a picture as the bytes of a file, `png` or `jpeg`."""
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()


_TOO_LARGE = Unreadable(f"it has more than {MOST_PIXELS:,} pixels")


def _too_large(size: tuple[int, int]) -> bool:
    return size[0] * size[1] > MOST_PIXELS


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Bring 16-bit grey to 8 bits: Pillow would cut it off at 255 instead."""
    if not picture.mode.startswith("I"):
        return picture
    return picture.convert("I").point(lambda value: value / 256).convert("L")


def _webp_size(body: bytes) -> tuple[int, int]:
    """Read width and height from a WebP header (RFC 9649); (0, 0) where there are none."""
    chunk, head = body[12:16], body[:30].ljust(30, b"\0")
    if chunk == b"VP8X":
        return _little(head[24:27]) + 1, _little(head[27:30]) + 1
    if chunk == b"VP8L":
        bits = _little(head[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return _little(head[26:28]) & 0x3FFF, _little(head[28:30]) & 0x3FFF
    return 0, 0


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


# Pictures that are drawn: the same arguments always give the same bytes.


@lru_cache(maxsize=_REMEMBERED)
def silhouette(size: int = 64, kind: str = "png") -> bytes:
    """Draw the outline of a person without features."""
    image = Image.new("RGB", (size, size), "#c6ccd2")
    draw = ImageDraw.Draw(image)
    draw.ellipse((size * 0.32, size * 0.18, size * 0.68, size * 0.54), fill="white")
    draw.ellipse((size * 0.14, size * 0.62, size * 0.86, size * 1.4), fill="white")
    return encoded(image, kind)


@lru_cache(maxsize=_REMEMBERED)
def letters(text: str, size: int = 128) -> bytes:
    """Draw a few letters on a coloured square."""
    hue = hashlib.sha256(text.encode()).digest()[0] * 360 // 256
    image = Image.new("RGB", (size, size), ImageColor.getrgb(f"hsl({hue}, 45%, 45%)"))
    middle = (size / 2, size / 2)
    font = ImageFont.load_default(size * 0.45)
    ImageDraw.Draw(image).text(middle, text, fill="white", font=font, anchor="mm")
    return encoded(image)


def initials(text: str, size: int = 64) -> bytes:
    """Draw up to two letters on a coloured square, as Auth0 does."""
    return letters(text.strip()[:2].upper() or "?", size)
