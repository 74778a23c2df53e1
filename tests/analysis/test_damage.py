import duckdb
import pytest

from toolkit.analysis.duckdb_engine import one_line_for_damage
from toolkit.errors import UnreadableInputError


def undecodable():
    return UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


@pytest.mark.parametrize(
    "error",
    [duckdb.Error("TProtocolException"), duckdb.InvalidInputException("ZSTD"), undecodable()],
    ids=lambda error: type(error).__name__,
)
def test_damage_is_told_in_one_line_that_quotes_no_profile(error):
    with pytest.raises(UnreadableInputError) as told, one_line_for_damage("s.parquet"):
        raise error
    assert str(told.value) == "s.parquet is damaged: collect again."


@pytest.mark.parametrize("error", [duckdb.IOException("full"), duckdb.OutOfMemoryException("full")])
def test_where_a_disk_may_be_full_that_is_said_too(error):
    full = "or the folder for temporary files is full"
    with pytest.raises(UnreadableInputError, match=full), one_line_for_damage("s.parquet"):
        raise error


@pytest.mark.parametrize("error", [duckdb.ConnectionException, duckdb.InterruptException, KeyError])
def test_what_is_no_damage_is_not_called_damage(error):
    with pytest.raises(error), one_line_for_damage("s.parquet"):
        raise error("closed")


def test_a_file_that_is_gone_is_told():
    with pytest.raises(UnreadableInputError, match="gone"), one_line_for_damage("gone.parquet"):
        duckdb.read_parquet("gone.parquet")
