"""TeacherConsistencyLoss: numbers by hand, and a teacher that is not taught."""

import math

import numpy as np
import pytest
import torch

from networks.losses.teacher_consistency import TeacherConsistencyLoss

LN3 = math.log(3)

# Logits of student and teacher, mean squared difference of their probabilities.
BY_HAND = [
    ([[0.7]], [[0.7]], 0.0),
    ([[LN3]], [[-LN3]], 0.25),
    ([[LN3, 0.0]], [[0.0, 0.0]], 0.03125),
    ([[1000.0]], [[-1000.0]], 1.0),
    ([[math.log(2)], [math.log(5)]], [[0.0], [math.log(2)]], (0.0**2 + 0.125**2) / 2),
]


@pytest.mark.parametrize(("student", "teacher", "expected"), BY_HAND)
def test_by_hand(student, teacher, expected):
    loss = TeacherConsistencyLoss()(torch.tensor(student)[None, :, None], torch.tensor(teacher)[None, :, None])
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(3, 1, 9, 7, 5), (3, 2, 9, 7)])
def test_parity_with_the_formula(shape):
    student, teacher = 3 * torch.randn(shape), 3 * torch.randn(shape)

    def probabilities(logits):
        exponentials = np.exp(logits.double().numpy())
        return exponentials / (1 + exponentials.sum(axis=1, keepdims=True))

    expected = ((probabilities(student) - probabilities(teacher)) ** 2).mean()
    assert abs(TeacherConsistencyLoss()(student, teacher).item() - expected) <= 1e-5


def test_the_student_alone_learns():
    """Its gradient is 2 (p - q) p (1 - p) over the count."""
    student, teacher = torch.randn(2, 1, 3, 3, requires_grad=True), torch.randn(2, 1, 3, 3, requires_grad=True)
    TeacherConsistencyLoss()(student, teacher).backward()
    p, q = torch.sigmoid(student.detach()), torch.sigmoid(teacher.detach())
    assert torch.allclose(student.grad, 2 * (p - q) * p * (1 - p) / 18, atol=1e-7)
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite(dtype):
    student = torch.tensor([60000.0, -60000.0], dtype=dtype).reshape(1, 2, 1, 1).requires_grad_()
    loss = TeacherConsistencyLoss()(student, -student)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1.0)
    assert torch.isfinite(student.grad).all()


def test_refuses_shapes():
    with pytest.raises(ValueError, match="must have one shape"):
        TeacherConsistencyLoss()(torch.zeros(1, 1, 4, 4), torch.zeros(2, 1, 4, 4))
