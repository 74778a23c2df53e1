"""One kind of user in a preview, and real examples of it."""

from dataclasses import dataclass

from toolkit.gallery.portrait import View


@dataclass(frozen=True, slots=True)
class Example:
    """One real user.

    Attributes:
        who: the user_id without its middle.
        before: what people see now.
        after: what they would see.
    """

    who: str
    before: View
    after: View


@dataclass(frozen=True, slots=True)
class Kind:
    """The users who are alike in what their picture is.

    Attributes:
        name: in words.
        users: how many.
        changes: how many of them change.
        why: what becomes of them and why, each with its users; the most common first.
        examples: one to three of them.
    """

    name: str
    users: int
    changes: int
    why: tuple[tuple[str, int], ...]
    examples: tuple[Example, ...]
