"""From a model and requests to volumes on disk."""

from brainweave.generation.job import Job, Options
from brainweave.generation.plan import Item, from_assignments, from_cohort

__all__ = ["Item", "Job", "Options", "from_assignments", "from_cohort"]
