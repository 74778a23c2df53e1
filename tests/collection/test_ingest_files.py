import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

import toolkit
from toolkit.classification.frames import audit, profiles
from toolkit.classification.user_profile import user
from toolkit.cli import main
from toolkit.collection.exports.ingest_files import ingest
from toolkit.errors import IncompleteError, OutputError, UnreadableInputError
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.snapshots.snapshot import read_snapshot

PEOPLE = [loadable(person) for person in people(300)]
LINES = [json.dumps(one).encode() + b"\n" for one in PEOPLE]
NDJSON = b"".join(LINES)


def linked(record, at, keys):
    one = record["identities"][at] if at < len(record["identities"]) else {}
    return one.get(keys[0], {}).get(keys[1]) if len(keys) > 1 else one.get(keys[0])


PATHS = {
    "identities[0].connection": lambda one: one["identities"][0]["connection"],
    "identities[0].provider": lambda one: one["identities"][0]["provider"],
    "user_metadata.picture": lambda one: one.get("user_metadata", {}).get("picture"),
    **{
        f"user_metadata.{key}": lambda one, key=key: one.get("user_metadata", {}).get(key)
        for key in ("avatar", "avatar_url", "profile_picture", "photoURL")
    },
    "thumbnailPhotoUrl": lambda one: one.get("thumbnailPhotoUrl"),
    **{
        f"identities[{at}].{path}": lambda one, at=at, path=path: linked(one, at, path.split("."))
        for at in (1, 2)
        for path in ("provider", "profileData.picture")
    },
}
PLAIN = ["user_id", "email", "name", "picture", "created_at", "updated_at", "last_login"]


def cell(value):
    if value is None or type(value) is int:
        return "" if value is None else str(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return "\"'" + text.replace('"', '""') + '"'


def table(records):
    """Write users as Auth0 writes them into a CSV."""
    titles = [*PLAIN, "logins_count", *PATHS]
    lines = [",".join(titles)]
    for one in records:
        plain = [one.get(title) for title in (*PLAIN, "logins_count")]
        lines.append(",".join(map(cell, [*plain, *(path(one) for path in PATHS.values())])))
    return "\n".join(lines).encode() + b"\n"


@pytest.fixture
def file(tmp_path):
    """Write a file and return its path."""

    def file(content, name="my-tenant.json.gz"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return file


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "snapshot.parquet"


def test_it_gives_what_the_audit_of_the_users_gives(file, out):
    path = file(gzip.compress(NDJSON))
    taken = datetime.fromtimestamp(1_700_000_000, UTC)
    snapshot = ingest([path], out, taken_at=taken)
    audited = audit(profiles(map(user, PEOPLE)))
    pd.testing.assert_frame_equal(snapshot.users[audited.columns], audited)
    again = read_snapshot(out).provenance
    assert again == snapshot.provenance
    assert (again.tenant, again.method, again.complete) == ("my-tenant", "ingest", True)
    assert again.taken_at == taken
    assert (again.users, again.windows, again.requests, again.notes) == (300, 1, 0, ())


def test_form_packing_and_name_of_a_file_make_no_difference(file, out):
    expected = audit(profiles(map(user, PEOPLE)))
    for content in (NDJSON, table(PEOPLE)):
        for packed in (content, gzip.compress(content)):
            for name in ("t.csv", "t.csv.gz", "t.ndjson", "t"):
                frame = ingest([file(packed, name)], out).users
                pd.testing.assert_frame_equal(frame[expected.columns], expected)


def test_users_of_several_files_are_counted_once(file, out):
    one = file(b"".join(LINES[:200]), "t.json")
    two = file(gzip.compress(b"".join(LINES[150:])), "t.json.gz")
    snapshot = toolkit.ingest([one, two], out)
    assert snapshot.users["user_id"].tolist() == [person["user_id"] for person in PEOPLE]
    assert snapshot.provenance.tenant == "t"
    assert snapshot.provenance.complete
    assert snapshot.provenance.windows == 2
    assert "50 rows repeat" in snapshot.provenance.notes[0]


def test_users_who_differ_between_files_are_told(file, out):
    new = PEOPLE[0] | {"picture": "https://pictures.example/new.png"}
    one, two = file(NDJSON, "one.json"), file(json.dumps(new).encode(), "two.json")
    with pytest.raises(IncompleteError, match="1 of them with other values"):
        ingest([one, two], out)
    snapshot = read_snapshot(out)
    assert snapshot.provenance.tenant == "unknown"
    assert not snapshot.provenance.complete
    assert snapshot.users["picture"][0] == PEOPLE[0].get("picture")


def test_users_without_an_id_and_what_is_no_user_are_rows(file, out):
    lines = b'{"user_id": "a|1", "picture": ""}\n' + b'{"email": "a@x.example"}\n' * 2
    lines += b'["x"]\n7\n{"picture": {"a": 1}}\n'
    snapshot = ingest([file(lines)], out, tenant="given.example")
    assert snapshot.users["source"].tolist() == [*["missing"] * 3, *["invalid"] * 3]
    assert snapshot.provenance.tenant == "given.example"
    (note,) = [one for one in snapshot.provenance.notes if one.startswith("Rows")]
    assert note.startswith("Rows without a user_id: 5. A file may be damaged there")


def test_users_that_damage_put_inside_of_another_are_noted(file, out):
    # Bytes moved: what is left of the first record is valid JSON and swallows the next two.
    swallowed = ", ".join(map(json.dumps, PEOPLE[1:3]))
    record = f'{{"email": "a@x.example", "identities": [{swallowed}]}}'
    page = json.dumps({"users": [PEOPLE[0], "HERE", PEOPLE[3]]}).replace('"HERE"', record)
    snapshot = ingest([file(page.encode(), "page.json")], out)
    assert snapshot.users["user_id"].tolist() == [PEOPLE[0]["user_id"], "", PEOPLE[3]["user_id"]]
    assert snapshot.provenance.notes[0].startswith("Rows without a user_id: 1.")


def test_progress_is_in_bytes_of_the_files(file, out):
    one, two = file(NDJSON, "one"), file(gzip.compress(NDJSON), "two")
    told = []
    ingest([one, two], out, show=told.append)
    size = one.stat().st_size + two.stat().st_size
    assert told[-1].total == size
    assert told[-1].done == size
    assert told[-1].note == "300 users"
    assert told[-1].rate > 0


def test_what_was_lost_is_in_the_error_and_in_the_notes(file, out):
    one = file(b"".join([*LINES[:7], b"garbage\n", *LINES[7:]]), "one.json")
    new = json.dumps(PEOPLE[1] | {"user_id": "auth0|new"}).encode() + b"\n"
    two = file(gzip.compress(new * 2)[:-4], "two.json")
    with pytest.raises(IncompleteError) as raised:
        ingest([one, two], out)
    said = str(raised.value)
    for part in ("one.json: line 8", "two.json: the gzip data is cut short", "301 users", str(out)):
        assert part in said
    snapshot = read_snapshot(out)
    assert len(snapshot) == 301
    assert not snapshot.provenance.complete
    assert len(snapshot.provenance.notes[:-1]) == 4  # two.json has no user_metadata


def test_when_the_users_were_exported_is_said_or_assumed_and_then_noted(file, out):
    latest = datetime(2026, 11, 1, 12, tzinfo=UTC)
    lines = [{"user_id": "a|1", "picture": "", "last_login": "2026-11-01T12:00:00.000Z"}]
    lines.append({"user_id": "a|2", "updated_at": "9999-01-01T00:00:00.000Z"})  # a wrong clock
    path = file(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    for hours, assumed in ((1, 1), (48, 48), (-48, 0)):
        changed = (latest + timedelta(hours=hours)).timestamp()
        os.utime(path, (changed, changed))
        told = ingest([path], out).provenance
        assert told.taken_at == latest + timedelta(hours=assumed)
        assert len(told.notes) == (hours != 1)
    assert "2026-11-01 12:00 UTC, taken for that" in told.notes[0]
    told = ingest([path], out, taken_at=latest).provenance
    assert (told.taken_at, told.notes) == (latest, ())


def test_times_that_cannot_be_read_are_told_and_lose_nobody(file, out):
    times = [
        "01.03.2024 10:00",
        "3/1/2024 10:00",
        "2024-03-01 10:00:00 UTC",
        "NaT",
        "4/1/2024 9:00",
    ]
    rows = "".join(f"auth0|{n},,{time}\n" for n, time in enumerate(times))
    # Quotes inside a cell: these rows are read one by one.
    for count, more in [("2", ""), ("3", 'auth0|9,,5/1/"2024"\n')]:
        path = file(f"user_id,picture,created_at\n{rows}{more}".encode(), "tenant.csv")
        snapshot = ingest([path], out, taken_at=datetime(2024, 4, 1, tzinfo=UTC))
        assert snapshot.provenance.complete
        found = snapshot.users["created_at"].notna().tolist()
        assert found[:5] == [True, False, True, False, False]
        [note] = snapshot.provenance.notes
        assert note.startswith(f"{count} times of created_at could not be read, for example of ")


def test_what_a_killed_run_left_beside_the_snapshot_is_removed(file, out):
    out.parent.mkdir()
    left = [
        out.with_name(f".{out.name}.picture-audit-0123abcd"),
        out.with_name(f"..{out.name}.picture-audit-0123abcd.picture-audit-4567cdef"),
    ]
    others = [
        out.with_name(f".{out.name}.notes"),
        out.with_name(f".{out.name}.0123abcd"),
        out.with_name(".other.parquet.picture-audit-0123abcd"),
    ]
    for one in (*left, *others):
        one.write_text("")
    ingest([file(NDJSON)], out)
    assert {*out.parent.iterdir()} == {out, *others}


@pytest.mark.parametrize("code", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("times", [1, 9])
def test_a_run_that_waits_for_more_and_is_ended_leaves_nothing(file, out, code, times):
    fifo = file(b"", "t.json").with_name("pipe")
    os.mkfifo(fifo)
    command = [Path(sys.executable).with_name("picture-audit"), "ingest", fifo, "--out", out]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process, fifo.open("wb") as pipe:
        pipe.write(NDJSON * times)
        pipe.flush()
        while not [*out.parent.glob(f".*{out.name}.*")]:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(code)
        assert process.wait(60) == 128 + code
    assert not [*out.parent.iterdir()]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n \n",
        gzip.compress(b"", mtime=0),
        b"user_id,picture\n",
        b"PAR1",
        gzip.compress(NDJSON, mtime=0)[:12],
    ],
)
def test_a_file_without_users_is_said_before_anything_is_written(content, file, out):
    out.parent.mkdir()
    out.write_bytes(b"old")
    with pytest.raises(UnreadableInputError, match=r"empty\.json"):
        ingest([file(NDJSON), file(content, "empty.json")], out)
    assert out.read_bytes() == b"old"
    assert [one.name for one in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize("content", [b'{"user_id": "a|1"}\n' * 3, b"user_id,name\na|1,A\n"])
def test_a_file_without_pictures_is_refused_and_not_taken_for_users_without(content, file, out):
    with pytest.raises(UnreadableInputError, match="No user in t has a field picture: export it"):
        ingest([file(content, "t")], out)
    assert not out.exists()


def test_a_picture_that_only_a_late_user_has_is_a_picture(file, out):
    late = b'{"user_id": "a|1"}\n' * 2000 + b'{"user_id": "a|2", "picture": "x"}\n'
    assert ingest([file(late)], out).users["user_id"].tolist() == ["a|1", "a|2"]


def zipped(members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return packed.getvalue()


def test_the_files_in_a_zip_are_files_of_their_own(file, out):
    packed = zipped(
        {
            "exports/": b"",
            "exports/1.json": b"".join([*LINES[:150], b"garbage\n"]),
            "exports/2.csv.gz": gzip.compress(table(PEOPLE[150:])),
            "__MACOSX/exports/._1.json": b"\0\5\26\7",
            ".DS_Store": b"\0\0\0\1Bud1",
        }
    )
    told = []
    with pytest.raises(IncompleteError, match=r"t.zip/exports/1.json: line 151 could not be read"):
        ingest([file(packed, "t.zip")], out, show=told.append)
    snapshot = read_snapshot(out)
    assert snapshot.users["user_id"].tolist() == [one["user_id"] for one in PEOPLE]
    assert (snapshot.provenance.tenant, snapshot.provenance.windows) == ("t", 1)
    assert told[-1].done == told[-1].total == len(packed)


def test_a_file_in_a_zip_that_holds_no_users_is_named(file, out):
    packed = zipped({"users.json": NDJSON, "read me.txt": b"Hello!"})
    with pytest.raises(UnreadableInputError, match=r"t.zip/read me.txt has no user ids"):
        ingest([file(packed, "t.zip")], out)


def test_a_folder_and_a_pattern_stand_for_the_files_in_them(file, out, tmp_path, monkeypatch):
    folder = tmp_path / "exports"
    (folder / "b").mkdir(parents=True)
    (folder / "2.json").write_bytes(b"".join(LINES[100:200]))
    (folder / "1.json").write_bytes(b"".join(LINES[:100]))
    (folder / "b" / "3.json.gz").write_bytes(gzip.compress(b"".join(LINES[200:])))
    for name in (".hidden", "_SUCCESS", "b/._3.json.gz"):
        (folder / name).write_bytes(b"")
    (folder / "b" / "back").symlink_to(folder)
    everybody = [one["user_id"] for one in PEOPLE]
    assert ingest([folder], out).users["user_id"].tolist() == everybody
    pattern = str(folder / "**" / "*.json*")
    assert sorted(ingest([pattern], out).users["user_id"]) == sorted(everybody)
    monkeypatch.chdir(folder)
    assert len(ingest(["?.json"], out)) == 200


def test_a_folder_in_which_something_is_no_users_file_is_an_error_that_names_it(file, out):
    folder = out.parent
    folder.mkdir()
    with pytest.raises(UnreadableInputError, match=r"folder .*out has no file"):
        ingest([folder], folder / "new" / "out.parquet")
    with pytest.raises(UnreadableInputError, match=r"No file is called like .*\*\.csv"):
        ingest([folder / "*.csv"], folder / "new" / "out.parquet")
    (folder / "users.json").write_bytes(NDJSON)
    (folder / "notes.txt").write_bytes(b"Hello!")
    with pytest.raises(UnreadableInputError, match=r"notes.txt has no user ids"):
        ingest([folder], folder / "new" / "out.parquet")
    (folder / "notes.txt").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(UnreadableInputError, match=r"pipe is no file"):
        ingest([folder], folder / "new" / "out.parquet")


def test_what_some_files_do_not_have_is_noted(file, out):
    whole = file(b'{"user_id": "a|1", "picture": "", "email": "a@x.example"}\n', "whole.json")
    less = file(b'{"user_id": "a|2", "picture": ""}\n', "less.json")
    notes = ingest([whole, less], out).provenance.notes
    assert "1 file with 1 user did not have email." in notes
    assert not [note for note in notes if "last_login" in note]


def test_no_file_at_all_is_said(out):
    with pytest.raises(UnreadableInputError, match="No export"):
        ingest([], out)


def test_an_export_is_never_overwritten(file):
    path = file(NDJSON)
    with pytest.raises(OutputError, match="one of the exports"):
        ingest([path], path)
    assert path.read_bytes() == NDJSON


def test_a_pipe_is_read_too(file, out):
    script = (
        "import sys; from toolkit import ingest; print(len(ingest(['/dev/stdin'], sys.argv[1])))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, out], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        assert reader.communicate(gzip.compress(NDJSON), timeout=60)[0] == b"300\n"


def test_many_users_pass_through_a_little_memory(file, out):
    def many():
        for turn in range(12):
            for number in range(50_000):
                one = PEOPLE[number % len(PEOPLE)]
                yield json.dumps(one | {"user_id": f"auth0|{turn}-{number}"}).encode() + b"\n"

    path = file(b"")
    with gzip.open(path, "wb", 1) as packed:
        packed.writelines(many())
    script = (
        "import resource, sys\n"
        "from toolkit import ingest\n"
        "ingest([sys.argv[2]], sys.argv[3])\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak(); users = len(ingest([sys.argv[1]], sys.argv[3], force=True))\n"
        "print(users, peak() - before)"
    )
    little = file(NDJSON, "little.json")
    answer = subprocess.run(
        [sys.executable, "-c", script, path, little, out],
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    users, megabytes = map(int, answer.stdout.split())
    assert users == 600_000
    # The text alone is more than 600 MB; the frames of all users would be more than that.
    assert megabytes < 520


# The command


@pytest.fixture
def run(no_credentials, monkeypatch, capfd):
    def run(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["picture-audit", "ingest", *map(str, arguments)])
            try:
                main()
                code = 0
            except SystemExit as end:
                code = end.code or 0
        return code, *capfd.readouterr()

    return run


def test_the_command_says_what_it_read(run, file, out):
    code, stdout, stderr = run(file(NDJSON), "--out", out)
    assert (code, stdout) == (0, "")
    assert "300 users" in stderr
    assert str(out) in stderr


def test_a_gzip_that_is_cut_anywhere_ends_with_1_and_keeps_every_whole_line(run, file, out):
    packed = gzip.compress(NDJSON)
    for part in range(1, 20):
        size = len(packed) * part // 20
        whole = gzip.zlib.decompressobj(31).decompress(packed[:size]).count(b"\n")
        code, stdout, stderr = run(file(packed[:size]), "--out", out)
        assert (code, stdout) == (1, "")
        assert stderr.startswith("Error: ")
        assert len(stderr.splitlines()) == 2
        assert "my-tenant.json.gz: the gzip data is cut short in line" in stderr
        ids = read_snapshot(out).users["user_id"].tolist()
        assert len(ids) in (whole, whole + 1)
        assert ids == [one["user_id"] for one in PEOPLE[: len(ids)]]


def test_a_damaged_byte_in_the_middle_ends_with_1(run, file, out):
    damaged = bytearray(gzip.compress(NDJSON))
    damaged[len(damaged) // 2] ^= 0xFF
    code, _, stderr = run(file(bytes(damaged)), "--out", out)
    assert code == 1
    assert "gzip" in stderr
    assert 100 < len(read_snapshot(out)) < 300


@pytest.mark.parametrize("content", [NDJSON[:-9], NDJSON.replace(LINES[9], b"{]\n"), b"x" + NDJSON])
def test_a_line_that_cannot_be_read_ends_with_1_or_2(run, file, out, content):
    code, _, stderr = run(file(content), "--out", out)
    assert code == (2 if content.startswith(b"x") else 1)
    assert out.exists() == (code == 1)
    if code == 1:
        assert "299 users" in stderr


def test_what_cannot_be_read_at_all_ends_with_2(run, file, out, tmp_path):
    for path in (tmp_path / "nothing.json", tmp_path, file(b"")):
        code, stdout, stderr = run(file(NDJSON, "good.json"), path, "--out", out)
        assert (code, stdout) == (2, "")
        assert len(stderr.splitlines()) == 1
        assert not out.exists()
    assert run("--out", out)[0] == 2


def test_without_a_place_each_snapshot_is_a_new_file_of_the_tenant(no_credentials, tmp_path):
    (tmp_path / "acme.ndjson").write_bytes(NDJSON)
    found = [ingest("acme.ndjson"), ingest(["acme.ndjson"]), ingest("acme.ndjson", folder="kept")]
    assert [one.path.parent for one in found] == [Path("out/acme")] * 2 + [Path("kept/acme")]
    assert found[0].path != found[1].path
    assert {len(one) for one in found} == {len(PEOPLE)}
    assert ingest("acme.ndjson", tenant="other.example").path.parent == Path("out/other.example")
    # The checkpoints that reserved the names are gone.
    assert sum(one.is_file() for one in tmp_path.rglob("*")) == 5


def test_a_file_that_is_not_there_is_said(no_credentials):
    with pytest.raises(UnreadableInputError, match="cannot be read: No such file or directory"):
        ingest("nobody.json")


def test_nothing_is_kept_if_who_looks_on_raises(tmp_path):
    (tmp_path / "acme.ndjson").write_bytes(NDJSON)

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(tmp_path / "acme.ndjson", folder=tmp_path / "kept", show=stop)
    assert [one for one in (tmp_path / "kept").rglob("*") if one.is_file()] == []


def test_a_file_without_pictures_is_refused_with_the_names_that_it_has(file, out):
    users = file(b"user_id,avatar_url,provider\nauth0|1,https://cdn.example/1.png,auth0\n")
    wanted = r"add --map picture=NAME. The file has: user_id, avatar_url, provider\.$"
    with pytest.raises(UnreadableInputError, match=wanted):
        ingest(users, out)
    assert ingest(users, out, names={"picture": "avatar_url"}).coverage().users == 1


def test_a_table_of_password_hashes_is_told_by_its_column_names(file, out):
    hashes = file(b"_id,email,passwordHash,tenant,connection\n5dea,a@x.example,$2b$10,t,db\n")
    with pytest.raises(UnreadableInputError, match="export of password hashes"):
        ingest(hashes, out)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"total": 5}, "of 5 users, so the pages say, 2 are in them"),
        ({"total": 2, "length": 3}, "its pages hold 1 user fewer than they say"),
    ],
)
def test_pages_that_hold_fewer_users_than_they_say_are_not_complete(file, out, said, told):
    users = [{"user_id": f"auth0|{number}", "picture": None} for number in range(2)]
    page = file(json.dumps(said | {"start": 0, "users": users}).encode())
    with pytest.raises(IncompleteError, match=told):
        ingest(page, out)
    assert len(read_snapshot(out)) == 2
    whole = {"total": 4, "length": 2, "users": users}
    other = [{"user_id": f"auth0|{number}", "picture": None} for number in range(2, 4)]
    pages = [whole, whole | {"users": other}]
    files = [file(json.dumps(one).encode(), str(number)) for number, one in enumerate(pages)]
    assert ingest(files, out, force=True).provenance.complete
