"""A teacher whose encoder and decoder are one convolution each: a step of training takes milliseconds."""

from __future__ import annotations

import pytest
import torch.nn.functional as F
from torch import nn

from napari_vesselkd.models import networks
from napari_vesselkd.models.networks import Network
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import TeacherConfig

WIDTH = 4


class TinyNetwork(Network):
    """Means of 32^3 voxels, one convolution; the image itself is the only skip connection."""

    z_tap, preactivation_tap = "encoder.0", "encoder.1:input"
    decoder = ("grow.",)

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        self.width, self.z_width = WIDTH, 8
        self.encoder = nn.Sequential(nn.Conv3d(1, self.z_width, 1), nn.LeakyReLU(0.01))
        self.grow = nn.Conv3d(self.z_width, self.width, 1)

    def encode(self, x):
        return self.encoder(F.avg_pool3d(x, self.stride)), [x]

    def decode(self, z, skips):
        return F.interpolate(self.grow(z), scale_factor=self.stride) + skips[0]


TINY = TeacherConfig(network="segresnet", feature_size=12, quantiser=QuantiserConfig(codes=16, width=32))


@pytest.fixture
def tiny_network(monkeypatch):
    """Let every teacher of `TINY` have a `TinyNetwork`."""
    monkeypatch.setitem(networks.NETWORKS, TINY.network, TinyNetwork)
