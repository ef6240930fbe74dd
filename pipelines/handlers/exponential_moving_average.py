"""A second network whose weights are the moving average of the trained one's."""

from __future__ import annotations

from copy import deepcopy

import torch
from ignite.engine import Engine, Events
from torch import nn


class ExponentialMovingAverage:
    """Keep ``average``, a copy of a network whose weights follow the network's own.

    After iteration t each weight becomes ``d * average + (1 - d) * network`` with ``d = min(decay, (1 + t) / (10 +
    t))``: early on the average forgets the random start quickly. ``d`` is a function of the iteration alone, so that
    resuming needs no more than the weights. (Ignite's handler counts its warm-up steps privately and cannot be resumed
    within it.) Running statistics of norms are averaged alike, which also keeps them from lagging or jumping.

    Args:
        network: the trained network.
        decay: the largest d.

    Raises:
        ValueError: when ``decay`` is not in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float = 0.99) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay must be in [0, 1), got {decay}.")
        self.network = network
        self.decay = decay
        self.average = deepcopy(network).eval().requires_grad_(False)

    def attach(self, engine: Engine) -> None:
        """Follow the network after every iteration of ``engine``."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.update)

    @torch.no_grad()
    def update(self, engine: Engine) -> None:
        """Take one step towards the network."""
        iteration = engine.state.iteration
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        source = self.network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(source[name], 1.0 - decay)
            else:
                value.copy_(source[name])
