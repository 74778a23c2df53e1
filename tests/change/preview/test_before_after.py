import re

from toolkit.change.preview.before_after import bars
from toolkit.change.preview.portrait import Sight


def test_each_part_of_a_bar_is_as_wide_as_its_share_and_said_in_words():
    page = bars({Sight.OWN: 300, Sight.INITIALS: 100}, {Sight.OWN: 300, Sight.DEFAULT: 100})
    assert re.findall(r"flex:(\d+) 1 0", page) == ["300", "100", "300", "100"]
    assert 'aria-label="before: own picture 75.0 %; initials 25.0 %"' in page
    assert 'aria-label="after: own picture 75.0 %; your default 25.0 %"' in page


def test_a_narrow_part_has_no_letters_but_a_title():
    page = bars({Sight.OWN: 990, Sight.NONE: 10}, {})
    assert "nothing: 10 people, 1.0 %" in page
    assert page.count(">1 %<") == 0
