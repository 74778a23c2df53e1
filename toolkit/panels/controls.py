"""Buttons and boxes to tick, as all panels have them."""

import ipywidgets


def button(words: str, tooltip: str, width: str) -> ipywidgets.Button:
    """Return a button.

    Args:
        words: what it says.
        tooltip: what pressing it does.
        width: as CSS has it.
    """
    layout = ipywidgets.Layout(width=width)
    return ipywidgets.Button(description=words, tooltip=tooltip, layout=layout)


def check(words: str = "", *, value: bool = False) -> ipywidgets.Checkbox:
    """Return a box to tick, with words beside it."""
    box = ipywidgets.Checkbox(description=words, indent=False, value=value)
    box.add_class("pa-check")
    return box
