import re

import pandas as pd

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.groups import UNKNOWN
from toolkit.panels.explorer.explorer_charts import trend


def cohorts(**users: tuple[int, int, int]) -> Coverage:
    rows = [
        (name.replace("m", "").replace("_", "-"), source, seen, n)
        for name, counts in users.items()
        for source, seen, n in zip(
            ("social", "unresolved", "initials"),
            ("own", "unknown", "initials"),
            counts,
            strict=True,
        )
    ]
    return Coverage("cohort", pd.DataFrame(rows, columns=["group", "source", "seen", "users"]))


def test_it_says_what_it_shows_from_what_is_known_to_what_may_be():
    html = trend(cohorts(m2024_01=(50, 25, 25), m2024_02=(10, 0, 90)))
    assert "Of those who joined in 2024-02, 10 % see a picture of their own" in html
    assert "in 2024-01, 50 to 75 %" in html
    assert 'role="img"' in html


def test_many_months_are_drawn_as_quarters_and_then_as_years():
    many = {f"m{2010 + n // 12}_{n % 12 + 1:02}": (1, 0, 0) for n in range(60)}
    assert "2010 Q1" in trend(cohorts(**many))
    more = {f"m{1990 + n // 12}_{n % 12 + 1:02}": (1, 0, 0) for n in range(300)}
    assert ">1990<" in trend(cohorts(**more))


def test_one_month_is_a_line_and_nobody_is_said():
    html = trend(cohorts(m2024_01=(1, 0, 1)))
    assert len(re.search(r'polyline points="([^"]+)"', html)[1].split()) == 2
    assert "Nobody" in trend(Coverage.empty("cohort"))
    unknown = Coverage(
        "cohort",
        pd.DataFrame({"group": [UNKNOWN], "source": ["social"], "seen": ["own"], "users": [3]}),
    )
    assert "Nobody" in trend(unknown)
