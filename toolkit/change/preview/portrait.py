"""The pictures of a preview: fetched by the kernel where somebody may be asked, or else drawn.

The browser asks nobody. To see whether a person has a Gravatar, Gravatar is asked for that
alone (`d=404`), and never with the proposed default in `d=`: its image proxy would then take
the copy that it keeps for ever, of a picture that nobody has decided on yet.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, lru_cache
from urllib.parse import quote, unquote

from PIL import Image, ImageDraw

from toolkit.classification.sources import Fallback, Source, classify
from toolkit.images.address import Outcome
from toolkit.images.decode import Unreadable, decoded, encoded, initials, silhouette, squared
from toolkit.images.download import fetch
from toolkit.reporting.palette import COLOURS
from toolkit.sandbox.picture_hosts import Hosts

LARGEST = 480
"""Pixels that Auth0's Gravatar addresses ask for, and the largest picture kept here."""

_AT_ONCE = 4
_SECONDS = 10.0
_GREY, _PALE, _INK, _WHITE = "#8b93a1", "#e3e7ec", "#59636e", "#ffffff"
# Nobody was asked, or an address of this kind never is: what is known is drawn instead.
_NOT_ASKED = frozenset({Outcome.NOT_ASKED, Outcome.INSECURE, Outcome.REFUSED})


class Sight(StrEnum):
    """What people see where a user's picture belongs: as `Seen`, or the new default. In words."""

    OWN = "own picture"
    ON_WORD = "perhaps own, not looked at"
    EITHER = "Gravatar, or your default"
    DEFAULT = "your default"
    UNKNOWN = "not known"
    INITIALS = "initials"
    PLACEHOLDER = "placeholder"
    BROKEN = "broken image"
    NONE = "nothing"


@dataclass(frozen=True, slots=True)
class View:
    """The address of one user's picture, or None; what people see there; and its source."""

    address: str | None = field(repr=False)
    sight: Sight
    source: Source


@dataclass(frozen=True, slots=True)
class Portrait:
    """A picture of at most `LARGEST` pixels a side, and words for those who do not see it.

    The words never hold an address or a name. `fetched` says that the host was asked.
    """

    png: bytes = field(repr=False)
    words: str
    fetched: bool = False


def drawn(view: View, image: bytes | None) -> Portrait:
    """Draw what is known without asking anybody; `image` is the proposed default, if fetched."""
    words = str(view.sight)
    if view.sight in {Sight.DEFAULT, Sight.EITHER}:
        small = _small(image) if image else None
        return Portrait(small if isinstance(small, bytes) else _sign("?", _GREY), words)
    if view.sight in {Sight.OWN, Sight.ON_WORD}:
        return Portrait(_face(COLOURS[view.source]), f"{words} ({view.source})")
    unasked = view.sight is Sight.UNKNOWN and classify(view.address).fallback is Fallback.INITIALS
    if unasked or view.sight is Sight.INITIALS:
        return Portrait(initials(_letters(view.address or ""), LARGEST), words)
    if view.sight is Sight.NONE:
        return Portrait(_sign("?", _PALE), words)
    return Portrait(_broken() if view.sight is Sight.BROKEN else silhouette(LARGEST), words)


def portraits(
    views: Iterable[View], hosts: Hosts, *, picture: str, image: bytes | None
) -> Iterator[tuple[View, Portrait]]:
    """Fetch what people see from hosts, a few at a time; a bad picture never raises.

    `picture` is the address of the proposed default, `image` the picture itself.
    """
    every = list(dict.fromkeys(views))
    with ThreadPoolExecutor(_AT_ONCE, "portrait") as pool:
        found = pool.map(lambda view: _fetched(view, hosts, picture, image), every)
        yield from zip(every, found, strict=True)


def _fetched(view: View, hosts: Hosts, picture: str, image: bytes | None) -> Portrait:
    if view.address is None or view.sight in {Sight.DEFAULT, Sight.NONE}:
        return drawn(view, image)
    address = view.address
    if view.sight is Sight.EITHER:
        # As `toolkit.change.policy` writes it into the address.
        address = address.replace("d=" + quote(picture, safe="!'()*"), "d=404")
    found = fetch(hosts.address(address, insecure=True), exception=hosts.sandbox, seconds=_SECONDS)
    if view.sight is Sight.EITHER and found.outcome is Outcome.GONE:
        return drawn(View(address, Sight.DEFAULT, view.source), image)
    small = _small(found.body) if found.body else None
    if isinstance(small, bytes):
        return Portrait(small, "what the host shows", fetched=True)
    reason = found.reason if small is None else small.reason
    if found.outcome in _NOT_ASKED:
        known = drawn(view, image)
        return Portrait(known.png, f"{known.words}; not asked: {reason}")
    broken = drawn(View(address, Sight.BROKEN, view.source), image)
    return Portrait(broken.png, f"{broken.words}: {reason}", fetched=True)


@lru_cache(maxsize=64)
def _small(body: bytes) -> bytes | Unreadable:
    """Draw a picture's middle square, no larger than it is."""
    picture = decoded(body)
    if isinstance(picture, Unreadable):
        return picture
    return encoded(squared(picture, min(LARGEST, *picture.size)))


def _letters(address: str) -> str:
    """Return the letters that an address of Auth0's initials names."""
    _, found, rest = unquote(address).rpartition("/avatars/")
    return rest.partition(".")[0] if found else "?"


def _canvas(colour: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (LARGEST, LARGEST), colour)
    return image, ImageDraw.Draw(image)


@cache
def _face(colour: str) -> bytes:
    """Draw a face that is nobody's: somebody's own picture that was not asked for."""
    image, draw = _canvas(colour)
    for x in (0.36, 0.64):
        draw.circle((x * LARGEST, 0.42 * LARGEST), 0.055 * LARGEST, fill=_WHITE)
    box = [side * LARGEST for side in (0.29, 0.26, 0.71, 0.7)]
    draw.arc(box, 25, 155, fill=_WHITE, width=LARGEST // 18)
    return encoded(image)


@cache
def _sign(sign: str, ground: str) -> bytes:
    """Draw a sign for what is no picture."""
    image, draw = _canvas(ground)
    ink = _INK if ground == _PALE else _WHITE
    middle = (LARGEST / 2, LARGEST / 2)
    draw.text(middle, sign, fill=ink, font_size=LARGEST * 0.5, anchor="mm")
    return encoded(image)


@cache
def _broken() -> bytes:
    """Draw a cross: a picture that does not load."""
    image, draw = _canvas(_PALE)
    near, far = LARGEST * 0.36, LARGEST * 0.64
    for line in ((near, near, far, far), (near, far, far, near)):
        draw.line(line, fill=_INK, width=LARGEST // 16)
    return encoded(image)
