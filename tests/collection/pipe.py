"""A pipe for tests."""

import io


class Pipe(io.BytesIO):
    """A pipe that gives so many bytes at a time."""

    def __init__(self, content, size=65_536):
        super().__init__(content)
        self.size = size

    def read(self, size=-1):
        return super().read(self.size)

    def seekable(self):
        return False
