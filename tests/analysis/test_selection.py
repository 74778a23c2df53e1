from dataclasses import replace
from datetime import UTC, datetime

import pytest

from toolkit.analysis.finding_checks import IDS
from toolkit.analysis.groups import ACTIVITY, NONE
from toolkit.analysis.selection import Selection, derived
from toolkit.errors import SettingsError

HOSTILE = "'; DROP TABLE users; --"


def test_an_empty_selection_lets_everybody_pass():
    assert Selection().condition() == ("true", {})


@pytest.mark.parametrize(
    "selection",
    [
        Selection(connections=(HOSTILE,)),
        Selection(sources=(HOSTILE,)),
        Selection(providers=(HOSTILE,)),
        Selection(text=HOSTILE),
        Selection(user_ids=(HOSTILE,)),
    ],
)
def test_what_people_type_is_bound_and_never_part_of_the_sql(selection):
    sql, values = selection.condition()
    assert "DROP" not in sql
    assert HOSTILE in str(values)


def test_months_and_activity_are_bound_as_numbers():
    chosen = Selection(joined_from="2023-02", joined_to="2024-11", activity=("never", "30 days"))
    _, values = chosen.condition()
    assert values == {
        "joined_from": 202302,
        "joined_to": 202411,
        "activity": [tuple(ACTIVITY).index("never"), 0],
    }


def test_what_is_no_month_is_an_error_and_not_everybody():
    with pytest.raises(ValueError, match="last spring"):
        Selection(joined_from="last spring").condition()


def test_text_is_taken_without_the_blanks_around_it():
    assert Selection(text="  ann ").condition()[1] == {"text": "ann"}
    assert Selection(text="  ").condition() == ("true", {})


def test_what_is_excluded_is_the_contrary_also_where_nothing_is_known():
    sql, values = Selection(sources=("social",), text="a", excluding=("sources",)).condition()
    assert sql == (
        "NOT coalesce(list_contains($sources, source), false) AND contains(searched, lower($text))"
    )
    assert values == {"sources": ["social"], "text": "a"}


def test_a_finding_is_asked_for_by_its_place_and_an_unknown_one_is_an_error():
    assert Selection(finding=IDS[0]).condition()[1] == {"finding": 1}
    assert Selection(finding=IDS[-1]).condition()[1] == {"finding": 1 << (len(IDS) - 1)}
    with pytest.raises(SettingsError, match="No finding is called"):
        Selection(finding=HOSTILE).condition()


def test_a_selection_is_a_value():
    assert replace(Selection(text="a"), text="") == Selection()
    assert hash(Selection(sources=("social",))) == hash(Selection(sources=("social",)))
    assert NONE in derived(datetime(2026, 1, 1, tzinfo=UTC))
