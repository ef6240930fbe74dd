"""Making batch norm's running statistics belong to the weights that are evaluated."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipelines.data.drawn_dataset import DrawnDataset, collate_two_streams
from pipelines.data.two_stream_sampler import TwoStreamBatchSampler
from pipelines.keys import Keys


class NormRecalibration:
    """Compute the statistics of a network's batch norms anew, as plain means over training batches.

    Running statistics trail behind weights that move fast, and an average of weights has statistics that no forward
    pass ever made: a network can score well on its training patches in training mode and fail on whole scans in
    evaluation mode. The mean over a dozen batches repairs that. Networks without batch norm are left as they are.

    Reference: Wu and Johnson, *Rethinking "Batch" in BatchNorm*, 2021 (precise statistics).

    Args:
        network: the evaluated network.
        dataset: training samples.
        sampler: gives the draws of a batch; always the first ones, and those of all
            processes, so that the result depends on the weights alone.
        batches: how many batches; zero for no recalibration.
        device: where the network is.
        channels_last: as in training.
    """

    def __init__(
        self,
        network: nn.Module,
        dataset: DrawnDataset,
        sampler: TwoStreamBatchSampler,
        batches: int,
        device: torch.device,
        channels_last: bool = False,
    ) -> None:
        self.network = network
        self.dataset = dataset
        self.sampler = sampler
        self.batches = batches
        self.device = device
        self.channels_last = channels_last

    def attach(self, engine: Engine) -> None:
        """Recompute after the last iteration of ``engine``."""
        engine.add_event_handler(Events.COMPLETED, self.recompute)

    @torch.no_grad()
    def recompute(self) -> None:
        """Recompute the statistics; dropout stays off, and the network is left in evaluation mode."""
        norms = [module for module in self.network.modules() if isinstance(module, _BatchNorm)]
        if not norms or self.batches == 0:
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
            norm.train()
        for batch in range(self.batches):
            samples = [self.dataset[draw] for draw in self.sampler.whole_batch(batch)]
            image = collate_two_streams(samples)[Keys.IMAGE.value].to(self.device)
            if self.channels_last:
                image = image.contiguous(
                    memory_format=torch.channels_last_3d if image.dim() == 5 else torch.channels_last
                )
            self.network(image)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self.network.eval()
