"""Shares and names as they are shown: what people read, and nothing that hides or moves text."""

import unicodedata

_PERCENT = 100


def percent(share: float, digits: int = 0) -> str:
    """Write a share (0 to 1) as people read it: never 0 % of somebody, nor 100 % of not all.

    Args:
        share: 0 to 1.
        digits: digits after the point.
    """
    least = 10.0**-digits
    value = share * _PERCENT
    text = f"{value:.{digits}f}"
    if share > 0 and float(text) == 0:
        text = f"<{least:.{digits}f}"
    elif share < 1 and float(text) == _PERCENT:
        text = f">{_PERCENT - least:.{digits}f}"
    return f"{text} %"


def visible(text: str) -> str:
    r"""Write what would not be seen, or would move other text, as an escape such as `\u202e`.

    That is: control and format characters (bidi overrides, joiners, line breaks), lone
    surrogates, private and unassigned characters. It is not escaped for HTML.
    """
    return "".join(_seen(character) for character in text)


def shorten(text: str, limit: int) -> str:
    """Make a name visible and cut it to `limit` characters, ending in an ellipsis."""
    seen = visible(text[: limit + 1])
    return seen if len(seen) <= limit else seen[: limit - 1] + "…"


def harmless(text: str) -> str:
    """Return lines in which nothing moves the cursor, or is not seen."""
    return "\n".join(map(visible, text.split("\n")))


def _seen(character: str) -> str:
    kind = unicodedata.category(character)
    if kind[0] == "C" or kind in {"Zl", "Zp"}:
        return character.encode("unicode_escape").decode("ascii")
    return character
