"""The colours of the sources, the same in every chart, page and terminal."""

from collections.abc import Mapping
from types import MappingProxyType

from toolkit.picture import Source

COLOURS: Mapping[Source, str] = MappingProxyType(
    {
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
)
"""One colour for each source, everywhere: Okabe and Ito's, and greys for what is no picture."""

STRIPE = "#9AA3B0"
"""The stripes on what nobody knows."""
