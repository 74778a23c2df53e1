"""Small pictures of the users on a page, fetched by the kernel in the background.

The browser never asks for them: addresses were typed by users, so what may be asked is
decided by `toolkit.images.download`, and what is shown was decoded and drawn again.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from toolkit.images.decode import thumbnail
from toolkit.images.download import fetch
from toolkit.sandbox.picture_hosts import Hosts, hosts_of
from toolkit.snapshots.snapshot import Provenance

SIZE = 64
"""Pixels of each side: sharp at half of that."""

_AT_ONCE = 4
_SECONDS = 10.0
_KEPT = 500  # pictures, some kilobytes each


class Thumbnails:
    """Fetches the pictures that are wanted now, until it is stopped.

    Args:
        provenance: of the snapshot; says who answers for its pictures.
        deliver: called from a thread with all that is known by address: PNG bytes, or in
            words why there are none.
        failed: called from a thread where nobody can be asked at all.
    """

    def __init__(
        self,
        provenance: Provenance,
        deliver: Callable[[Mapping[str, bytes | str]], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._provenance = provenance
        self._deliver = deliver
        self._failed = failed
        self._changed = threading.Condition()
        self._wanted: Sequence[str] = ()
        self._stopped = False
        self._known: dict[str, bytes | str] = {}
        threading.Thread(target=self._run, name="thumbnails", daemon=True).start()

    def ask(self, addresses: Sequence[str]) -> None:
        """Want these pictures now, and no others."""
        with self._changed:
            self._wanted = tuple(dict.fromkeys(addresses))
            self._changed.notify_all()

    def stop(self) -> None:
        """Ask for nothing any more."""
        with self._changed:
            self._stopped = True
            self._wanted = ()
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            with hosts_of(self._provenance) as hosts:
                while (wanted := self._next()) is not None:
                    self._fetch(hosts, wanted)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self._failed(error)

    def _next(self) -> Sequence[str] | None:
        """Wait for something that is wanted and not known; None ends it."""
        with self._changed:
            while not self._stopped and all(one in self._known for one in self._wanted):
                if self._wanted:
                    wanted, self._wanted = self._wanted, ()
                    return wanted
                self._changed.wait()
            return None if self._stopped else self._wanted

    def _fetch(self, hosts: Hosts, wanted: Sequence[str]) -> None:
        missing = [one for one in wanted if one not in self._known]

        def get(address: str) -> bytes | str | None:
            if wanted is not self._wanted:  # somebody turned the page
                return None
            return _small(hosts, address)

        with ThreadPoolExecutor(_AT_ONCE, "thumbnail") as pool:
            fetched = {pool.submit(get, one): one for one in missing}
            for done, future in enumerate(as_completed(fetched), 1):
                picture = future.result()
                if picture is not None:
                    self._known[fetched[future]] = picture
                if done % _AT_ONCE == 0 and not self._stopped:
                    self._deliver(self._known)
        for old in list(self._known)[: max(len(self._known) - _KEPT, 0)]:
            del self._known[old]
        if not self._stopped:
            self._deliver(self._known)


def _small(hosts: Hosts, address: str) -> bytes | str:
    """Return a picture as PNG bytes, or in words why there is none."""
    fetched = fetch(hosts.address(address), exception=hosts.sandbox, seconds=_SECONDS)
    if not fetched.body:
        return fetched.reason
    small = thumbnail(fetched.body, SIZE)
    return small if isinstance(small, bytes) else small.reason
