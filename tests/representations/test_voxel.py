"""Voxels as they are."""

import torch

from brainweave.representations import Voxel


def test_an_unwhitened_voxel_representation_is_the_volume_itself():
    volume = torch.randn(2, 1, 3, 4, 5)
    assert torch.equal(Voxel().encode(volume), volume)


def test_it_accepts_odd_edges():
    assert Voxel().factors == (1, 1, 1)


def test_whitening_moves_the_cohort_to_mean_0_and_deviation_1():
    volumes = [3 + 2 * torch.randn(1, 1, 6, 6, 6) for _ in range(4)]
    voxel = Voxel(whiten=True).fit(volumes)
    z = torch.cat([voxel.encode(volume) for volume in volumes])
    torch.testing.assert_close(z.mean(), torch.tensor(0.0), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.std(correction=0), torch.tensor(1.0), rtol=0, atol=1e-5)
