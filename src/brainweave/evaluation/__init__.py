"""Judging volumes: two cohorts of NIfTI in, scores with intervals and a report out."""
