"""MultiTaskUNet written as a row of torch's and MONAI's own modules."""

from __future__ import annotations

import copy

from monai.networks.layers.simplelayers import SkipConnection
from torch import nn

from networks.blocks.attention_gate import AttentionGate
from networks.blocks.task_heads import MASK
from networks.nets.dual_task_vnet import SIZE_DIVISOR, ConvStage
from networks.nets.multi_task_unet import Decoder, MultiTaskUNet
from pipelines.export.channel_mixing import background_first


def plain_unet(network: MultiTaskUNet, head: str) -> nn.Sequential:
    """Rebuild the part of a trained network that a mask head needs from torch's and MONAI's own modules.

    Its sides must be multiples of 16. It gives (B, K + 1, H, W[, D]) logits, of which the background's are zero.

    Args:
        network: the trained network; it is left as it is.
        head: the name of the head.

    Raises:
        ValueError: for a head of another kind, a network with attention gates, or one that halves its sides more than
            four times.
    """
    decoder = network.decoders[network.decoder_of[head]] if network.kinds[head] == MASK else None
    gated = any(isinstance(module, AttentionGate) for module in network.modules())
    if not isinstance(decoder, Decoder) or gated or SIZE_DIVISOR % network.size_divisor != 0:
        raise ValueError(
            f"The head {head} of this MultiTaskUNet cannot be written as modules of torch or MONAI: only a mask's can, "
            f"without attention gates and with sides of multiples of {SIZE_DIVISOR}."
        )
    logits = background_first(network.dense_heads[head].get_submodule("0"))
    return nn.Sequential(*_plain(network.encoder.stages[0]), *_below(network, decoder, 0), logits).eval()


def _below(network: MultiTaskUNet, decoder: Decoder, level: int) -> list[nn.Module]:
    """Give what lies between a level's encoder and the end of its decoder; nothing at the deepest."""
    deepest = len(network.encoder.stages) - 1
    if level == deepest:
        return []
    step = deepest - 1 - level
    branch = [
        *_plain(network.encoder.down[level + 1]),
        *_plain(network.encoder.stages[level + 1]),
        *_below(network, decoder, level + 1),
        copy.deepcopy(decoder.up[step]),
    ]
    return [SkipConnection(nn.Sequential(*branch), mode="cat"), *_plain(decoder.stages[step])]


def _plain(module: nn.Module) -> list[nn.Module]:
    """Copy a part of the network as parts in a row, with activations that leave their input as it is."""
    if isinstance(module, ConvStage):
        return [*_plain(module.body), nn.ReLU()]
    if isinstance(module, nn.Sequential):
        return [part for child in module for part in _plain(child)]
    if isinstance(module, nn.Dropout):
        return []
    return [nn.ReLU() if isinstance(module, nn.ReLU) else copy.deepcopy(module)]
