"""A certificate for loopback, made when a sandbox starts and worth nothing elsewhere."""

import ssl
import tempfile
from pathlib import Path

import trustme


class Certificate:
    """A certificate for an address and localhost, and the authority that vouches for it.

    Args:
        address: An IP address.

    Attributes:
        ca_file: The authority's certificate (PEM), in a private folder; no key is on disk.
    """

    def __init__(self, address: str) -> None:
        authority = trustme.CA()
        self._leaf = authority.issue_cert(address, "localhost")
        self._folder = tempfile.TemporaryDirectory(prefix="sandbox-ca-")
        self.ca_file = Path(self._folder.name) / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))

    def context(self) -> ssl.SSLContext:
        """Return how a server speaks TLS with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._leaf.configure_cert(context)
        return context

    def close(self) -> None:
        """Remove the authority's file."""
        self._folder.cleanup()
