import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.images.webhost import face
from toolkit.images.candidate_checks import DARK, LIGHT, detail_left, lost_in_corners, rim


def plain(colour, size=300):
    return Image.new("RGBA", (size, size), colour)


def noise(cell):
    """Draw black and white squares at random, each of so many pixels."""
    cells = np.random.default_rng(1).integers(0, 2, (512 // cell, 512 // cell)) * 255
    return Image.fromarray(cells.astype("uint8")).resize((512, 512), 0).convert("RGBA")


@pytest.mark.parametrize(
    ("colour", "page", "contrast"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#ffffff", 1.0),
        ("#767676", "#ffffff", 4.54),
        ("#111827", DARK, 1.0),
        ("#ffffff", DARK, 17.74),
    ],
)
def test_contrast_is_that_of_wcag(colour, page, contrast):
    found = rim(plain(colour), page)
    assert found.contrast == pytest.approx(contrast, abs=0.01)
    assert not found.transparent


def test_behind_a_transparent_rim_what_is_seen_inside_counts():
    image = plain((0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((90, 90, 210, 210), fill="#000")
    light, dark = rim(image, LIGHT), rim(image, DARK)
    assert light.transparent
    assert dark.transparent
    assert light.contrast == pytest.approx(21, abs=0.01)
    assert dark.contrast < 1.3


def test_a_picture_of_nothing_does_not_stand_out():
    found = rim(plain((0, 0, 0, 0)), LIGHT)
    assert (found.contrast, found.transparent) == (1.0, True)


def test_the_rim_counts_and_not_the_middle():
    image = plain("#ffffff")
    ImageDraw.Draw(image).ellipse((60, 60, 240, 240), fill="#000")
    assert rim(image, LIGHT).contrast == pytest.approx(1)


def test_what_stands_in_the_corners_is_lost_in_a_circle():
    centred, corners = plain("#fff"), plain("#fff")
    ImageDraw.Draw(centred).ellipse((100, 100, 200, 200), fill="#000")
    draw = ImageDraw.Draw(corners)
    for x, y in ((10, 10), (270, 10), (10, 270), (270, 270)):
        draw.ellipse((x, y, x + 20, y + 20), fill="#000")
    assert lost_in_corners(centred) == 0
    assert lost_in_corners(corners) == 1
    assert lost_in_corners(plain("#123456")) == 0


def test_a_smooth_background_is_no_content():
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 512, dtype="uint8"), (512, 1)))
    assert lost_in_corners(ramp.convert("RGBA")) == 0


def test_coarse_shapes_survive_at_32_pixels_and_fine_ones_do_not():
    assert detail_left(noise(64)).kept > 0.8
    assert detail_left(noise(2)).kept < 0.2
    assert detail_left(face().convert("RGBA")).kept > 0.8


def test_one_colour_has_nothing_to_read():
    assert detail_left(plain("#2f6fb0")).contrast == pytest.approx(1)
    assert detail_left(plain("#2f6fb0")).kept == 1
    assert detail_left(face().convert("RGBA")).contrast > 3


def test_a_white_drawing_on_nothing_is_read_on_a_dark_page():
    image = plain((0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((90, 90, 210, 210), fill="#fff")
    assert detail_left(image).contrast > 10
