"""Asks Gravatar which pictures exist, and looks at pictures. Only ever on request.

The public names are imported when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
