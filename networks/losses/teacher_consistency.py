"""The loss that makes a student agree with its teacher; it needs no label."""

from __future__ import annotations

import torch
from torch.nn.modules.loss import _Loss

from networks.layers.class_probabilities import foreground_probabilities


class TeacherConsistencyLoss(_Loss):
    """Mean squared difference between the student's and the teacher's class probabilities; the teacher gets no
    gradient.

    Reference: Tarvainen and Valpola, *Mean teachers are better role models*, NeurIPS 2017.
    """

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compare the student's mask logits (B, K, H, W[, D]) with the teacher's, in float32.

        Raises:
            ValueError: when the shapes differ.
        """
        if input.shape != target.shape:
            raise ValueError(f"Student {tuple(input.shape)} and teacher {tuple(target.shape)} must have one shape.")
        teacher = foreground_probabilities(target.detach().float())
        return (foreground_probabilities(input.float()) - teacher).square().mean()
