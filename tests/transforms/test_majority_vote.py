import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from transforms.majority_vote import MajorityVote, MajorityVoted

RATERS = np.array([[[0, 1, 1, 2, 0]], [[0, 1, 2, 2, 1]], [[0, 0, 2, 1, 2]], [[1, 0, 1, 1, 2]]])


def test_known_votes_and_ties():
    # Most votes; tie 0 and 1; tie 1 and 2; tie 1 and 2; 2 has two votes, which is most and not more than half.
    assert MajorityVote()(RATERS).tolist() == [[[0, 0, 1, 1, 2]]]


def test_order_of_the_raters_does_not_matter():
    np.testing.assert_array_equal(MajorityVote()(RATERS[::-1]), MajorityVote()(RATERS))


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 3, 2)])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32])
def test_is_numpys_count(shape, dtype):
    raters = np.random.default_rng(0).integers(0, 2, shape)
    fused = MajorityVote()(raters.astype(dtype))
    assert fused.dtype == dtype
    np.testing.assert_array_equal(fused, (raters.sum(axis=0) > 2.5)[None])


@pytest.mark.parametrize("kind", [torch.as_tensor, MetaTensor])
def test_torch_in_torch_out(kind):
    fused = MajorityVote()(kind(torch.from_numpy(RATERS)))
    assert type(fused) is type(kind(torch.zeros(1)))
    assert fused.dtype == torch.int64
    assert fused.tolist() == MajorityVote()(RATERS).tolist()


def test_dictionary():
    data = {"a": RATERS, "b": RATERS[:1]}
    fused = MajorityVoted(("a", "b"))(data)
    np.testing.assert_array_equal(fused["a"], MajorityVote()(RATERS))
    np.testing.assert_array_equal(fused["b"], RATERS[:1])
    assert data["a"] is RATERS
    assert MajorityVoted("c", allow_missing_keys=True)(data) == data


@pytest.mark.parametrize(
    ("img", "message"), [(RATERS[0], "shape"), (RATERS - 1, "labels are"), (RATERS + 0.5, "whole numbers")]
)
def test_refusals(img, message):
    with pytest.raises(ValueError, match=message):
        MajorityVote()(img)
