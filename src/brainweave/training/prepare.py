"""What comes before step 1 and takes time: it can be stopped, and is done once."""

from brainweave.errors import Interrupted
from brainweave.progress import Reporter
from brainweave.training.engine import Engine
from brainweave.training.loop import Volumes


def prepare(volumes: Volumes, engine: Engine, report: Reporter) -> None:
    """Decodes and verifies every volume."""
    present = [dataset for dataset in volumes if dataset is not None]

    def advance(_done: int, _total: int) -> None:
        report.advance()
        heed(engine)

    report.start("preparing volumes", sum(len(dataset.files()) for dataset in present))
    for dataset in present:
        dataset.prepare(advance)
    report.stop()


def heed(engine: Engine) -> None:
    """Raises Interrupted where a stop is asked."""
    if engine.stop_requested:
        raise Interrupted("stopped by a signal before step 1; the same command goes on")
