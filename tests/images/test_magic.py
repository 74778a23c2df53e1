"""The first bytes of pictures, and of what is none."""

import pytest

from tests.images.webhost import face, saved
from toolkit.images.decode import kind_of


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (saved(face(8)), "png"),
        (saved(face(8), "JPEG"), "jpeg"),
        (saved(face(8), "GIF"), "gif"),
        (saved(face(8), "WEBP"), "webp"),
        (saved(face(8), "AVIF"), "avif"),
        (saved(face(8), "BMP"), "bmp"),
        (saved(face(16), "ICO"), "ico"),
        (b"\xef\xbb\xbf <?xml version='1.0'?><!-- x --><svg/>", "svg"),
        (b"<!DOCTYPE html><html>", None),
        (b"", None),
    ],
)
def test_the_kind_of_a_picture_is_read_off_its_first_bytes(body, kind):
    assert kind_of(body) == kind
