"""The label that most raters give."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms.transform import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_numpy

from transforms.pattern_votes import decide, vote_shares
from transforms.rater_patterns import collect_patterns

__all__ = ["MajorityVote", "MajorityVoted"]


class MajorityVote(Transform):
    """Give each voxel the label that most raters give it.

    Of labels with equally many votes the smallest wins, whatever the order of the raters: two foreground votes out of
    four give background, one vote each for 1 and 2 gives 1. More votes than for any other label are enough; they need
    not be more than half.
    """

    backend = [TransformBackends.NUMPY]

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Vote.

        Args:
            img: ``(R, H, W[, D])``, a label map of whole numbers from 0 per rater.

        Returns:
            ``(1, H, W[, D])``, same kind and dtype.

        Raises:
            ValueError: when there are not 2 or 3 spatial axes, or a value is no label.
        """
        raters = convert_to_numpy(img)
        if raters.ndim not in (3, 4):
            raise ValueError(f"img must have shape (R, H, W[, D]), got {tuple(raters.shape)}.")
        patterns = collect_patterns(raters)
        elected = decide(vote_shares(patterns.decisions, patterns.labels), patterns.labels)
        return convert_to_dst_type(patterns.spread(elected)[None], dst=img, dtype=img.dtype)[0]


class MajorityVoted(MapTransform):
    """``MajorityVote`` of each key."""

    backend = MajorityVote.backend

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.vote = MajorityVote()

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Vote on each key's raters, shape ``(R, H, W[, D])`` to ``(1, H, W[, D])``."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.vote(d[key])
        return d
