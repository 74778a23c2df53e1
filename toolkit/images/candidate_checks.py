"""A picture that might become everybody's default: checked before any user is changed.

The default is the `d=` of Gravatar URLs, so Gravatar's rules decide. Facts: Gravatar's
documentation, "Images" (a default is publicly reachable, http or https on the standard
port, ends in jpg, jpeg, gif, png or heic, has no query string, which it would ignore), and
Jetpack's on Photon, the proxy through which Gravatar serves such defaults (fetches gif,
png and jpg; keeps its first copy for ever). Auth0's Gravatar URLs ask for `s=480`.

What can be recognised is measured on the middle square, as apps show it. Contrast is that of WCAG 2
("contrast ratio"): 1 is none, 21 is black on white; WCAG 1.4.11 asks for 3 where there is no text.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from toolkit.images.address import (
    Address,
    Outcome,
    Refusal,
    Resolver,
    by_dns,
    excepted,
    host_refusal,
    parsed,
)
from toolkit.images.decode import Unreadable, decoded, encoded, kind_of, rounded, squared
from toolkit.images.download import MOST_BYTES, SECONDS, Fetched, fetch

NEVER_REFRESHED = (
    "Gravatar's image proxy keeps its first copy for ever: to change the picture later, "
    "publish it under a new file name."
)

NOT_HOSTED = "https://not-hosted-yet.example/default.png"
"""Stands for the address of a picture that is not published yet."""

_EXTENSIONS = {"jpg": "jpeg", "jpeg": "jpeg", "gif": "gif", "png": "png", "heic": "heic"}
_TAKEN = "jpg, jpeg, gif, png and heic"
_ASKED_SIZE = 480  # pixels that Auth0's Gravatar URLs ask for
_SMALLEST = 32  # pixels of the smallest avatars that apps commonly show
_HEAVY = 200_000  # bytes, of a picture that lists show many times over
LIGHT, DARK = "#ffffff", "#111827"
"""The backgrounds on which pictures are judged."""

_Array = NDArray[np.floating[Any]]

_SIDE = 256  # pixels of the square that is measured
_RIM = 0.9  # the outer tenth of the circle's radius
_CLEAR = 0.1  # alpha below which nothing is visible
_SOLID = 0.5
_STEP = 0.06  # a difference between neighbours that is visible as an edge
_PLAIN = 1e-4  # variance of luminance below which there is no detail
_VISIBLE = 3.0  # contrast, WCAG 1.4.11
_KEPT = 0.6  # share of its detail that a picture must keep when small
_LOST = 0.05  # share of its detail that it may lose when cut to a circle


class Level(StrEnum):
    """How serious a verdict is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"

    @property
    def sign(self) -> str:
        """One character, because colour must not be the only sign."""
        return {"ok": "✓", "warn": "!", "fail": "✗"}[self.value]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check; its reason may contain parts of the typed address: escape it."""

    name: str
    level: Level
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed default picture and the results of its checks.

    Attributes:
        url: its address in its canonical spelling: ASCII, percent-encoded, without
            quotes, backticks, braces, blanks or angle brackets; None if it is no URL.
        verdicts: the results.
        image: the picture's bytes; None until they were fetched.
    """

    url: str | None
    verdicts: tuple[Verdict, ...]
    image: bytes | None = field(default=None, repr=False)

    @property
    def usable(self) -> bool:
        """Whether no check failed; before the picture is fetched, only its URL is checked."""
        return all(verdict.level is not Level.FAIL for verdict in self.verdicts)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes that are no verdicts."""
        return (NEVER_REFRESHED,)

    def verdict(self, name: str) -> Verdict | None:
        """Return the verdict of this name, or None if that was not checked."""
        return next((verdict for verdict in self.verdicts if verdict.name == name), None)

    def thumbnail(
        self, size: int, *, circle: bool = True, background: str | None = None
    ) -> bytes | None:
        """Draw the picture as apps show it: PNG bytes, or None if it cannot be drawn.

        `size` is in pixels; `background` is a colour as in `#111827`, or None for transparent.
        """
        picture = decoded(self.image or b"")
        if isinstance(picture, Unreadable):
            return None
        image = squared(picture, size)
        if circle:
            image = rounded(image)
        if background is not None:
            page = image.copy()
            page.paste(background, (0, 0, *page.size))
            page.alpha_composite(image)
            image = page
        return encoded(image)

    @property
    def _state(self) -> str:
        return "usable" if self.usable else "not usable"

    def __repr__(self) -> str:
        lines = [f"{verdict.level.sign} {verdict.name}: {verdict.reason}" for verdict in self]
        return "\n".join([f"{self.url or 'no address'} ({self._state})", *lines, *self.notes])

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def _repr_html_(self) -> str:
        """Return the same as `repr`, with the picture at two sizes and on two pages."""
        shown = ""
        for size, page in ((56, LIGHT), (32, LIGHT), (56, DARK)):
            png = self.thumbnail(size, background=page)
            if png is not None:
                shown += (
                    f'<img alt="The picture in a circle of {size} pixels on {page}" '
                    f'width="{size}" height="{size}" style="background:{page};padding:8px" '
                    f'src="data:image/png;base64,{b64encode(png).decode()}">'
                )
        items = "".join(
            f"<li>{verdict.level.sign} <b>{escape(verdict.name)}</b> {escape(verdict.reason)}</li>"
            for verdict in self
        )
        return (
            f"<div><p><code>{escape(self.url or 'no address')}</code> ({self._state})</p>"
            f'<p>{shown}</p><ul style="list-style:none;padding:0">{items}</ul>'
            f"<p>{escape(' '.join(self.notes))}</p></div>"
        )


def checked(url: str, *, exception: str | None = None) -> Candidate:
    """Check a proposed address by its text, without any request; `exception` as for `candidate`."""
    address = parsed(url)
    if isinstance(address, Refusal):
        return Candidate(None, (Verdict("url", Level.FAIL, address.reason),))
    return Candidate(address.url, tuple(_of_address(url, address, exception)))


def candidate(
    url: str,
    *,
    exception: str | None = None,
    direct: bool = False,
    seconds: float = SECONDS,
    most_bytes: int = MOST_BYTES,
    resolve: Resolver = by_dns,
    at: Callable[[str], str] | None = None,
) -> Candidate:
    """Check a proposed default picture: its address and the picture itself.

    Args:
        url: what the user typed.
        exception: the embedded tenant's own base URL, which may be http and on loopback.
        direct: whether to bypass the system's proxy.
        seconds: as for `toolkit.images.download.fetch`.
        most_bytes: as for `toolkit.images.download.fetch`.
        resolve: what resolves names.
        at: returns where to ask instead for an address, as
            `toolkit.sandbox.picture_hosts.Hosts.address` does for made-up people; the verdicts
            are still about the typed address.

    Returns:
        The candidate. A bad picture never raises.
    """
    typed = checked(url, exception=exception)
    if typed.url is None:
        return typed
    fetched = fetch(
        at(url) if at else url,
        exception=exception,
        direct=direct,
        seconds=seconds,
        most_bytes=most_bytes,
        resolve=resolve,
    )
    found = tuple(_of_answer(typed.url, fetched))
    return Candidate(typed.url, typed.verdicts + found, fetched.body or None)


def from_disk(name: str, body: bytes) -> Candidate:
    """Check a picture that is not published yet, by a file's name and content.

    Returns:
        The candidate, with the address `NOT_HOSTED`: a plan with it is only to look at.
    """
    kind = kind_of(body)
    fetched = Fetched(
        Outcome.SHOWS if kind else Outcome.NOT_IMAGE,
        "it is no picture",
        media_type=f"image/{kind}",
        kind=kind,
        body=body,
    )
    found = [one for one in _of_answer(name, fetched) if one.name != "reachable"]
    if len(body) > MOST_BYTES:
        found = [Verdict("bytes", Level.FAIL, f"{len(body):,} bytes: too large for a picture")]
    hosted = _warn("hosted", "it is on your computer only: publish it before you apply anything")
    return Candidate(NOT_HOSTED, (hosted, *found), body or None)


def _verdict(name: str, ok: bool, fine: str, fault: str, worst: Level = Level.FAIL) -> Verdict:
    return Verdict(name, Level.OK, fine) if ok else Verdict(name, worst, fault)


def _warn(name: str, reason: str) -> Verdict:
    return Verdict(name, Level.WARN, reason)


def _of_address(url: str, address: Address, exception: str | None) -> Iterator[Verdict]:
    if excepted(address, exception):
        reason = "the embedded tenant's own address: for trying out, nobody else can reach it"
        yield Verdict("host", Level.OK, reason)
    else:
        fault = "it is http: pages served over https do not show it"
        yield _verdict("https", address.scheme == "https", "https", fault)
        fault = f"port {address.port}: Gravatar fetches from 80 and 443 only"
        yield _verdict("port", address.default_port, "the standard port", fault)
        refused = host_refusal(address.host)
        fault = f"{refused}: the internet cannot reach it"
        yield _verdict("host", not refused, "reachable from the internet", fault)
    ending = _ending(address.path)
    fault = f"it ends in .{ending}" if ending.isalnum() else "its file name has no ending"
    fault += f"; Gravatar takes {_TAKEN}"
    yield _verdict("extension", ending in _EXTENSIONS, f".{ending}", fault)
    fault = "it has a query string (?…), which Gravatar ignores"
    yield _verdict("query", address.query is None, "no query string", fault)
    fault = "it has a fragment (#…), which no host ever sees"
    yield _verdict("fragment", address.fragment is None, "no fragment", fault)
    fault = "it carries credentials (something before an @)"
    yield _verdict("credentials", not address.credentials, "no credentials", fault)
    if url.strip() != address.url:
        yield _warn("spelling", "the address was corrected; please check it")


def _ending(path: str) -> str:
    _, dot, ending = path.rpartition("/")[2].rpartition(".")
    return ending.lower() if dot else ""


def _of_answer(url: str, fetched: Fetched) -> Iterator[Verdict]:
    if fetched.outcome not in {Outcome.SHOWS, Outcome.NOT_IMAGE}:
        yield Verdict("reachable", Level.FAIL, fetched.reason)
        return
    fault = "it redirects: give the address where the picture really is"
    yield _verdict("reachable", not fetched.redirects, "it answers", fault, Level.WARN)
    yield _type(url, fetched)
    size = f"{len(fetched.body):,} bytes"
    fault = f"{size}: heavy for a picture that lists show many times"
    yield _verdict("bytes", len(fetched.body) <= _HEAVY, size, fault, Level.WARN)
    if fetched.kind is None:
        return
    picture = decoded(fetched.body)
    if not isinstance(picture, Unreadable):
        yield from _of_picture(picture)
    elif fetched.kind == "heic":
        yield _warn("look", "HEIC cannot be drawn here: look at it yourself")
    else:
        yield Verdict("look", Level.FAIL, picture.reason)


def _type(url: str, fetched: Fetched) -> Verdict:
    if fetched.kind is None:
        return Verdict("image", Level.FAIL, fetched.reason)
    kind, expected = fetched.kind.upper(), _EXTENSIONS.get(_ending(url.partition("?")[0]))
    if expected is None:
        return Verdict("image", Level.FAIL, f"it is {kind}; Gravatar takes {_TAKEN}")
    if fetched.kind != expected:
        fault = f"it is {kind}, but its name says {expected.upper()}"
        return Verdict("image", Level.FAIL, fault)
    if fetched.media_type not in {f"image/{expected}", "image/jpg"}:
        said = fetched.media_type or "nothing"
        return _warn("image", f"it is {kind}, but the host says {said}")
    fault = "HEIC: few browsers show it, nor does Gravatar's image proxy"
    return _verdict("image", expected != "heic", kind, fault, Level.WARN)


def _of_picture(picture: Image.Image) -> Iterator[Verdict]:
    width, height = picture.size
    lost = 1 - min(width, height) / max(width, height)
    fault = f"not square: apps cut off {lost:.0%} of it, or squeeze it"
    yield _verdict("square", width == height, "square", fault, Level.WARN)
    yield _pixels(width, height)
    yield _small(picture)
    lost = lost_in_corners(picture)
    fault = f"in a circle, {lost:.0%} of the picture is cut off"
    yield _verdict(
        "circle", lost <= _LOST, "stays complete when cut to a circle", fault, Level.WARN
    )
    for name, page in (("light", LIGHT), ("dark", DARK)):
        found = rim(picture, page)
        through = "; its rim is transparent, the page shows through" if found.transparent else ""
        fine = f"stands out on a {name} background ({found.contrast:.1f}){through}"
        fault = (
            f"hard to see on a {name} page (contrast {found.contrast:.1f}; {_VISIBLE:g} is good)"
            f"{through}"
        )
        yield _verdict(name, found.contrast >= _VISIBLE, fine, fault, Level.WARN)


def _pixels(width: int, height: int) -> Verdict:
    size, least = f"{width} × {height} pixels", min(width, height)  # noqa: RUF001 - as sizes are written
    if least < _SMALLEST:
        fault = f"{size}: smaller than the smallest avatars ({_SMALLEST})"
        return Verdict("pixels", Level.FAIL, fault)
    fault = f"{size}: Auth0's addresses ask for {_ASKED_SIZE}; it will blur"
    return _verdict("pixels", least >= _ASKED_SIZE, size, fault, Level.WARN)


def _small(picture: Image.Image) -> Verdict:
    left = detail_left(picture)
    if left.contrast < _VISIBLE:
        reason = f"hard to make out at {_SMALLEST} pixels (contrast {left.contrast:.1f})"
        return _warn("small", reason)
    fine = f"readable at {_SMALLEST} pixels ({left.kept:.0%} of its detail is left)"
    fault = f"too fine: only {left.kept:.0%} of its detail is left at {_SMALLEST} pixels"
    return _verdict("small", left.kept >= _KEPT, fine, fault, Level.WARN)


class Detail(NamedTuple):
    """A picture at 32 pixels.

    Its contrast is between its darkest and its lightest parts; `kept` is the share of the variation
    in lightness that is still visible, 0 to 1.
    """

    contrast: float
    kept: float


class Rim(NamedTuple):
    """How a picture, cut to a circle, stands out from a page.

    The contrast is between the page and the circle's rim, or, if that is transparent, its inside.
    """

    contrast: float
    transparent: bool


def detail_left(image: Image.Image) -> Detail:
    """Measure a picture at 32 pixels, on the page where its contrast is higher."""
    return max((_detail(image, page) for page in (LIGHT, DARK)), key=lambda left: left.contrast)


def lost_in_corners(image: Image.Image) -> float:
    """Return the share of the picture's edges, 0 to 1, that a circle cuts off."""
    pixels = _rgba(image, _SIDE)
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
    pixels = _rgba(image, _SIDE)
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
    large = _luminance(_over(_rgba(image, _SIDE), page))
    small = _luminance(_over(_rgba(image, _SMALLEST), page))
    dark, light = np.quantile(small[_radius(_SMALLEST) <= 1], [0.02, 0.98])
    back = np.asarray(
        Image.fromarray(small.astype(np.float32)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    )
    whole = float(np.var(large[inside]))
    kept = 1 - float(np.mean((large - back)[inside] ** 2)) / whole if whole > _PLAIN else 1.0
    return Detail(float(_contrast(light, dark)), max(0.0, kept))


def _rgba(image: Image.Image, side: int) -> _Array:
    """Return the middle square as red, green, blue and alpha, each 0 to 1."""
    return np.asarray(squared(image, side), dtype=np.float64) / 255


def _radius(side: int) -> _Array:
    """Return each pixel's distance from the middle; 1 is where the circle ends."""
    line = (np.arange(side) + 0.5) / side * 2 - 1
    return np.hypot(line[:, None], line[None, :])


def _colour(page: str) -> _Array:
    return np.asarray(ImageColor.getrgb(page)[:3], dtype=np.float64) / 255


def _over(pixels: _Array, page: str) -> _Array:
    alpha = pixels[..., 3:]
    return pixels[..., :3] * alpha + _colour(page) * (1 - alpha)


def _luminance(colour: _Array) -> _Array:
    """Relative luminance (WCAG 2)."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004 - sRGB's
    luminance: _Array = linear @ np.array([0.2126, 0.7152, 0.0722])
    return luminance


def _contrast(one: _Array | float, other: _Array | float) -> _Array:
    return (np.maximum(one, other) + 0.05) / (np.minimum(one, other) + 0.05)
