"""One probability map out of the heads of a multi-task network: what inference and an exported bundle run."""

from __future__ import annotations

import torch
from torch import nn

from networks.blocks.task_heads import LEVEL_SET, MASK
from networks.layers.class_probabilities import foreground_probabilities, with_background
from networks.nets.multi_task_unet import MultiTaskUNet

MEAN = "mean"


class MultiTaskPredictor(nn.Module):
    """Class probabilities of a multi-task network, from the head that ``head`` names.

    Heads that it does not read are not computed. ``head`` is an ordinary attribute, in TorchScript too: set it on a
    loaded module to any of ``choices`` to choose another.

    Args:
        network: the network; its heads' ``kinds`` say what can be read.
        head: the name of a head of the kind ``mask`` or ``level_set``. The kind itself, where just one head is of it,
            and ``"mean"`` of the probabilities, where there is just one of either and they have as many channels.
        k: steepness of the smooth Heaviside function that turns a level set into a probability, ``sigmoid(-k z)``.

    Attributes:
        choices: by everything that ``head`` may be, the names of the heads that are read.

    Raises:
        ValueError: for another ``head``.
    """

    def __init__(self, network: MultiTaskUNet, head: str = MASK, k: float = 1500.0) -> None:
        super().__init__()
        self.choices = _choices(network)
        if head not in self.choices:
            raise ValueError(f"head must be one of {', '.join(self.choices)}, got {head}.")
        self.network = network
        self.k = float(k)
        self.head = head
        self.kinds = dict(network.kinds)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give (B, K + 1, H, W[, D]), background first, for images (B, C, H, W[, D])."""
        names = self.choices[self.head]
        outputs = self.network(x, names)
        probabilities: list[torch.Tensor] = []
        for name in names:
            output = outputs[name].float()
            if self.kinds[name] == "mask":
                probabilities.append(foreground_probabilities(output))
            else:
                probabilities.append(torch.sigmoid(-self.k * output))
        return with_background(torch.stack(probabilities).mean(dim=0))


def _choices(network: MultiTaskUNet) -> dict[str, list[str]]:
    of_kind = {kind: [name for name, of in network.kinds.items() if of == kind] for kind in (MASK, LEVEL_SET)}
    choices = {name: [name] for names in of_kind.values() for name in names}
    for kind, names in of_kind.items():
        if len(names) == 1:
            choices.setdefault(kind, names)
    masks, level_sets = of_kind.values()
    if len(masks) == len(level_sets) == 1 and network.out_channels[masks[0]] == network.out_channels[level_sets[0]]:
        choices.setdefault(MEAN, [*masks, *level_sets])
    if not choices:
        raise ValueError("The network has no head of the kind mask or level_set to make probabilities of.")
    return choices
