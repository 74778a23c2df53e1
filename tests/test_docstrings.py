"""What the docstrings of public functions say: every argument, what comes back, what can go wrong.

Ruff holds them to their form; that it is said at all, and that the errors exist, is held here.
"""

import builtins
import inspect
import re

import pytest

import toolkit
from toolkit import errors

FUNCTIONS = [name for name in toolkit.__all__ if inspect.isfunction(getattr(toolkit, name))]
SECTION = re.compile(r"^(Args|Returns|Yields|Raises|Attributes):\n((?:    .*\n|\n)*)", re.MULTILINE)


def sections(name):
    text = inspect.getdoc(getattr(toolkit, name))
    return dict(SECTION.findall(f"{text}\n")), text


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_of_a_public_function_is_explained(name):
    told, _ = sections(name)
    explained = re.findall(r"^    \*{0,2}(\w+): \S", told.get("Args", ""), re.MULTILINE)
    assert explained == list(inspect.signature(getattr(toolkit, name)).parameters)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_public_function_returns_is_said(name):
    told, text = sections(name)
    returned = inspect.signature(getattr(toolkit, name)).return_annotation
    assert returned is None or "Returns" in told or text.startswith("Return")


@pytest.mark.parametrize("name", toolkit.__all__)
def test_errors_that_are_named_exist(name):
    told, _ = sections(name)
    named = re.findall(r"^    ((?:\w+, |\w+,\n    )*\w+): ", told.get("Raises", ""), re.MULTILINE)
    assert named or "Raises" not in told
    for error in re.split(r",\s+", ", ".join(named)) if named else ():
        found = getattr(errors, error, None) or getattr(builtins, error)
        assert issubclass(found, Exception)
