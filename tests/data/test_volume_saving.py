"""What is written is whole, fresh, readable by others and within half a step of the data."""

import gzip

import nibabel as nib
import numpy as np
import pytest
import torch

from brainweave.data.volume import Volume
from brainweave.errors import OutputError, VolumeError

SHAPE = (5, 6, 7)
AFFINE = np.array([[-2.0, 0, 0, 40], [0, 0.3, 1.9, -60], [0, -2.2, 0.4, 12], [0, 0, 0, 1]])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def volume(data=None, affine=AFFINE) -> Volume:
    data = torch.rand(SHAPE) if data is None else data
    return Volume(data, affine)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nibabel_reads_what_was_saved(tmp_path, name):
    volume().save(tmp_path / name)
    image, mine = nib.load(tmp_path / name), Volume.load(tmp_path / name)
    assert np.array_equal(mine.data.numpy(), image.get_fdata().astype(np.float32))
    assert np.array_equal(mine.affine, image.affine)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 700), (1e-30, 3e-30), (-1e30, 2e30)])
def test_int16_is_within_half_a_step_of_the_range(tmp_path, low, high):
    data = torch.rand((20, 20, 20), dtype=torch.float64) * (high - low) + low
    volume(data.float()).save(tmp_path / "a.nii")
    error = (Volume.load(tmp_path / "a.nii").data.double() - data.float().double()).abs().max()
    rounding = max(abs(low), abs(high)) * 2**-24
    assert float(error) <= (high - low) / 65534 / 2 + rounding


@pytest.mark.parametrize("reader", [Volume.load, nib.load], ids=["ours", "nibabel"])
def test_a_background_of_zero_stays_exactly_zero(tmp_path, reader):
    data = torch.rand(SHAPE) * (torch.rand(SHAPE) > 0.5)
    volume(data).save(tmp_path / "a.nii.gz")
    read = reader(tmp_path / "a.nii.gz")
    read = read.data.numpy() if isinstance(read, Volume) else read.get_fdata()
    assert np.array_equal(read == 0, data.numpy() == 0)


def test_whole_numbers_are_saved_exactly(tmp_path):
    data = torch.randint(-500, 30000, SHAPE).float()
    volume(data).save(tmp_path / "a.nii.gz")
    assert torch.equal(Volume.load(tmp_path / "a.nii.gz").data, data)


@pytest.mark.parametrize("value", [0.0, 5.123, -7e8, 1e-40, 3e38])
def test_a_constant_volume_is_saved_exactly(tmp_path, value):
    data = torch.full(SHAPE, value)
    volume(data).save(tmp_path / "a.nii")
    assert torch.equal(Volume.load(tmp_path / "a.nii").data, data)


def test_float32_is_saved_exactly(tmp_path):
    data = torch.randn(SHAPE)
    volume(data).save(tmp_path / "a.nii.gz", dtype="float32")
    assert torch.equal(Volume.load(tmp_path / "a.nii.gz").data, data)


def test_data_in_any_memory_order_is_saved_alike(tmp_path):
    data = torch.rand(SHAPE)
    volume(data).save(tmp_path / "a.nii")
    volume(data.permute(2, 1, 0).contiguous().permute(2, 1, 0)).save(tmp_path / "b.nii")
    assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()


def test_equal_volumes_give_equal_bytes(tmp_path):
    made = volume()
    made.save(tmp_path / "a.nii.gz")
    made.save(tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_gzip_carries_no_time_and_no_name(tmp_path):
    volume().save(tmp_path / "a.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes()[3:8] == bytes(5)  # flags, time (RFC 1952)


def test_a_loaded_geometry_is_saved_bit_for_bit(tmp_path):
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.int16), AFFINE), tmp_path / "a.nii")
    source = Volume.load(tmp_path / "a.nii")
    source.save(tmp_path / "b.nii.gz")
    assert np.array_equal(Volume.load(tmp_path / "b.nii.gz").affine, source.affine)


def test_a_rigid_geometry_is_written_as_sform_and_qform(tmp_path):
    rigid = np.diag([-2.0, 2, 3, 1])
    volume(affine=rigid).save(tmp_path / "a.nii")
    written = nib.load(tmp_path / "a.nii").header
    for matrix, code in (written.get_sform(coded=True), written.get_qform(coded=True)):
        assert code > 0
        np.testing.assert_allclose(matrix, rigid, atol=1e-6)


def test_a_sheared_geometry_is_written_as_sform_alone(tmp_path, caplog):
    sheared = AFFINE @ (np.eye(4) + 0.2 * np.eye(4, k=1) * [[1], [1], [0], [0]])
    volume(affine=sheared).save(tmp_path / "a.nii")
    assert nib.load(tmp_path / "a.nii").header["qform_code"] == 0
    np.testing.assert_allclose(Volume.load(tmp_path / "a.nii").affine, sheared, rtol=1e-6)
    assert not caplog.records


def test_voxel_sizes_are_in_the_header(tmp_path):
    volume().save(tmp_path / "a.nii")
    zooms = nib.load(tmp_path / "a.nii").header.get_zooms()
    np.testing.assert_allclose(zooms, volume().spacing, rtol=1e-6)


def test_nothing_of_the_source_header_is_written(tmp_path):
    canary = b"CANARY"
    image = nib.Nifti1Image(np.ones(SHAPE, np.int16), AFFINE)
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = canary
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", canary))
    nib.save(image, tmp_path / "in.nii")
    Volume.load(tmp_path / "in.nii").save(tmp_path / "CANARY.nii.gz")
    packed = (tmp_path / "CANARY.nii.gz").read_bytes()
    assert canary in (tmp_path / "in.nii").read_bytes()
    assert canary not in packed
    assert canary not in gzip.decompress(packed)


def test_the_description_is_written(tmp_path):
    text = "SYNTHETIC brainweave".ljust(79, ".")
    volume().save(tmp_path / "a.nii", description=text)
    assert nib.load(tmp_path / "a.nii").header["descrip"].item() == text.encode()


def test_a_description_over_79_bytes_is_refused(tmp_path):
    with pytest.raises(OutputError, match="80 bytes"):
        volume().save(tmp_path / "a.nii", description="x" * 80)


def test_a_failed_save_keeps_the_previous_file(tmp_path):
    volume().save(tmp_path / "a.nii")
    before = (tmp_path / "a.nii").read_bytes()
    data = torch.rand(SHAPE)
    data[0, 0, 0] = torch.nan
    with pytest.raises(VolumeError, match="1 of 210 voxels"):
        volume(data).save(tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"a\.nii: cannot be written.*MB"):
        volume().save(tmp_path / "file" / "a.nii")


def test_another_format_is_not_written(tmp_path):
    with pytest.raises(VolumeError, match="not named as NIfTI"):
        volume().save(tmp_path / "a.mgz")
