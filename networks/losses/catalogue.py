"""The losses by short names: how each is made, its formula, its paper, and where it is used.

``make_loss("focal:gamma=2")`` makes one; the table of all of them, as the documentation has it, is printed by

    python -m networks.losses.catalogue
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.loss import _Loss

from networks.losses.binary_cross_entropy import BinaryCrossEntropyLoss
from networks.losses.centerline_dice import CenterlineDiceLoss
from networks.losses.cross_entropy import CrossEntropyLoss
from networks.losses.exponential_logarithmic import ExponentialLogarithmicLoss
from networks.losses.exponential_logarithmic_dice import ExponentialLogarithmicDiceLoss
from networks.losses.focal import FocalLoss
from networks.losses.log_cosh_dice import LogCoshDiceLoss
from networks.losses.mask import MaskLoss
from networks.losses.regression import MeanAbsoluteErrorLoss, MeanSquaredErrorLoss, RootMeanSquaredErrorLoss
from networks.losses.skeleton_recall import SkeletonRecallLoss
from networks.losses.summed import SummedLoss

# A plus between two terms, and not the one of 1e+3.
BETWEEN_TERMS = re.compile(r"(?<![\d.][eE])\+(?=\s*(?:[\d.eE+-]+\s*\*\s*)?[A-Za-z_])")
TERM = re.compile(r"\s*(?:([\d.eE+-]+)\s*\*)?\s*([A-Za-z]\w*)\s*(?::(.*))?", re.DOTALL)
LONGEST = 1000  # characters of a text; looking for its parts takes the square of that
OUTSIDE_BRACKETS = re.compile(r",(?![^\[(]*[\])])")


class LossEntry(NamedTuple):
    """What there is to say of a loss.

    Attributes:
        make: makes it; its parameters are those that :func:`make_loss` takes.
        shown: names of the classes behind it, as the table has them.
        formula: with p the probability of the voxel's own class, or p and g those of a class and its label.
        paper: author, venue and year; or what it is commonly known as.
        used: bundles and commands.
    """

    make: Callable[..., nn.Module]
    shown: str
    formula: str
    paper: str
    used: str


def _dice(smooth: float = 1e-5, squared: bool = True) -> nn.Module:
    return MaskLoss(smooth=smooth, squared=squared)


def _dice_ce(weights: Sequence[float] | None = None, smooth: float = 1e-5, squared: bool = True) -> nn.Module:
    return SummedLoss([_dice(smooth, squared), CrossEntropyLoss(weights)])


def _dice_bce(pos_weight: float = 1.0, smooth: float = 1e-5, squared: bool = True) -> nn.Module:
    return SummedLoss([_dice(smooth, squared), BinaryCrossEntropyLoss(pos_weight)])


def _dice_cldice(alpha: float = 0.5, iterations: int = 3, squared: bool = True) -> nn.Module:
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be within 0 and 1, got {alpha}.")
    return SummedLoss([_dice(squared=squared), CenterlineDiceLoss(iterations)], [1.0 - alpha, alpha])


def _dice_ce_recall(weight: float = 1.0, radius: int = 2, squared: bool = True) -> nn.Module:
    terms = [_dice(squared=squared), CrossEntropyLoss(), SkeletonRecallLoss(radius)]
    return SummedLoss(terms, [1.0, 1.0, weight])


def _explog(
    dice_weight: float = 0.8,
    cross_entropy_weight: float = 0.2,
    gamma: float = 0.3,
    cross_entropy_gamma: float | None = None,
    weights: Sequence[float] | None = None,
    epsilon: float = 1e-5,
) -> nn.Module:
    gammas = (gamma, cross_entropy_gamma)
    return ExponentialLogarithmicLoss(
        dice_weight, cross_entropy_weight, *gammas, weights, epsilon, ignore_index=None, background_channel=False
    )


def _explog_dice(gamma: float = 0.5, epsilon: float = 1e-5) -> nn.Module:
    return ExponentialLogarithmicDiceLoss(gamma, epsilon, ignore_index=None, background_channel=False)


# Of a mask head: (input, target, mask), logits (B, K, ...) and labels (B, 1, ...).
LOSSES: dict[str, LossEntry] = {
    "bce": LossEntry(
        BinaryCrossEntropyLoss,
        "`BinaryCrossEntropyLoss`",
        "mean of `-w log p`, `w = pos_weight` on the foreground, else 1; one class",
        "",
        "`octa_multitask`, `fundus_multitask` (`pos_weight=8`)",
    ),
    "ce": LossEntry(
        CrossEntropyLoss,
        "`CrossEntropyLoss`",
        "`sum(-w_y log p) / sum(w_y)`, `weights` of all classes, the background's first",
        "",
        "`optic_disc_losses`, `study_losses`",
    ),
    "cldice": LossEntry(
        CenterlineDiceLoss,
        "`CenterlineDiceLoss`",
        "`1 - 2 P S / (P + S)`, `P = sum(s_p g) / sum(s_p)`, `S = sum(s_g p) / sum(s_g)`, soft skeletons `s`",
        "Shit et al., CVPR 2021",
        "any vessels, beside Dice",
    ),
    "dice": LossEntry(
        _dice,
        "`MaskLoss`",
        "`1 - 2 sum(p g) / (sum(p^2) + sum(g^2))` over the batch; `squared=false`: `sum(p) + sum(g)`",
        "Milletari et al., 3DV 2016",
        "`left_atrium_dtc`, `pancreas_dtc`, `study_losses`",
    ),
    "dice_bce": LossEntry(
        _dice_bce,
        "`MaskLoss` + `BinaryCrossEntropyLoss`",
        "`dice + bce`",
        "",
        "any structure of one class",
    ),
    "dice_ce": LossEntry(
        _dice_ce,
        "`MaskLoss` + `CrossEntropyLoss`",
        "`dice + ce`",
        "",
        "`quick` overlays of `octa_multitask` and `fundus_multitask`, `hippocampus_dtc` (with half of `ce`)",
    ),
    "dice_ce_skeleton_recall": LossEntry(
        _dice_ce_recall,
        "`MaskLoss` + `CrossEntropyLoss` + `SkeletonRecallLoss`",
        "`dice + ce + weight * skeleton_recall`",
        "Kirchhoff et al., ECCV 2024",
        "any vessels",
    ),
    "dice_cldice": LossEntry(
        _dice_cldice,
        "`MaskLoss` + `CenterlineDiceLoss`",
        "`(1 - alpha) dice + alpha cldice`",
        "Shit et al., CVPR 2021",
        "any vessels",
    ),
    "explog": LossEntry(
        _explog,
        "`ExponentialLogarithmicLoss`",
        "`0.8 explog_dice + 0.2 mean of w_y (-log p)^gamma`, `w_l = (sum(f) / f_l)^0.5` of the labels' frequencies; "
        "gamma 0.3 in both",
        "Wong et al., MICCAI 2018",
        "structures of very different sizes",
    ),
    "explog_dice": LossEntry(
        _explog_dice,
        "`ExponentialLogarithmicDiceLoss`",
        "mean of `(-log D)^gamma`, `D = 2 sum(p g) / (sum(p) + sum(g))`, over the classes of the batch",
        "Wong et al., MICCAI 2018",
        "`retinal_oedema`",
    ),
    "focal": LossEntry(
        FocalLoss,
        "`FocalLoss`",
        "mean of `-alpha_y (1 - p)^gamma log p`",
        "Lin et al., ICCV 2017",
        "`study_losses`",
    ),
    "log_cosh_dice": LossEntry(
        LogCoshDiceLoss,
        "`LogCoshDiceLoss`",
        "`log cosh(dice)`",
        "Jadon, CIBCB 2020",
        "any structure",
    ),
    "skeleton_recall": LossEntry(
        SkeletonRecallLoss,
        "`SkeletonRecallLoss`",
        "`1 - sum(p t) / sum(t)`, `t` the label within `radius` voxels of its skeleton",
        "Kirchhoff et al., ECCV 2024",
        "any vessels, beside Dice",
    ),
}

# Of a regression head: (input, target, mask), both (B, C, ...).
REGRESSION_LOSSES: dict[str, LossEntry] = {
    "l1": LossEntry(MeanAbsoluteErrorLoss, "`MeanAbsoluteErrorLoss`", "mean of `abs(d)`", "", "any distance head"),
    "mse": LossEntry(
        MeanSquaredErrorLoss,
        "`MeanSquaredErrorLoss`",
        "mean of `d^2`",
        "",
        "`octa_multitask`, `fundus_multitask`",
    ),
    "rmse": LossEntry(
        RootMeanSquaredErrorLoss, "`RootMeanSquaredErrorLoss`", "root of the mean of `d^2`", "", "any distance head"
    ),
}

# What a bundle names by its class: class, formula, paper, where used.
OTHERS: tuple[tuple[str, str, str, str], ...] = (
    ("ClassWeightedLoss", "`ce` of networks with a background channel", "", "`train_staple`, `retinal_oedema`"),
    (
        "BackgroundChannelLoss",
        "any loss above, of networks with a background channel and labels to be ignored",
        "",
        "any such network",
    ),
    (
        "ForegroundDiceLoss",
        "`1 - 2 sum(p g) / (sum(p) + sum(g))`, mean over the classes of the batch; networks with a background channel",
        "",
        "`retinal_oedema`",
    ),
    ("PresenceLoss", "`bce` of each lesion kind, the mean over what is known", "", "`retinal_oedema`"),
    (
        "DataParameterLoss",
        "`ce` per sample times `sigmoid(s_b) / mean sigmoid(s)`, risk regularised",
        "Weihsbach et al., WBIR 2022",
        "`train_staple`",
    ),
    ("TemperatureLoss", "`ce` of `logits / exp(s)`", "Saxena et al., NeurIPS 2019", "`train_staple`"),
    ("LevelSetLoss", "mean of `(z - sdf)^2`", "Luo et al., AAAI 2021", "`left_atrium_dtc`, `pancreas_dtc`"),
    (
        "LevelSetDivergenceLoss",
        "`KL((1 + sdf) / 2, (1 + z) / 2)`, not stuck where the head saturates",
        "",
        "`hippocampus_dtc`, `quick` overlays of `left_atrium_dtc` and `pancreas_dtc`",
    ),
    ("DualTaskConsistencyLoss", "mean of `(p - sigmoid(-k z))^2`", "Luo et al., AAAI 2021", "`train_dtc`"),
    (
        "TeacherConsistencyLoss",
        "mean of `(p - p_teacher)^2`",
        "Tarvainen and Valpola, NeurIPS 2017",
        "`train_dtc --method mean_teacher`",
    ),
    ("WeightedSum", "`sum w_t L_t`", "", "`train_multitask --method fixed`"),
    (
        "AlphaLoss",
        "`L_seg + sum alpha_r L_r`, `alpha_r = mean L_seg / mean L_r` of the epoch before, 0 in the first",
        "",
        "`train_multitask --method alpha`",
    ),
    (
        "UncertaintyWeightedSum",
        "`sum f_t exp(-s_t) L_t + s_t / 2`, `s = log sigma^2` learnt, `f` 1/2 for regression, else 1",
        "Kendall et al., CVPR 2018",
        "`train_multitask --method uncertainty`",
    ),
)


class NamedLoss(_Loss):
    """A loss of the catalogue by its text, for configurations: see :func:`make_loss`.

    Args:
        text: such as ``focal:gamma=2``.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.loss = make_loss(text)

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compute the loss; shapes and what is raised are its own."""
        return self.loss(input, target, mask)


def make_loss(text: str) -> nn.Module:
    """Make a loss of the catalogue.

    Args:
        text: a name; with parameters, ``focal:gamma=2,alpha=0.25``, ``ce:weights=[1,3]``, ``dice:squared=false``; or a
            sum of such terms, ``0.5*dice + bce:pos_weight=8``.

    Raises:
        ValueError: when a name or a parameter is unknown, telling the nearest, or a value is refused.
    """
    if len(text) > LONGEST:
        raise ValueError(f"a loss is told in at most {LONGEST} characters, got {len(text)}.")
    weights, losses = [], []
    for part in BETWEEN_TERMS.split(text):
        match = TERM.fullmatch(part)
        if match is None:
            raise ValueError(f"{text!r} is no loss: write NAME, NAME:KEY=VALUE,... or WEIGHT*NAME + NAME.")
        factor, name, parameters = match.groups()
        try:
            weights.append(1.0 if factor is None else float(factor))
        except ValueError:
            raise ValueError(f"{factor!r} in {text!r} is no number.") from None
        losses.append(_make_term(name, parameters))
    return losses[0] if len(losses) == 1 and weights == [1.0] else SummedLoss(losses, weights)


def _make_term(name: str, parameters: str | None) -> nn.Module:
    entries = {**LOSSES, **REGRESSION_LOSSES}
    if name not in entries:
        raise ValueError(f"there is no loss {name!r}{_nearest(name, entries)}")
    make = entries[name].make
    known = inspect.signature(make).parameters
    values: dict[str, Any] = {}
    for item in OUTSIDE_BRACKETS.split(parameters) if parameters else []:
        key, sign, value = (side.strip() for side in item.partition("="))
        if not sign or not value:
            raise ValueError(f"{name}: {item.strip()!r} is no parameter: write KEY=VALUE.")
        if key not in known:
            raise ValueError(f"{name}: there is no parameter {key!r}{_nearest(key, known)}")
        values[key] = _value(value)
    try:
        return make(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


def _value(text: str) -> Any:
    """Read a number, a list of numbers, true or false; anything else stays a word."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f": choose from {', '.join(known) or 'none'}."


def catalogue_table() -> str:
    """Give the table of all losses in Markdown: name, formula, paper, where used."""
    rows: list[tuple[str, ...]] = [("name", "formula", "paper", "where used"), ("---",) * 4]
    for name, entry in {**LOSSES, **REGRESSION_LOSSES}.items():
        rows.append((f"`{name}`: {entry.shown}", entry.formula, entry.paper, entry.used))
    rows += [(f"`{name}`", *words) for name, *words in OTHERS]
    return "\n".join("| " + " | ".join(cell or "-" for cell in row) + " |" for row in rows)


if __name__ == "__main__":
    sys.stdout.write(catalogue_table() + "\n")
