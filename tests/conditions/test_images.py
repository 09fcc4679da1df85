"""Images and label maps as conditions: planes, subsets, what is missing."""

import pytest
import torch
from torch import Tensor

from brainweave.conditions import Images, Mask
from brainweave.conditions.images import available
from brainweave.errors import ConditionError, RecipeError
from brainweave.representations import Haar

NAMES = ("t1w", "t2w", "flair")
HAAR = Haar(whiten=1.0, mean=tuple(range(8)), std=tuple(range(1, 9)))


def volumes(count: int = 2, missing: tuple[tuple[int, str], ...] = ()) -> dict[str, Tensor]:
    """Random ones, without those that are named by row and modality."""
    source = torch.Generator().manual_seed(0)
    found = {name: torch.rand(count, 1, 4, 6, 4, generator=source) for name in NAMES}
    for row, name in missing:
        found[name][row] = torch.nan
    return found


def yes(count: int = 2) -> Tensor:
    return torch.ones(count, dtype=torch.bool)


def test_planes_are_the_coefficients_then_who_is_there() -> None:
    images, values = Images(modalities=NAMES), volumes(missing=((1, "t2w"),))
    planes = images.embedder(0, HAAR.encode)(values, yes()).planes
    assert planes.shape == (2, images.planes(8), 2, 3, 2)
    assert torch.equal(planes[:, :8], HAAR.encode(values["t1w"]))
    assert not planes[1, 8:16].any()
    assert planes[:, 24:, 0, 0, 0].tolist() == [[1, 1, 1], [1, 0, 1]]


def test_required_images_have_no_planes_of_who_is_there() -> None:
    images = Images(modalities=NAMES, required=True)
    assert images.planes(8) == 24
    assert images.embedder(0, HAAR.encode)(volumes(), yes()).planes.shape[1] == 24


def test_modalities_have_one_name() -> None:
    assert Images(modalities=("T1", "t1ce", "t2f")).modalities == ("t1w", "t1c", "flair")
    with pytest.raises(RecipeError, match="same modality"):
        Images(modalities=("t1n", "t1w"))


def test_the_mean_is_that_of_the_images_that_are_there() -> None:
    values = volumes(missing=((0, "t2w"), (1, "t1w"), (1, "t2w"), (1, "flair")))
    mean = Images(modalities=NAMES).mean(values, low=-1.0)
    torch.testing.assert_close(mean[:1], (values["t1w"] + values["flair"])[:1] / 2)
    assert (mean[1] == -1).all()


def test_thinning_keeps_one_image_at_least() -> None:
    images = Images(modalities=NAMES, keep=0.05)
    values = volumes(200, missing=tuple((row, "t1w") for row in range(100)))
    shown = images.thinned(values, torch.Generator().manual_seed(1))
    there = available(shown, NAMES)
    assert there.any(1).all()
    assert not there[:100, 0].any()
    assert there.sum() < 240


def test_thinning_keeps_each_image_as_often_as_told() -> None:
    images = Images(modalities=NAMES, keep=0.75)
    shown = images.thinned(volumes(4000), torch.Generator().manual_seed(1))
    share = available(shown, NAMES).float().mean(0)
    torch.testing.assert_close(share, torch.full((3,), 0.75 + 0.25**3 / 3), rtol=0, atol=0.03)


@pytest.mark.parametrize("images", [Images(modalities=NAMES, required=True, keep=0.1)])
def test_required_images_are_never_thinned(images: Images) -> None:
    shown = images.thinned(volumes(), torch.Generator().manual_seed(1))
    assert available(shown, NAMES).all()


def test_thinning_leaves_what_stays_untouched() -> None:
    values = volumes(50)
    shown = Images(modalities=NAMES, keep=0.5).thinned(values, torch.Generator().manual_seed(1))
    for name in NAMES:
        stays = available(shown, (name,))[:, 0]
        assert torch.equal(shown[name][stays], values[name][stays])


def test_a_needed_image_that_is_missing_is_refused() -> None:
    lacking = volumes(missing=((1, "t2w"),))
    with pytest.raises(ConditionError, match="all of t1w, t2w, flair"):
        Images(modalities=NAMES, required=True).require(lacking, one=False)
    Images(modalities=NAMES).require(lacking, one=True)
    nothing = volumes(1, missing=tuple((0, name) for name in NAMES))
    with pytest.raises(ConditionError, match="one or more of"):
        Images(modalities=NAMES).require(nothing, one=True)


def test_a_mask_is_one_volume_of_zeros_and_ones_per_label() -> None:
    labels = torch.tensor([0.0, 1, 2, 4]).repeat(24).reshape(1, 1, 4, 6, 4)
    mask, haar = Mask(labels=(1, 4)), Haar()
    planes = mask.embedder(0, haar.encode)({"seg": labels}, yes(1)).planes
    assert planes.shape[1] == mask.planes(8) == 17
    torch.testing.assert_close(haar.decode(planes[:, :8]), (labels == 1).float())
    torch.testing.assert_close(haar.decode(planes[:, 8:16]), (labels == 4).float())
    assert (planes[:, 16] == 1).all()
