"""STAPLE: one label map out of those of many raters, weighing each rater by an estimate of its performance."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms.transform import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_numpy
from numpy.typing import ArrayLike

from transforms.label_fusion import staple_fusion
from transforms.pattern_votes import decide
from transforms.rater_model import MAX_ITERATIONS, TOLERANCE, RaterModel, check_options
from transforms.rater_patterns import RaterPatterns, collect_patterns
from transforms.trusted_raters import STRENGTH, check_strength

__all__ = ["Staple", "Stapled"]


class Staple(Transform):
    """STAPLE of many raters' label maps (Warfield et al., IEEE TMI 23 (2004) 903), for two classes or more.

    With data parameters it is their hybrid, see :mod:`transforms.trusted_raters`. Time and memory hardly depend on the
    number of raters, see :mod:`transforms.rater_patterns`. The label of highest probability is given; of equal ones the
    smallest, so that background wins against foreground. One rater is given back as it is; empty, full and identical
    raters are defined, see :func:`transforms.rater_model.estimate_raters`.

    Args:
        restricted: estimate from the voxels alone about which raters disagree; what that changes is told in
            :func:`transforms.label_fusion.staple_fusion`.
        prior: probability of each label 0, 1, ...; the mean fractions of the raters by default.
        strength: of data parameters, where there are any.
        initial: first guess of every sensitivity and specificity, such as 0.99999; by default the first guess is the
            raters' soft average, as in ITK.
        max_iterations: stop after so many.
        tolerance: stop when no entry of a confusion matrix changes by more.

    Raises:
        ValueError: for options that make no sense.
    """

    backend = [TransformBackends.NUMPY]

    def __init__(
        self,
        restricted: bool = False,
        prior: Sequence[float] | None = None,
        strength: float = STRENGTH,
        initial: float | None = None,
        max_iterations: int = MAX_ITERATIONS,
        tolerance: float = TOLERANCE,
    ) -> None:
        check_options(initial, max_iterations, tolerance)
        check_strength(strength)
        self.restricted, self.prior, self.strength = restricted, prior, strength
        self.options: dict[str, Any] = {
            "initial": initial,
            "max_iterations": max_iterations,
            "tolerance": tolerance,
        }

    def __call__(self, img: NdarrayOrTensor, parameters: ArrayLike | None = None) -> NdarrayOrTensor:
        """Fuse the raters.

        Args:
            img: ``(R, H, W[, D])``, a label map of whole numbers from 0 per rater.
            parameters: ``(R,)``, data parameters; none is plain STAPLE.

        Returns:
            ``(1, H, W[, D])``, same kind and dtype.

        Raises:
            ValueError: when there are not 2 or 3 spatial axes, a value is no label, or the parameters do not fit.
        """
        patterns, model = self.estimate(img, parameters)
        fused = patterns.spread(decide(model.posterior, model.labels))
        return convert_to_dst_type(fused[None], dst=img, dtype=img.dtype)[0]

    def estimate(self, img: NdarrayOrTensor, parameters: ArrayLike | None = None) -> tuple[RaterPatterns, RaterModel]:
        """Give the patterns of decisions and the model with sensitivities, specificities and iterations.

        ``patterns.spread(model.posterior[:, s])`` is the probability map ``(H, W[, D])`` of ``model.labels[s]``.
        Arguments and errors are those of calling the transform.
        """
        raters = convert_to_numpy(img)
        if raters.ndim not in (3, 4):
            raise ValueError(f"img must have shape (R, H, W[, D]), got {tuple(raters.shape)}.")
        patterns = collect_patterns(raters)
        model = staple_fusion(
            patterns,
            restricted=self.restricted,
            prior=self.prior,
            parameters=parameters,
            strength=self.strength,
            **self.options,
        )
        return patterns, model


class Stapled(MapTransform):
    """``Staple`` of each key.

    Args:
        parameters_key: where the item holds the data parameters of its raters; none is plain STAPLE.
    """

    backend = Staple.backend

    def __init__(
        self,
        keys: KeysCollection,
        restricted: bool = False,
        prior: Sequence[float] | None = None,
        strength: float = STRENGTH,
        initial: float | None = None,
        max_iterations: int = MAX_ITERATIONS,
        tolerance: float = TOLERANCE,
        parameters_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.staple = Staple(restricted, prior, strength, initial, max_iterations, tolerance)
        self.parameters_key = parameters_key

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Fuse each key's raters, shape ``(R, H, W[, D])`` to ``(1, H, W[, D])``."""
        d = dict(data)
        parameters = None if self.parameters_key is None else d[self.parameters_key]
        for key in self.key_iterator(d):
            d[key] = self.staple(d[key], parameters)
        return d
