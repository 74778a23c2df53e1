"""The pictures in the README, drawn from the embedded tenant: `uv run python -m tests.pictures`."""

from datetime import UTC, datetime
from pathlib import Path

from toolkit.analysis.coverage_count import coverage
from toolkit.classification.frames import audit, profiles
from toolkit.classification.user_profile import user
from toolkit.reporting.charts.chart import Chart
from toolkit.reporting.charts.source_charts import by_source
from toolkit.sandbox.made_up.tenants import people

FOLDER = Path(__file__).parent.parent / "notebooks" / "pictures"
# At another moment other links have expired, and the pictures are others.
AS_OF = datetime(2026, 11, 20, tzinfo=UTC)


def drawn() -> dict[str, Chart]:
    frame = audit(profiles(user(person.record) for person in people()))
    return {"coverage.svg": by_source(coverage(frame, as_of=AS_OF))}


if __name__ == "__main__":
    for name, chart in drawn().items():
        (FOLDER / name).write_text(chart.svg(), "utf-8")
