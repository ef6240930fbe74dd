"""How much the mask of each exit of a nested network counts in its training."""

from __future__ import annotations

from collections.abc import Sequence

MEAN, EXITS = "mean", "exits"


def exit_weights(supervision: str, exits: int, weights: Sequence[float], mask_weight: float = 1.0) -> dict[str, float]:
    """Give the heads of a :class:`networks.nets.DilatedUNetPlusPlus` that have a mask to learn, and their weights.

    Args:
        supervision: ``mean`` for one loss of the head ``mask``, which is made of all exits; ``exits`` for a loss of
            each exit, as in Zhou et al., *UNet++*, DLMIA 2018.
        exits: how many the network has: 0 when it segments nothing, 1 of a U-Net.
        weights: one for each exit, with ``exits``.
        mask_weight: weight of the mask among the tasks, which all of these are multiplied with.

    Raises:
        ValueError: for another word, for exits that are not there, or when there is not one weight for each, none
            negative and one positive.
    """
    if supervision not in (MEAN, EXITS):
        raise ValueError(f"supervision must be {MEAN} or {EXITS}, got {supervision}.")
    if supervision == MEAN:
        return {"mask": float(mask_weight)} if exits else {}
    if exits < 2:
        raise ValueError(f"supervision by {EXITS} needs a nested network, which has several; this one has {exits}.")
    if len(weights) != exits or min(weights) < 0 or max(weights) <= 0:
        raise ValueError(f"exit_weights must be {exits} numbers, none negative and not all 0, got {list(weights)}.")
    return {f"mask_{number}": mask_weight * weight for number, weight in enumerate(weights, start=1)}
