"""Before and after: what a plan does to each kind of user, as people will see it."""

from toolkit.gallery.kind import Example, Kind
from toolkit.gallery.portrait import Portrait, Sight, View, drawn, portraits
from toolkit.gallery.showing import Gallery, gallery

__all__ = [
    "Example",
    "Gallery",
    "Kind",
    "Portrait",
    "Sight",
    "View",
    "drawn",
    "gallery",
    "portraits",
]
