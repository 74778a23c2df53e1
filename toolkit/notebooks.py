"""Where the notebooks are."""

from pathlib import Path

from toolkit.errors import SettingsError


def notebook_folder() -> Path:
    """Return the folder with the notebooks: of this folder, or of the checkout.

    Raises:
        SettingsError: they are not here; the message says where to get them.
    """
    candidates = (Path.cwd() / "notebooks", Path(__file__).parent.parent / "notebooks")
    for folder in candidates:
        if (folder / "1_avatar_coverage.ipynb").is_file():
            return folder
    raise SettingsError(
        "The notebooks are not in this folder: run this in a clone of the project, which has them "
        "in notebooks/."
    )
