"""The colours of the sources, the same in every chart, page and terminal."""

from collections.abc import Mapping

from toolkit.classification.sources import Source

COLOURS: Mapping[Source, str] = {
    Source.SOCIAL: "#0072B2",
    Source.ENTERPRISE: "#56B4E9",
    Source.GRAVATAR: "#009E73",
    Source.METADATA: "#CC79A7",
    Source.CUSTOM: "#D55E00",
    Source.UNRESOLVED: "#D9DDE3",
    Source.INITIALS: "#E69F00",
    Source.PLACEHOLDER: "#F0E442",
    Source.MISSING: "#6B7280",
    Source.INVALID: "#8B93A1",
}
"""One colour for each source, everywhere: Okabe and Ito's, and greys for what is no picture."""

LETTERS: Mapping[Source, str] = {
    Source.SOCIAL: "S",
    Source.ENTERPRISE: "E",
    Source.GRAVATAR: "G",
    Source.METADATA: "M",
    Source.CUSTOM: "C",
    Source.UNRESOLVED: "?",
    Source.INITIALS: "I",
    Source.PLACEHOLDER: "P",
    Source.MISSING: "-",
    Source.INVALID: "X",
}
"""One letter for each source: a terminal may have no colours, and not everybody sees them."""

DARK = frozenset({Source.SOCIAL, Source.MISSING, None})
"""The sources on whose colours letters are white: their relative luminance is below 0.2.

None stands for `DEFAULT`.
"""

EDGES: Mapping[Source, str] = {Source.PLACEHOLDER: "#8A7F00"}
"""The edge of a colour that a white ground would swallow."""

DEFAULT = "#6A4C93"
"""Your own default picture, which is of no source."""

LINES = "#CDBDE6"
"""The level lines on your own default picture: its hue alone would not tell it from blue."""

DOT = "#9CCBE8"
"""The dots on pictures that are perhaps own: nobody has looked."""

STRIPE = "#9AA3B0"
"""The stripes on what nobody knows."""

CROSSES = "#59606B"
"""The crosses on what is no usable URL."""

ON_DARK, ON_LIGHT = "#fefefe", "#101418"
"""Letters and stripes on the colours, which no theme changes."""

TAG, ON_TAG = "#FFD60A", ON_LIGHT
"""The ground and the letters of what says that people are made up."""
