"""What a network detects is known, however it is wrapped or exported."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from networks.nets import SlicePredictor
from networks.nets.dilated_unet_plus_plus import DilatedUNetPlusPlus
from networks.nets.dropout_average import DropoutAverage
from networks.nets.flip_average import FlipAverage
from networks.nets.lesion_detector import LesionDetector
from networks.nets.softmax_predictor import SoftmaxPredictor
from pipelines.prediction.detecting_network import DetectingNetwork
from tests.pipelines.prediction.slice_networks import slice_predictor


@pytest.mark.parametrize(
    "wrap", [lambda network: network, lambda network: FlipAverage(DropoutAverage(network, 2), (1,))]
)
def test_wrapped_or_not(wrap):
    assert DetectingNetwork.of(wrap(slice_predictor(neighbours=2))) == DetectingNetwork(2, 2, True, True)
    assert DetectingNetwork.of(wrap(slice_predictor(slice_axis=0, kinds=0))) == DetectingNetwork(1, 0, True, False)
    assert DetectingNetwork.of(wrap(slice_predictor(mask=False))) == DetectingNetwork(1, 2, False, True)
    assert DetectingNetwork.of(wrap(slice_predictor(spatial_dims=2))) == DetectingNetwork(0, None, True, True)


def test_other_networks():
    assert DetectingNetwork.of(SoftmaxPredictor(nn.Conv2d(1, 2, 1))) is None
    assert DetectingNetwork.of(FlipAverage(nn.Identity(), (0,))) is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("detector", [False, True])
def test_exported(tmp_path, detector):
    torch.manual_seed(0)
    network = (
        LesionDetector(3, 2, side=32)
        if detector
        else DilatedUNetPlusPlus(2, 3, 3, filters=2, depth=1, dilations=(), presence_channels=2)
    )
    source = SlicePredictor(network.eval()).eval()
    torch.jit.script(source).save(tmp_path / "model.ts")
    loaded = torch.jit.load(tmp_path / "model.ts")
    assert DetectingNetwork.of(loaded) == DetectingNetwork(1, 2, not detector, True)
    volume = torch.randn(1, 1, 16, 16, 3)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.presence(volume), source.presence(volume))
        if not detector:
            torch.testing.assert_close(
                FlipAverage(loaded, (2,)).detect(volume), FlipAverage(source, (2,)).detect(volume)
            )
