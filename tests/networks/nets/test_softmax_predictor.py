"""SoftmaxPredictor: probabilities by hand, in TorchScript too."""

from __future__ import annotations

import torch
from torch import nn

from networks.nets import SoftmaxPredictor


class Fixed(nn.Module):
    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_by_hand():
    """Of the logits 0, ln 2 and ln 5, one, two and five eighths."""
    logits = torch.log(torch.tensor([1.0, 2.0, 5.0])).reshape(1, 3, 1, 1)
    found = SoftmaxPredictor(Fixed(logits))(torch.zeros(1, 1, 1, 1))
    torch.testing.assert_close(found.flatten(), torch.tensor([0.125, 0.25, 0.625]))


def test_probabilities_are_single_precision():
    found = SoftmaxPredictor(Fixed(torch.zeros(1, 2, 4, 4, dtype=torch.bfloat16)))(torch.zeros(1, 1, 4, 4))
    assert found.dtype == torch.float32
    assert torch.equal(found, torch.full((1, 2, 4, 4), 0.5))


def test_torchscript():
    predictor = SoftmaxPredictor(nn.Conv2d(1, 3, 1)).eval()
    image = torch.randn(2, 1, 5, 4)
    assert torch.equal(torch.jit.script(predictor)(image), predictor(image))
    assert not hasattr(torch.jit.script(predictor), "head")
