"""Damages files of every shape and reads them: `uv run python -m tests.collection.fuzz 10000`.

Tries so many files for each reader, other ones with another seed (second argument), or for the
readers that are named after it, and prints what came of them. What is wrong is printed with its
name, from which `try_one` makes the file again, and ends with exit code 1: anything raised but an
error in a line or two, a user lost without a note, much memory or time, or a crash.
"""

import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.collection.file_shapes import NOW, SHAPES, Shape, User, made_up
from toolkit.collection.exports.ingest_files import ingest
from toolkit.errors import PictureAuditError
from toolkit.snapshots.snapshot import read_snapshot

USERS = made_up(24)
_MOST_MEMORY = 1 << 30  # bytes: far more than a process needs for 24 users, with all libraries
_MOST_SECONDS = 20.0
_LONGEST = 2_000  # characters of a message
_AT_ONCE = 2
# So many files a process reads at most: pyarrow 26 keeps 4 kB for each damaged stream of zstd that
# it meets (tried), and a damaged file is unpacked some ten times.
_IN_A_PROCESS = 2_500
_TYPES = 0.2  # the share of files that hold values of wrong types, instead of damage

_ODD: tuple[Any, ...] = (
    *(None, True, -1, 2**70, 1.5, "", " ", "\0", "x" * 5_000, "99/99/9999", "{", "[]", "'"),
    *([], {}, [[]], {"$date": {}}, {"a": {"b": [1, {"c": None}]}}, [1, "a", {}], "2024-13-45"),
)
_JUNK = (
    *(b"\0", b"\n", b"\r\n", b'"', b"'", b"{", b"}", b"[", b"]", b",", b";", b"\t", b"\\", b"\xff"),
    *(b"[" * 3_000, b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b\x08"),
    *(b"PK\x03\x04", b"PAR1", b"sep=;", b"\xe4"),
)


class LossError(AssertionError):
    """Something that must not happen to a file."""


def reader_of(content: bytes) -> str:
    """Return which reader a file is for, by how it begins."""
    begins = {
        b"PAR1": "Parquet",
        b"ARROW1": "Arrow",
        b"\xff\xff\xff\xff": "Arrow",
        b"\x1f\x8b": "gzip",
        b"\x28\xb5\x2f\xfd": "zstd",
        b"PK": "Excel" if b"xl/workbook.xml" in content else "zip",
        b"\xff\xfe": "UTF-16",
        b"[": "JSON",
        b"{\n": "JSON",
        b"{": "NDJSON",
    }
    return next((name for head, name in begins.items() if content.startswith(head)), "CSV")


def shapes_by_reader() -> dict[str, list[Shape]]:
    found: dict[str, list[Shape]] = {}
    for shape in SHAPES.values():
        found.setdefault(reader_of(shape.write(USERS)), []).append(shape)
    return found


READERS = shapes_by_reader()
# In what these hold, an id is found as it is, and a part may be gone without a trace.
TEXT = {"NDJSON": "utf-8", "JSON": "utf-8", "CSV": "utf-8", "UTF-16": "utf-16-le"}


def damaged(content: bytes, dice: random.Random) -> tuple[bytes, list[tuple[int, int]]]:
    """Damage a file; return it and which parts of the original are touched, by begin and end."""
    place = dice.randrange(len(content) + 1)
    end = min(len(content), place + dice.choice([1, 4, 40, 400, 4_000]))
    before, part, after = content[:place], content[place:end], content[end:]
    match dice.choice(["cut", "flip", "repeat", "remove", "insert", "move"]):
        case "cut":
            return before, [(place, len(content))]
        case "flip":
            touched = sorted({dice.randrange(len(content)) for _ in range(dice.choice([1, 3, 9]))})
            flipped = bytearray(content)
            for one in touched:
                flipped[one] ^= dice.randrange(1, 256)
            return bytes(flipped), [(one, one + 1) for one in touched]
        case "repeat":
            return before + part * dice.choice([2, 3]) + after, [(place, end)]
        case "remove":
            return before + after, [(place, end)]
        case "insert":
            return before + dice.choice(_JUNK) + content[place:], [(place, place)]
        case _:
            other = dice.randrange(len(after) + 1)
            moved = before + after[:other] + part + after[other:]
            # What stands between may be inside of something else now, and in UTF-16 be shifted.
            return moved, [(place, end + other)]


def odd(users: list[User], dice: random.Random) -> list[User]:
    """Put values of wrong types into some users."""
    found = [dict(user) for user in users]
    for _ in range(dice.choice([1, 3, 20])):
        one = dice.choice(found)
        name = dice.choice([*one, "surplus"])
        one[name] = dice.choice(_ODD)
    return found


def untouched(content: bytes, touched: list[tuple[int, int]], encoding: str) -> set[str]:
    """Return the ids of the users of a text file in whose records nothing was touched.

    A record lies between the ids of the users before and after it.
    """
    places = [content.find(user["user_id"].encode(encoding)) for user in USERS]
    if -1 in places or places != sorted(places):
        return set()
    bounds = [0, *places, len(content)]
    return {
        user["user_id"]
        for user, begin, end in zip(USERS, bounds, bounds[2:], strict=False)
        if begin > 0 and not any(a <= end and b >= begin for a, b in touched)
    }


def try_one(reader: str, folder: Path, seed: str) -> str:
    """Read one damaged file of a reader; return what came of it; raise LossError if it is wrong."""
    dice = random.Random(seed)
    shape = dice.choice(READERS[reader])
    path, out = folder / shape.name, folder / "out.parquet"
    whole = content = shape.write(USERS)
    kept, count = set[str](), len(USERS)
    if dice.random() < _TYPES:
        try:
            content = shape.write(odd(USERS, dice))
        except Exception:  # noqa: BLE001 - a table cannot hold that: what it says is not ours
            return "not written"
    else:
        content, touched = damaged(whole, dice)
        if reader in TEXT:
            kept = untouched(whole, touched, TEXT[reader])
            count = len(kept)
    path.write_bytes(content)
    out.unlink(missing_ok=True)
    if _read(path, out):
        return "said, with the rest" if out.exists() else "refused"
    snapshot = read_snapshot(out)
    rows = snapshot.users["user_id"].to_list()
    lost = kept - set(rows)
    # Damaged text may be JSON all the same, with users inside of something that has no id.
    told = f"Rows without a user_id: {rows.count('')}." in " ".join(snapshot.provenance.notes)
    if told != ("" in rows):
        raise LossError(f"{rows.count('')} rows have no id, and the notes do not say so")
    if told:
        return "complete but for rows without an id"
    if lost:
        raise LossError(f"lost without a word: {sorted(lost)[:3]}")
    if len(rows) < count:
        raise LossError(f"{count - len(rows)} rows lost without a word")
    return "complete"


def _read(path: Path, out: Path) -> str:
    """Read a file; return what is said of it; raise LossError if that is no error in words."""
    started, said = time.monotonic(), ""
    try:
        ingest(path, out, taken_at=NOW)
    except PictureAuditError as error:
        said = str(error)
    except Exception as error:
        raise LossError(f"{type(error).__name__}: {error}") from error
    if time.monotonic() - started > _MOST_SECONDS:
        raise LossError(f"it took {time.monotonic() - started:.0f} s")
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > _MOST_MEMORY:
        raise LossError("it took too much memory")
    if len(said) > _LONGEST or said.count("\n") > 1:
        raise LossError(f"a long message: {said}")
    return said


def run(reader: str, numbers: range, seed: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Try some files; yield what came of each, or what is wrong with it, and its seed."""
    for number in numbers:
        name = f"{seed}-{reader}-{number}"
        try:
            yield try_one(reader, folder, name), name
        except LossError as error:
            yield f"WRONG {error}", name


def _run_and_print(reader: str, numbers: range, seed: str) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        results: Counter[str] = Counter()
        for result, name in run(reader, numbers, seed, Path(folder)):
            results[result.partition(" ")[0] if result.startswith("WRONG") else result] += 1
            if result.startswith("WRONG"):
                sys.stdout.write(f"{name}: {result[:300]}\n")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    told = ", ".join(f"{number:,} {result}" for result, number in sorted(results.items()))
    sys.stdout.write(f"{reader}: {told}; {most:,} MB at most\n")
    sys.exit(bool(results["WRONG"]))


def main(count: int, seed: str = "1", *only: str) -> int:
    """Fuzz each reader, or `only` some, in processes that may crash; return the exit code."""
    context = multiprocessing.get_context("spawn")
    waiting = [
        (name, context.Process(target=_run_and_print, args=(name, numbers, seed)))
        for name in only or READERS
        for first in range(0, count, _IN_A_PROCESS)
        for numbers in [range(first, min(first + _IN_A_PROCESS, count))]
    ]
    failed, running = 0, []
    while waiting or running:
        while waiting and len(running) < _AT_ONCE:
            running.append(waiting.pop(0))
            running[-1][1].start()
        for name, process in list(running):
            process.join(0.5)
            if process.exitcode is not None:
                running.remove((name, process))
                failed |= process.exitcode
                if process.exitcode not in (0, 1):
                    sys.stdout.write(f"{name}: the process ended with {process.exitcode}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
