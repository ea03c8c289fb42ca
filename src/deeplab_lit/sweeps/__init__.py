"""Sweeps over the rows of the papers' tables: prerequisites of rows, finished rows, and previews."""
