"""What an image is, read off its first bytes; what a server calls it does not count."""

import re

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

    Args:
        body: an image, or its first kilobyte.
    """
    return next((kind for kind, magic in _MAGIC if magic.match(body[:_SNIFFED])), None)
