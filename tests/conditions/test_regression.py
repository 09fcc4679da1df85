"""The first guess: least squares over a cohort, for every subset."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from brainweave.conditions import Images
from brainweave.conditions.perceptron import _some
from brainweave.conditions.regression import Regression
from brainweave.conditions.surroundings import LEAST, terms_of
from brainweave.errors import RecipeError

NAMES = ("t1w", "t1c", "t2w", "flair")


def subject(seed: int, missing: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Four correlated volumes with a background of zeros."""
    source = torch.Generator().manual_seed(seed)
    shared = torch.rand(1, 6, 5, 4, generator=source)
    head = torch.rand(1, 6, 5, 4, generator=source) > 0.4
    volumes = {}
    for power, name in enumerate(NAMES, start=1):
        noise = 0.1 * torch.rand(1, 6, 5, 4, generator=source)
        volumes[name] = torch.where(head, (0.1 + 0.7 * shared**power + noise), 0.0)
        if name in missing:
            volumes[name] = torch.full_like(shared, torch.nan)
    return volumes


SUBJECTS = [subject(seed) for seed in range(3)]


def named(subjects: list[dict[str, Tensor]]) -> list[tuple[str, dict[str, Tensor]]]:
    return [(f"person-{index}", volumes) for index, volumes in enumerate(subjects)]


PLAIN = Regression(levels=0, ranks=False, rounds=0, ridge=1e-9, folds=1)
FITTED = PLAIN.fit(named(SUBJECTS), NAMES, NAMES)
WIDE = Regression(levels=2, folds=1).fit(named(SUBJECTS), NAMES, NAMES)


def columns(images: list[np.ndarray]) -> np.ndarray:
    """The features as one would write them down."""
    rows = [np.ones_like(images[0]), *images]
    for i, a in enumerate(images):
        rows += [a * b for b in images[i:]]
    return np.stack(rows, axis=1)


def test_every_target_has_a_fit_from_every_subset() -> None:
    assert FITTED.fits is not None
    found = {(fit.target, fit.images) for fit in FITTED.fits}
    assert len(found) == len(FITTED.fits) == 4 * 7


@pytest.mark.parametrize("images", [s for n in (1, 2, 3) for s in combinations(NAMES[:3], n)])
def test_a_fit_is_that_of_plain_least_squares(images: tuple[str, ...]) -> None:
    heads = [torch.stack(list(s.values())).amax(0) > 0 for s in SUBJECTS]
    flat = {
        name: np.concatenate([s[name][h].double() for s, h in zip(SUBJECTS, heads, strict=True)])
        for name in NAMES
    }
    expected, *_ = np.linalg.lstsq(columns([flat[n] for n in images]), flat["flair"], rcond=None)
    assert FITTED.fits is not None
    (fit,) = [f for f in FITTED.fits if (f.target, f.images) == ("flair", images)]
    features = columns([flat[n] for n in images])
    ours, best = (
        np.square(features @ weights - flat["flair"]).mean()
        for weights in (np.array(fit.coefficients), expected)
    )
    assert best <= ours < best * (1 + 1e-4)


def test_the_guess_takes_the_images_that_are_there() -> None:
    new = subject(9)
    shown = {**new, "flair": torch.full_like(new["flair"], torch.nan)}
    guess = FITTED(shown, "flair")
    assert FITTED.fits is not None
    fit = next(f for f in FITTED.fits if f.target == "flair" and len(f.images) == 3)
    by_hand = columns([new[n].numpy().ravel() for n in NAMES[:3]]) @ np.array(fit.coefficients)
    head = torch.stack([new[n] for n in NAMES[:3]]).amax(0).ravel() > 0
    expected = np.where(head, np.clip(by_hand, 0, 1), 0)
    np.testing.assert_allclose(guess.ravel(), expected, atol=1e-4)


def test_the_guess_does_not_look_at_the_target() -> None:
    new = subject(9)
    assert torch.equal(FITTED(new, "t2w"), FITTED({**new, "t2w": new["t2w"] + 1}, "t2w"))


def test_a_subject_without_an_image_serves_the_other_fits() -> None:
    some = PLAIN.fit(named([*SUBJECTS, subject(7, missing=("t1c",))]), NAMES, NAMES)
    assert FITTED.fits is not None
    assert some.fits is not None
    for ours, theirs in zip(FITTED.fits, some.fits, strict=True):
        uses = "t1c" in (ours.target, *ours.images)
        assert (ours.coefficients == theirs.coefficients) == uses


def test_what_nobody_has_cannot_be_fitted() -> None:
    with pytest.raises(RecipeError, match="nobody has t1c beside flair or t1w or t2w"):
        Regression().fit(named([subject(7, missing=("t1c",))]), NAMES, NAMES)


def test_a_subset_that_nobody_has_falls_back_to_a_smaller_one() -> None:
    halves = [subject(1, missing=("t2w",)), subject(2, missing=("flair",))]
    fitted = PLAIN.fit(named(halves), ("t1w",), NAMES)
    assert fitted.fits is not None
    assert ("t1c", "t2w", "flair") not in {fit.images for fit in fitted.fits}
    new = subject(3)
    fewer = {**new, "flair": torch.full_like(new["flair"], torch.nan)}
    assert torch.equal(fitted(new, "t1w"), fitted(fewer, "t1w"))


def test_a_target_that_reaches_further_than_the_images_teaches_nothing_of_it() -> None:
    image = torch.zeros(1, 16, 16, 16)
    image[:, 4:12, 4:12, 4:12] = 0.2 + 0.6 * torch.rand(1, 8, 8, 8)
    wide = torch.full_like(image, 0.9)
    wide[:, 4:12, 4:12, 4:12] = 0.5 * image[:, 4:12, 4:12, 4:12]
    cut = torch.where(image > 0, wide, 0.0)
    fits = [
        Regression(levels=2, folds=1).fit(
            [("a", {"t1w": image, "t2w": target})], ("t2w",), ("t1w",)
        )
        for target in (wide, cut)
    ]
    assert fits[0] == fits[1]


def test_autocasting_does_not_move_the_guess() -> None:
    new = subject(9)
    plain = WIDE(new, "flair")
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(WIDE(new, "flair"), plain)


def test_a_mirrored_head_has_a_mirrored_guess_on_any_even_grid() -> None:
    new = {n: torch.nn.functional.pad(v, (0, 0, 0, 1, 0, 4)) for n, v in subject(9).items()}
    mirrored = {name: volume.flip(1) for name, volume in new.items()}
    torch.testing.assert_close(WIDE(mirrored, "t2w").flip(1), WIDE(new, "t2w"), rtol=0, atol=1e-6)


def test_images_pass_the_fold_on() -> None:
    regression = Regression(levels=0, folds=3)
    persons = named([subject(seed) for seed in range(6)])
    fitted = regression.fit(persons, ("t1w",), NAMES)
    images = Images(modalities=NAMES, regression=fitted)
    values = {name: volume[None] for name, volume in persons[0][1].items()}
    fold = regression.fold(persons[0][0])
    guess = images.known(values, ["t1w"], (0.0, 1.0), [fold])
    assert torch.equal(guess[0], fitted(persons[0][1], "t1w", fold))
    assert not torch.equal(guess, images.known(values, ["t1w"], (0.0, 1.0)))


def test_before_it_is_fitted_it_says_so() -> None:
    with pytest.raises(RecipeError, match="not been fitted"):
        Regression()(subject(0), "t1w")


def test_images_start_from_the_guess_on_any_scale() -> None:
    new = {name: volume[None] for name, volume in subject(9).items()}
    gone = {**new, "t2w": torch.full_like(new["t2w"], torch.nan)}
    images = Images(modalities=NAMES, regression=FITTED)
    plain = images.known(gone, ["t2w"], (0.0, 1.0))
    wide = images.known({n: 2 * v - 1 for n, v in gone.items()}, ["t2w"], (-1.0, 1.0))
    assert torch.equal(plain[0], FITTED({n: v[0] for n, v in gone.items()}, "t2w"))
    torch.testing.assert_close(wide, 2 * plain - 1, atol=1e-5, rtol=0)


def test_what_surrounds_a_voxel_makes_the_guess_better() -> None:
    """A target that is a mean of neighbours cannot be told from the voxel alone."""
    subjects = []
    for seed in range(3):
        image = 0.1 + 0.8 * torch.rand(1, 12, 10, 8, generator=torch.Generator().manual_seed(seed))
        near = torch.nn.functional.avg_pool3d(image[None], 3, stride=1, padding=1)[0]
        subjects.append({"t1w": image, "t2w": near})
    errors = []
    for levels in (0, 3):
        fitted = Regression(levels=levels).fit(named(subjects[:2]), ("t2w",), ("t1w",))
        errors.append(float((fitted(subjects[2], "t2w") - subjects[2]["t2w"]).square().mean()))
    assert errors[1] < 0.2 * errors[0]


def test_the_guess_of_wide_regressors_is_their_written_out_sum() -> None:
    new = subject(5)
    assert WIDE.fits is not None
    fit = next(f for f in WIDE.fits if (f.target, f.images) == ("flair", ("t1w", "t2w")))
    images = torch.cat([new["t1w"], new["t2w"]])
    terms, head = terms_of(images, WIDE.levels, WIDE.ranks)
    assert len(terms) == 2 + 2 + 2 * 5
    assert torch.equal(head, (images > 0).any(0))
    by_hand = np.array(fit.coefficients) @ columns(list(terms.numpy())).T
    gone = {name: v if name in fit.images else v * torch.nan for name, v in new.items()}
    guess = WIDE(gone, "flair")[0]
    np.testing.assert_allclose(guess[head], np.clip(by_hand, 0, 1), atol=1e-5)
    assert not guess[~head].any()


def test_terms_are_ranks_and_means_deviations_and_shares_of_what_is_around() -> None:
    image = torch.zeros(1, 40, 40, 40)
    image[:, 4:36, 4:36, 4:36] = 0.5
    image[:, 4:20, 4:36, 4:36] = 0.1
    terms, head = terms_of(image, 2, True)
    value, rank, *scales = torch.zeros(8, 40, 40, 40).masked_scatter(head, terms)
    assert torch.equal(value, image[0])
    for place, expected in ((12, 0.25), (28, 0.75)):  # two halves of one value each
        assert float(rank[place, 20, 20]) == expected
    for mean, deviation, share in (scales[:3], scales[3:]):
        torch.testing.assert_close(mean[28, 20, 20], torch.tensor(0.5))
        torch.testing.assert_close(deviation[28, 20, 20], torch.tensor(LEAST), rtol=1e-3, atol=0)
        torch.testing.assert_close(share[28, 20, 20], torch.tensor(1.0))
        assert float(deviation[20, 20, 20]) > 0.1
        assert float(share[4, 20, 20]) < 0.9


def test_ranks_do_not_see_how_bright_an_image_is() -> None:
    """A target that goes with ranks is found in an image of another brightness."""
    drawn = [torch.rand(1, 12, 10, 8, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    subjects = [
        {"t1w": 0.9 * factor * image + 0.05, "t2w": image}
        for factor, image in zip((1.0, 0.7, 0.3), drawn, strict=True)
    ]
    errors = []
    for ranks in (False, True):
        regression = Regression(levels=0, ranks=ranks, folds=1)
        fitted = regression.fit(named(subjects[:2]), ("t2w",), ("t1w",))
        errors.append(float((fitted(subjects[2], "t2w") - subjects[2]["t2w"]).square().mean()))
    assert errors[1] < 0.2 * errors[0]


def test_rounds_lower_the_mean_error_in_decibel() -> None:
    """The first order of the mean of logs is least squares with weights 1 / error."""
    persons = named(
        [{**s, "t1w": s["t1w"] * f} for s, f in zip(SUBJECTS, (1, 0.9, 0.3), strict=True)]
    )
    means = []
    for rounds in (0, 1, 20):
        regression = PLAIN.replace(rounds=rounds).fit(persons, ("flair",), ("t1w",))
        errors = [
            (regression(s, "flair") - s["flair"]).square().sum() / (s["flair"] > 0).sum()
            for _, s in persons
        ]
        means.append(float(torch.stack(errors).log10().mean()))
    assert means[0] > means[1] > means[2]


def test_fits_of_other_regressors_are_refused() -> None:
    assert FITTED.fits is not None
    with pytest.raises(RecipeError, match="has 3 coefficients where 6 are needed"):
        FITTED.replace(ranks=True)


def test_the_guess_in_training_is_one_that_the_person_had_no_part_in() -> None:
    regression = Regression(levels=0, folds=3)
    persons = named([subject(seed) for seed in range(6)])
    fitted = regression.fit(persons, ("t1w",), NAMES)
    name, volumes = persons[0]
    fold = regression.fold(name)
    others = [person for person in persons if regression.fold(person[0]) != fold]
    assert 0 < len(others) < len(persons)
    expected = regression.replace(folds=1).fit(others, ("t1w",), NAMES)
    assert torch.equal(fitted(volumes, "t1w", fold), expected(volumes, "t1w"))
    assert not torch.equal(fitted(volumes, "t1w", fold), fitted(volumes, "t1w"))


def test_who_is_alone_gets_the_guess_of_all() -> None:
    (person,) = named([subject(0)])
    fitted = Regression(levels=0, folds=3).fit([person], ("t1w",), NAMES)
    guess = fitted(person[1], "t1w", Regression(folds=3).fold(person[0]))
    assert torch.equal(guess, fitted(person[1], "t1w"))


def test_a_perceptron_says_what_products_cannot() -> None:
    def bent(seed: int) -> dict[str, Tensor]:
        volumes = subject(seed)
        step = torch.where(volumes["t1w"] > 0.5, 0.8, 0.2)
        return {**volumes, "flair": torch.where(volumes["t1w"] > 0, step, 0.0)}

    plain = Regression(levels=0, ranks=False, folds=1)
    persons, new = named([bent(seed) for seed in range(8)]), bent(20)
    both = [
        r.fit(persons, ("flair",), NAMES) for r in (plain, plain.replace(hidden=32, lessons=500))
    ]
    for images in (("t1w",), ("t1w", "t2w"), ("t1w", "t1c", "t2w")):
        shown = {n: x if n in images else x * torch.nan for n, x in new.items()}
        alone, better = ((r(shown, "flair") - new["flair"]).square().mean() for r in both)
        assert better < 0.8 * alone


def test_a_perceptron_is_taught_without_the_fold_and_not_by_the_target() -> None:
    regression = Regression(levels=1, folds=3, hidden=8, lessons=10)
    persons = named([subject(seed, ("t2w",) if seed == 2 else ()) for seed in range(6)])
    fitted = regression.fit(persons, ("t1w", "t2w"), NAMES)
    name, volumes = persons[0]
    fold = regression.fold(name)
    others = [person for person in persons if regression.fold(person[0]) != fold]
    expected = regression.replace(folds=1).fit(others, ("t1w", "t2w"), NAMES)
    assert torch.equal(fitted(volumes, "t1w", fold), expected(volumes, "t1w"))
    assert not torch.equal(fitted(volumes, "t1w", fold), fitted(volumes, "t1w"))
    seen = {**volumes, "t1w": volumes["t1w"] + 1}
    assert torch.equal(fitted(volumes, "t1w"), fitted(seen, "t1w"))
    assert Regression.model_validate_json(fitted.model_dump_json()) == fitted
    assert fitted.unfitted() == regression


def test_a_guess_draws_no_random_numbers() -> None:
    fitted = Regression(levels=0, folds=1, hidden=8, lessons=5).fit(named(SUBJECTS), NAMES, NAMES)
    before = torch.get_rng_state()
    fitted(SUBJECTS[0], "t1w")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_perceptron_of_other_terms_is_refused() -> None:
    fitted = Regression(levels=0, folds=1, hidden=8, lessons=5).fit(named(SUBJECTS), NAMES, NAMES)
    assert fitted.perceptrons is not None
    (found,) = fitted.perceptrons
    with pytest.raises(RecipeError, match="sees 8 terms where there are 17: it was taught"):
        Regression(levels=1, perceptrons=fitted.perceptrons)
    with pytest.raises(RecipeError, match=r"217 weights and 8 deviations .* where 209 and 7 are"):
        found.replace(centre=found.centre[:-1])  # 15 * 8 + 8 + 8 * 8 + 8 + 8 + 1


def test_as_many_images_are_shown_as_few_and_only_those_that_are_there() -> None:
    usable = torch.tensor([[True, True, False, True]]).repeat(30_000, 1)
    shown = _some(usable, torch.Generator().manual_seed(0))
    assert not bool(shown[:, 2].any())
    shares = torch.bincount(shown.sum(1), minlength=4) / len(shown)
    torch.testing.assert_close(shares, torch.tensor([0, 1 / 3, 1 / 3, 1 / 3]), rtol=0, atol=0.02)
    each = shown.float().mean(0)[[0, 1, 3]]
    torch.testing.assert_close(each, torch.full((3,), 2 / 3), rtol=0, atol=0.02)
