"""Configurations and their documentation, one folder a bundle; no code. This file makes them installable."""
