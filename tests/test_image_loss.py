"""The error in voxels: in the head, apart from brightness, every volume alike."""

import math

import pytest
import torch

from brainweave.image_loss import ImageLoss

SOURCE = torch.Generator().manual_seed(0)
WANTED = torch.rand(2, 1, 6, 5, 4, generator=SOURCE)
HEAD = torch.rand(2, 1, 6, 5, 4, generator=SOURCE) > 0.3
MADE = WANTED + 0.1 * torch.randn(2, 1, 6, 5, 4, generator=SOURCE)


def test_without_freedom_it_is_the_log_of_the_mean_squared_error_in_the_head() -> None:
    found = ImageLoss(free=0)(MADE, WANTED, HEAD)
    for row in range(2):
        error = (MADE - WANTED)[row][HEAD[row]].square().mean()
        assert float(found[row]) == pytest.approx(math.log(error), abs=1e-3)


def test_what_lies_outside_of_the_head_does_not_count() -> None:
    other = torch.where(HEAD, MADE, 7.0)
    assert torch.equal(ImageLoss()(MADE, WANTED, HEAD), ImageLoss()(other, WANTED, HEAD))


def test_with_freedom_brightness_does_not_count() -> None:
    free = ImageLoss(free=1)
    torch.testing.assert_close(free(0.5 * MADE, WANTED, HEAD), free(MADE, WANTED, HEAD))
    plain = ImageLoss(free=0)
    assert (plain(0.5 * MADE, WANTED, HEAD) > plain(MADE, WANTED, HEAD) + 1).all()


def test_an_easy_volume_counts_as_much_as_a_hard_one() -> None:
    """The gradient of a log: its length times that of the error is the same for all."""
    wanted, head = (x[:1].expand(2, -1, -1, -1, -1) for x in (WANTED, HEAD))
    error = (MADE - WANTED)[:1] * torch.tensor([0.2, 1.0])[:, None, None, None, None]
    made = (wanted + error).requires_grad_()
    ImageLoss(free=0)(made, wanted, head).sum().backward()
    assert made.grad is not None
    lengths = made.grad.flatten(1).norm(dim=1) * (error * head).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((2,), 2.0), rtol=0.02, atol=0)


def test_a_right_volume_and_an_empty_head_are_finite() -> None:
    assert ImageLoss()(WANTED, WANTED, HEAD).isfinite().all()
    assert ImageLoss()(MADE, WANTED, torch.zeros_like(HEAD)).isfinite().all()
