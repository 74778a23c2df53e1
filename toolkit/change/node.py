"""Node.js, which checks that an Action's code is JavaScript before it is sent.

Auth0 builds and deploys code that does not parse, and every login then fails (recorded: a
draft with a SyntaxError reached `built` and was bound).
"""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from toolkit.errors import SettingsError
from toolkit.node import node_path

_SECONDS = 30


def check(code: str) -> bool:
    """Check that code parses.

    Returns:
        Whether it was checked: false where there is no Node on this machine.

    Raises:
        SettingsError: it does not parse.
    """
    node = node_path()
    if node is None:
        return False
    with TemporaryDirectory(prefix="picture-audit-") as folder:
        # As CommonJS, which is what Auth0 runs.
        file = Path(folder) / "action.cjs"
        file.write_text(code, encoding="utf-8")
        done = subprocess.run(  # noqa: S603 - Node only parses the file
            [node, "--check", str(file)], capture_output=True, timeout=_SECONDS, check=False
        )
    if done.returncode:
        raise SettingsError("The Action's code is not valid JavaScript: nothing was sent.")
    return True
