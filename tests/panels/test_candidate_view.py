import pytest

from toolkit.images.candidate_checks import candidate
from toolkit.panels.choose import candidate_view
from toolkit.panels.choose.candidate_view import CandidateView
from toolkit.panels.widgets import Alert
from toolkit.sandbox.picture_hosts import Hosts
from toolkit.sandbox.server import Sandbox

NEW = "https://images.example.com/new.png"


@pytest.fixture
def hosts():
    with Sandbox([]) as sandbox:
        yield Hosts(sandbox.base_url)


def test_made_up_hosts_are_asked_at_the_sandbox_and_the_address_is_judged_as_it_is(hosts):
    found = candidate(NEW, exception=hosts.sandbox, at=hosts.address)
    assert found.url == NEW
    assert found.usable
    assert found.image
    assert found.verdict("host").reason == "reachable from the internet"
    refused = candidate("https://10.0.0.1/new.png", exception=hosts.sandbox, at=hosts.address)
    assert not refused.usable


def test_the_picture_is_shown_as_data_once_its_host_has_answered(hosts):
    alert = Alert()
    view = CandidateView(lambda: hosts, alert, "")
    view.url.value = NEW
    assert "asking its host" in view.verdicts.value
    assert view.candidate is None
    assert view.worker.settled(30)
    assert alert.error is None
    assert view.candidate.url == NEW
    assert view.shown.value.count('src="data:image/png;base64,') == 6
    view.url.value = f"{NEW}?"
    assert view.candidate is None
    assert view.shown.value == ""
    assert "query string" in view.verdicts.value
    view.close()


@pytest.mark.parametrize("typed", ["http://images.example.com/new.svg", ""])
def test_what_is_typed_while_a_picture_is_drawn_has_no_other_picture_beside_it(
    hosts, monkeypatch, typed
):
    view = CandidateView(lambda: hosts, Alert(), "")
    draw = candidate_view._shown

    def slowly(found):
        view.url.value = typed
        return draw(found)

    monkeypatch.setattr(candidate_view, "_shown", slowly)
    view.url.value = NEW
    assert view.worker.settled(30)
    assert view.url.value == typed
    assert view.candidate is None
    assert view.shown.value == ""
    assert ("its host is not asked" in view.verdicts.value) == bool(typed)
    assert "new.png" not in view.verdicts.value
    view.close()


def test_hosts_that_cannot_be_opened_are_a_visible_line():
    alert = Alert()

    def nobody() -> Hosts:
        raise OSError("no port")

    view = CandidateView(nobody, alert, NEW)
    assert view.worker.settled(30)
    assert "OSError" in alert.value
    assert "no port" not in alert.value
    view.close()
