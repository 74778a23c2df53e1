"""A parsed query as a condition of SQL, with every value bound as a parameter.

Facts: Auth0 docs, "User Search Query Syntax"; ranges on metadata answer "operator 'less or
equal' is not supported" (measured by a public client of the API).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from toolkit.sandbox.directory import lucene
from toolkit.sandbox.directory.fields import Field, Kind, field_named, identifier, searchable
from toolkit.sandbox.directory.lucene import QueryError
from toolkit.sandbox.directory.timestamps import span

_NUMBER = re.compile(r"-?\d{1,15}", re.ASCII)
_FLAGS = {"true": 1, "false": 0}
_Test = lucene.Term | lucene.Wildcard | lucene.Range | lucene.Exists


@dataclass(frozen=True)
class Condition:
    """SQL that can stand after WHERE, and its parameters. Column names come from a fixed table."""

    sql: str
    parameters: tuple[str | int, ...] = ()


ALL = Condition("1")
"""The condition that every user meets."""


def condition(text: str) -> Condition:
    """Return the condition that a query string stands for; a blank query holds for all.

    Raises:
        QueryError: If the query is not understood or asks for what Auth0 does not support.
    """
    return _condition(lucene.parse(text)) if text.strip() else ALL


def _condition(node: lucene.Node) -> Condition:
    if isinstance(node, lucene.And | lucene.Or):
        parts = [_condition(clause) for clause in node.clauses]
        word = " AND " if isinstance(node, lucene.And) else " OR "
        bound = tuple(value for part in parts for value in part.parameters)
        return Condition("(" + word.join(part.sql for part in parts) + ")", bound)
    if isinstance(node, lucene.Not):
        part = _condition(node.clause)
        # IS NOT TRUE and not NOT: users without the field belong to the complement.
        return Condition(f"({part.sql}) IS NOT TRUE", part.parameters)
    return _test(node)


def _test(node: _Test) -> Condition:
    field = field_named(node.field)
    if field is None:
        raise QueryError(f"field '{node.field[:60]}' is not searchable")
    if field.kind in {Kind.FACET, Kind.METADATA}:
        test = _facet(field, node)
        sql = f"SELECT user FROM facets WHERE {test.sql}"  # noqa: S608 - fixed words, values are bound
        # One value is looked up for each user; a scan over many values is done once.
        is_point = isinstance(node, lucene.Term)
        whole = f"EXISTS ({sql} AND user = users.key)" if is_point else f"users.key IN ({sql})"
        return Condition(whole, test.parameters)
    if isinstance(node, lucene.Exists):
        return Condition(f"{field.column} IS NOT NULL")
    if isinstance(node, lucene.Term):
        return _term(field, node.value)
    if isinstance(node, lucene.Wildcard):
        return _wildcard(field, node.parts)
    return _range(field, node)


def _term(field: Field, value: str) -> Condition:
    if field.kind is Kind.MOMENT:
        return Condition(f"{field.column} BETWEEN ? AND ?", _span(value))
    if field.kind is Kind.NUMBER:
        return Condition(f"{field.column} = ?", (_number(value),))
    if field.kind is Kind.FLAG:
        if value not in _FLAGS:
            raise QueryError("a boolean field is true or false")
        return Condition(f"{field.column} = ?", (_FLAGS[value],))
    return Condition(f"{field.column} = ?", (_text(field, value),))


def _wildcard(field: Field, parts: tuple[str, ...]) -> Condition:
    if field.kind not in {Kind.FOLDED, Kind.EXACT}:
        raise QueryError("wildcards are not supported on this field")
    return Condition(f"{field.column} GLOB ?", (_glob(_text(field, part) for part in parts),))


def _glob(parts: Iterable[str]) -> str:
    return "*".join(re.sub(r"([*?\[])", r"[\1]", part) for part in parts)


def _range(field: Field, node: lucene.Range) -> Condition:
    if field.kind in {Kind.ID, Kind.FLAG}:
        raise QueryError("ranges are not supported on this field")
    if node.low is None and node.high is None:
        return Condition(f"{field.column} IS NOT NULL")
    parts: list[str] = []
    bound: list[str | int] = []
    if node.low is not None:
        parts.append(f"{field.column} {'>=' if node.with_low else '>'} ?")
        bound.append(_end(field, node.low, last=not node.with_low))
    if node.high is not None:
        parts.append(f"{field.column} {'<=' if node.with_high else '<'} ?")
        bound.append(_end(field, node.high, last=node.with_high))
    return Condition("(" + " AND ".join(parts) + ")", tuple(bound))


def _end(field: Field, value: str, *, last: bool) -> str | int:
    """One end of a range; a partial date stands for its first or its last millisecond."""
    if field.kind is Kind.MOMENT:
        return _span(value)[1 if last else 0]
    if field.kind is Kind.NUMBER:
        return _number(value)
    return _text(field, value)


def _facet(field: Field, node: _Test) -> Condition:
    """The test of one row of the table of facets."""
    name = field.column
    if isinstance(node, lucene.Exists):
        # "/" follows "." in ASCII: an object exists where anything under its name does.
        sql = "(field = ? OR (field > ? AND field < ?))"
        return Condition(sql, (name, name + ".", name + "/"))
    if isinstance(node, lucene.Term):
        return Condition("field = ? AND value = ?", (name, searchable(node.value)))
    if isinstance(node, lucene.Range):
        raise QueryError("operator 'less or equal' is not supported")
    if field.kind is Kind.METADATA:
        raise QueryError("wildcards are not supported on metadata")
    pattern = _glob(map(searchable, node.parts))
    return Condition("field = ? AND value GLOB ?", (name, pattern))


def _text(field: Field, value: str) -> str:
    if field.kind is Kind.ID:
        return identifier(value) or ""
    return searchable(value.lower() if field.kind is Kind.FOLDED else value)


def _number(value: str) -> int:
    if not _NUMBER.fullmatch(value):
        raise QueryError("a whole number is needed")
    return int(value)


def _span(value: str) -> tuple[int, int]:
    try:
        return span(value)
    except ValueError as error:
        raise QueryError("a date in ISO 8601 format is needed") from error
