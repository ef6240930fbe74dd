"""Consistencies: which heads are compared, and who learns from it."""

import math

import pytest
import torch
from torch import nn

from networks.losses.dual_task_consistency import DualTaskConsistencyLoss
from networks.losses.teacher_consistency import TeacherConsistencyLoss
from networks.nets.dual_task_vnet import DualTaskOutput, DualTaskVNet
from pipelines.engines.consistencies import HeadsAgree, HeadsAgreeWithTeacher, TeacherAgrees

LN3, LN4 = math.log(3), math.log(4)
IMAGE = torch.zeros(2, 1, 3, 3)


def output(mask, sdf):
    """The same logit and the same level set in every voxel of two images."""
    values = [torch.full((2, 1, 3, 3), value, requires_grad=True) for value in (mask, sdf)]
    return DualTaskOutput(*values, [])


class Recorder(nn.Module):
    """A teacher with a fixed answer, which remembers what it was shown."""

    def __init__(self, mask=0.0, sdf=0.0):
        super().__init__()
        self.answer = output(mask, sdf)
        self.shown = None

    def forward(self, image):
        self.shown = image
        return DualTaskOutput(1 * self.answer.mask, 1 * self.answer.sdf, [])


def test_heads_agree_by_hand():
    """Mask 3/4, level set on the contour 1/2."""
    student = output(LN3, 0.0)
    loss = HeadsAgree(DualTaskConsistencyLoss(k=20.0))(student, IMAGE)
    loss.backward()
    assert loss.item() == pytest.approx(1 / 16)
    assert student.mask.grad.abs().min() > 0
    assert student.sdf.grad.abs().min() > 0


def test_teacher_agrees_by_hand():
    """Masks 3/4 and 1/4; the level sets do not matter."""
    student, teacher = output(LN3, 0.5), Recorder(-LN3, -0.5)
    loss = TeacherAgrees(teacher, TeacherConsistencyLoss())(student, IMAGE)
    loss.backward()
    assert loss.item() == pytest.approx(1 / 4)
    assert student.mask.grad.abs().min() > 0
    assert student.sdf.grad is None
    assert teacher.answer.mask.grad is None


# k = 2: student's mask and level set, teacher's mask and level set, (p_s - q_t)^2 + (q_s - p_t)^2.
CROSSED = [
    (LN3, 0.0, 0.0, 0.0, 1 / 16),
    (0.0, -LN4 / 2, 0.0, 0.0, 0.09),
    (LN3, -LN4 / 2, -LN3, LN4 / 2, (0.75 - 0.2) ** 2 + (0.8 - 0.25) ** 2),
    (LN4, -LN3 / 2, LN3, -LN4 / 2, 0.0),
]


@pytest.mark.parametrize(("mask", "sdf", "teacher_mask", "teacher_sdf", "expected"), CROSSED)
def test_heads_agree_with_teacher_by_hand(mask, sdf, teacher_mask, teacher_sdf, expected):
    student, teacher = output(mask, sdf), Recorder(teacher_mask, teacher_sdf)
    loss = HeadsAgreeWithTeacher(teacher, k=2.0)(student, IMAGE)
    loss.backward()
    assert loss.item() == pytest.approx(expected, abs=1e-7)
    assert student.mask.grad is not None
    assert student.sdf.grad is not None
    assert teacher.answer.mask.grad is None
    assert teacher.answer.sdf.grad is None


BUILDERS = [
    lambda teacher, noise: TeacherAgrees(teacher, TeacherConsistencyLoss(), noise=noise),
    lambda teacher, noise: HeadsAgreeWithTeacher(teacher, k=20.0, noise=noise),
]


def student_of(size):
    return DualTaskOutput(torch.zeros(2, 1, size, size), torch.zeros(2, 1, size, size), [])


@pytest.mark.parametrize("build", BUILDERS)
def test_the_teacher_sees_noise_of_the_given_strength(build):
    image = torch.full((2, 1, 64, 64), 5.0)
    teacher = Recorder()
    teacher.answer = student_of(64)
    build(teacher, 0.05)(student_of(64), image)
    assert (teacher.shown - image).std().item() == pytest.approx(0.05, rel=0.1)
    assert (image == 5).all()


@pytest.mark.parametrize("build", BUILDERS)
def test_the_noise_is_seeded_with_torch(build):
    shown = []
    for _ in range(2):
        teacher = Recorder()
        torch.manual_seed(3)
        build(teacher, 0.1)(student_of(3), IMAGE)
        shown.append(teacher.shown)
    assert torch.equal(*shown)


def test_the_noise_is_limited():
    teacher = Recorder()
    TeacherAgrees(teacher, TeacherConsistencyLoss(), noise=10.0, noise_limit=0.2)(student_of(3), IMAGE)
    assert teacher.shown.abs().max().item() == pytest.approx(0.2)


@pytest.mark.parametrize("build", BUILDERS)
def test_a_real_teacher_is_left_as_it_is(build):
    """No gradient reaches it, and in evaluation mode its running statistics stay."""
    student, teacher = (DualTaskVNet(2, 1, 1, filters=2) for _ in range(2))
    teacher.eval()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    image = torch.randn(2, 1, 32, 32)
    build(teacher, 0.1)(student(image), image).backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert student.mask_head.weight.grad.abs().sum() > 0
