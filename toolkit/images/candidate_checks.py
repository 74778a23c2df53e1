"""A picture that might become everybody's default: looked at before anybody is changed.

The default stands in `d=` of Gravatar URLs, so Gravatar's rules decide. Facts: Gravatar's
documentation, "Images" (a default is publicly reachable, http or https on the standard
port, ends in jpg, jpeg, gif, png or heic, has no query string, which it would ignore), and
Jetpack's on Photon, the proxy through which Gravatar serves such defaults (fetches gif,
png and jpg; keeps its first copy for ever). Auth0's Gravatar URLs ask for `s=480`.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape

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
from toolkit.images.decode import Decoded, decoded, encoded, rounded, squared
from toolkit.images.download import MOST_BYTES, SECONDS, Fetched, fetch
from toolkit.images.legibility import DARK, LIGHT, detail_left, lost_in_corners, rim

NEVER_REFRESHED = (
    "Gravatar's image proxy keeps its first copy for ever: to change the picture later, "
    "publish it under a new file name."
)
"""What to know before the picture is published."""

_EXTENSIONS = {"jpg": "jpeg", "jpeg": "jpeg", "gif": "gif", "png": "png", "heic": "heic"}
_TAKEN = "jpg, jpeg, gif, png and heic"
_ASKED_SIZE = 480  # pixels that Auth0's Gravatar URLs ask for
_SMALLEST = 32  # pixels of the smallest avatars that apps commonly show
_HEAVY = 200_000  # bytes, of a picture that lists show many times over
_VISIBLE = 3.0  # contrast, WCAG 1.4.11
_KEPT = 0.6
_LOST = 0.05


class Level(StrEnum):
    """How much one verdict weighs."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"

    @property
    def sign(self) -> str:
        """One character for people: colour is never the only sign."""
        return {"ok": "✓", "warn": "!", "fail": "✗"}[self.value]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that was looked at.

    Attributes:
        name: what was looked at, one word.
        level: whether it will do.
        reason: why, in words. May hold parts of what was typed: escape it.
    """

    name: str
    level: Level
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed default picture and what was found about it.

    Attributes:
        url: its address in the one spelling to write: ASCII, percent-encoded, without
            quotes, backticks, braces, blanks or angle brackets; None if it is no URL. Put
            into a query (`d=`) it is encoded once more, as any value is.
        verdicts: what was found.
        image: the picture's bytes; None until they were fetched.
    """

    url: str | None
    verdicts: tuple[Verdict, ...]
    image: bytes | None = field(default=None, repr=False)

    @property
    def usable(self) -> bool:
        """Whether nothing fails. Before the picture was fetched, that is the URL alone."""
        return all(verdict.level is not Level.FAIL for verdict in self.verdicts)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know that is no verdict."""
        return (NEVER_REFRESHED,)

    def verdict(self, name: str) -> Verdict | None:
        """Return the verdict of this name, or None if that was not looked at."""
        return next((verdict for verdict in self.verdicts if verdict.name == name), None)

    def thumbnail(
        self, size: int, *, circle: bool = True, background: str | None = None
    ) -> bytes | None:
        """Draw the picture as apps show it.

        Args:
            size: pixels of each side.
            circle: whether it is cut to a circle.
            background: the colour below it, as in `#111827`; None leaves it transparent.

        Returns:
            PNG bytes, or None where there is no picture that can be drawn.
        """
        picture = decoded(self.image) if self.image else None
        if not isinstance(picture, Decoded):
            return None
        image = squared(picture.image, size)
        if circle:
            image = rounded(image)
        if background is not None:
            page = image.copy()
            page.paste(background, (0, 0, *page.size))
            page.alpha_composite(image)
            image = page
        return encoded(image)

    def __repr__(self) -> str:
        lines = [f"{verdict.level.sign} {verdict.name}: {verdict.reason}" for verdict in self]
        state = "usable" if self.usable else "not usable"
        return "\n".join([f"{self.url or 'no address'} ({state})", *lines, *self.notes])

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def _repr_html_(self) -> str:
        """Say the same as `repr`, with the picture at two sizes and on two pages."""
        shown = "".join(
            self._shown(size, page) for size, page in ((56, LIGHT), (32, LIGHT), (56, DARK))
        )
        items = "".join(
            f"<li>{verdict.level.sign} <b>{escape(verdict.name)}</b> {escape(verdict.reason)}</li>"
            for verdict in self
        )
        state = "usable" if self.usable else "not usable"
        return (
            f"<div><p><code>{escape(self.url or 'no address')}</code> ({state})</p><p>{shown}</p>"
            f'<ul style="list-style:none;padding:0">{items}</ul>'
            f"<p>{escape(' '.join(self.notes))}</p></div>"
        )

    def _shown(self, size: int, page: str) -> str:
        png = self.thumbnail(size, background=page)
        if png is None:
            return ""
        alt = f"The picture in a circle of {size} pixels on {page}"
        return (
            f'<img alt="{alt}" width="{size}" height="{size}" '
            f'style="background:{page};padding:8px" '
            f'src="data:image/png;base64,{b64encode(png).decode()}">'
        )


def checked(url: str, *, exception: str | None = None) -> Candidate:
    """Look at a proposed address alone: at once, and without asking anybody.

    Args:
        url: what was typed.
        exception: the embedded tenant's own base URL, which may be http and on loopback.

    Returns:
        The candidate, without its picture.
    """
    address = parsed(url)
    if isinstance(address, Refusal):
        return Candidate(None, (_fail("url", address.reason),))
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
    """Look at a proposed default picture: its address, and what is there.

    Args:
        url: what was typed.
        exception: the embedded tenant's own base URL, which may be http and on loopback.
        direct: whether to go past the system's proxy.
        seconds: as for `toolkit.images.download.fetch`.
        most_bytes: as for `toolkit.images.download.fetch`.
        resolve: what resolves names.
        at: says for an address where to ask instead, as
            `toolkit.sandbox.picture_hosts.Hosts.address` does for made-up people; the verdicts on
            the address stay those on what was typed.

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


def _ok(name: str, reason: str) -> Verdict:
    return Verdict(name, Level.OK, reason)


def _warn(name: str, reason: str) -> Verdict:
    return Verdict(name, Level.WARN, reason)


def _fail(name: str, reason: str) -> Verdict:
    return Verdict(name, Level.FAIL, reason)


def _of_address(url: str, address: Address, exception: str | None) -> Iterator[Verdict]:
    if excepted(address, exception):
        reason = "the embedded tenant's own address: for trying out, nobody else can reach it"
        yield _ok("host", reason)
    else:
        yield from _of_origin(address)
    yield _extension(address)
    if address.query is None:
        yield _ok("query", "no query string")
    else:
        yield _fail("query", "it has a query string (?…), which Gravatar ignores")
    if address.fragment is None:
        yield _ok("fragment", "no fragment")
    else:
        yield _fail("fragment", "it has a fragment (#…), which no host ever sees")
    if address.credentials:
        yield _fail("credentials", "it carries credentials (something before an @)")
    else:
        yield _ok("credentials", "no credentials")
    if url.strip() != address.url:
        yield _warn("spelling", "it is written differently from what was typed: see the address")


def _of_origin(address: Address) -> Iterator[Verdict]:
    if address.scheme == "https":
        yield _ok("https", "https")
    else:
        yield _fail("https", "it is http: pages served over https do not show it")
    if address.default_port:
        yield _ok("port", "the standard port")
    else:
        yield _fail("port", f"port {address.port}: Gravatar fetches from 80 and 443 only")
    refused = host_refusal(address.host)
    if refused:
        yield _fail("host", f"{refused}: Gravatar could not reach it")
    else:
        yield _ok("host", "not a name or number of a local network")


def _ending(url: str) -> str:
    _, dot, ending = url.rpartition("/")[2].rpartition(".")
    return ending.lower() if dot else ""


def _extension(address: Address) -> Verdict:
    ending = _ending(address.path)
    if ending in _EXTENSIONS:
        return _ok("extension", f".{ending}")
    what = f"it ends in .{ending}" if ending.isalnum() else "its file name has no ending"
    return _fail("extension", f"{what}; Gravatar takes {_TAKEN}")


def _of_answer(url: str, fetched: Fetched) -> Iterator[Verdict]:
    arrived = fetched.outcome in {Outcome.SHOWS, Outcome.NOT_IMAGE}
    if not arrived:
        yield _fail("reachable", fetched.reason)
        return
    if fetched.redirects:
        yield _warn("reachable", "it redirects: give the address where the picture really is")
    else:
        yield _ok("reachable", "it answers")
    yield _type(url, fetched)
    yield _weight(fetched.size)
    if fetched.kind is None:
        return
    picture = decoded(fetched.body)
    if isinstance(picture, Decoded):
        yield from _of_picture(picture)
    elif fetched.kind == "heic":
        yield _warn("look", "HEIC cannot be drawn here: look at it yourself")
    else:
        yield _fail("look", picture.reason)


def _type(url: str, fetched: Fetched) -> Verdict:
    if fetched.kind is None:
        return _fail("image", fetched.reason)
    kind, expected = fetched.kind.upper(), _EXTENSIONS.get(_ending(url.partition("?")[0]))
    if expected is None:
        return _fail("image", f"it is {kind}; Gravatar takes {_TAKEN}")
    if fetched.kind != expected:
        return _fail("image", f"it is {kind}, but its name says {expected.upper()}")
    if fetched.media_type not in {f"image/{expected}", "image/jpg"}:
        said = fetched.media_type or "nothing"
        return _warn("image", f"it is {kind}, but the host says {said}")
    if expected == "heic":
        return _warn("image", "HEIC: few browsers show it, nor does Gravatar's image proxy")
    return _ok("image", kind)


def _weight(size: int) -> Verdict:
    if size > _HEAVY:
        return _warn("bytes", f"{size:,} bytes: heavy for a picture that lists show many times")
    return _ok("bytes", f"{size:,} bytes")


def _of_picture(picture: Decoded) -> Iterator[Verdict]:
    width, height = picture.width, picture.height
    if width == height:
        yield _ok("square", "square")
    else:
        lost = 1 - min(width, height) / max(width, height)
        yield _warn("square", f"not square: apps cut off {lost:.0%} of it, or squeeze it")
    yield _pixels(width, height)
    yield from (look(picture) for look in _LOOKS)


def _pixels(width: int, height: int) -> Verdict:
    size, least = f"{width} × {height} pixels", min(width, height)  # noqa: RUF001 - as sizes are written
    if least < _SMALLEST:
        return _fail("pixels", f"{size}: smaller than the smallest avatars ({_SMALLEST})")
    if least < _ASKED_SIZE:
        return _warn("pixels", f"{size}: Auth0's addresses ask for {_ASKED_SIZE}; it will blur")
    return _ok("pixels", size)


def _small(picture: Decoded) -> Verdict:
    left = detail_left(picture.image)
    if left.contrast < _VISIBLE:
        reason = f"hard to make out at {_SMALLEST} pixels (contrast {left.contrast:.1f})"
        return _warn("small", reason)
    if left.kept < _KEPT:
        reason = f"too fine: only {left.kept:.0%} of its detail is left at {_SMALLEST} pixels"
        return _warn("small", reason)
    return _ok("small", f"readable at {_SMALLEST} pixels ({left.kept:.0%} of its detail is left)")


def _circle(picture: Decoded) -> Verdict:
    lost = lost_in_corners(picture.image)
    if lost > _LOST:
        return _warn("circle", f"cut to a circle, it loses {lost:.0%} of its detail")
    return _ok("circle", "keeps when cut to a circle")


def _contrast(picture: Decoded, name: str, page: str) -> Verdict:
    found = rim(picture.image, page)
    through = "; its rim is transparent, the page shows through" if found.transparent else ""
    if found.contrast < _VISIBLE:
        reason = f"faint on a {name} background (contrast {found.contrast:.1f}){through}"
        return _warn(name, reason)
    return _ok(name, f"stands out on a {name} background ({found.contrast:.1f}){through}")


_LOOKS: tuple[Callable[[Decoded], Verdict], ...] = (
    _small,
    _circle,
    lambda picture: _contrast(picture, "light", LIGHT),
    lambda picture: _contrast(picture, "dark", DARK),
)
