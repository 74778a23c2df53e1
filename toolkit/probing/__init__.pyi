from .picture_probe import outcomes as outcomes
from .picture_probe import reach as reach
from .snapshot_probe import look as look
from .snapshot_probe import notice as notice
from .snapshot_probe import probe as probe
from .snapshot_probe import settle as settle
