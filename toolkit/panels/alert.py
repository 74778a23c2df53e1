"""A line that says what went wrong, where a notebook would say nothing."""

from collections.abc import Callable
from functools import wraps
from html import escape
from typing import Any, Concatenate, ParamSpec

import ipywidgets

from toolkit.errors import PictureAuditError
from toolkit.wording import visible

_P = ParamSpec("_P")


class Alert(ipywidgets.HTML):  # type: ignore[misc] # ipywidgets has no types
    """A line of text that screen readers announce; it takes no room while it is empty.

    Attributes:
        error: the exception that is shown, or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_class("pa-alert")
        self.error: BaseException | None = None

    def show(self, error: BaseException) -> None:
        """Say what went wrong. What an unforeseen exception says may be personal data."""
        self.error = error
        if isinstance(error, PictureAuditError):
            text = str(error)
        else:
            text = (
                f"Something unforeseen happened ({type(error).__name__}), which is an error of "
                "this program: please report it."
            )
        self.value = f'<div role="alert">{escape(visible(text))}</div>'

    def clear(self) -> None:
        """Take the line away: all is well."""
        self.error = None
        self.value = ""


def guarded(
    handle: Callable[Concatenate[Any, _P], None],
) -> Callable[Concatenate[Any, _P], None]:
    """Make what a method raises visible: what handlers of widgets raise, nobody sees.

    It is shown on the object's `alert`. The line of the last error goes away with the next try.
    """

    @wraps(handle)
    def shown(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> None:  # noqa: ANN401 - whatever has an alert
        # Before, and not after: what it starts may have failed by then.
        self.alert.clear()
        try:
            handle(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self.alert.show(error)

    return shown
