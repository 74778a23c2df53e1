"""Where the notebooks are."""

import shutil
from pathlib import Path

from toolkit.errors import OutputError

# In a checkout these are links to the notebooks, of which a wheel has copies.
_SAMPLES = Path(__file__).with_name("samples")


def notebook_folder() -> Path:
    """Return the folder with the notebooks: of this folder, or of the checkout.

    Where there is neither, as with an installed wheel, copies of the notebooks are written to
    `notebooks` in this folder.

    Raises:
        OutputError: they cannot be written.
    """
    own = Path.cwd() / "notebooks"
    for folder in (own, Path(__file__).parent.parent / "notebooks"):
        if (folder / "1_avatar_coverage.ipynb").is_file():
            return folder
    try:
        own.mkdir(exist_ok=True)
        for sample in _SAMPLES.glob("*.ipynb"):
            if not (own / sample.name).exists():
                shutil.copyfile(sample, own / sample.name)
    except OSError as error:
        raise OutputError(
            f"The notebooks cannot be written to {own}: {error.strerror}. "
            "Run this in a folder that you can write to."
        ) from error
    return own
