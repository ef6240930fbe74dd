"""What must agree on a scan that nobody labelled: each method of semi-supervised training as one callable."""

from __future__ import annotations

import torch
from torch import nn

from networks.layers.class_probabilities import foreground_probabilities
from networks.losses.dual_task_consistency import DualTaskConsistencyLoss
from networks.losses.teacher_consistency import TeacherConsistencyLoss
from networks.nets.dual_task_vnet import DualTaskOutput


class HeadsAgree:
    """Dual-task consistency: the mask head and the level-set head of one network.

    Reference: Luo et al., AAAI 2021.

    Args:
        loss: of mask logits and level set.
    """

    def __init__(self, loss: DualTaskConsistencyLoss) -> None:
        self.loss = loss

    def __call__(self, output: DualTaskOutput, image: torch.Tensor) -> torch.Tensor:
        """Compare the heads on all samples; the images are not needed."""
        value: torch.Tensor = self.loss(output.mask, output.sdf)
        return value


class TeacherAgrees:
    """Mean teacher: the network and the moving average of its weights, which sees the images through noise of its own.

    Reference: Tarvainen and Valpola, NeurIPS 2017; the noise is that of Yu et al., *UA-MT*, MICCAI 2019.

    Args:
        teacher: a network of the same form, which someone else keeps up to date.
        loss: of the student's and the teacher's mask logits.
        noise: standard deviation of the noise on the teacher's images, which are z-normalised.
        noise_limit: largest absolute value of the noise.
    """

    def __init__(
        self, teacher: nn.Module, loss: TeacherConsistencyLoss, noise: float = 0.1, noise_limit: float = 0.2
    ) -> None:
        self.teacher = teacher
        self.loss = loss
        self.noise = noise
        self.noise_limit = noise_limit

    def __call__(self, output: DualTaskOutput, image: torch.Tensor) -> torch.Tensor:
        """Compare the student's ``output`` with what the teacher says of the same images."""
        noise = (torch.randn_like(image) * self.noise).clamp(-self.noise_limit, self.noise_limit)
        with torch.no_grad():
            target = self.teacher(image + noise)
        value: torch.Tensor = self.loss(output.mask, target.mask)
        return value


class HeadsAgreeWithTeacher:
    """Dual-task consistency across a teacher: each head follows the other head of the averaged network.

    The student's mask follows the teacher's level set taken to a mask, and the student's level set the teacher's mask:
    targets that are steadier than the student's own, and that no head can make true by giving in.

    Args:
        teacher: a network of the same form, which someone else keeps up to date.
        k: steepness of the smooth Heaviside function, in the inverse unit of the level set.
        noise: standard deviation of the noise on the teacher's images, which are z-normalised.
    """

    def __init__(self, teacher: nn.Module, k: float, noise: float = 0.1) -> None:
        self.teacher = teacher
        self.k = k
        self.noise = noise

    def __call__(self, output: DualTaskOutput, image: torch.Tensor) -> torch.Tensor:
        """Compare the student's ``output`` with what the teacher's other head says of the same images."""
        with torch.no_grad():
            target = self.teacher(image + self.noise * torch.randn_like(image))
        mask = foreground_probabilities(output.mask.float())
        from_level_set = torch.sigmoid(-self.k * output.sdf.float())
        teacher_mask = foreground_probabilities(target.mask.float())
        teacher_from_level_set = torch.sigmoid(-self.k * target.sdf.float())
        crossed = (mask - teacher_from_level_set).square() + (from_level_set - teacher_mask).square()
        return crossed.mean()
