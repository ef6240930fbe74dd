"""The noisy labels of one training: one instance each, those of too little trust left out when that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.cohort import Cohort
from pipelines.data.data_parameters_table import read_data_parameters
from pipelines.data.dataset import DataSet
from pipelines.data.raters import Instance, expand_raters
from pipelines.data.splits import Splits, make_rater_splits
from transforms.io.input_error import InputError


class RaterCohort(Cohort):
    """Do as :class:`pipelines.data.cohort.Cohort` for cases with ``raters``: an entry per noisy label.

    ``labeled`` and ``training`` hold those entries. The expert's label of a training case is never among what is
    trained on; entries name it under ``expert``, for comparison. Only where a data set lists no raters at all are its
    labels themselves the noisy ones, as when some are to be disturbed on purpose. ``instances`` holds all instances,
    ``kept`` those that are trained on.

    Args:
        dataset_dir: folder in the data layout.
        validation: how many training cases with an expert's label to set aside for validation when the data set has no
            list of its own.
        seed: of that draw.
        spatial_dims: 2 or 3, what the network is for.
        in_channels: image channels that the network is for.
        num_classes: foreground classes that the network is for.
        parameters: a ``data_parameters.csv`` of an earlier training on the same labels.
        keep_quantile: keep the instances whose parameter is at or above this quantile of all, 0 to 1.
        keep_above: keep the instances whose parameter is above this value.

    Raises:
        InputError: for every fault of the data, when the data are not what the network is for, and as
            :func:`keep_trusted`.
    """

    def __init__(
        self,
        dataset_dir: str | Path,
        validation: int | None,
        seed: int,
        spatial_dims: int,
        in_channels: int,
        num_classes: int,
        parameters: str | Path | None = None,
        keep_quantile: float | None = None,
        keep_above: float | None = None,
    ) -> None:
        self.instances: list[Instance] = []
        self.kept: list[Instance] = []
        self._filter = (parameters, keep_quantile, keep_above)
        super().__init__(dataset_dir, None, validation, seed, spatial_dims, in_channels, num_classes, unlabeled=False)

    def _split(self, dataset: DataSet, labeled: int | None, validation: int | None, seed: int) -> Splits:
        return make_rater_splits(dataset, validation, seed)

    def _gather(self) -> None:
        self.instances = expand_raters(self.splits.labeled, self.root)
        self.kept = filter_instances(self.instances, *self._filter)
        self.labeled: list[dict[str, Any]] = [instance.entry() for instance in self.kept]

    def _told(self) -> str:
        labels = f"{len(self.kept)} noisy labels"
        if len(self.kept) < len(self.instances):
            labels = f"{len(self.kept)} of {len(self.instances)} noisy labels"
        return f"{labels} of {len({instance.case.case_id for instance in self.kept})} images"


def filter_instances(
    instances: Sequence[Instance], parameters: str | Path | None, keep_quantile: float | None, keep_above: float | None
) -> list[Instance]:
    """Leave out the instances that an earlier training came to trust little; all stay when no bound is given.

    Raises:
        InputError: when a bound is given without ``parameters`` or the other way round, and as :func:`keep_trusted`.
    """
    if keep_quantile is None and keep_above is None:
        if parameters is not None:
            raise InputError("--parameters", "is of no use without --keep-quantile or --keep-above")
        return list(instances)
    if parameters is None:
        option = "--keep-quantile" if keep_quantile is not None else "--keep-above"
        raise InputError(option, "needs --parameters FILE, the data_parameters.csv of an earlier training")
    known = read_data_parameters(Path(parameters))
    return keep_trusted(instances, known, keep_quantile, keep_above, Path(parameters))


def keep_trusted(
    instances: Sequence[Instance],
    parameters: Mapping[tuple[str, str], float],
    keep_quantile: float | None,
    keep_above: float | None,
    source: Path,
) -> list[Instance]:
    """Give the instances whose parameter reaches the bound.

    Args:
        instances: all.
        parameters: of each, by (case_id, rater); further ones do not count.
        keep_quantile: keep those at or above this quantile of their parameters (linear interpolation).
        keep_above: keep those above this value; with both bounds an instance must pass both.
        source: where the parameters are from.

    Raises:
        InputError: when an instance has no parameter, the quantile lies outside 0 to 1, or none is left.
    """
    if keep_quantile is not None and not 0 <= keep_quantile <= 1:
        raise InputError("--keep-quantile", f"must lie between 0 and 1, got {keep_quantile:g}")
    unknown = [instance for instance in instances if instance.key not in parameters]
    if unknown:
        raise InputError(
            source,
            f"knows nothing of {len(unknown)} of {len(instances)} labels, for example {unknown[0].rater} of "
            f"{unknown[0].case.case_id}; was it made with the same data set?",
        )
    values = np.array([parameters[instance.key] for instance in instances])
    passes = np.ones(len(values), bool)
    if keep_quantile is not None:
        passes &= values >= np.quantile(values, keep_quantile)
    if keep_above is not None:
        passes &= values > keep_above
    kept = [instance for instance, good in zip(instances, passes, strict=True) if good]
    if not kept:
        raise InputError("--keep-above", f"leaves no label: the highest parameter in {source} is {values.max():g}")
    return kept
