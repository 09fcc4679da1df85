"""Sources: where a path starts."""

import pytest
import torch

from brainweave.errors import RecipeError
from brainweave.processes import grids
from brainweave.processes.process import Process
from brainweave.processes.samplers import SAMPLERS
from brainweave.processes.sources import Gaussian, Informed

X = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
NOISE = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(1))


def test_a_gaussian_source_is_the_noise() -> None:
    assert torch.equal(Gaussian().start(NOISE, None), NOISE)
    assert torch.equal(Gaussian().start(NOISE, X), NOISE)


def test_an_informed_source_is_what_is_known_with_noise() -> None:
    torch.testing.assert_close(Informed(noise=0.3).start(NOISE, X), X + 0.3 * NOISE)


def test_an_informed_source_without_knowledge_is_refused() -> None:
    with pytest.raises(RecipeError, match="condition Images"):
        Informed().start(NOISE, None)


@pytest.mark.parametrize("sampler", ["euler", "heun", "ddim", "dpmpp_2m"])
@pytest.mark.parametrize("prediction", ["velocity", "data"])
def test_a_right_network_reaches_the_data_from_any_source(sampler: str, prediction: str) -> None:
    process = Process(source=Informed(noise=0.1), prediction=prediction)
    data, start = X + 2, process.source.start(NOISE, X)
    answer = {"velocity": data - start, "data": data}[prediction]
    denoise = process.denoiser(lambda _x, _clock: answer)
    made = SAMPLERS[sampler](denoise, start, grids.uniform(2), path=process.path)
    torch.testing.assert_close(made, data, rtol=0, atol=1e-5)


def test_the_loss_is_taken_on_the_way_from_the_source() -> None:
    process = Process(source=Informed(noise=0.0), prediction="velocity")
    loss = process.loss(lambda _x, _clock: X, X + 1, known=X + 1, generator=None)
    torch.testing.assert_close(loss, X.square().mean((1, 2)))  # the velocity is 0


def test_a_share_of_the_times_lies_at_the_start() -> None:
    source = torch.Generator().manual_seed(0)
    t, _ = Process(at_start=0.5).draw(torch.zeros(4000, 1, 1), generator=source)
    assert float((t == 0).double().mean()) == pytest.approx(0.5, abs=0.03)
    rest = t[t > 0]
    assert float(rest.mean()) == pytest.approx(0.5, abs=0.03)
