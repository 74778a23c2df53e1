"""Where do the pictures of your Auth0 users come from, and what should the default be?

The path through the package: `classification` (what one URL is, and the same for a frame of
users), `analysis` (what it adds up to), `change` (what a new default would change, and how).

Every public name stands in `__init__.pyi` and is imported when it is first used, so that
`import toolkit` is quick.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
