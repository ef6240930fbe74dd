"""The catalogue: what every loss in it must stand, its texts, and its table in the documentation."""

import re
import runpy
import sys

import pytest
import torch
from torch import nn

import networks.losses
from networks.losses.binary_cross_entropy import BinaryCrossEntropyLoss
from networks.losses.catalogue import LOSSES, REGRESSION_LOSSES, NamedLoss, catalogue_table, make_loss
from networks.losses.mask import MaskLoss
from networks.losses.summed import SummedLoss
from tests.test_layering import ROOT

LIMIT = 60000.0  # what float16 holds
ONE_CLASS = {"bce", "dice_bce"}
MANY = sorted(set(LOSSES) - ONE_CLASS)
SHAPES = [*((name, 1, (8, 7)) for name in LOSSES), *((name, 3, (8, 7)) for name in MANY)]
SHAPES += [(name, 1, (6, 7, 5)) for name in LOSSES]


def case(classes, size, dtype=torch.float32):
    """Logits, and labels of bars of each class."""
    labels = torch.zeros(2, 1, *size, dtype=torch.long)
    for index in range(1, classes + 1):
        labels[0, :, 2 * index - 1] = index
    labels[1, :, 3:5] = 1
    return torch.randn(2, classes, *size, dtype=dtype), labels


@pytest.mark.parametrize(("name", "classes", "size"), SHAPES)
def test_gradcheck(name, classes, size):
    """Along random directions; the tests of the single losses have the whole Jacobian."""
    logits, labels = case(classes, size, torch.float64)
    loss = make_loss(name)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (logits.requires_grad_(),), fast_mode=True)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("label", ["empty", "full", "mixed"])
@pytest.mark.parametrize("prediction", ["empty", "full", "right", "wrong", "undecided"])
def test_loss_and_gradient_are_finite(name, dtype, label, prediction):
    labels = {"empty": torch.zeros(1, 1, 8, 8), "full": torch.ones(1, 1, 8, 8)}.get(label)
    if labels is None:
        labels = torch.zeros(1, 1, 8, 8)
        labels[:, :, 2:5] = 1
    sure = LIMIT * (2 * labels - 1)
    logits = {
        "empty": torch.full_like(sure, -LIMIT),
        "full": torch.full_like(sure, LIMIT),
        "right": sure,
        "wrong": -sure,
        "undecided": torch.zeros_like(sure),
    }[prediction]
    logits = logits.to(dtype).requires_grad_()
    loss = make_loss(name)(logits, labels)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.dim() == 0
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    if prediction == "right":
        assert loss.item() == pytest.approx(0, abs=1e-5)
    elif prediction == "wrong" and label != "empty" and (name, label) != ("cldice", "full"):
        assert loss.item() > 0.1  # a full image is thicker than any vessel: its soft skeleton is empty


@pytest.mark.parametrize(("name", "classes", "size"), SHAPES)
def test_what_lies_outside_the_field_of_view_does_not_matter(name, classes, size):
    logits, labels = case(classes, size)
    mask = torch.zeros_like(labels)
    mask[:, :, 1:-1, 1:-2] = 1
    outside = mask == 0
    other_logits = torch.where(outside, torch.randn_like(logits), logits).requires_grad_()
    loss = make_loss(name)
    first, second = loss(logits, labels, mask), loss(other_logits, torch.where(outside, 255, labels), mask)
    second.backward()
    assert first.item() == second.item()
    assert not other_logits.grad[outside.expand_as(logits)].any()
    assert other_logits.grad.any()
    assert loss(logits, labels, torch.ones_like(labels)).item() == pytest.approx(loss(logits, labels).item(), abs=1e-6)
    assert loss(logits, labels).item() != first.item()


@pytest.mark.parametrize(("name", "classes", "size"), SHAPES)
def test_a_gradient_step_lowers_it(name, classes, size):
    logits, labels = case(classes, size)
    logits.requires_grad_()
    loss = make_loss(name)
    before = loss(logits, labels)
    (gradient,) = torch.autograd.grad(before, logits)
    after = loss(logits - 0.1 * gradient / gradient.norm(), labels)
    assert after < before


@pytest.mark.parametrize("name", LOSSES)
def test_refuses_shapes_and_labels(name):
    loss = make_loss(name)
    with pytest.raises(ValueError, match="want labels"):
        loss(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5))
    with pytest.raises(ValueError, match="want a mask"):
        loss(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), torch.ones(1, 4, 4))
    with pytest.raises(ValueError, match="labels must be 0 to 1"):
        loss(torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 255))


@pytest.mark.parametrize("name", REGRESSION_LOSSES)
def test_regression_losses_compare_one_shape(name):
    loss = make_loss(name)
    assert loss(torch.ones(2, 2, 4, 4), torch.zeros(2, 2, 4, 4)).item() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="must have one shape"):
        loss(torch.zeros(2, 2, 4, 4), torch.zeros(2, 1, 4, 4))


TEXTS = [
    ("focal:gamma=2", {"gamma": 2.0}),
    ("focal: gamma = 5 , alpha=0.25, reduction=none", {"gamma": 5.0, "reduction": "none"}),
    ("ce:weights=[1, 3]", {"reduction": "mean"}),
    ("dice:squared=false,smooth=1e-3", {"squared": False, "smooth": 1e-3}),
    ("cldice:iterations=7", {"iterations": 7}),
]


@pytest.mark.parametrize(("text", "attributes"), TEXTS)
def test_texts(text, attributes):
    loss = make_loss(text)
    assert {name: getattr(loss, name) for name in attributes} == attributes


def test_lists_hold_their_commas():
    assert make_loss("ce:weights=[1,3],reduction=none").weights.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("dice+bce:pos_weight=8", [1.0, 1.0]),
        ("0.5*dice + 2e+0 * cldice:iterations=5 + ce:weights=[1e+1,3]", [0.5, 2.0, 1.0]),
        ("0.25*dice", [0.25]),
    ],
)
def test_sums(text, factors):
    loss = make_loss(text)
    assert isinstance(loss, SummedLoss)
    assert loss.factors == factors


def test_a_sum_is_the_sum():
    logits, labels = case(1, (8, 7))
    expected = 0.5 * MaskLoss()(logits, labels) + BinaryCrossEntropyLoss(8.0)(logits, labels)
    assert make_loss("0.5*dice + bce:pos_weight=8")(logits, labels).item() == pytest.approx(expected.item())
    assert NamedLoss("0.5*dice + bce:pos_weight=8")(logits, labels).item() == pytest.approx(expected.item())


def test_compounds_are_what_their_formulas_say():
    logits, labels = case(1, (8, 7))
    value = {name: make_loss(name)(logits, labels).item() for name in LOSSES}
    assert value["dice_bce"] == pytest.approx(value["dice"] + value["bce"])
    assert value["dice_ce"] == pytest.approx(value["dice"] + value["ce"])
    assert value["dice_cldice"] == pytest.approx((value["dice"] + value["cldice"]) / 2)
    three = value["dice"] + value["ce"] + value["skeleton_recall"]
    assert value["dice_ce_skeleton_recall"] == pytest.approx(three)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("focall", "there is no loss 'focall'; did you mean 'focal'?"),
        ("zzz", "there is no loss 'zzz': choose from bce, ce, cldice"),
        ("focal:gama=2", "focal: there is no parameter 'gama'; did you mean 'gamma'?"),
        ("focal:gamma", "focal: 'gamma' is no parameter: write KEY=VALUE."),
        ("focal:gamma=", "focal: 'gamma=' is no parameter: write KEY=VALUE."),
        ("focal:gamma=-1", "focal: gamma must not be negative, got -1."),
        ("focal:gamma=high", "focal: "),
        ("dice_cldice:alpha=2", "dice_cldice: alpha must be within 0 and 1, got 2."),
        ("ce:weights=[1,__import__('os')]", "ce: "),
        ("1.2.3*dice", "'1.2.3' in '1.2.3*dice' is no number."),
        ("-1*dice", "1 losses want as many weights, none negative; got [-1.0]."),
        ("", "'' is no loss: write NAME"),
        ("dice + ", "'dice + ' is no loss: write NAME"),
        ("dice + ce:reduction=none", "a loss whose reduction is none cannot be one of a sum."),
        ("dice" + "+" * 1000, "a loss is told in at most 1000 characters, got 1004."),
    ],
)
def test_texts_that_are_refused(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_loss(text)


def test_every_public_loss_is_in_the_table():
    table = catalogue_table()
    missing = [name for name in networks.losses.__all__ if f"`{name}`" not in table]
    assert missing == ["NamedLoss", "SummedLoss"], "these two hold others"


def test_entries_name_classes_that_exist():
    for name, entry in {**LOSSES, **REGRESSION_LOSSES}.items():
        assert isinstance(make_loss(name), nn.Module)
        for shown in re.findall(r"`(\w+)`", entry.shown):
            assert shown in networks.losses.__all__


def test_table_names_bundles_and_commands_that_exist():
    used = " ".join(row.split("|")[4] for row in catalogue_table().splitlines())
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)[` ]", used))
    bundles = {folder.name for folder in (ROOT / "bundles").iterdir()}
    commands = {file.stem for file in (ROOT / "pipelines").glob("*.py")}
    assert len(named) > 5
    assert named <= bundles | commands


def test_table_of_the_documentation_is_the_catalogues():
    assert catalogue_table() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_table_is_printed(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "networks.losses.catalogue")
    runpy.run_module("networks.losses.catalogue", run_name="__main__")
    assert capsys.readouterr().out == catalogue_table() + "\n"
