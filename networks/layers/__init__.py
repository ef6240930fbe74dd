"""Layers without learnable state: the only part of ``networks`` that transforms may use."""
