"""Many snapshots of a tenant, by time."""

import json
from datetime import UTC, datetime, timedelta

import pandas as pd

from toolkit.classification.sources import Source
from toolkit.snapshots.history import Series, series
from toolkit.snapshots.snapshot import Provenance, Snapshot

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def snapshot(sources, days, *, complete=True):
    frame = pd.DataFrame({"source": pd.Series(sources, dtype="str")})
    told = {"method": "search", "windows": 1, "requests": 1, "seconds": 1.0, "sandbox": False}
    told |= {"tenant": "tenant.example", "toolkit_version": "0.1.0", "users": len(sources)}
    taken_at = NOW + timedelta(days=days)
    return Snapshot(Provenance(**told, taken_at=taken_at, complete=complete), frame)


OLD = snapshot(["unresolved", "unresolved", "gravatar", "custom"], 0)
NEW = snapshot(["initials", "initials", "gravatar", "missing"], 20)


def test_a_series_is_in_the_order_of_time_whatever_order_it_came_in():
    one = series(iter([NEW, OLD]))
    table = one.table()
    assert table["taken_at"].is_monotonic_increasing
    assert str(table["taken_at"].dtype).endswith("UTC]")
    assert table["users"].tolist() == [4, 4]
    assert table["own_low"].tolist() == [0.25, 0.25]
    assert table["own_high"].tolist() == [1.0, 0.25]
    assert table["unresolved"].tolist() == [0.5, 0.0]
    assert list(table.columns[5:]) == [s.value for s in Source if s in set(table.columns)]


def test_a_series_shows_itself_and_says_what_is_not_complete():
    one = series([OLD, snapshot([], 3, complete=False)])
    assert "in 2 snapshots from 2026-11-01 to 2026-11-04" in repr(one)
    assert [row["complete"] for row in one.as_dict()["moments"]] == [True, False]
    assert ">no</td>" in one._repr_html_()
    assert json.dumps(one.as_dict())


def test_a_series_of_nothing_is_empty():
    assert series([]) == Series(())
    assert series([]).table().empty
    assert "No snapshots" in repr(series([]))
