"""Watching how a loss teaches: what is recorded through training, and the surface that was descended."""
