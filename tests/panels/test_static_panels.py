"""Panels where no kernel runs: in a saved notebook, on GitHub, in a mail."""

import nbformat
import pytest
from nbconvert import HTMLExporter

from tests.panels.test_explorer import choose, explorer, snapshot  # noqa: F401 - fixtures
from toolkit.panels import widgets
from toolkit.panels.choose.admin_panel import choose_default_picture
from toolkit.panels.collector_panel import collector
from toolkit.panels.dashboard_frame import Dashboard

VIEW = "application/vnd.jupyter.widget-view+json"


def outputs_of(panel):
    """Return what a cell shows: something for where no kernel runs, and the panel."""
    shown = []

    def keep(bundle, *, raw):
        assert raw
        shown.append(bundle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(widgets, "display", keep)
        panel._ipython_display_()
    return shown


def pages_of(panel):
    """Return what a panel says as HTML and as text; a kernel's page still gets the panel."""
    static, live = outputs_of(panel)
    assert live[VIEW]["model_id"] == panel.model_id
    assert live["text/html"] == live["text/plain"] == ""
    return static["text/html"], static["text/plain"]


def converted(panel):
    """Return the page that nbconvert makes of a notebook with this panel, without widgets."""
    outputs = [nbformat.v4.new_output("display_data", data=one) for one in outputs_of(panel)]
    cell = nbformat.v4.new_code_cell("panel", outputs=outputs)
    page, _ = HTMLExporter(embed_images=False).from_notebook_node(
        nbformat.v4.new_notebook(cells=[cell])
    )
    return page[page.index("<body") :]


def test_the_explorer_says_in_a_table_what_its_bars_show(explorer):  # noqa: F811 - the fixture
    page, words = pages_of(explorer)
    users = explorer.roster.provenance.users
    social = explorer.roster.coverage("source", explorer.filters.selection).sources["social"]
    for said in (f"{users:,} users", "see a picture of their own", f"social {social:,}"):
        assert said in words
    assert f"<td>{social:,}</td>" in page
    for hidden in ("auth0|", "@", "<img", "script", "evil"):
        assert hidden not in page
    assert "<" not in words


def test_the_explorer_says_what_its_filters_choose(explorer):  # noqa: F811 - the fixture
    choose(explorer, "source", "initials")
    _, words = pages_of(explorer)
    assert "initials" in words
    assert "social" not in words


def test_a_converted_notebook_shows_the_panel(explorer):  # noqa: F811 - the fixture
    page = converted(explorer)
    assert "see a picture of their own" in page
    assert '<th scope="row">social</th>' in page
    assert "Explorer(" not in page


def test_the_other_panels_say_what_they_are_for_and_what_they_have(
    snapshot,  # noqa: F811 - the fixture
    no_credentials,
    tmp_path,
):
    collecting = collector(folder=tmp_path)
    assert "Reads the users of a tenant" in pages_of(collecting)[1]
    collecting.snapshot = snapshot
    assert "social" in pages_of(collecting)[1]
    collecting.close()
    admin = choose_default_picture(snapshot, folder=tmp_path)
    assert admin.settled()
    assert "Choose a default picture t.example · snapshot" in pages_of(admin)[1]
    admin.close()
    whole = Dashboard(folder=tmp_path)
    assert "Where do your users" in pages_of(whole)[1]
    whole.collector.snapshot = snapshot
    assert "social" in pages_of(whole)[1]
    whole.close()
