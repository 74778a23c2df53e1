"""What is packed, and in which characters it is written, makes no difference; damage is told."""

import bz2
import gzip
import io
import json
import lzma
import random
import zipfile

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collection.pipe import Pipe
from toolkit.collection.exports.reader import exports
from toolkit.errors import UnreadableInputError

RANDOM = random.Random(1)
PEOPLE = [
    {
        "user_id": f"auth0|{number}",
        "name": "Zoë 😀",
        "picture": f"https://pictures.example/{RANDOM.getrandbits(200):x}.png",
    }
    for number in range(4000)
]
FEW = PEOPLE[:60]


def ndjson(people):
    return "".join(json.dumps(one) + "\n" for one in people).encode()


def zipped(content, method=zipfile.ZIP_DEFLATED, name="users.json"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
        packed.writestr(name, content)
    return file.getvalue()


def streamed(content):
    """Write a zip as a program writes it into a pipe: sizes stand after the data."""

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation

        def tell(self):
            raise io.UnsupportedOperation

    file = Pipe()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("users.json", content)
        packed.writestr("more.json", b'{"user_id": "more|1"}\n')
    return file.getvalue()


def zstd(content):
    return pa.compress(content, codec="zstd", asbytes=True)


PACKED = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstd,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
    "zip, stored": lambda content: zipped(content, zipfile.ZIP_STORED),
    "zip, bzip2": lambda content: zipped(content, zipfile.ZIP_BZIP2),
    "gzip in zip": lambda content: zipped(gzip.compress(content)),
    "zstd in zip": lambda content: zipped(zstd(content)),
    "zip in gzip": lambda content: gzip.compress(zipped(content)),
    "zip in zip": lambda content: zipped(zipped(content), zipfile.ZIP_STORED, "inner.zip"),
    "xz twice": lambda content: lzma.compress(content[:999]) + lzma.compress(content[999:]),
    "zstd twice": lambda content: zstd(content[:999]) + zstd(content[999:]),
}
LAYOUTS = {
    "lines": ndjson,
    "array": lambda people: json.dumps(people).encode(),
    "pretty": lambda people: json.dumps(people, indent=2, ensure_ascii=False).encode(),
    "objects": lambda people: "\n".join(json.dumps(one, indent=2) for one in people).encode(),
    "csv": lambda people: "\n".join(
        ["user_id;name;picture", *(";".join(one.values()) for one in people)]
    ).encode(),
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]


def read(file):
    """Return all users, and what was lost."""
    users, troubles = [], []
    for export in exports(file, "x"):
        _ = export.is_plain
        users += [one for _, one in export]
        troubles += export.troubles
    return users, troubles


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(LAYOUTS)),
    st.sampled_from(sorted(PACKED)),
    st.sampled_from(ENCODINGS),
    st.sampled_from([1, 2, 3, 50, 1000, 100_000]),
)
def test_users_are_the_same_whatever_they_are_packed_and_written_in(layout, packed, encoding, size):
    content = PACKED[packed](LAYOUTS[layout](FEW).decode().encode(encoding))
    assert read(Pipe(content, size)) == (FEW, [])
    assert read(io.BytesIO(content)) == (FEW, [])


# pyarrow writes zstd without a checksum: damage there may be other text.
HARM = [("gzip", "damaged"), ("xz", "damaged"), ("zip", "damaged"), ("gzip in zip", "damaged")]


@pytest.mark.parametrize(
    ("packed", "harm"), [*HARM, *((packed, "cut") for packed, _ in HARM), ("zstd", "cut")]
)
@pytest.mark.parametrize("layout", ["lines", "pretty"])
def test_everybody_before_the_damage_is_kept_and_the_damage_is_told(packed, layout, harm):
    content = PACKED[packed](LAYOUTS[layout](PEOPLE))
    place = len(content) * 3 // 4
    if harm == "cut":
        content = content[:place]
    else:
        content = (
            content[:place] + bytes(255 ^ one for one in content[place:][:8]) + content[place + 8 :]
        )
    counts = []
    for file in (io.BytesIO(content), Pipe(content, 65_536)):
        users, troubles = read(file)
        counts.append(len(users))
        whole = next((at for at, one in enumerate(users) if one != PEOPLE[at]), len(users))
        assert whole > 1500
        assert troubles
        assert any(word in troubles[-1] for word in ("cut short", "damaged", "checksum"))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("pack", [zipped, streamed])
def test_a_zip_without_its_directory_is_searched(pack):
    content = pack(ndjson(FEW))
    users, troubles = read(io.BytesIO(content[: content.rindex(b"PK\1\2") - 1]))
    assert users[:60] == FEW
    assert troubles[-1].startswith("x/")
    assert "the zip is cut short" in troubles[-1]
    if pack is streamed:
        assert users[60:] == [{"user_id": "more|1"}]


def looked_at(export):
    """Look at an export as `ingest` does before it reads."""
    assert not export.is_plain
    export.ensure_users()


@pytest.mark.parametrize("harm", ["cut short", "damaged"])
def test_damage_in_the_only_block_of_bzip2_is_why_nobody_is_found(harm):
    content = bytearray(bz2.compress(ndjson(PEOPLE)))
    content[5000] ^= 255
    file = io.BytesIO(content[:5000] if harm == "cut short" else content)
    (export,) = exports(file, "x")
    with pytest.raises(UnreadableInputError, match=f"the bzip2 data is {harm}"):
        looked_at(export)


def test_a_checksum_that_does_not_match_is_told():
    content = zipped(ndjson(FEW), zipfile.ZIP_STORED).replace(b"auth0|7", b"auth0|8")
    users, troubles = read(io.BytesIO(content))
    assert len(users) == 60
    assert "the zip checksum does not match" in troubles[0]


def test_what_cannot_be_unpacked_is_said():
    secret = bytearray(zipped(ndjson(FEW)))
    secret[6] |= 1
    secret[secret.rindex(b"PK\1\2") + 8] |= 1
    foreign = bytearray(zipped(ndjson(FEW)))
    foreign[8] = foreign[foreign.rindex(b"PK\1\2") + 10] = 9
    often = ndjson(FEW)
    for _ in range(6):
        often = gzip.compress(often)
    for content, words in [
        (bytes(secret), r"^x/users.json is encrypted: unpack it"),
        (bytes(foreign), r"^x/users.json is packed by method 9: unpack it"),
        (often, r"^x is packed too often"),
        (zipped(b"", name=".hidden"), r"^x holds no file"),
        (zipped(b"x")[:20], r"^x is a damaged zip"),
        (b"PK\5\6", r"^x is a damaged zip"),
    ]:
        with pytest.raises(UnreadableInputError, match=words):
            read(io.BytesIO(content))
