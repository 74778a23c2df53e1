"""What tests of panels share with tests of changes."""

from tests.change.conftest import site_of

__all__ = ["site_of"]  # a fixture
