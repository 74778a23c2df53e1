import csv
import gzip
import io
import json
import random
from contextlib import closing, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.collection.pipe import Pipe
from toolkit.classification.user_profile import user
from toolkit.collection.exports.reader import exports, user_objects
from toolkit.errors import UnreadableInputError

TITLES = ("user_id", "picture", "logins_count", "user_metadata.picture", "identities[0].connection")
PEOPLE = [
    {"user_id": f"auth0|{n}", "picture": f"https://pictures.example/{n}.png"} for n in range(300)
]


def cell(value):
    """Write a value as Auth0 writes it into a CSV."""
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    return "\"'" + value.replace('"', '""') + '"'


def table(titles, rows, end="\n"):
    lines = [titles, *(map(cell, row) for row in rows)]
    return "".join(",".join(line) + end for line in lines).encode()


def ndjson(records=PEOPLE):
    return "".join(json.dumps(one) + "\n" for one in records).encode()


@contextmanager
def exported(source, name=None):
    """Open what holds one export."""
    with closing(exports(source, name)) as found:
        yield next(found)


def read(content, name="users.json.gz"):
    """Return the records by line, and what was lost."""
    with exported(io.BytesIO(content), name) as export:
        records = dict(export)
    return records, export.troubles


def test_ndjson_gives_its_objects_and_their_lines():
    records, troubles = read(b'\n{"user_id": "a"}\r\n\n  {"user_id": "b"}')
    assert records == {2: {"user_id": "a"}, 4: {"user_id": "b"}}
    assert troubles == ()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_what_a_file_is_is_told_by_its_content(pack, mark):
    rows = [(one["user_id"], one["picture"]) for one in PEOPLE]
    for content in (ndjson(), table(TITLES[:2], rows), table(TITLES[:2], rows, "\r\n")):
        for name in ("users.csv", "users.json.gz", "users"):
            records, troubles = read(pack(mark + content), name)
            assert list(records.values()) == PEOPLE
            assert troubles == ()


def test_a_path_is_read_as_a_stream_is(tmp_path):
    (tmp_path / "x").write_bytes(ndjson())
    with exported(tmp_path / "x") as export:
        assert [record for _, record in export] == PEOPLE
    assert export.position == len(ndjson())
    assert export.rows == export.lines == len(PEOPLE)


def test_a_gzip_of_several_members_is_one_file():
    lines = ndjson().splitlines(keepends=True)
    members = gzip.compress(b"".join(lines[:9]) + lines[9][:7]) + b"\0\0"
    members += gzip.compress(lines[9][7:] + b"".join(lines[10:])) + b"\0" * 600
    records, troubles = read(members)
    assert list(records.values()) == PEOPLE
    assert troubles == ()


@pytest.mark.parametrize("size", [1, 500, 10_000, 10**9])
@pytest.mark.parametrize("end", [b"", b'{"user'])
def test_blocks_are_whole_lines_and_what_is_left_is_read_line_by_line(size, end):
    for content in (ndjson(), ndjson(PEOPLE * 200)):
        with exported(io.BytesIO(b"\n" + content + end)) as export:
            assert export.is_plain
            blocks = list(map(b"".join, export.blocks(size)))
            assert b"".join(blocks) == content
            assert all(block.endswith(b"\n") for block in blocks)
            assert all(len(block) >= size for block in blocks[:-1])
            for block in blocks:
                export.account(block.count(b"\n"), block.count(b"\n"), ())
            assert list(export) == []
        lines = content.count(b"\n") + 1
        cut_short = (f"the export: the file is cut short in line {lines + 1:,}",)
        assert export.troubles == (cut_short if end else ())


@given(
    st.lists(
        st.tuples(
            st.uuids().map("auth0|{}".format),
            st.none()
            | st.text(st.sampled_from("'=+@-\"\n\r,;\t\0é漢😀 a{}[]"))
            | st.text(st.characters(codec="utf-8")),
            st.none() | st.integers(0, 2**40),
            st.none() | st.text(st.characters(codec="utf-8")),
            st.none() | st.text(st.characters(codec="utf-8")),
        ),
        min_size=1,
    ),
    st.sampled_from([TITLES, [f'"{title}"' for title in TITLES], [cell(one) for one in TITLES]]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_escaping_of_csv_writes_is_read_back(rows, titles, end):
    records, troubles = read(table(titles, rows, end))
    seen = [
        (one.user_id, one.picture, one.logins_count, one.metadata_picture, one.connection)
        for one in map(user, records.values())
    ]
    assert seen == rows
    assert troubles == ()


def test_columns_that_were_renamed_as_in_a_snapshot_go_where_they_belong():
    titles = ("user_id", "metadata_picture", "connection", "strategy")
    records, _ = read(table(titles, [("samlp|x|1", "https://p.example/1.png", "x", "samlp")]))
    one = user(records[2])
    assert (one.metadata_picture, one.connection, one.strategy) == (
        "https://p.example/1.png",
        "x",
        "samlp",
    )


def test_ndjson_with_paths_as_keys_is_rebuilt_and_whole_attributes_win():
    flat = {"user_id": "a", "identities[0].provider": "p", "user_metadata.picture": "x"}
    whole = flat | {"identities": [{"provider": "q"}], "user_metadata": {"picture": "y"}}
    records, _ = read(ndjson([flat, whole]))
    seen = [(one.strategy, one.metadata_picture) for one in map(user, records.values())]
    assert seen == [("p", "x"), ("q", "y")]


def test_whole_identities_in_a_cell_are_read_as_json():
    row = ("a", json.dumps([{"provider": "github", "connection": "github"}]))
    records, _ = read(table(("user_id", "identities"), [row, ("b", "[torn"), ("c", None)]))
    assert [user(one).connection for one in records.values()] == ["github", None, None]


def test_a_very_long_field_is_a_field():
    picture = "data:image/png;base64," + "A" * 3_000_000
    for content in (table(TITLES[:2], [("a", picture)]), ndjson([{"picture": picture}])):
        records, troubles = read(gzip.compress(content, 1))
        assert [one["picture"] for one in records.values()] == [picture]
        assert troubles == ()


@pytest.mark.parametrize("end", [b'"\n', b""])
def test_a_line_without_an_end_is_left_out_instead_of_filling_the_memory(end):
    long = b'{"picture": "' + b"A" * 40_000_000 + end
    records, troubles = read(gzip.compress(ndjson() + long, 1))
    assert list(records.values()) == PEOPLE
    assert "301" in troubles[0]
    with exported(io.BytesIO(ndjson() + long)) as export:
        blocks = list(map(b"".join, export.blocks(1000)))
    assert max(map(len, blocks), default=0) < 35_000_000


def test_a_quote_that_is_never_closed_does_not_fill_the_memory():
    plain = b"b,y\n" * 400_000
    records, troubles = read(b'user_id,picture\n"a,x\n' + plain + b'c,"z"\n')
    assert len(records) == 400_001
    assert troubles == ("users.json.gz: line 2 could not be read",)


@pytest.mark.parametrize(
    "garbage", [b"nonsense", b"{", b"\xff\xfe", b'{"a": }', b"[" * 100_000, b"9" * 5000, b"\0\0"]
)
def test_a_line_that_is_no_json_is_told_and_the_rest_is_read(garbage):
    lines = ndjson().splitlines()
    records, troubles = read(b"\n".join([*lines[:150], garbage, *lines[150:]]))
    assert list(records.values()) == PEOPLE
    assert troubles == ("users.json.gz: line 151 could not be read",)


@pytest.mark.parametrize(
    "garbage", [b"nonsense", b'"never closed', b'"a"b",c', b"\x81,x", b"a,b,c"]
)
def test_a_row_that_is_no_csv_is_told_and_the_rest_is_read(garbage):
    rows = [(one["user_id"], one["picture"]) for one in PEOPLE]
    lines = table(TITLES[:2], rows).splitlines()
    records, troubles = read(b"\n".join([*lines[:150], garbage, *lines[150:]]))
    assert list(records.values()) == PEOPLE
    assert troubles == ("users.json.gz: line 151 could not be read",)


def test_only_the_first_of_many_lines_are_named():
    _, troubles = read(b'{"user_id": "a"}\n' + b"x\n" * 1203 + b'{"user_id": "b"}\n')
    assert troubles == ("users.json.gz: lines 2, 3, 4 and 1,200 more could not be read",)


def test_json_that_is_no_object_is_a_record_too():
    records, troubles = read(b'{"user_id": "a"}\n["x"]\n"y"\n7\nnull\n')
    assert list(records.values()) == [{"user_id": "a"}, "x", "y", 7, None]
    assert troubles == ()


@pytest.mark.parametrize("content", [ndjson(), table(TITLES[:2], [("a\nb", "c"), ("d", "e")])])
def test_a_torn_last_line_is_told(content):
    whole, _ = read(content)
    records, troubles = read(content[:-3])
    assert list(records.items()) == list(whole.items())[:-1]
    assert troubles == (f"users.json.gz: the file is cut short in line {max(whole)}",)


def test_a_row_that_is_torn_between_its_lines_is_told():
    records, troubles = read(table(TITLES[:2], [("a", "b"), ("c\nd\ne", "f")])[:-8])
    assert list(records) == [2]
    assert "cut short" in troubles[0]


@pytest.mark.parametrize("kind", ["ndjson", "csv"])
def test_a_gzip_that_is_cut_anywhere_keeps_every_whole_line_before(kind):
    rows = [(one["user_id"], one["picture"]) for one in PEOPLE]
    content = ndjson() if kind == "ndjson" else table(TITLES[:2], rows)
    packed = gzip.compress(content, mtime=0)
    for size in range(1, len(packed)):
        inflated = gzip.zlib.decompressobj(31).decompress(packed[:size])
        whole = inflated.count(b"\n") - (kind == "csv")
        if inflated.count(b"\n") < 2:
            continue
        records, troubles = read(packed[:size])
        # The last object may be whole although its line is not.
        assert len(records) - max(whole, 0) in ((0, 1) if kind == "ndjson" else (0,)), size
        assert list(records.values()) == PEOPLE[: len(records)]
        assert len(troubles) == 1
        assert "the gzip data is cut short" in troubles[0]


def test_a_damaged_byte_anywhere_is_told_and_keeps_what_stands_before():
    packed = gzip.compress(ndjson(), mtime=0)
    for place in random.Random(1).sample(range(10, len(packed)), 200):
        damaged = bytearray(packed)
        damaged[place] ^= 0xFF
        before = gzip.zlib.decompressobj(31).decompress(packed[:place]).count(b"\n")
        records, troubles = read(bytes(damaged))
        assert troubles, place
        # Bits of the byte before may belong to a code that the damaged byte completes.
        assert list(records.values())[: before - 1] == PEOPLE[: max(before - 1, 0)]


def test_rows_before_a_wrong_checksum_are_kept():
    packed = bytearray(gzip.compress(ndjson()))
    packed[-6] ^= 1
    records, troubles = read(bytes(packed))
    assert list(records.values()) == PEOPLE
    assert "checksum does not match" in troubles[0]


def test_what_follows_a_gzip_and_is_none_is_told():
    records, troubles = read(gzip.compress(ndjson()) + b"trailing garbage")
    assert list(records.values()) == PEOPLE
    assert troubles == ("users.json.gz: what follows is not gzip after line 300",)


def test_a_stream_that_breaks_keeps_what_was_read():
    class Breaking(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= 65_536:
                raise OSError(5, "Input/output error")
            return super().read(size)

    content = ndjson(PEOPLE * 10)
    with exported(Breaking(content)) as export:
        assert len(list(export)) == content[:65_536].count(b"\n")
    assert "Input/output error" in export.troubles[0]


def test_a_stream_may_give_a_byte_at_a_time():
    class Slow(io.BytesIO):
        def read(self, size=-1):
            return super().read(1)

    with exported(Slow(gzip.compress(ndjson()))) as export:
        assert [record for _, record in export] == PEOPLE


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[\n{}\n]", "has no user ids"),
        (b"a,b\n1,2\n", "has no user ids"),
        (b"hello", "has no user ids"),
        (b"\x89PNG\r\n\x1a\n", "looks like a picture"),
        (b"\n <!DOCTYPE html><html>", "looks like a web page"),
        (b"<?xml version='1.0'?>", "looks like XML"),
        (b"%PDF-1.4", "looks like a PDF"),
        (b"\0\1\2\3\4\n" * 9, "not text"),
        (b"users.json".ljust(257, b"\0") + b"ustar", "a tar archive"),
    ],
)
def test_what_holds_no_users_is_said_in_one_sentence(content, words):
    with exported(io.BytesIO(content), "x") as export:  # noqa: SIM117 - it opens, then fails
        with pytest.raises(UnreadableInputError, match=rf"^x .*{words}"):
            _ = export.is_plain


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\n\n \n"])
def test_a_file_in_which_nothing_stands_is_said_to_be_empty(mark):
    with exported(io.BytesIO(mark), "x") as export:
        assert not export.is_plain
        assert list(export) == []
        with pytest.raises(UnreadableInputError, match=r"^x holds no user .* It is empty"):
            export.ensure_users()


def test_column_names_alone_are_said_to_be_all():
    with exported(io.BytesIO(b"user_id,picture\n"), "x") as export:
        assert not export.is_plain
        assert list(export) == []
        with pytest.raises(UnreadableInputError, match="column names only"):
            export.ensure_users()


def written(records, delimiter=","):
    """Write users as spreadsheets do."""
    file = io.StringIO()
    out = csv.DictWriter(file, ["user_id", "picture"], delimiter=delimiter, lineterminator="\r\n")
    out.writeheader()
    out.writerows(records)
    return file.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("head", ["", "\r\n\r\n", "sep={}\r\n", '"sep={}"\r\n\r\n'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_csv_of_every_country_is_read(delimiter, head, encoding):
    content = (head.format(delimiter) + written(PEOPLE, delimiter)).encode(encoding)
    records, troubles = read(content)
    assert list(records.values()) == PEOPLE
    assert troubles == ()
    assert min(records) == 2 + head.count("\n")


def test_csv_with_line_ends_of_old_macs_is_read():
    records, troubles = read(written(PEOPLE).replace("\r\n", "\r").encode())
    assert (list(records.values()), troubles) == (PEOPLE, ())


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_csv_in_windows_1252_is_read_and_noted(size):
    people = [*PEOPLE, {"user_id": "a|é", "picture": "https://x.example/ß€.png"}, *PEOPLE]
    with exported(Pipe(written(people).encode("cp1252"), size), "x") as export:
        assert [one for _, one in export] == people
    assert export.notes == ("x is not UTF-8 and was read as Windows-1252.",)
    assert export.troubles == ()


@pytest.mark.parametrize("size", [1, 100_000])
def test_damage_in_utf8_stays_damage(size):
    people = [{"user_id": "a|é", "picture": "x"}, *PEOPLE]
    content = written(people).encode()
    damaged = content.replace(b"/7.png", b"/\xe97.png")
    with exported(Pipe(damaged, size), "x") as export:
        assert [one for _, one in export] == [one for one in people if "/7." not in one["picture"]]
    assert export.troubles == ("x: line 10 could not be read",)
    assert export.notes == ()


def test_windows_1252_at_the_very_end_is_read():
    records, _ = read(b"user_id,picture\na|1,caf\xe9")
    assert records == {2: {"user_id": "a|1", "picture": "caf\xe9"}}


def test_utf16_that_ends_inside_of_a_character_is_told():
    records, troubles = read(ndjson().decode().encode("utf-16-le")[:-1])
    assert list(records.values()) == PEOPLE
    assert troubles == ("users.json.gz: the UTF-16 text is cut short or damaged in line 300",)


# User objects


def test_user_objects_come_as_soon_as_they_are_there():
    class Endless(io.RawIOBase):
        def read(self, size=-1):
            return b'{"user_id": "a|1"}\n'

    objects = user_objects(Endless(), "stdin")
    assert next(objects) == next(objects) == {"user_id": "a|1"}
    objects.close()


def test_of_user_objects_all_are_given_before_the_damage_is_told():
    seen = []
    with pytest.raises(UnreadableInputError, match=r"^x: lines 2, 3 could not be read\.$"):
        seen.extend(user_objects(io.BytesIO(b'{"user_id": "a|1"}\n7\n{\n{"picture": ""}\n'), "x"))
    assert seen == [{"user_id": "a|1"}, {"picture": ""}]


@pytest.mark.parametrize("often", [1, 3000])
def test_objects_that_are_no_users_are_refused(often):
    with pytest.raises(UnreadableInputError, match="x has no user ids"):
        list(user_objects(io.BytesIO(b'{"statusCode": 401}\n' * often), "x"))


@pytest.mark.parametrize("name", ["nothing", "."])
def test_a_file_that_cannot_be_opened_is_said(name, tmp_path):
    with pytest.raises(UnreadableInputError, match="cannot be read"), exported(tmp_path / name):
        pass
