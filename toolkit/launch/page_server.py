"""Voilà behind a token: what `picture-audit dashboard` runs as a process of its own.

`/?token=TOKEN` redirects to the page, at an address with a second secret in its path: `/SECRET/`.
Everything that Voilà serves is below that path: the page, the kernels and their websockets, and
files. Any other address is refused with HTTP 403.

Why not Voilà's own token (0.5.8): it guards the page and the kernels, but not its files, and it
remembers a visitor by a cookie. Browsers send the cookies of one port to all ports of a host, so
another user of this machine, whose page the owner visits, could take it. A path is sent to nobody
else.
"""

import hmac
import html
import json
import os
import socket
import sys
import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import RequestHandler
from voila.app import Voila

from toolkit.images.address import is_loopback
from toolkit.system import private_opener

_REFUSED = (
    "Not without the token: open the address that `picture-audit dashboard` printed where it was "
    "started.\n"
)
_ALL_INTERFACES = ("", "0.0.0.0", "::")  # noqa: S104 - what such an address is printed as


@dataclass(frozen=True, slots=True)
class Access:
    """The two secrets that lead to the page: a token to say, and the part of its address.

    They are handed over in a file that only its owner may read: every user of a machine can read
    the command line of every process.
    """

    token: str
    path: str

    @classmethod
    def read(cls, folder: Path) -> "Access | None":
        """Return the secrets that `served` wrote, or None where it wrote none."""
        try:
            return cls(**json.loads((folder / "access.json").read_text("ascii")))
        except FileNotFoundError:
            return None


class _Refusal(RequestHandler):
    """Refuses every request without the token."""

    def prepare(self) -> None:
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(_REFUSED)


class _Entrance(_Refusal):
    """Redirects a request with the token to the page."""

    def initialize(self, access: Access) -> None:
        self._access = access

    def prepare(self) -> None:
        given = self.request.query_arguments.get("token", [b""])
        if not hmac.compare_digest(given[-1], self._access.token.encode()):
            super().prepare()

    def get(self) -> None:
        given = parse_qsl(self.request.query, keep_blank_values=True)
        others = [(name, value) for name, value in given if name != "token"]
        query = f"?{urlencode(others)}" if others else ""
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        # Relative, so that it is right behind a proxy, too.
        self.redirect(f"{self._access.path}/{query}")


class PageServer(Voila):  # type: ignore[misc] # Voilà has no types
    """Voilà, which serves nothing to those who do not know the token."""

    folder = Path()  # the private one that `toolkit.launch.notebook_pages.served` has filled
    access: Access | None = None
    # Voilà's own; here are only their types.
    base_url: str
    server_url: str | None
    ip: str
    port: int
    _opened = "/"  # the path in the address that is printed
    _entrance = "/"  # the path of the entrance here, which can be another one behind a proxy

    def init_settings(self) -> dict[str, Any]:
        """Move everything below the secret path, and refuse what is above it."""
        self._opened = self.base_url
        self._entrance = self.server_url or self.base_url
        if self.access is not None:
            self.server_url = f"{self._entrance}{self.access.path}/"
            self.base_url = f"{self.base_url}{self.access.path}/"
        settings: dict[str, Any] = super().init_settings()
        # By default Voilà answers to any host name, so that DNS rebinding could read all.
        settings["allow_remote_access"] = not is_loopback(self.ip)
        return settings | ({"default_handler_class": _Refusal} if self.access else {})

    def init_handlers(self) -> list[Any]:
        """Return Voilà's handlers that are below the secret path, and the entrance."""
        handlers = super().init_handlers()
        if self.access is None:
            return list(handlers)
        # Voilà's login form is not below that path: it would let nobody in.
        within = [one for one in handlers if one[0].startswith(str(self.server_url))]
        return [(self._entrance, _Entrance, {"access": self.access}), *within]

    def listen(self) -> None:
        """Serve until interrupted; print the address once it can be opened."""
        try:
            self._serve()
        except KeyboardInterrupt:
            self.log.info("Interrupted.")
        finally:
            self.stop()

    def _serve(self) -> None:
        try:
            sockets = bind_sockets(self.port, self.ip)
        except OSError as error:
            print(  # noqa: T201 - an error of the command
                f"Error: Cannot serve on {self.ip}, port {self.port}: {error.strerror or error}. "
                "Choose another --port.",
                file=sys.stderr,
            )
            sys.exit(2)
        HTTPServer(self.app).add_sockets(sockets)
        self.port = sockets[0].getsockname()[1]
        print(f"The dashboard is at {self.display_url}", flush=True)  # noqa: T201 - its output
        if self.open_browser:
            self.launch_browser()
        self.ioloop = IOLoop.current()
        self.ioloop.start()

    @property
    def display_url(self) -> str:
        """The address to open, with the token."""
        host = socket.gethostname() if self.ip in _ALL_INTERFACES else self.ip
        host = f"[{host}]" if ":" in host else host
        query = f"?token={self.access.token}" if self.access else ""
        return f"http://{host}:{self.port}{self._opened}{query}"

    def launch_browser(self) -> None:
        """Open the page in a browser, by a file: its command line is readable by everybody."""
        place = self.folder / "open.html"
        url = html.escape(self.display_url)
        with open(place, "w", opener=private_opener, encoding="utf-8") as file:
            file.write(
                f'<!doctype html><meta charset="utf-8"><title>picture-audit</title>'
                f'<meta name="referrer" content="no-referrer">'
                f'<meta http-equiv="refresh" content="0; url={url}"><a href="{url}">Open</a>'
            )
        threading.Thread(
            target=webbrowser.open, args=[place.as_uri()], name="browser", daemon=True
        ).start()


def main() -> None:
    """Serve the folder that the first argument names; the others are Voilà's."""
    PageServer.folder = Path(sys.argv[1])
    PageServer.access = Access.read(PageServer.folder)
    os.umask(0o077)
    PageServer.launch_instance(sys.argv[2:])


if __name__ == "__main__":
    main()
