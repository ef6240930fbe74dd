"""The modules here are commands, run as ``concord NAME`` or ``python -m pipelines.NAME``; the folders are parts."""
