import io
import struct
import zlib
from importlib import import_module

import pytest
from PIL import Image

from tests.images.webhost import face, saved
from toolkit.images.decode import (
    Unreadable,
    decoded,
    initials,
    rounded,
    silhouette,
    thumbnail,
)


def opened(png):
    return Image.open(io.BytesIO(png))


def png_of(width, height):
    """Write a PNG that claims a size and holds next to nothing."""

    def chunk(name, data):
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_becomes_a_small_square_png(kind):
    wide = face(200).resize((400, 200))
    picture = opened(thumbnail(saved(wide, kind), 48))
    assert (picture.format, picture.size) == ("PNG", (48, 48))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_pictures_of_every_depth_can_be_drawn(mode):
    grey = Image.new("L", (64, 64), 128)
    image = Image.new("I;16", (64, 64), 128 * 256) if mode == "I;16" else grey.convert(mode)
    kind = "JPEG" if mode == "CMYK" else "PNG"
    picture = decoded(saved(image, kind))
    assert isinstance(picture, Image.Image)
    red, green, blue, alpha = picture.getpixel((32, 32))
    assert alpha == 255
    assert mode == "1" or all(abs(value - 128) < 4 for value in (red, green, blue))


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 1), (1, 2**31 - 1), (5001, 5000)])
def test_a_decompression_bomb_is_not_decoded(size):
    answer = decoded(png_of(*size))
    assert isinstance(answer, Unreadable)
    assert "pixels" in answer.reason


def test_a_webp_bomb_is_refused_before_its_decoder_takes_memory():
    for chunk in (
        b"VP8X" + struct.pack("<I", 10) + b"\0" * 4 + b"\xfe\x3f\x00" * 2,
        b"VP8L" + struct.pack("<I", 10) + b"\x2f" + b"\xff\xff\xff\x0f",
        b"VP8 " + struct.pack("<I", 10) + b"\0\0\0\x9d\x01\x2a" + b"\xff\x3f" * 2,
    ):
        body = b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk
        answer = decoded(body)
        assert isinstance(answer, Unreadable)
        assert "pixels" in answer.reason


@pytest.mark.parametrize("lossless", [True, False])
def test_the_size_of_a_real_webp_is_read_from_its_header(lossless, monkeypatch):
    monkeypatch.setattr(import_module("toolkit.images.decode"), "MOST_PIXELS", 64 * 64 - 1)
    for mode in ("RGB", "RGBA"):
        body = saved(face(64).convert(mode), "WEBP", lossless=lossless)
        assert isinstance(decoded(body), Unreadable)


def test_a_gif_bomb_is_not_decoded():
    small = bytearray(saved(face(8), "GIF"))
    small[6:10] = b"\xff\xff\xff\xff"
    assert isinstance(decoded(bytes(small)), Unreadable)


def test_a_jpeg_of_very_many_scans_is_not_decoded():
    body = saved(face(64), "JPEG", progressive=True)
    assert isinstance(decoded(body), Image.Image)
    assert isinstance(decoded(body + b"\xff\xda" * 100), Unreadable)


def test_only_the_first_frame_is_drawn():
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("#f00", "#00f"))
    body = saved(red, "GIF", save_all=True, append_images=[blue])
    assert decoded(body).getpixel((4, 4))[:3] == (255, 0, 0)


def test_a_picture_is_turned_as_its_exif_says():
    image = Image.new("RGB", (20, 10), "#fff")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decoded(saved(image, "JPEG", exif=exif))
    assert (picture.width, picture.height) == (10, 20)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no image"),
        (b"<html>", "no image"),
        (b"<svg onload='alert(1)'/>", "SVG"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (saved(face(8), "BMP"), "BMP"),
        (saved(face(64))[:-100], "broken"),
        (saved(face(64), "JPEG")[:200], "broken"),
        (saved(face(64), "GIF")[:30], "broken"),
        (saved(face(64), "WEBP")[:60], "broken"),
        (b"\x89PNG\r\n\x1a\n", "broken"),
    ],
)
def test_what_cannot_be_drawn_is_answered_with_the_reason(body, why):
    answer = thumbnail(body)
    assert isinstance(answer, Unreadable)
    assert why in answer.reason


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_no_broken_picture_raises(kind):
    body = saved(face(32), kind)
    for place in range(0, len(body), max(1, len(body) // 60)):
        broken = bytearray(body)
        broken[place] ^= 0xFF
        assert isinstance(decoded(bytes(broken)), Image.Image | Unreadable)


def test_a_circle_leaves_the_corners_transparent():
    image = rounded(face(64).convert("RGBA"))
    assert image.getpixel((0, 0))[3] == 0
    assert image.getpixel((32, 32))[3] == 255
    assert image.getpixel((32, 1))[3] == 255


@pytest.mark.parametrize("text", ["", "a", "cs", "Ümlaut", "<script>", "\u202e\u2028", "😀"])
def test_placeholders_are_drawn_for_any_letters(text):
    assert opened(initials(text, 40)).size == (40, 40)


def test_nobody_in_particular_has_an_outline():
    assert opened(silhouette(40)).size == (40, 40)
