"""The first guess: least squares over a cohort, for every subset."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from brainweave.conditions import Images
from brainweave.conditions.guess import Guess, Way
from brainweave.conditions.perceptron import Perceptrons
from brainweave.conditions.regression import Regression
from brainweave.conditions.surroundings import LEAST, places_of, terms_of
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


def fit(
    regression: Regression,
    persons: list[tuple[str, dict[str, Tensor]]],
    targets: tuple[str, ...],
    modalities: tuple[str, ...] = NAMES,
) -> Guess:
    return Guess(regression, targets, modalities).fit(persons)


def way(guess: Guess, target: str, images: tuple[str, ...]) -> Way:
    (found,) = [w for w in guess.ways if (w.target, w.images) == (target, images)]
    assert isinstance(found, Way)
    return found


PLAIN = Regression(levels=0, ranks=False, rounds=0, ridge=1e-9, folds=1)
FITTED = fit(PLAIN, named(SUBJECTS), NAMES)
WIDE = fit(Regression(levels=2, folds=1), named(SUBJECTS), NAMES)


def columns(images: list[np.ndarray]) -> np.ndarray:
    """The features as one would write them down."""
    rows = [np.ones_like(images[0]), *images]
    for i, a in enumerate(images):
        rows += [a * b for b in images[i:]]
    return np.stack(rows, axis=1)


def test_every_target_has_a_fit_from_every_subset() -> None:
    found = {(each.target, each.images) for each in FITTED.ways}
    assert len(found) == len(FITTED.ways) == 4 * 7
    assert all(each.known for each in FITTED.ways)


@pytest.mark.parametrize("images", [s for n in (1, 2, 3) for s in combinations(NAMES[:3], n)])
def test_a_fit_is_that_of_plain_least_squares(images: tuple[str, ...]) -> None:
    heads = [torch.stack(list(s.values())).amax(0) > 0 for s in SUBJECTS]
    flat = {
        name: np.concatenate([s[name][h].double() for s, h in zip(SUBJECTS, heads, strict=True)])
        for name in NAMES
    }
    expected, *_ = np.linalg.lstsq(columns([flat[n] for n in images]), flat["flair"], rcond=None)
    found = way(FITTED, "flair", images).coefficients[0].double().numpy()
    features = columns([flat[n] for n in images])
    ours, best = (
        np.square(features @ weights - flat["flair"]).mean() for weights in (found, expected)
    )
    assert best <= ours < best * (1 + 1e-4)


def test_the_guess_takes_the_images_that_are_there() -> None:
    new = subject(9)
    shown = {**new, "flair": torch.full_like(new["flair"], torch.nan)}
    guess = FITTED(shown, "flair")
    weights = way(FITTED, "flair", NAMES[:3]).coefficients[0].double().numpy()
    by_hand = columns([new[n].numpy().ravel() for n in NAMES[:3]]) @ weights
    head = torch.stack([new[n] for n in NAMES[:3]]).amax(0).ravel() > 0
    expected = np.where(head, np.clip(by_hand, 0, 1), 0)
    np.testing.assert_allclose(guess.ravel(), expected, atol=1e-4)


def test_the_guess_does_not_look_at_the_target() -> None:
    new = subject(9)
    assert torch.equal(FITTED(new, "t2w"), FITTED({**new, "t2w": new["t2w"] + 1}, "t2w"))


def test_a_subject_without_an_image_serves_the_other_fits() -> None:
    some = fit(PLAIN, named([*SUBJECTS, subject(7, missing=("t1c",))]), NAMES)
    for ours, theirs in zip(FITTED.ways, some.ways, strict=True):
        uses = "t1c" in (ours.target, *ours.images)
        assert torch.equal(ours.coefficients, theirs.coefficients) == uses


def test_what_nobody_has_cannot_be_fitted() -> None:
    with pytest.raises(RecipeError, match="nobody has t1c beside flair or t1w or t2w"):
        fit(Regression(), named([subject(7, missing=("t1c",))]), NAMES)


def test_a_subset_that_nobody_has_falls_back_to_a_smaller_one() -> None:
    halves = [subject(1, missing=("t2w",)), subject(2, missing=("flair",))]
    fitted = fit(PLAIN, named(halves), ("t1w",))
    assert not way(fitted, "t1w", ("t1c", "t2w", "flair")).known
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
        fit(
            Regression(levels=2, folds=1),
            [("a", {"t1w": image, "t2w": target})],
            ("t2w",),
            ("t1w",),
        )
        for target in (wide, cut)
    ]
    assert torch.equal(*(way(each, "t2w", ("t1w",)).coefficients for each in fits))


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
    fitted = Images(modalities=NAMES, regression=regression).guess(("t1w",))
    assert fitted is not None
    fitted.fit(persons)
    values = {name: volume[None] for name, volume in persons[0][1].items()}
    fold = regression.fold(persons[0][0])
    guess = fitted.batch(values, ["t1w"], (0.0, 1.0), [fold])
    assert torch.equal(guess[0], fitted(persons[0][1], "t1w", fold))
    assert not torch.equal(guess, fitted.batch(values, ["t1w"], (0.0, 1.0)))


def test_before_it_is_fitted_it_says_so() -> None:
    with pytest.raises(RecipeError, match="no fit of t1w from flair, t1c, t2w"):
        Guess(Regression(), NAMES, NAMES)(subject(0), "t1w")


def test_a_guess_goes_with_any_scale() -> None:
    new = {name: volume[None] for name, volume in subject(9).items()}
    gone = {**new, "t2w": torch.full_like(new["t2w"], torch.nan)}
    plain = FITTED.batch(gone, ["t2w"], (0.0, 1.0))
    wide = FITTED.batch({n: 2 * v - 1 for n, v in gone.items()}, ["t2w"], (-1.0, 1.0))
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
        fitted = fit(Regression(levels=levels), named(subjects[:2]), ("t2w",), ("t1w",))
        errors.append(float((fitted(subjects[2], "t2w") - subjects[2]["t2w"]).square().mean()))
    assert errors[1] < 0.2 * errors[0]


def test_the_guess_of_wide_regressors_is_their_written_out_sum() -> None:
    new = subject(5)
    found = way(WIDE, "flair", ("t1w", "t2w"))
    images = torch.cat([new["t1w"], new["t2w"]])
    terms, head = terms_of(images, WIDE.regression.levels, WIDE.regression.ranks)
    assert len(terms) == 2 + 2 + 2 * 5
    assert torch.equal(head, (images > 0).any(0))
    by_hand = found.coefficients[0].double().numpy() @ columns(list(terms.numpy())).T
    gone = {name: v if name in found.images else v * torch.nan for name, v in new.items()}
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
        fitted = fit(regression, named(subjects[:2]), ("t2w",), ("t1w",))
        errors.append(float((fitted(subjects[2], "t2w") - subjects[2]["t2w"]).square().mean()))
    assert errors[1] < 0.2 * errors[0]


def test_rounds_lower_the_mean_error_in_decibel() -> None:
    """The first order of the mean of logs is least squares with weights 1 / error."""
    persons = named(
        [{**s, "t1w": s["t1w"] * f} for s, f in zip(SUBJECTS, (1, 0.9, 0.3), strict=True)]
    )
    means = []
    for rounds in (0, 1, 20):
        fitted = fit(PLAIN.replace(rounds=rounds), persons, ("flair",), ("t1w",))
        errors = [
            (fitted(s, "flair") - s["flair"]).square().sum() / (s["flair"] > 0).sum()
            for _, s in persons
        ]
        means.append(float(torch.stack(errors).log10().mean()))
    assert means[0] > means[1] > means[2]


def test_the_guess_in_training_is_one_that_the_person_had_no_part_in() -> None:
    regression = Regression(levels=0, folds=3)
    persons = named([subject(seed) for seed in range(6)])
    fitted = fit(regression, persons, ("t1w",))
    name, volumes = persons[0]
    fold = regression.fold(name)
    others = [person for person in persons if regression.fold(person[0]) != fold]
    assert 0 < len(others) < len(persons)
    expected = fit(regression.replace(folds=1), others, ("t1w",))
    assert torch.equal(fitted(volumes, "t1w", fold), expected(volumes, "t1w"))
    assert not torch.equal(fitted(volumes, "t1w", fold), fitted(volumes, "t1w"))


def test_who_is_alone_gets_the_guess_of_all() -> None:
    (person,) = named([subject(0)])
    fitted = fit(Regression(levels=0, folds=3, hidden=4, lessons=2), [person], ("t1w",))
    guess = fitted(person[1], "t1w", Regression(folds=3).fold(person[0]))
    assert torch.equal(guess, fitted(person[1], "t1w"))


def test_a_perceptron_says_what_products_cannot() -> None:
    def bent(seed: int) -> dict[str, Tensor]:
        volumes = subject(seed)
        step = torch.where(volumes["t1w"] > 0.5, 0.8, 0.2)
        return {**volumes, "flair": torch.where(volumes["t1w"] > 0, step, 0.0)}

    plain = Regression(levels=0, ranks=False, folds=1)
    persons, new = named([bent(seed) for seed in range(8)]), bent(20)
    regressions = plain, plain.replace(hidden=32, lessons=200)
    both = [fit(r, persons, ("flair",), ("t1w", "t2w")) for r in regressions]
    for images in (("t1w",), ("t1w", "t2w")):
        shown = {n: x if n in images else x * torch.nan for n, x in new.items()}
        alone, better = ((r(shown, "flair") - new["flair"]).square().mean() for r in both)
        assert better < 0.8 * alone


def test_a_perceptron_is_taught_without_the_fold_and_not_by_the_target() -> None:
    """Of the fold 0, as each draws by its own number."""
    regression = Regression(levels=1, folds=3, hidden=8, lessons=10)
    persons = named([subject(seed, ("t2w",) if seed == 2 else ()) for seed in range(6)])
    fitted = fit(regression, persons, ("t1w", "t2w"))
    volumes = next(shown for name, shown in persons if regression.fold(name) == 0)
    others = [person for person in persons if regression.fold(person[0]) != 0]
    expected = fit(regression.replace(folds=1), others, ("t1w", "t2w"))
    torch.testing.assert_close(fitted(volumes, "t1w", 0), expected(volumes, "t1w"))
    assert not torch.equal(fitted(volumes, "t1w", 0), fitted(volumes, "t1w"))
    seen = {**volumes, "t1w": volumes["t1w"] + 1}
    assert torch.equal(fitted(volumes, "t1w"), fitted(seen, "t1w"))


def test_the_guess_is_the_mean_of_least_squares_and_the_mean_of_perceptrons() -> None:
    regression = Regression(levels=1, folds=3, hidden=8, lessons=10)
    fitted, new = fit(regression, named(SUBJECTS), ("flair",)), subject(5)
    squares = fit(regression.replace(hidden=0), named(SUBJECTS), ("flair",))(new, "flair")
    head = torch.stack([new[n] for n in NAMES[:3]])[:, 0].amax(0) > 0
    found = way(fitted, "flair", NAMES[:3]).perceptrons
    assert found is not None
    terms, _ = terms_of(torch.cat([new[n] for n in NAMES[:3]]), 1, ranks=True)
    seen = torch.cat([terms, places_of(head)])
    told = torch.stack([found(seen, [member]) for member in range(3)]).mean(0).clamp(0, 1)
    torch.testing.assert_close(fitted(new, "flair")[0, head], (squares[0, head] + told) / 2)


def test_a_guess_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    fitted = fit(Regression(levels=0, folds=1, hidden=8, lessons=5), named(SUBJECTS), NAMES)
    fitted(SUBJECTS[0], "t1w")
    assert torch.equal(torch.get_rng_state(), before)


def test_perceptrons_are_layers_of_torch() -> None:
    """Written out with torch's own modules, in chunks or not."""
    source = torch.Generator().manual_seed(0)
    terms, wanted = torch.rand(400, 5, generator=source), torch.rand(400, generator=source)
    found = Perceptrons(2, 5, 8)
    found.fit(terms, wanted, torch.ones(2, 400), steps=20)
    said = []
    for member in range(2):
        layers = [torch.nn.Linear(i, o) for i, o in ((5, 8), (8, 8), (8, 1))]
        for name, layer in zip(("first", "second", "last"), layers, strict=True):
            layer.weight.data = found.get_buffer(name)[member].T.clone()
            layer.bias.data = found.get_buffer(f"{name}_bias")[member, 0].clone()
        x = (terms - found.get_buffer("centre")[member]) / found.get_buffer("deviation")[member]
        said.append(layers[2](layers[1](layers[0](x).relu()).relu())[:, 0])
        torch.testing.assert_close(found(terms.T, [member]), said[-1])
    torch.testing.assert_close(found(terms.T, [0, 1]), (said[0] + said[1]) / 2)
    assert not torch.allclose(said[0], said[1])


def test_perceptrons_follow_what_counts() -> None:
    """Two kinds of voxels that nothing tells apart: the one that counts more is told."""
    terms, wanted = torch.ones(2000, 3), torch.arange(2000) % 2 * 1.0
    counts = torch.stack([torch.where(wanted > 0, share, 1.0) for share in (1.0, 1.5, 0.0)])
    found = Perceptrons(4, 3, 8)
    found.fit(terms, wanted, torch.cat([counts, torch.zeros(1, 2000)]), steps=200)
    told = torch.cat([found(terms.T, [member])[:1] for member in range(4)])
    torch.testing.assert_close(told, torch.tensor([0.5, 0.6, 0.0, 0.0]), rtol=0, atol=0.03)


def test_places_go_from_one_side_of_the_head_to_the_other() -> None:
    head = torch.zeros(9, 8, 7, dtype=torch.bool)
    head[2:7, 1:6, 3:6] = True
    places = torch.zeros(3, 9, 8, 7).masked_scatter(head, places_of(head))
    assert places[0, 2:7, 1, 3].tolist() == [1, 0.5, 0, 0.5, 1]
    assert places[1, 2, 1:6, 3].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert places[2, 2, 1, 3:6].tolist() == [-1, 0, 1]
    assert places_of(head[:, 1:2, 3:4]).isfinite().all()
