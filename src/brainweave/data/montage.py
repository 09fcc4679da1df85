"""Pictures of volumes: one column per volume, its three middle planes below each other."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from brainweave.data.files import atomic
from brainweave.data.volume import Volume

_GAIN = 4.0  # by which differences are shown
_MARGIN, _LINE = 6, 16  # pixels
_LONGEST = 160  # pixels along the longest axis, at least: for the eye
_FONT = ImageFont.load_default(12)


def montage(
    volumes: Sequence[Volume],
    path: Path,
    *,
    labels: Sequence[str],
    title: str = "",
    window: tuple[float, float] | None = None,
    columns: int = 8,
) -> None:
    """Writes the `sheet` of these volumes as a PNG."""
    picture = sheet(volumes, labels=labels, title=title, window=window, columns=columns)
    with atomic(path) as temporary:
        picture.save(temporary, format="PNG")


def round_trips(
    pairs: Sequence[tuple[str, Volume, Volume]], path: Path, *, title: str = ""
) -> None:
    """Writes volumes from 0 to 1, below each what comes back of it, below that the difference, four
    times as large, grey where there is none."""
    rows: list[list[Volume]] = [[], [], []]
    for _, real, back in pairs:
        apart = Volume(0.5 + _GAIN * (back.data - real.data), real.affine)
        for row, volume in zip(rows, (real, back, apart), strict=True):
            row.append(volume)
    names = [name for name, _, _ in pairs]
    below = [word for word in ("returned", f"difference x {_GAIN:g}") for _ in pairs]
    volumes = [volume for row in rows for volume in row]
    montage(volumes, path, labels=names + below, title=title, window=(0.0, 1.0), columns=len(pairs))


def sheet(
    volumes: Sequence[Volume],
    *,
    labels: Sequence[str],
    title: str = "",
    window: tuple[float, float] | None = None,
    columns: int = 8,
) -> Image.Image:
    """Axial, coronal and sagittal middle planes of RAS-oriented volumes, in grey.

    Left of the picture is left of the head. window: intensities shown as black and white; without
    it 0 and the volume's 99.5th percentile. Long lists continue in a new row after `columns`.
    """
    tiles = [_tile(volume, label, window) for volume, label in zip(volumes, labels, strict=True)]
    height = max(tile.height for tile in tiles)
    width = max(tile.width for tile in tiles)
    across = min(columns, len(tiles))
    down = -(-len(tiles) // across)
    top = _LINE + _MARGIN if title else 0
    picture = Image.new("L", (across * (width + _MARGIN), top + down * (height + _MARGIN)), 0)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, across)
        picture.paste(tile, (column * (width + _MARGIN), top + row * (height + _MARGIN)))
    if title:
        ImageDraw.Draw(picture).text((4, 3), title, fill=255, font=ImageFont.load_default(13))
    return picture


def png(picture: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def planes(volume: Volume) -> list[Float[np.ndarray, "rows columns"]]:
    """The axial, coronal and sagittal middle planes, superior or anterior up.

    Pixels are square and of one size in all three, 1 mm or less.
    """
    oriented = volume.oriented("RAS")
    data = oriented.data.numpy()
    i, j, k = (edge // 2 for edge in data.shape)
    extent = [edge * mm for edge, mm in zip(data.shape, oriented.spacing, strict=True)]
    scale = max(1.0, _LONGEST / max(extent))
    x, y, z = (max(1, round(mm * scale)) for mm in extent)
    cuts = [(data[:, :, k], (x, y)), (data[:, j, :], (x, z)), (data[i, :, :], (y, z))]
    return [_resized(np.rot90(cut), size) for cut, size in cuts]


def _tile(volume: Volume, label: str, window: tuple[float, float] | None) -> Image.Image:
    low, high = window or (0.0, max(float(np.percentile(volume.data.numpy(), 99.5)), 1e-6))
    cuts = [np.clip((cut - low) / (high - low), 0, 1) * 255 for cut in planes(volume)]
    width = max(cut.shape[1] for cut in cuts)
    width = max(width, min(2 * width, 4 + round(_FONT.getlength(label))))
    height = _LINE + sum(cut.shape[0] for cut in cuts)
    tile = Image.new("L", (width, height), 0)
    ImageDraw.Draw(tile).text((2, 1), label, fill=220, font=_FONT)
    y = _LINE
    for cut in cuts:
        tile.paste(Image.fromarray(cut.astype(np.uint8)), ((width - cut.shape[1]) // 2, y))
        y += cut.shape[0]
    return tile


def _resized(cut: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A plane with so many pixels across and down."""
    picture = Image.fromarray(np.ascontiguousarray(cut, dtype=np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
