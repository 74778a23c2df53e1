from toolkit.panels.widgets import Bar, text
from toolkit.progress import Progress


def test_progress_is_written_as_people_read_it():
    progress = Progress(1200, 5000, 400.0, 75.0, "3 windows reconciled", estimated=True)
    assert text(progress) == "1,200 of ≈ 5,000 · 400/s · 1:15 left · 3 windows reconciled"
    assert text(Progress(7)) == "7"


def test_the_bar_follows_and_never_runs_over():
    bar = Bar()
    for done, total in ((0, None), (10, 5), (50, 100), (100, 100)):
        bar(Progress(done, total))
        assert bar._meter.bar.value == done
        assert bar._meter.bar.max >= done
    bar.done()
    assert bar._meter.bar.value == bar._meter.bar.max
    assert (bar._meter.bar.bar_style, bar._meter.words.value) == ("success", "")
    bar(Progress(3, 9))
    assert bar._meter.bar.bar_style == ""
