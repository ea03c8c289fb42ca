"""The papers' tables as sweeps: what a row depends on, which rows are done, and how a table ends."""
