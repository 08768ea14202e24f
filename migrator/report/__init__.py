"""Ledger → summary → text, CSV, JSON, HTML. A new form of report reads `summary.Summary` and nothing else."""
