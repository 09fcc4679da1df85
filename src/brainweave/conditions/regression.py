"""A first guess of a missing modality: voxel by voxel from the images that are there and what
surrounds it. What a network has to beat, and a place for it to start from."""

from pydantic import Field

from brainweave.conditions.surroundings import owners_of
from brainweave.data.seeds import derive
from brainweave.part import Part


class Regression(Part):
    """Least squares for every target and every subset of images, inside the head; `Guess` holds
    what it finds.

    Regressors are a constant, the images, their ranks in the head (the share of it that is
    darker), their means and standard deviations over the head around a voxel at `levels` scales
    (each twice as wide), the share of head around it at these scales, and all products of two of
    these. With `levels` 0, without `ranks` and `rounds` it is the quadratic regression that BraTS
    floors are told by. The head is where any of the images is above 0.

    rounds: least squares again so often, each person counted by the inverse of its squared error,
        so that the mean over persons of the error in dB falls.
    ridge: of the mean square of each regressor.
    hidden: width of perceptrons on the same terms and on where in the head a voxel is, one for
        every fold, which has no part in it, taught by so many `lessons`; the guess is then the mean
        of the least squares and of the mean of the perceptrons (0: none).
    folds: a network that starts from the guess is trained on guesses that its subject had no part
        in, as it will see them later: persons are shared out over so many, by their ids (1: not).
    """

    levels: int = Field(default=4, ge=0, le=8)
    ranks: bool = True
    rounds: int = Field(default=1, ge=0)
    ridge: float = Field(default=2e-3, gt=0)
    hidden: int = Field(default=0, ge=0)
    lessons: int = Field(default=1000, ge=1)
    folds: int = Field(default=4, ge=1)

    def fold(self, person: str) -> int:
        """Of a person."""
        return derive("fold", person) % self.folds

    def owners(self, images: int) -> list[int | None]:
        """Which of so many images each term is of."""
        return owners_of(images, self.levels, self.ranks)
