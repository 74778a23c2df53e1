"""The answer: what people see, and below it the way to find out what nobody knows yet."""

import math
from collections.abc import Callable

import ipywidgets
import traitlets

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.groups import Seen
from toolkit.analysis.headline_words import headline
from toolkit.formatting import percent, plural
from toolkit.panels.background import JobPanel, Worker
from toolkit.panels.saved_files import SaveChart
from toolkit.panels.widgets import button, check, drawn, guarded, heading, muted, stylesheet, title
from toolkit.probing.gravatar import RATE
from toolkit.probing.picture_probe import duration, notice_of_pictures
from toolkit.probing.snapshot_probe import ensure_clear, notice, probe, settle
from toolkit.progress import Progress
from toolkit.reporting.charts.source_charts import what_people_see
from toolkit.snapshots.snapshot import Provenance, Snapshot

SAMPLES = (400, 2_000)
"""How many people can be asked about, besides everybody."""

_EVERYBODY = 0
_Z = 1.96  # of a 95 % interval
_MADE_UP = "These people are made up: this computer answers for Gravatar, and nothing leaves it."


class _CancelledError(Exception):
    """Somebody pressed Cancel while Gravatar was asked."""


class Answer(JobPanel):
    """What the people of a snapshot see, and how to settle what is not known.

    Args:
        snapshot: of anybody.
        ready: raises an error while the snapshot must stay as it is.

    Attributes:
        snapshot: what is shown; after Gravatar was asked, what it answered is in it. Observe it.
        done: whether nobody is left to ask about, or to ask about again; observe it.
    """

    snapshot = traitlets.Any()
    done = traitlets.Bool(default_value=False)

    def __init__(self, snapshot: Snapshot, ready: Callable[[], None] = lambda: None) -> None:
        super().__init__(
            "answer",
            "Asking",
            pausing="stop, and go on later",
            paused="Paused.",
            cancelling="stop; what Gravatar has answered is kept",
            width="96px",
        )
        self._ready = ready
        self._told: set[int] = set()  # the sizes whose notice was said
        self.teller = Worker("notice", self.alert.show, self.update_buttons)
        self.head, self.chart, self.question, self.notice = (ipywidgets.HTML() for _ in range(4))
        self.size = ipywidgets.ToggleButtons(options=[("everyone", _EVERYBODY)])
        self.size.add_class("pa-toggle")
        self.agreed = check("I may send these hashes (data protection has agreed)")
        self.start_button = button("Ask", "send what is said above", "190px", self.start)
        self.start_button.add_class("pa-primary")
        buttons = [self.start_button, self.pause_button, self.cancel_button]
        row = ipywidgets.HBox(buttons).add_class("pa-row")
        asked = [self.question, self.size, self.notice, self.agreed, row]
        self.settling = ipywidgets.VBox(asked).add_class("pa-settle")
        said = [self.alert, self.meter, self.status]
        stem = snapshot.path.stem if snapshot.path else "snapshot"
        self.save = SaveChart(
            lambda: what_people_see(self.snapshot.coverage()), f"{stem}-answer", self.alert
        )
        shown = [self.head, self.chart, self.save, self.settling, *said]
        card = ipywidgets.VBox(shown).add_class("pa-card")
        self.children = [stylesheet(), card]
        self.add_class("pa-panel")
        self.snapshot = snapshot
        self._draw()
        self.size.observe(self._choose, "value")
        self.agreed.observe(lambda _: self.update_buttons(), "value")
        self._choose()

    def settle(self) -> None:
        """Ask about everybody at once: for made-up people, whose sandbox answers."""
        self.size.value = _EVERYBODY
        self.start()

    @guarded
    def start(self) -> None:
        """Ask Gravatar about as many as are chosen, and look at pictures."""
        self._ready()
        size = self.size.value
        self.begin(lambda: self._ask(size), "Asking …")

    def update_buttons(self) -> None:
        """Enable exactly those buttons and fields that mean something now."""
        with self._lock:
            super().update_buttons()
            working, sandbox = self.worker.working, self.snapshot.provenance.sandbox
            size = self.size.value
            may = sandbox or (self.agreed.value and size in self._told)
            self.start_button.disabled = working or not may
            self.start_button.description = (
                f"Ask about {f'{size:,} people' if size else 'everyone'}"
            )
            self.size.disabled = self.agreed.disabled = working
            self.agreed.layout.display = "none" if sandbox else None

    def close(self) -> None:
        """Stop asking, and close the panel."""
        self.teller.stop()
        self.teller.settled()
        super().close()

    def _draw(self) -> None:
        """Draw the answer, and what can be asked about; raise an error if that cannot be read."""
        coverage, origin = self.snapshot.coverage(), self.snapshot.provenance
        self.head.value = heading("What your users see", origin)
        self.chart.value = drawn(what_people_see(coverage), "answer")
        self.done = _is_settled(coverage, origin)
        self.settling.layout.display = "none" if self.done else None
        unknown, word = _open(coverage)
        whom = plural(unknown, "person", "people")
        said = f"For {whom} nobody knows yet: they see a Gravatar only if they made one."
        if word:
            said += f" {word:,} more perhaps see a picture of their own: nobody has looked."
        share = percent((coverage.own.high - coverage.own.low) / max(coverage.users, 1))
        asking = "Choose how many to ask about." if unknown else "Choose how many to look at."
        self.question.value = title(f"Settle the {share}: ask Gravatar") + muted(f"{said} {asking}")
        chosen = self.size.value
        sizes = [one for one in SAMPLES if one < max(unknown, word)]
        self.size.options = [
            (_label(coverage, one, sandbox=origin.sandbox), one) for one in [*sizes, _EVERYBODY]
        ]
        # Whoever has asked wants to know more exactly.
        asked = origin.estimate.asked if origin.estimate else 0
        larger = [one for one in sizes if one > asked]
        self.size.value = chosen if chosen in larger else [*larger, _EVERYBODY][0]

    @guarded
    def _choose(self, _: object = None) -> None:
        """Say what would be sent; for a large file that takes a moment."""
        size = self.size.value
        self.notice.value = muted(_MADE_UP)
        if not self.snapshot.provenance.sandbox:
            self.notice.value = muted("…")
            self.teller.ask(lambda: self._tell(size))
        self.update_buttons()

    def _tell(self, size: int) -> None:
        said = muted(f"What leaves this computer: {notice(self.snapshot, sample=size or None)}")
        if not size and (word := _open(self.snapshot.coverage())[1]):
            said += muted(notice_of_pictures(self.snapshot, sample=word))
        self._told.add(size)
        if self.size.value == size:
            self.notice.value = said

    def _ask(self, size: int) -> None:
        try:
            chosen = self.snapshot
            whole = settle(chosen, show=self._show)
            some = (probe(chosen, sample=one, show=self._show) for one in [size])
            for found in some if size else whole:
                with self._lock:
                    self.snapshot = found
                    self._draw()
        except _CancelledError:
            self.meter.start()
            self._say("Stopped. What Gravatar has answered is kept: ask again to go on.")
            return
        self.meter.done()
        answer = headline(found.coverage())
        self._say(f"Asked: {answer} see a picture of their own.")
        ensure_clear(found)

    def _show(self, progress: Progress) -> None:
        if not self.worker.goes_on():
            raise _CancelledError
        self.meter.show(progress)

    def _failed(self, error: BaseException) -> None:
        super()._failed(error)
        self._say("")


def _is_settled(coverage: Coverage, origin: Provenance) -> bool:
    """Whether nobody is left to ask about, or to ask about again."""
    if coverage.own.low == coverage.own.high:
        return True
    if origin.own_sample is None:
        return False
    # A sandbox gives the same unclear answer again.
    return all(
        one.certain or (one.asked in {0, one.users} and (origin.sandbox or not one.unclear))
        for one in origin.own_sample.strata
    )


def _open(coverage: Coverage) -> tuple[int, int]:
    """Return of how many nobody knows what they see, and whose picture may be their own."""
    return coverage.seen.get(Seen.UNKNOWN, 0), coverage.on_word


def _label(coverage: Coverage, size: int, *, sandbox: bool) -> str:
    """Say how exact a sample is at least, and how long it takes."""
    parts = _open(coverage)
    asked = [min(size or part, part) for part in parts]
    words = [f"{size:,} people" if size else "everyone"]
    if size:
        # Where half of them have a Gravatar, the interval is widest.
        squares = (
            (part - n) / max(part - 1, 1) * part**2 / 4 / n
            for part, n in zip(parts, asked, strict=True)
            if n
        )
        points = 100 * _Z * math.sqrt(sum(squares)) / max(coverage.users, 1)
        words.append(f"± {plural(math.ceil(points), 'point')}")
    if not sandbox:
        words.append(duration(sum(asked) / RATE))
    return " · ".join(words)
