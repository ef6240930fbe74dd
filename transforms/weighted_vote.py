"""The vote of raters that are trusted to different degrees: the consensus by data parameters."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms.transform import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_numpy
from numpy.typing import ArrayLike

from transforms.pattern_votes import decide, softmax_weights, vote_shares
from transforms.rater_patterns import collect_patterns

__all__ = ["WeightedVote", "WeightedVoted"]


class WeightedVote(Transform):
    """Give each voxel the label with the largest sum of weights, which are the softmax of the data parameters.

    The consensus of DeepSTAPLE (Weihsbach et al., WBIR 2022): for two classes, foreground is where
    ``sum_r softmax(s)_r label_r > 0.5``. Of equal sums (within 1e-12) the smallest label wins, so half of the weight is
    not enough for foreground. Equal parameters make it the majority vote; the same number added to all changes nothing.
    """

    backend = [TransformBackends.NUMPY]

    def __call__(  # type: ignore[override]  # a vote by weights cannot do without them
        self, img: NdarrayOrTensor, parameters: ArrayLike
    ) -> NdarrayOrTensor:
        """Vote.

        Args:
            img: ``(R, H, W[, D])``, a label map of whole numbers from 0 per rater.
            parameters: ``(R,)``, the raters' data parameters, finite; the higher, the more a rater is trusted.

        Returns:
            ``(1, H, W[, D])``, same kind and dtype as ``img``.

        Raises:
            ValueError: when there are not 2 or 3 spatial axes, a value is no label, or the parameters do not fit.
        """
        raters = convert_to_numpy(img)
        if raters.ndim not in (3, 4):
            raise ValueError(f"img must have shape (R, H, W[, D]), got {tuple(raters.shape)}.")
        weights = softmax_weights(convert_to_numpy(parameters))
        patterns = collect_patterns(raters)
        elected = decide(vote_shares(patterns.decisions, patterns.labels, weights), patterns.labels)
        return convert_to_dst_type(patterns.spread(elected)[None], dst=img, dtype=img.dtype)[0]


class WeightedVoted(MapTransform):
    """``WeightedVote`` of each key.

    Args:
        parameters_key: where the item holds the data parameters of its raters, ``(R,)``.
    """

    backend = WeightedVote.backend

    def __init__(
        self, keys: KeysCollection, parameters_key: str = "parameters", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.vote = WeightedVote()
        self.parameters_key = parameters_key

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Vote on each key's raters, shape ``(R, H, W[, D])`` to ``(1, H, W[, D])``."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.vote(d[key], d[self.parameters_key])
        return d
