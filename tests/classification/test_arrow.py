import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from toolkit.classification.arrow import (
    array,
    blanked,
    first_bytes,
    flag,
    text,
    texts,
    values_of,
    whole,
)

one_dimension = array_shapes(min_dims=1, max_dims=1, min_side=0, max_side=40)
kinds = st.sampled_from([np.bool_, np.int8, np.int32, np.int64, np.uint64])


@given(arrays(kinds, one_dimension), st.integers(0, 40))
def test_numbers_and_truth_values_go_there_and_back(values, begin):
    made = array(values)
    assert made.equals(pa.array(values))
    back = values_of(made.slice(begin))
    assert back.dtype == values.dtype
    assert back.tolist() == values[begin:].tolist()


@given(st.lists(st.tuples(st.integers(-9, 9), st.booleans())))
def test_what_is_absent_is_null(pairs):
    values = np.array([value for value, _ in pairs], np.int64)
    absent = np.array([missing for _, missing in pairs], np.bool_)
    for one in (values, values > 0):
        made = array(one, absent)
        assert made.equals(pa.array(one, mask=absent))
        if absent.any():
            with pytest.raises(ValueError, match="null"):
                values_of(made)


@given(st.lists(st.lists(st.none() | st.text()), max_size=3))
def test_chunks_become_one_array_and_one_chunk_stays_where_it_is(chunks):
    made = [pa.array(chunk, pa.string()) for chunk in chunks]
    one = whole(pa.chunked_array(made, pa.string()))
    assert one.type == pa.string()
    assert one.to_pylist() == [value for chunk in chunks for value in chunk]
    if len(made) == 1:
        assert one.buffers()[1].address == made[0].buffers()[1].address


@given(st.lists(st.none() | st.text("ab,é")), st.integers(0, 9))
def test_the_first_byte_of_a_text_is_0_where_it_is_empty(values, begin):
    held = [(value or "").encode() for value in values[begin:]]
    assert first_bytes(texts(values).slice(begin)).tolist() == [
        one[0] if one else 0 for one in held
    ]


@given(st.lists(st.none() | st.text()))
def test_texts_are_kept_as_they_are(values):
    made = texts(values)
    made.validate(full=True)
    assert made.equals(pa.array(values, pa.string()))


@given(st.lists(st.none() | st.text(max_size=3)), st.integers(0, 9))
def test_nulls_become_empty_texts(values, begin):
    column = texts(values).slice(begin)
    assert blanked(column).to_pylist() == [one or "" for one in values[begin:]]


@given(st.lists(st.tuples(st.text(max_size=3), st.booleans()), max_size=9), st.integers(0, 9))
def test_what_nulls_hide_does_not_show(pairs, begin):
    bare = texts([value for value, _ in pairs])
    held = array(np.array([there for _, there in pairs], np.bool_)).buffers()[1]
    column = pa.StringArray.from_buffers(len(pairs), *bare.buffers()[1:], held).slice(begin)
    shown = [value if there else "" for value, there in pairs][begin:]
    assert blanked(column).to_pylist() == shown
    marks = first_bytes(blanked(column)).tolist()
    assert marks == [one.encode()[0] if one else 0 for one in shown]


def test_constants_are_one_value():
    assert text("é").equals(pa.scalar("é"))
    assert text(None).equals(pa.scalar(None, pa.string()))
    assert flag(True).equals(pa.scalar(True))


def test_an_export_is_read_and_written_without_pandas(tmp_path):
    (tmp_path / "t.json").write_text('{"user_id": "a|1", "picture": "https://x.example/a"}\n')
    (tmp_path / "t.csv").write_text("user_id,picture\nb|1,https://s.gravatar.com/avatar/00\n")
    script = (
        "import sys\n"
        "from toolkit.collection.exports.ingest_files import ingest\n"
        "ingest(sys.argv[1:3], sys.argv[3])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    paths = [str(tmp_path / name) for name in ("t.json", "t.csv", "out.parquet")]
    modules = subprocess.run(
        [sys.executable, "-c", script, *paths], capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("pandas", "matplotlib", "auth0", "starlette", "httpx", "rich"):
        assert f"'{heavy}'" not in modules
