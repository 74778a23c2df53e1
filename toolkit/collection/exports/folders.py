"""Which files are meant: files, folders, and patterns that no shell has replaced by names."""

from collections.abc import Iterable, Iterator, Sequence
from glob import glob
from pathlib import Path

from toolkit.errors import UnreadableInputError


def files_of(sources: Path | str | Iterable[Path | str]) -> list[Path]:
    """Return the files that are meant: by a file, a folder, a pattern such as `exports/*.json`.

    Of a folder, all files in it and in its folders, by name, without hidden ones.

    Raises:
        UnreadableInputError: a folder has no file, or nothing fits a pattern.
    """
    files: list[Path] = []
    several = [sources] if isinstance(sources, Path | str) else sources
    for source in map(Path, several):
        found = [source]
        if not source.exists() and any(mark in str(source) for mark in "*?["):
            found = [Path(one) for one in sorted(glob(str(source), recursive=True))]  # noqa: PTH207 - it may begin with /
            if not found:
                raise UnreadableInputError(f"No file is called like {source}.")
        for one in found:
            inside = list(_inside(one, ())) if one.is_dir() else [one]
            if not inside:
                raise UnreadableInputError(f"The folder {one} has no file in it.")
            files += inside
    return files


def _inside(folder: Path, around: Sequence[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in around:  # a link to a folder around it
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UnreadableInputError(f"{folder} cannot be read: {error.strerror}.") from error
    for one in entries:
        # Fact: Hadoop and Databricks mark with these that a folder is written.
        if one.name.startswith((".", "_SUCCESS", "_committed_", "_started_")):
            continue
        if one.is_dir():
            yield from _inside(one, (*around, real))
        elif one.exists() and not one.is_file():
            raise UnreadableInputError(f"{one} is no file: take it out of the folder.")
        else:
            yield one
