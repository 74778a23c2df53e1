"""What a picture shows, judged by its pixels: a photo, letters, a pattern, a silhouette, nothing.

Services draw letters, patterns and silhouettes under the same addresses as people's photos: an
address does not tell them apart, the pixels do. NumPy and Pillow, no trained model: the picture is
brought to 64 pixels, its ground (one colour or an even gradient) is found, and what stands out
on it is judged by its shape. Whatever is none of these is a photo, or art that somebody chose.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Content(StrEnum):
    """What a picture shows."""

    PHOTO = "photo"
    LETTERS = "letters"
    PATTERN = "pattern"
    SILHOUETTE = "silhouette"
    PLAIN = "plain"


_Floats = NDArray[np.float32]
_Field = _Floats  # 3 x 64 x 64: red, green and blue, 0 to 255
_Level = _Floats  # 64 x 64
_Mask = NDArray[np.bool_]  # 64 x 64

_SIDE = 64
_LEAST = 8  # pixels: in a smaller picture nothing can be seen
_SEEN = 0.02  # the share of a picture that has to be opaque, or to stand out, to be seen
_ACROSS, _DOWN = np.meshgrid(*(np.linspace(-1, 1, _SIDE, dtype=np.float32),) * 2)
_RADIUS = np.hypot(_ACROSS, _DOWN)
_PLANE = np.stack([np.ones_like(_ACROSS), _ACROSS, _DOWN]).reshape(3, -1)
_PLANE_OF_FOURTH = _PLANE.reshape(3, _SIDE, _SIDE)[:, ::2, ::2].reshape(3, -1)
_FLAT = np.array([1, 0, 0], np.float32)
_RING = (_RADIUS > 0.72) & (_RADIUS < 0.92)
_OUTSIDE = _RADIUS > 0.93
_RIM = (_RADIUS > 1.02) & (_RADIUS < 1.12)
_MIXED = np.array([0.3, 0.59, 0.11], np.float32)
_CORNERS = (np.abs(_ACROSS) > 0.95) & (np.abs(_DOWN) > 0.95)


def content_of(image: Image.Image) -> Content:
    """Tell what a picture shows; PHOTO is also art of any kind: drawn faces, logos, landscapes.

    Args:
        image: of any size and mode; of one that is not square, the middle is judged.
    """
    field = _normal(image)
    if field is None:
        return Content.PLAIN
    seen = _Seen(field)
    if seen.is_plain:
        return Content.PLAIN
    if seen.is_silhouette:
        return Content.SILHOUETTE
    if seen.is_pattern:
        return Content.PATTERN
    if seen.is_letters:
        return Content.LETTERS
    return Content.PHOTO


def _normal(image: Image.Image) -> _Field | None:
    """Return the middle square in 64 x 64 pixels, on white or grey; None where nothing is seen."""
    side = min(image.size)
    if side < _LEAST:
        return None
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if image.mode != "RGB":
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] == 255:
            image = image.convert("RGB")
    way = Image.Resampling.BOX if side >= _SIDE else Image.Resampling.BILINEAR
    small = image.resize((_SIDE, _SIDE), way, box=box, reducing_gap=1.0)
    field = np.asarray(small).transpose(2, 0, 1).astype(np.float32)
    if image.mode == "RGB":
        return field
    colours, opaque = field[:3], field[3] / 255
    if opaque.mean() < _SEEN:
        return None
    light = (colours * opaque).sum() / opaque.sum() / 3
    # What is white on nothing would not show on white.
    behind = 255.0 if light < 225 else 96.0
    return np.asarray(colours * opaque + behind * (1 - opaque), np.float32)


class _Seen:
    """What was measured of one picture; each value when it is first needed."""

    def __init__(self, field: _Field) -> None:
        self.field, self.ground = _without_corners(_tile(field))
        self.away = _largest(self.field - self.ground)
        self.steps = _range(self.field)

    @property
    def is_plain(self) -> bool:
        """Whether nothing stands out: one colour, or a gradient without any edge."""
        stands_out = float((self.away > 16).mean())
        if stands_out < 0.006 or (stands_out < 0.05 and not self.parts):
            return True
        return float(np.quantile(self.steps, 0.99)) < 7

    @cached_property
    def contrast(self) -> float:
        """How far what stands out is from the ground, 0 to 255."""
        apart = self.away[self.away > 12]
        return float(np.quantile(apart, 0.9)) if apart.size else 0.0

    @cached_property
    def ink(self) -> _Mask:
        """What stands out."""
        return (self.away > max(0.38 * self.contrast, 12)) & (_RADIUS < 1.12)

    @cached_property
    def parts(self) -> list["_Part"]:
        """The connected parts of the ink, the largest first, without specks."""
        return _parts(self.ink)

    @cached_property
    def tones(self) -> float:
        """The share of pixels that are neither the ground, nor the ink, nor between the two."""
        far = self.away > 0.8 * self.contrast
        ink = self.field[:, far].mean(axis=1)[:, None, None]
        way, here = ink - self.ground, self.field - self.ground
        share = (here * way).sum(axis=0) / ((way**2).sum(axis=0) + 1)
        rest = _largest(here - share * way)
        between = (share > 0.2) & (share < 0.8) & (self.steps < 0.3 * self.contrast)
        return float(((rest > 0.2 * self.contrast + 8) | between | (share < -0.3)).mean())

    @cached_property
    def colours(self) -> int:
        """How many colours nine of ten pixels have that are not on an edge."""
        flat = self.field[:, self.steps < 16]
        counts = np.bincount(_codes(flat)) if flat.size else np.zeros(1, int)
        running = np.cumsum(np.sort(counts)[::-1])
        return int(np.searchsorted(running, 0.9 * running[-1])) + 1

    @cached_property
    def level(self) -> _Level:
        """How bright each pixel is: JPEG keeps that finer than the colour."""
        return np.asarray(np.tensordot(_MIXED, self.field, 1))

    @cached_property
    def mirrored(self) -> float:
        """How alike the left and the right half are, 1 where they are the same."""
        return _alike(self.level, self.level[:, ::-1])

    @cached_property
    def turned(self) -> float:
        """How alike the picture and itself after a quarter turn are."""
        return _alike(self.level, np.rot90(self.level))

    @property
    def is_silhouette(self) -> bool:
        """Whether there is a head above shoulders, without features."""
        return _is_person(self.ink, self.steps > 0.22 * self.contrast)

    @property
    def is_pattern(self) -> bool:
        """Whether there are cells on a grid, or shapes that turn round the middle."""
        top, bottom, left, right = _box(self.ink)
        short, long_ = sorted((bottom - top, right - left))
        if self.turned > (0.66 if short > 0.48 * _SIDE else 0.75):
            return True
        if long_ < 0.6 * _SIDE:
            return False
        upright, on_grid = _upright(self.field), _on_grid(self.field)
        if self.mirrored > 0.7 and upright > 0.68 and on_grid > 0.3 and short > 0.48 * _SIDE:
            return True
        # Not mirrored, or with empty rows: only where all is on the grid.
        is_exact = upright > 0.8 and on_grid > (0.6 if self.mirrored > 0.9 else 0.75)
        return is_exact and self.colours <= 12

    @property
    def is_letters(self) -> bool:
        """Whether there are one to three letters in the middle."""
        return self.tones < 0.09 and _is_text(self.parts)


# --- The ground -----------------------------------------------------------------


def _largest(field: _Floats) -> _Floats:
    """Return the largest of the three colours' distances."""
    red, green, blue = np.abs(field)
    return np.asarray(np.maximum(np.maximum(red, green), blue))


def _corner(field: _Field) -> _Floats | None:
    """Return the colour of the four corners, or None where they differ."""
    four = field[:, _CORNERS]
    return four.mean(axis=1) if (four.max(axis=1) - four.min(axis=1)).max() < 30 else None


def _tile(field: _Field) -> _Field:
    """Cut to a tile that does not fill the picture: a disc with a margin."""
    corner = _corner(field)
    if corner is None:
        return field
    stands_out = _largest(field - corner[:, None, None]) > 16
    top, bottom, left, right = _box(stands_out)
    tall, wide = bottom - top, right - left
    if not (
        min(tall, wide) >= 0.7 * _SIDE and max(tall, wide) < _SIDE - 2 and abs(tall - wide) < 4
    ):
        return field
    # Row by row, from its first to its last pixel, it is as wide as a disc.
    inside = stands_out[top:bottom, left:right]
    extent = wide - inside[:, ::-1].argmax(axis=1) - inside.argmax(axis=1)
    down = np.linspace(-1, 1, tall)
    if np.abs(extent - wide * np.sqrt(1 - down**2)).mean() > 0.06 * wide:
        return field
    rows, columns = (
        np.linspace(low, high - 1, _SIDE).round().astype(int)
        for low, high in ((top, bottom), (left, right))
    )
    return field[:, rows[:, None], columns]


def _without_corners(field: _Field) -> tuple[_Field, _Field]:
    """Fill corners that were cut off with the ground; return the picture and the ground."""
    ground = _ground(field)
    corner = _corner(field)
    if corner is None:
        return field, ground
    gap = np.abs(_common(field[:, _RING]) - corner).max()
    if gap < 16:
        return field, ground
    cut = _largest(field - corner[:, None, None]) < 0.8 * gap
    is_disc = cut[_RIM].mean() > 0.6
    outside = _RADIUS > 0.87 if is_disc else _spread(_spread(_OUTSIDE & cut)) & (_RADIUS > 0.9)
    return np.where(outside, ground, field), ground


def _codes(colours: _Floats) -> NDArray[np.int32]:
    """Return one number for each of colours, 3 x n: the same for those that look alike."""
    red, green, blue = (colours / 24).astype(np.int32)
    return np.asarray((red * 16 + green) * 16 + blue)


def _common(colours: _Floats) -> _Floats:
    """Return the most common of colours, 3 x n."""
    codes = _codes(colours)
    return np.asarray(colours[:, codes == np.bincount(codes).argmax()].mean(axis=1))


def _ground(field: _Field) -> _Field:
    """Return the ground at each pixel: the plane through what is most common at the rim."""
    rim, plane_of_rim = field[:, _RING], _PLANE[:, _RING.ravel()]
    ground: _Floats = _common(rim)[:, None] * _FLAT
    for colours, plane in (
        (rim, plane_of_rim),
        (rim, plane_of_rim),
        (field[:, ::2, ::2].reshape(3, -1), _PLANE_OF_FOURTH),
    ):
        near = _largest(colours - ground @ plane) < 20
        if near.sum() < 40:
            break
        weighed = plane * near
        try:
            turn = np.linalg.inv(weighed @ plane.T).astype(np.float32)
            ground = np.asarray(colours @ weighed.T @ turn, np.float32)
        except np.linalg.LinAlgError:  # all in one line
            break
    # Beyond the pixels that it was found from, a plane leads anywhere.
    return (ground @ _PLANE).clip(0, 255).astype(np.float32).reshape(field.shape)


# --- Measures --------------------------------------------------------------------


def _range(field: _Field) -> _Level:
    """Return for each pixel the largest step to a neighbour."""
    across, down = _largest(np.diff(field, axis=2)), _largest(np.diff(field, axis=1))
    steps = np.zeros((_SIDE, _SIDE), np.float32)
    steps[:, 1:] = across
    np.maximum(steps[:, :-1], across, out=steps[:, :-1])
    np.maximum(steps[1:], down, out=steps[1:])
    np.maximum(steps[:-1], down, out=steps[:-1])
    return steps


def _spread(mask: _Mask) -> _Mask:
    """Add every neighbour."""
    wide = mask.copy()
    wide[1:] |= mask[:-1]
    wide[:-1] |= mask[1:]
    both = wide.copy()
    both[:, 1:] |= wide[:, :-1]
    both[:, :-1] |= wide[:, 1:]
    return both


def _alike(one: _Level, other: _Level) -> float:
    spread = np.abs(one - one.mean()).mean()
    return 1 - float(np.abs(one - other).mean() / (spread + 1e-3))


def _box(mask: _Mask) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of what is set."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _grids() -> _Floats:
    """Return for each grid which of the 63 steps between pixels lie on its lines."""
    rows = []
    for cells in range(4, 11):
        for margin in np.arange(0, 0.17, 0.014):
            lines = (margin + (1 - 2 * margin) * np.arange(cells + 1) / cells) * _SIDE - 1
            rows.append(np.abs(np.arange(_SIDE - 1)[:, None] - lines).min(axis=1) < 1.2)
    return np.array(rows, np.float32)


_GRIDS = _grids()
_COVERED = _GRIDS.mean(axis=1)


def _on_grid(field: _Field) -> float:
    """Return how much more of all steps lies on the lines of the best grid than by chance."""
    across, down = _largest(np.diff(field, axis=2)), _largest(np.diff(field, axis=1))
    least = max(0.1 * float(across.max()), 5)
    columns = (across * (across > least)).sum(axis=0)
    rows = (down * (down > least)).sum(axis=1)
    worse = np.minimum(*(_GRIDS @ (one / (one.sum() + 1)) for one in (columns, rows)))
    return float(((worse - _COVERED) / (1 - _COVERED)).max())


def _upright(field: _Field) -> float:
    """Return how much of all edges is level or upright: 1 where there are cells only."""
    across = _largest(field[:, 1:-1, 2:] - field[:, 1:-1, :-2])
    down = _largest(field[:, 2:, 1:-1] - field[:, :-2, 1:-1])
    more, less = np.maximum(across, down), np.minimum(across, down)
    edges = more > max(0.25 * float(more.max()), 8)
    return 1 - float(less[edges].sum() / (more[edges].sum() + 1))


# --- Shapes ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """One connected part of the ink: its box and its pixels."""

    top: int
    bottom: int
    left: int
    right: int
    area: int
    runs: int  # pieces of rows: more than rows where it is not solid


def _parts(mask: _Mask) -> list[_Part]:
    """Return the connected parts (with diagonals) of 6 pixels or more, the largest first."""
    padded = np.zeros((_SIDE, _SIDE + 2), np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)
    rows, starts = np.nonzero(change == 1)
    ends = np.nonzero(change == -1)[1]
    runs = list(zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True))
    parent = list(range(len(runs)))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    above: list[int] = []
    here: list[int] = []
    row = -1
    for number, (at, start, end) in enumerate(runs):
        if at != row:
            above, here, row = (here if at == row + 1 else []), [], at
        here.append(number)
        for other in above:
            if runs[other][1] <= end and start <= runs[other][2]:
                parent[root(other)] = root(number)
    found: dict[int, list[int]] = {}
    for number, (at, start, end) in enumerate(runs):
        part = found.setdefault(root(number), [at, at, start, end, 0, 0])
        part[1], part[2], part[3] = at, min(part[2], start), max(part[3], end)
        part[4], part[5] = part[4] + end - start, part[5] + 1
    parts = [_Part(one[0], one[1] + 1, *one[2:]) for one in found.values() if one[4] >= 6]
    return sorted(parts, key=lambda part: -part.area)


def _is_person(ink: _Mask, edges: _Mask) -> bool:
    """Whether a mask is a head above shoulders, filled or an outline, and nothing within."""
    count = ink.sum(axis=1)
    top, bottom, _, _ = _box(ink)
    if top > 0.4 * _SIDE or bottom < 0.72 * _SIDE or bottom - top < 0.5 * _SIDE:
        return False
    mirrored = ink[:, ::-1]
    left, right = ink.argmax(axis=1), _SIDE - mirrored.argmax(axis=1)
    wide = np.where(count > 0, right - left, 0)
    neck = _neck(wide[top:bottom])
    if neck is None or (ink & mirrored).sum() < 0.72 * (ink | mirrored).sum():
        return False
    # The shoulders begin where it is nearly as wide as anywhere below.
    below = wide[top + neck : bottom]
    shoulders = top + neck + int((below > 0.75 * below.max()).argmax())
    columns = np.arange(_SIDE)
    for low, high in ((top, top + neck - 1), (shoulders, bottom)):
        part = slice(low, high)
        share = count[part].sum() / max(wide[part].sum(), 1)
        if 0.6 < share < 0.9 or (share < 0.6 and bottom < 0.8 * _SIDE):
            return False
        # Eyes, a mouth, hair, a tie: some pixels away from the outline.
        inner = (columns > left[part, None] + 5) & (columns < right[part, None] - 6)
        inner[:6] = inner[-6:] = False
        if (edges[part] & inner).sum() > 0.05 * inner.sum() + 2:
            return False
    return True


def _neck(wide: NDArray[np.int_]) -> int | None:
    """Return the row of the neck in a person's width by row, from the top; None if no person."""
    best, found = 1.0, None
    for row in range(4, int(0.8 * len(wide)) - 2):
        head, below = wide[:row].max(), wide[row:].max()
        depth = wide[row] / head
        shoulders = 1.05 if depth < 0.6 else 1.2
        is_head = 0.12 * _SIDE < head < 0.6 * _SIDE and 0.6 < row / head < 2.2
        if is_head and depth <= min(0.85, best - 1e-6) and below >= shoulders * head:
            best, found = depth, row
    return found


def _is_text(parts: list[_Part]) -> bool:
    """Whether parts are one to three letters in a row in the middle."""
    if not parts:
        return False
    top, bottom = min(one.top for one in parts), max(one.bottom for one in parts)
    left, right = min(one.left for one in parts), max(one.right for one in parts)
    tall, wide = bottom - top, right - left
    fits = 0.12 * _SIDE <= tall <= 0.64 * _SIDE and wide <= 0.94 * _SIDE
    if not fits or len(parts) > 9 or min(top, left, _SIDE - bottom, _SIDE - right) < 2:
        return False
    off = max(abs(top + bottom - _SIDE), abs(left + right - _SIDE)) / 2
    area = sum(one.area for one in parts)
    if off > 0.15 * _SIDE or not 0.008 < area / _SIDE**2 < 0.4:
        return False
    is_solid = len(parts) == 1 and parts[0].runs <= tall + 1
    is_mark = is_solid and area > 0.7 * tall * wide and wide > 0.5 * tall
    # Thin strokes break: what is small says nothing.
    letters = _letters([one for one in parts if one.area > 0.06 * area])
    return not is_mark and len(letters) <= 5 and all(_is_letter(one, tall) for one in letters)


def _letters(parts: list[_Part]) -> list[list[_Part]]:
    """Return the parts of each letter: those above each other are of one letter."""
    letters: list[list[_Part]] = []
    end = -1.0
    for part in sorted(parts, key=lambda one: one.left):
        if part.left < end - 1:
            letters[-1].append(part)
        else:
            letters.append([part])
        end = max(end, part.right)
    return letters


def _is_letter(parts: list[_Part], tall: int) -> bool:
    """Whether parts are a letter with its dots or strokes, and not eyes above a mouth."""
    top, bottom = min(one.top for one in parts), max(one.bottom for one in parts)
    height = bottom - top
    if height < 0.3 * tall or len(parts) > 5:
        return False
    # A body with dots, or strokes above each other.
    has_body = max(one.bottom - one.top for one in parts) > 0.5 * height
    is_stack = all(
        one.top >= other.bottom or other.top >= one.bottom for one, other in combinations(parts, 2)
    )
    within = sum(
        one.top < other.top
        and other.bottom < one.bottom
        and one.left < other.left
        and other.right < one.right
        for one, other in permutations(parts, 2)
    )
    return (has_body or is_stack) and within < 2
