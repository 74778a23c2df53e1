"""Lists of the Management API, by pages or from a checkpoint on.

Facts: recordings of the API: totals are `total`, `start` and `limit` (only users have a `length`
too); a checkpoint has a `next` only where there is more.
"""

from typing import Any

from toolkit.sandbox.api.gate import Answer, Call


def listed(call: Call, name: str, documents: list[dict[str, Any]], usual: int = 50) -> Answer:
    """Return one page of `usual` items unless told otherwise, with totals if asked for."""
    page, per_page = call.number("page"), call.number("per_page", usual)
    start = page * per_page
    shown = documents[start : start + per_page]
    if not call.flag("include_totals"):
        return shown
    return {"total": len(documents), "start": start, "limit": per_page, name: shown}


def checkpoint(call: Call, name: str, documents: list[dict[str, Any]], key: str = "id") -> Answer:
    """Return one page from a checkpoint on, which the `key` of an item is."""
    ids = [document[key] for document in documents]
    start = ids.index(call.asked["from"]) if call.asked.get("from") in ids else 0
    end = start + call.number("take")
    answer: dict[str, Any] = {name: documents[start:end]}
    return answer | ({"next": ids[end]} if end < len(ids) else {})
