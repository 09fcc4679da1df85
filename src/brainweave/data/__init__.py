"""Volumes and their geometry, cohorts, preprocessing, loading; analytic phantoms."""
