from .snapshot_probe import notice as notice
from .snapshot_probe import outcomes as outcomes
from .snapshot_probe import probe as probe
from .snapshot_probe import reach as reach
