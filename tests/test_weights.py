"""The models in the package: they load, and draw."""

import torch

from brainweave.generator import Generator
from brainweave.weights import locate


def test_the_shipped_model_loads_and_draws() -> None:
    model = Generator.load(locate(None))
    sampling = model.recipe.sampling.replace(steps=1, guidance=1.0)
    volume = model.sample({"age": torch.tensor([[50.0]])}, [1], sampling)
    assert volume.shape == (1, 1, *model.recipe.preprocess.shape)
    assert volume.isfinite().all()
