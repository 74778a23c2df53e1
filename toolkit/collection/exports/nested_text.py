"""Lists and objects that a tool wrote as text: as JSON, as JSON in JSON, or as Python shows them.

Facts: BigQuery, Snowflake and Airbyte unload nested values as JSON text. `pandas.to_csv` writes
what `str` gives: `[{'provider': 'auth0'}]`, without commas between the items of a numpy array.
"""

import ast
import json
import re
import warnings
from typing import Any

LONGEST = 1024 * 1024
"""Characters of a value in Python's form; Auth0 answers at most 1 MB for a user."""

_DEEPEST = 50
_LAYERS = 3  # of JSON in JSON
# Text, which stays; a word that only JSON or pandas knows; the end of one item before the next.
_FOREIGN = re.compile(
    r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"|\b(true|false|null|nan|NaN|NaT|undefined)\b|(\})(?=\s*\{)",
    re.DOTALL,
)
_WORDS = {"true": "True", "false": "False"}
_ARRAY = re.compile(r"array\((.*?)(?:,\s*dtype=\w+)?\)", re.DOTALL)


def opened(value: object) -> Any:  # noqa: ANN401 - any JSON
    """Return the list or object that a text stands for; any other value as it is."""
    inside = value
    for _ in range(_LAYERS):
        if not isinstance(inside, str):
            break
        inside = _parsed(inside)
    return inside if isinstance(inside, list | dict) else value


def _parsed(text: str) -> object:
    text = text.strip()
    if not text.startswith(("[", "{", '"', "array(")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > LONGEST or _depth(text) > _DEEPEST:
        return None
    if array := _ARRAY.fullmatch(text):
        text = array[1]
    for form in (text, _FOREIGN.sub(_as_python, text)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)  # of a backslash in somebody's data
                value = ast.literal_eval(form)
            # Keys that are numbers become texts, as they would in JSON; sets are refused.
            return json.loads(json.dumps(value))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return None


def _as_python(found: re.Match[str]) -> str:
    text, word, end = found.groups()
    return str(text or (f"{end}," if end else _WORDS.get(word, "None")))


def _depth(text: str) -> int:
    """Return an upper bound: brackets inside texts count, too."""
    depth = deepest = 0
    for bracket in re.findall(r"[][{}()]", text):
        depth += 1 if bracket in "[{(" else -1
        deepest = max(deepest, depth)
    return deepest
