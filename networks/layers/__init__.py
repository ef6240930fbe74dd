"""Layers, those without learnable state among them: the only part of ``networks`` that transforms may use."""
