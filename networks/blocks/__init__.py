"""Blocks that networks are composed of."""
