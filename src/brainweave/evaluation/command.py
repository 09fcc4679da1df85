"""`brainweave evaluate` and `brainweave priors`: texts of options to values, report to a folder."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brainweave.data.cohort import canonical_modality
from brainweave.data.files import atomic
from brainweave.data.readers import open_cohort
from brainweave.errors import EvaluationError, OutputError, RecipeError
from brainweave.evaluation.evaluate import Losses, evaluate, prepare
from brainweave.evaluation.priors import SCHEMES, Priors, build_priors
from brainweave.evaluation.published import published
from brainweave.evaluation.report import LAYOUTS, PAGE, earlier
from brainweave.evaluation.scans import Scale
from brainweave.evaluation.settings import FEATURES, Settings
from brainweave.progress import Reporter

KEPT = ".features"  # in a report's folder
LPIPS = "lpips"  # has weights and is no extractor
_SCALES: tuple[Scale, ...] = ("auto", "shared", "volume")


@dataclass(frozen=True)
class Request:
    """The options of `brainweave evaluate` as they were typed."""

    real: Path
    made: Path
    out: Path
    train: Path | None = None
    recon: Path | None = None
    by: str = ""
    features: str = ",".join(FEATURES)
    metrics: str = ""
    weights: list[str] = field(default_factory=list)
    depth: int = 50
    normalisation: str = "medmetric"
    priors: Path | None = None
    scheme: str = "muse"
    paired: bool = False
    modality: str = "t1w"
    spacing: str = ""
    shape: str = ""
    scale: str = "auto"
    draws: int = 50
    seed: int = 0
    cache: Path | None = None
    layout: str = ""
    bootstrap: str = "200x20"


def run(request: Request, *, losses: Losses | None = None) -> str:
    """Evaluates and writes; returns what to say.

    Raises RecipeError for options that are not understood and OutputError for a folder with other
    things in it, both before any work; a folder made for nothing is taken away again.
    """
    reporter = Reporter()
    settings, bootstrap = _settings(request), _bootstrap(request.bootstrap)
    _require_fitting(request, losses)
    new = not request.out.exists()
    if earlier(request.out):
        reporter.say(f"{request.out} holds a report, which will be replaced")
    try:
        return _written(request, settings, bootstrap, losses, reporter)
    finally:
        if new and not any(request.out.iterdir()):
            request.out.rmdir()


def _written(
    request: Request,
    settings: Settings,
    bootstrap: tuple[int, int],
    losses: Losses | None,
    reporter: Reporter,
) -> str:
    cache = request.cache or request.out / KEPT
    if request.priors is not None:
        settings = _with_priors(settings, request.priors, request.scheme, reporter)
    if request.layout:
        sources = {"real": request.real, "made": request.made}
        sources |= {k: v for k in ("train", "recon") if (v := getattr(request, k)) is not None}
        bench, _ = prepare(sources, settings, cache=cache, reporter=reporter)
        text = published(request.layout, bench, bootstrap=bootstrap)
        path = request.out / f"{request.layout}.md"
        with atomic(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        return f"{text}\n\n{path}"
    report = evaluate(
        request.real,
        request.made,
        request.train,
        settings=settings,
        cache=cache,
        losses=losses,
        reporter=reporter,
    )
    report.save(request.out)
    return f"{report.summary()}\n\n{request.out / PAGE}"


def write_priors(cohort: Path, out: Path, *, scheme: str = "muse", modality: str = "labels") -> str:
    """Builds priors from a cohort's label maps; returns what to say."""
    if out.exists():
        raise OutputError(f"{out} exists; --out needs a new file")
    if out.suffix != ".safetensors":
        raise OutputError(f"{out}: priors are written as .safetensors")
    opened = open_cohort(cohort, modality=modality, ages=False)
    priors = build_priors(opened, regions=scheme, modality=modality, reporter=Reporter())
    priors.save(out)
    return f"{out}: {len(priors.names)} regions from {priors.count} label maps"


def _require_fitting(request: Request, losses: Losses | None) -> None:
    """Refuses options that would do nothing beside the others."""
    given = {
        "--model": losses is not None,
        "--by": bool(request.by),
        "--metrics": bool(request.metrics),
        "--paired": request.paired,
    }
    idle = [name for name, there in given.items() if there]
    if request.layout and idle:
        raise RecipeError(f"--layout prints only a table: leave {' and '.join(idle)} out")
    if request.recon is not None and request.layout != "slides":
        raise RecipeError(f"--recon {request.recon}: goes with --layout slides, or leave it out")
    if losses is not None and request.train is None:
        raise RecipeError("--model: give what trained it with --train too")


def _settings(request: Request) -> Settings:
    for option, value, known in (
        ("scale", request.scale, _SCALES),
        ("scheme", request.scheme, SCHEMES),
        ("layout", request.layout, ("", *LAYOUTS)),
    ):
        if value not in known:
            names = ", ".join(filter(None, known))
            raise RecipeError(f"--{option} {value}: one of {names} is needed")
    if request.draws < 2:
        raise RecipeError(f"--draws {request.draws}: two or more are needed, 50 are usual")
    if request.seed < 0:
        raise RecipeError(f"--seed {request.seed}: 0 or more is needed")
    if not _words(request.features):
        raise RecipeError(f"--features: none given; name one or more, as {','.join(FEATURES)}")
    spacing, shape = _triple(request.spacing, "spacing"), _triple(request.shape, "shape")
    if (spacing is None) != (shape is None):
        raise RecipeError("--spacing and --shape go together, as --spacing 2 --shape 80,96,80")
    if shape is not None and any(edge % 1 for edge in shape):
        raise RecipeError(f"--shape {request.shape}: whole numbers of voxels are needed")
    return Settings(
        modality=canonical_modality(request.modality),
        by=_words(request.by),
        features=_words(request.features),
        options=_options(request),
        metrics=_words(request.metrics) or None,
        paired=request.paired,
        spacing=spacing,
        shape=None if shape is None else (int(shape[0]), int(shape[1]), int(shape[2])),
        scale=next(scale for scale in _SCALES if scale == request.scale),
        draws=request.draws,
        seed=request.seed,
    )


def _options(request: Request) -> dict[str, dict[str, Any]]:
    """What extractors are built with."""
    options: dict[str, dict[str, Any]] = {}
    for word in request.weights:
        name, equals, path = word.partition("=")
        if not equals or not path:
            raise RecipeError(f"--weights {word}: NAME=PATH is needed, as medicalnet=resnet_50.pth")
        if name not in (*_words(request.features), LPIPS):
            raise RecipeError(f"--weights {word}: {name} is none of --features {request.features}")
        if not Path(path).is_file():
            raise RecipeError(f"--weights {word}: {path} is no file")
        options[name] = {"weights": Path(path)}
    if "medicalnet" in options:
        options["medicalnet"] |= {"depth": request.depth, "normalisation": request.normalisation}
    return options


def _with_priors(settings: Settings, path: Path, scheme: str, reporter: Reporter) -> Settings:
    """Priors from their file, or built now from a cohort with label maps."""
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise EvaluationError(f"--priors {path}: no such file; `brainweave priors` writes one")
        return replace(settings, priors=Priors.load(path))
    cohort = open_cohort(path, modality="labels", ages=False)
    return replace(settings, priors=build_priors(cohort, regions=scheme, reporter=reporter))


def _words(text: str) -> tuple[str, ...]:
    """What stands between commas, each once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _triple(text: str, name: str) -> tuple[float, float, float] | None:
    """One number for all axes or three between commas; None for no text."""
    try:
        numbers = [float(word) for word in text.split(",")] if text else []
    except ValueError:
        numbers = []
    if not text:
        return None
    if len(numbers) not in (1, 3) or not all(0 < number < math.inf for number in numbers):
        raise RecipeError(f"--{name} {text}: one or three numbers above 0 are needed, as 80,96,80")
    i, j, k = numbers * 3 if len(numbers) == 1 else numbers
    return i, j, k


def _bootstrap(text: str) -> tuple[int, int]:
    size, times, draws = text.partition("x")
    if not times or not size.isdecimal() or not draws.isdecimal() or min(int(size), int(draws)) < 2:
        raise RecipeError(f"--bootstrap {text}: volumes x draws is needed, as 200x20")
    return int(size), int(draws)
