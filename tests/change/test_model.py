"""Everything at once, from a seed: changes of a tenant, kills, colleagues, faults, an old index.

An oracle sees every request at the tenant and all that stands there in between, see
`model_oracle`. By hand, for so many seeds, or from one seed on:

    PICTURE_AUDIT_MODEL_SEEDS=1000 uv run pytest tests/change/test_model.py
    PICTURE_AUDIT_MODEL_START=417 PICTURE_AUDIT_MODEL_SEEDS=1 uv run pytest -n0 \
        tests/change/test_model.py
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.change.model_process import Crew
from tests.change.model_story import Story, warm

SEEDS = int(os.environ.get("PICTURE_AUDIT_MODEL_SEEDS", "32"))
START = int(os.environ.get("PICTURE_AUDIT_MODEL_START", "0"))
ALONE = (
    "One seed alone: PICTURE_AUDIT_MODEL_START=SEED PICTURE_AUDIT_MODEL_SEEDS=1 "
    "uv run pytest -n0 tests/change/test_model.py"
)
GROUP = 8
"""Seeds of one test: each needs a second or less."""


@pytest.fixture(scope="module")
def crew(tmp_path_factory) -> Iterator[Crew]:
    folder = tmp_path_factory.mktemp("crew")
    crew = Crew(folder)
    warm(crew, folder)
    yield crew
    crew.close()


@pytest.mark.parametrize("start", range(START, START + SEEDS, GROUP))
def test_whatever_happens_nothing_of_others_is_lost_and_all_that_is_said_is_true(
    no_credentials, crew, tmp_path, start
):
    failures = []
    for seed in range(start, min(start + GROUP, START + SEEDS)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        story = Story(seed, crew, folder)
        problems = story.tell()
        if problems:
            kinds = Counter(kind for kind, _ in problems)
            lines = [f"seed {seed}: {dict(kinds)}"]
            lines += [f"  {kind}: {text}"[:600] for kind, text in problems[:6]]
            failures.append("\n".join(lines))
        shutil.rmtree(folder)
    assert not failures, "\n".join([*failures, ALONE])
