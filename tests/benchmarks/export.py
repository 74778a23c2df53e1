"""A made-up export of any size: `python -m tests.benchmarks.export COUNT FILE [small]`.

The sandbox makes up some thousand people; each further copy of them gets other ids, addresses,
hashes and tokens, by replacing bytes in all lines of the copy at once. The file is what gzip
makes of it at its usual level, in one member. A small export has little more than what a snapshot
holds: some 460 bytes a user instead of 630.
"""

import hashlib
import json
import os
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple

from toolkit.classification.user_profile import FIELDS
from toolkit.sandbox.made_up.tenants import loadable, people

SEED = 7
_PEOPLE = 20_000
_WIDTH = 3  # characters that tell copies apart
_MOST = 10**_WIDTH * _PEOPLE
_SMALL = {*FIELDS} - {"updated_at"}
# Marks that no JSON holds as they are.
_HEX, _DECIMAL, _HASH = b"\0", b"\1", b"\2"
# Hashes, account numbers, and tokens of letters of both cases with digits.
_TOKEN = re.compile(
    rb"(?<![\w-])(?:[0-9a-f]{16,}|[0-9]{9,}|(?=[\w-]*[A-Z])(?=[\w-]*[0-9])[\w-]{20,})(?![\w-])"
)
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


class _Address(NamedTuple):
    """An e-mail address of which there is a hash: how it is hashed, what is around the mark."""

    digest: str
    before: bytes
    after: bytes


class Template:
    """Lines of many people, with marks where copies differ.

    Args:
        count: how many people.
        seed: which ones.
        small: leave out what a snapshot does not need.
    """

    def __init__(self, count: int, seed: int = SEED, *, small: bool = False) -> None:
        self._addresses: list[_Address] = []
        seen: set[bytes] = set()
        lines = []
        for person in people(count, seed=seed):
            record = loadable(person)
            record.pop("_gravatar", None)
            record = _small(record) if small else record
            account = str(record["user_id"]).partition("|")[2].encode()
            if account[:-_WIDTH] not in seen:  # or copies of two would be one user
                seen.add(account[:-_WIDTH])
                lines.append(self._marked(record, account))
        self.people = len(lines)
        self._lines = lines

    def _marked(self, record: dict[str, object], account: bytes) -> bytes:
        line = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        email = str(record.get("email") or "").encode()
        before, at, after = email.partition(b"@")
        for digest in ("md5", "sha256"):
            hashed = hashlib.new(digest, email.lower(), usedforsecurity=False).hexdigest().encode()
            if email:
                address = _Address(digest, before.lower(), (at + after).lower())
                self._addresses += [address] * line.count(hashed)
                line = line.replace(hashed, _HASH)
        line = line.replace(account, _shortened(account))
        if email:
            line = line.replace(email, before + _HEX + at + after)
        # The hash of nobody, zeros only, is nobody's in copies, too.
        return _TOKEN.sub(
            lambda found: _shortened(found[0]) if found[0].strip(b"0") else found[0], line
        )

    def copies(self, count: int) -> Iterator[bytes]:
        """Yield the lines of so many users, copy by copy."""
        for copy in range(-(-count // self.people)):
            lines = self._lines[: count - copy * self.people]
            pieces = b"".join(lines).split(_HASH)
            mark = f"{copy:0{_WIDTH}x}".encode()
            hashes = [
                hashlib.new(one.digest, one.before + mark + one.after, usedforsecurity=False)
                .hexdigest()
                .encode()
                for one in self._addresses[: len(pieces) - 1]
            ]
            text = b"".join(chain(*zip_longest(pieces, hashes, fillvalue=b"")))
            yield text.replace(_HEX, mark).replace(_DECIMAL, f"{copy:0{_WIDTH}}".encode())


def _small(record: dict[str, object]) -> dict[str, object]:
    kept = {name: value for name, value in record.items() if name in _SMALL}
    metadata = kept.pop("user_metadata", None)
    if isinstance(metadata, dict) and "picture" in metadata:
        kept["user_metadata"] = {"picture": metadata["picture"]}
    return kept


def _shortened(token: bytes) -> bytes:
    return token[:-_WIDTH] + (_DECIMAL if token.isdigit() else _HEX)


def write_export(path: Path, count: int, seed: int = SEED, *, small: bool = False) -> None:
    """Write an export, gzipped on all cores: the same arguments give the same bytes.

    Raises:
        ValueError: there are not so many different users.
    """
    if count > _MOST:
        raise ValueError(f"{count:,} users are more than the {_MOST:,} that can be told apart")
    check = size = 0

    def deflated(text: bytes) -> bytes:
        packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        return packer.compress(text) + packer.flush(zlib.Z_FULL_FLUSH)

    with path.open("wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        file.write(_HEADER)
        waiting = []
        for text in Template(min(count, _PEOPLE), seed, small=small).copies(count):
            check, size = zlib.crc32(text, check), size + len(text)
            waiting.append(pool.submit(deflated, text))
            if len(waiting) > 4:
                file.write(waiting.pop(0).result())
        for future in waiting:
            file.write(future.result())
        end = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
        file.write(end + struct.pack("<II", check, size % 2**32))


if __name__ == "__main__":
    write_export(Path(sys.argv[2]), int(sys.argv[1]), small="small" in sys.argv[3:])
