"""The licences of all that is installed to run this: `python -m tests.licences` lists them.

Read from each distribution's own metadata: its licence expression (PEP 639), or else its
classifiers, or else the first line of its older field of free text.
"""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("dashboard", "cluster", "socks")

# What older metadata calls a licence, and its name at SPDX; "BSD" does not say which one.
NAMES = {
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}

PAGE = """\
# Licences of what is installed

Everything that `uv run picture-audit` needs on Linux, with the extras `dashboard`, `cluster`
and `socks`, as each package's own metadata says. `BSD` is what older metadata calls BSD-2-Clause
or BSD-3-Clause.
`uv run python -m tests.licences` prints this page, `… --versions` the versions as well.

All are permissive but these, whose files may be used and passed on as they are:
{explained}
Of others, too, and in the repository only: the recordings in `tests/sandbox/recordings/`, made by
projects of Auth0 under MIT and, `tf.jsonl` alone, under MPL-2.0. The README beside them names the
projects.

| package | licence |
|---|---|
{rows}
"""

EXPLAINED = {
    "certifi": "MPL-2.0, a list of certificates; MPL asks for the source of changed files only",
    "fqdn": "MPL-2.0, comes with JupyterLab and checks host names; the same holds",
}


def required(name: str = "auth0-picture-audit") -> Iterator[Distribution]:
    """Yield each distribution that this one needs at run time, itself not included, by name."""
    found: dict[tuple[str, tuple[str, ...]], Distribution] = {}
    todo = [(canonicalize_name(name), EXTRAS)]
    while todo:
        key = todo.pop()
        if key in found:
            continue
        found[key] = distribution(key[0])
        for text in found[key].requires or ():
            needed = Requirement(text)
            marker = needed.marker
            if not marker or any(marker.evaluate({"extra": extra}) for extra in ("", *key[1])):
                todo.append((canonicalize_name(needed.name), tuple(sorted(needed.extras))))
    by_name = {key[0]: one for key, one in found.items() if key[0] != name}
    for key in sorted(by_name):
        yield by_name[key]


def licence(one: Distribution) -> str:
    """Return what a distribution says its licence is; "unknown" where it says nothing."""
    about = one.metadata
    if expression := about.get("License-Expression"):
        return expression
    classifiers = about.get_all("Classifier", [])
    classified = [text.rpartition(" :: ")[2] for text in classifiers if "License :: " in text]
    if classified:
        return " OR ".join(sorted(NAMES.get(text, text) for text in classified))
    said = (about.get("License") or "unknown").strip().splitlines()[0]
    return NAMES.get(said, said)


def parts(expression: str) -> set[str]:
    """Return the licences that an expression names."""
    return set(re.findall(r"[\w.+-]+", expression)) - {"AND", "OR", "WITH"}


def page(*, versions: bool = False) -> str:
    """Return the page that lists all licences."""
    explained = "".join(f"\n- `{name}`: {text}." for name, text in EXPLAINED.items()) + "\n"
    rows = []
    for one in required():
        version = f" {one.version}" if versions else ""
        rows.append(f"| `{canonicalize_name(one.name)}`{version} | {licence(one)} |")
    return PAGE.format(explained=explained, rows="\n".join(rows))


if __name__ == "__main__":
    import sys

    print(page(versions="--versions" in sys.argv), end="")  # noqa: T201 - what it is for
