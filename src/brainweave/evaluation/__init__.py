"""Judging volumes: two cohorts of NIfTI in, scores with intervals and a report out."""

from brainweave.evaluation.evaluate import evaluate as evaluate
from brainweave.evaluation.priors import Priors as Priors
from brainweave.evaluation.settings import Settings as Settings
