"""Fitting a generator: the loop, its engine, its state on disk."""
