from toolkit.errors import OutputError
from toolkit.panels.widgets import Alert, guarded


class Panel:
    def __init__(self):
        self.alert = Alert()

    @guarded
    def press(self, error=None):
        if error is not None:
            raise error


def test_an_error_of_ours_is_told_in_its_words_as_text():
    panel = Panel()
    panel.press(OutputError("Cannot write <b>\u202e: choose another place."))
    assert "Cannot write &lt;b&gt;\\u202e: choose" in panel.alert.value
    assert 'role="alert"' in panel.alert.value


def test_what_an_unforeseen_error_says_is_not_repeated():
    panel = Panel()
    panel.press(KeyError("name@example.com"))
    assert "KeyError" in panel.alert.value
    assert "example.com" not in panel.alert.value
    assert isinstance(panel.alert.error, KeyError)


def test_the_line_goes_away_with_the_next_try():
    panel = Panel()
    panel.press(OutputError("no"))
    panel.press()
    assert panel.alert.value == ""
    assert panel.alert.error is None
