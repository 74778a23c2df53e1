"""Downloads of exports that are endless, too large, too slow or not what they should be."""

import gzip
import itertools
import json
import os
import time
import zlib
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.lying import Liar, head, whole
from tests.tenant.office import Proxy
from toolkit.collection import export_job
from toolkit.collection.export_job import Bounds, exported_users, exporting
from toolkit.errors import IncompleteError
from toolkit.tenant.client import Tenant
from toolkit.tenant.credentials import Settings
from toolkit.tenant.models import Job

SMALL = Bounds(
    size=4 << 20, ratio=50, slack=1 << 20, spare=0, window=0.3, least=1 << 10, head=1 << 16
)
CALM = replace(SMALL, window=30.0)
USERS = b"".join(b'{"user_id": "auth0|%d"}\n' % number for number in range(1000))


class State:
    """As much of a collection's state as an export asks for."""

    job = None

    def note_job(self, job):
        self.job = job


@pytest.fixture
def downloaded(no_credentials, tmp_path):
    """Have an export downloaded whose file is whatever a test gives."""

    def download(pieces, bounds=CALM, deadline=30.0):
        box = []

        def answer(request):
            if "/jobs" in request:
                job = {"id": "job_1", "status": "completed", "type": "users_export"}
                return [whole(json.dumps(job | {"location": f"{box[0].base_url}/file.json.gz"}))]
            return pieces(box[0])

        file = tmp_path / "s.gz"
        with Liar(answer) as liar:
            box.append(liar)
            settings = Settings(_env_file=None, domain=liar.base_url, token="t")
            with Tenant(settings) as tenant:
                for _ in exporting(tenant, State(), file, deadline=deadline, bounds=bounds):
                    pass
            downloads = sum("/file" in one for one in liar.requests)
        return file, downloads

    return download


def test_a_file_that_is_whole_is_downloaded_once(downloaded):
    parts = gzip.compress(USERS[:5000]) + gzip.compress(USERS[5000:])
    file, downloads = downloaded(lambda _: [head(), *(bytes([one]) for one in parts)])
    assert len(list(exported_users(file))) == 1000
    assert downloads == 1


def endless(*first, more):
    return lambda _: itertools.chain([head(), *first], itertools.cycle(more))


def packed(piece, level=9):
    """Return the beginning of gzip data, and what goes on with the same for ever."""
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    return [packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]


ENDLESS = {
    "zeros": endless(more=[bytes(65536)]),
    "zeros after users": endless(gzip.compress(USERS), more=[bytes(65536)]),
    "zeros, packed": endless(*packed(bytes(1 << 20)), more=packed(bytes(1 << 20))[1:]),
    "a line": endless(*packed(b"{" * (1 << 16), 0), more=packed(b"{" * (1 << 16), 0)[1:]),
    "users": endless(*packed(USERS, 0), more=packed(USERS, 0)[1:]),
    "empty parts": endless(more=[gzip.compress(b"") * 1000]),
    "what is no gzip data": endless(more=[b"<html>" * 10_000]),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_an_endless_file_is_an_error_and_takes_little_of_the_disk(downloaded, tmp_path, what):
    with pytest.raises(IncompleteError, match="--method search"):
        downloaded(ENDLESS[what])
    assert (tmp_path / "s.gz").stat().st_size <= CALM.size


def test_a_line_that_is_longer_than_a_user_can_be_is_an_error(downloaded, monkeypatch):
    monkeypatch.setattr(export_job, "_LINE", 1 << 17)
    file = gzip.compress(b'{"user_id": "' + b"a" * (1 << 18) + b'"}\n', 0)
    with pytest.raises(IncompleteError, match="larger than"):
        downloaded(lambda _: [whole(file)])


def test_a_file_that_is_announced_as_too_large_is_not_begun(downloaded, tmp_path):
    said = head(f"content-length: {CALM.size + 1}")
    with pytest.raises(IncompleteError, match="larger than"):
        downloaded(lambda _: [said, gzip.compress(USERS)])
    assert not (tmp_path / "s.gz").exists()


@pytest.mark.parametrize("said", [head(), head("content-length: 2000000")])
def test_the_disk_is_never_filled(downloaded, monkeypatch, tmp_path, said):
    def usage(_):
        used = (tmp_path / "s.gz").stat().st_size if (tmp_path / "s.gz").exists() else 0
        return SimpleNamespace(total=1 << 30, free=(1 << 20) - used)

    monkeypatch.setattr("shutil.disk_usage", usage)
    file = gzip.compress(os.urandom(1_990_000))
    with pytest.raises(IncompleteError, match="disk can hold"):
        downloaded(lambda _: [said, file])
    assert usage(None).free >= 0


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (head(), b"\x1f"),
        (head("transfer-encoding: chunked"), b"0"),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (head("content-length: 100000"), b""),
    ],
)
def test_a_download_that_drips_or_stops_is_an_error(downloaded, monkeypatch, first, drop):
    monkeypatch.setattr(export_job, "_DOWNLOADS", 2)
    data = gzip.compress(USERS) if drop == b"\x1f" else b""

    def drips(liar):
        drops = (data[i : i + 1] for i in range(len(data))) if data else itertools.repeat(drop)
        return itertools.chain([first], liar.drip(drops))

    with pytest.raises(IncompleteError, match="too slow"):
        downloaded(drips, SMALL)


def test_all_downloads_together_end_with_the_deadline(downloaded):
    def drips(liar):
        return itertools.chain([head()], liar.drip(itertools.repeat(gzip.compress(b"")), 0.01))

    started = time.monotonic()
    with pytest.raises(IncompleteError, match="too slow"):
        downloaded(drips, replace(CALM, least=0), deadline=0.4)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("status", ["302 Found", "200 OK"])
def test_a_redirect_is_not_followed_and_what_is_empty_is_not_whole(downloaded, status):
    answer = head("location: /other", "content-length: 0", status=status)
    with pytest.raises(IncompleteError, match="refused"):
        downloaded(lambda _: [answer])


def completed(location):
    return {"id": "job_1", "status": "completed", "type": "x", "location": location}


@pytest.mark.parametrize(
    "location",
    [
        "http://example.com/file",
        "//file",
        "file:///etc/passwd",
        "x",
        "http://[",
        "",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/file",
        "https://[::ffff:10.0.0.1]/file",
        "https://files.internal/file",
        "gopher://127.0.0.1/file",
    ],
)
def test_a_link_to_no_public_https_address_is_not_followed(no_credentials, tmp_path, location):
    state = State()
    with Liar(lambda _: [whole(json.dumps(completed(location)))]) as liar:
        settings = Settings(_env_file=None, domain=liar.base_url, token="t")
        with (
            Tenant(settings) as tenant,
            pytest.raises(IncompleteError, match=r"not followed: .* --method search"),
        ):
            list(exporting(tenant, state, tmp_path / "s.gz"))
    assert state.job is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/file", "https://localhost/file"])
def test_a_real_tenant_cannot_have_this_machine_ask_itself(tmp_path, location):
    tenant = SimpleNamespace(
        sandbox=False, start_export=lambda: Job.of(SimpleNamespace(**completed(location)))
    )
    with pytest.raises(IncompleteError, match="not followed"):
        list(exporting(tenant, State(), tmp_path / "s.gz"))


def test_a_file_that_repeats_its_users_is_given_up_long_before_the_largest_size(downloaded):
    parts = itertools.cycle([gzip.compress(USERS)])
    with pytest.raises(IncompleteError, match="repeats itself"):
        downloaded(lambda _: itertools.chain([head()], parts), Bounds())


def test_users_who_come_twice_do_not_make_a_file_repeat_itself(downloaded):
    file, _ = downloaded(lambda _: [head(), gzip.compress(b"\n" + USERS), gzip.compress(USERS)])
    assert len(list(exported_users(file))) == 2000


def test_a_proxy_that_does_not_let_the_file_through_is_told(monkeypatch, tmp_path, no_credentials):
    job = {"id": "job_1", "status": "completed", "type": "users_export"}
    body = json.dumps(job | {"location": "https://exports.example/file?Signature=x"})
    with Proxy() as proxy, Liar(lambda _: [whole(body)]) as liar:
        monkeypatch.setenv("HTTPS_PROXY", proxy.place)
        settings = Settings(_env_file=None, domain=liar.base_url, token="t")
        with (
            Tenant(settings) as tenant,
            pytest.raises(IncompleteError, match=r"anybody reach exports\.example") as raised,
        ):
            list(exporting(tenant, State(), tmp_path / "s.gz", deadline=30.0, bounds=CALM))
    assert "Signature" not in str(raised.value)
    assert set(proxy.requests) == {"CONNECT exports.example:443"}
