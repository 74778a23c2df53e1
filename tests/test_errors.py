"""What errors carry beside their words."""

from IPython.core.interactiveshell import InteractiveShell

from toolkit.errors import QueryError, SettingsError


def test_a_refused_query_carries_auth0s_code_and_none_by_default():
    assert QueryError("refused", "invalid_body").code == "invalid_body"
    assert QueryError("refused").code == ""
    assert str(QueryError("refused", "invalid_body")) == "refused"


def test_a_notebook_shows_the_message_and_no_traceback(capsys):
    shell = InteractiveShell()
    shell.run_cell("from toolkit.errors import SettingsError; raise SettingsError('Set it.')")
    assert capsys.readouterr().out.strip() == "Error: Set it."
    assert SettingsError("Set it.")._render_traceback_() == ["Error: Set it."]
