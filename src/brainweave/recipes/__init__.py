"""Recipes: one method is one page of values. A new one is a function and an entry in `RECIPES`."""

from brainweave.recipes.build import RECIPES, build

__all__ = ["RECIPES", "build"]
