"""A real host on loopback that answers exactly the bytes it is told, and pictures for it."""

import contextlib
import io
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from PIL import Image, ImageDraw

Answer = bytes | Callable[[socket.socket], None]


class Host:
    """Answers by path; keeps the requests it got, as text."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = dict(answers)
        self.requests: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._threads: list[threading.Thread] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [request.split(" ")[1] for request in self.requests]

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the listening socket is closed: the end
            while True:
                connection, _ = self._listening.accept()
                connection.settimeout(10)
                thread = threading.Thread(target=self._answer, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # whoever asked went away
            heard = b""
            while b"\r\n\r\n" not in heard:
                more = connection.recv(65536)
                if not more:
                    return
                heard += more
            self.requests.append(heard.decode("latin-1"))
            answer = self.answers.get(self.paths[-1], said(404))
            if callable(answer):
                answer(connection)
            else:
                connection.sendall(answer)


@contextlib.contextmanager
def host(answers: Mapping[str, Answer]) -> Iterator[Host]:
    running = Host(answers)
    thread = threading.Thread(target=running.serve)
    thread.start()
    try:
        yield running
    finally:
        running.stop()
        thread.join()


def said(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Write an answer; `_` in a header's name stands for `-`."""
    lines = [f"HTTP/1.1 {status} Said"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if "Content_Length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def shown(body: bytes, kind: str = "png") -> bytes:
    return said(200, body, Content_Type=f"image/{kind}")


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def face(size: int = 512, colour: str = "#2f6fb0") -> Image.Image:
    """Draw a plain face on a colour that stands out on white and on near-black."""
    image = Image.new("RGB", (size, size), colour)
    draw = ImageDraw.Draw(image)
    draw.ellipse((size * 0.3, size * 0.2, size * 0.7, size * 0.6), fill="white")
    draw.ellipse((size * 0.2, size * 0.62, size * 0.8, size * 0.95), fill="white")
    return image
