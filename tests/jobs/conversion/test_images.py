"""What a conversion knows of the images: points outside them, images that are not here, their pixel sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.jobs.conversion.job import ConversionOptions, convert
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.point_set import MicrographPoints, gather
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.relion.point_sets import read_star_points, write_star_particles
from relion_attn_picker.relion.star import write_table
from tests.jobs.conversion.conftest import LIST, MARK, A, B


@pytest.mark.parametrize(
    ("outside", "kept"), [("drop", [[5, 6]]), ("clip", [[5, 6], [119, 3]]), ("keep", [[5, 6], [150, 3]])]
)
def test_points_outside(outside: str, kept: list[list[int]]) -> None:
    write_star_particles(Path("in.star"), gather([MicrographPoints(A, np.array([[5.0, 6.0], [150.0, 3.0]]))]))
    report = convert(Path("in.star"), Path("out.star"), ConversionOptions(micrographs=LIST, outside=outside))
    np.testing.assert_array_equal(read_star_points(Path("out.star")).yx, kept)
    assert "1 of 2 points lie outside their images, first x 3, y 150" in report.notes[0]


@pytest.mark.parametrize(("name", "content"), [(A, None), (A, b"damaged"), (B, None), (B, b"damaged")])
def test_images_that_are_not_here_are_told(name: str, content: bytes | None) -> None:
    Path(name).unlink()
    if content is not None:
        Path(name).write_bytes(content)
    report = convert(Path("in.star"), Path("out.star"), ConversionOptions(micrographs=LIST))
    told = f"1 of 2 images are not at hand or cannot be read, first {name}: whether points lie outside them is not"
    assert report.notes == (f"{told} checked.",)
    assert Path("out.star").read_text() == Path("in.star").read_text()


@pytest.mark.parametrize(("outside", "kept"), [("drop", [[5, 6]]), ("clip", [[5, 6], [119, 3]])])
def test_points_outside_are_found_on_the_images_that_are_here(outside: str, kept: list[list[int]]) -> None:
    Path(A).unlink()
    anywhere = [[-7, 9000], [5, 6]]
    both = [MicrographPoints(A, np.array(anywhere, float)), MicrographPoints(B, np.array([[5.0, 6.0], [150.0, 3.0]]))]
    write_star_particles(Path("in.star"), gather(both))
    with pytest.raises(InputError, match=r"1 of 4 points lie outside their images.*exchanged all would lie inside"):
        convert(Path("in.star"), Path("out.star"), ConversionOptions(micrographs=LIST))
    report = convert(Path("in.star"), Path("out.star"), ConversionOptions(micrographs=LIST, outside=outside))
    assert [note.split(",")[0] for note in report.notes] == [
        "1 of 4 points lie outside their images",
        "1 of 2 images are not at hand or cannot be read",
    ]
    np.testing.assert_array_equal(read_star_points(Path("out.star")).yx, [*anywhere, *kept])


def test_flip_needs_the_images() -> None:
    Path(A).unlink()
    with pytest.raises(InputError, match="There is no micrograph at"):
        convert(Path("in.star"), Path("out.star"), ConversionOptions(micrographs=LIST, flip_y=True))


def test_exchanged_axes_are_suspected() -> None:
    write_star_particles(Path("in.star"), gather([MicrographPoints(A, np.array([[150.0, 3.0], [5.0, 6.0]]))]))
    with pytest.raises(InputError, match="with x and y exchanged all would lie inside: choose --outside"):
        convert(Path("in.star"), Path("out.star"), ConversionOptions(micrographs=LIST))
    assert not Path("out.star").exists()


def write_particles_of(pixel_size: float) -> None:
    """Write ``p.star``: the points of ``in.star``, and a pixel size."""
    write_table(Path("o.star"), "optics", {"rlnOpticsGroup": [1], "rlnMicrographPixelSize": [pixel_size]})
    Path("p.star").write_text(Path("o.star").read_text() + Path("in.star").read_text())


def test_pixel_size_of_micrographs_without_points_does_not_matter() -> None:
    """A session in two magnifications, and particles of one of them."""
    write_star_particles(Path("in.star"), gather([MicrographPoints(A, MARK)]))
    write_particles_of(2.0)
    groups = [OpticsGroup(1, "g", 2.0), OpticsGroup(2, "h", 4.0)]
    write_micrographs(LIST, [Micrograph(name, group) for name, group in zip((A, B), groups, strict=True)])
    convert(Path("p.star"), Path("out.star"), ConversionOptions(micrographs=LIST))
    assert read_star_points(Path("out.star")).names == (A,)
    write_star_particles(Path("in.star"), gather([MicrographPoints(B, MARK)]))
    write_particles_of(2.0)
    with pytest.raises(InputError, match=r"pixels of 2 Å, but .*b\.v2\.mrc has 4 Å"):
        convert(Path("p.star"), Path("again.star"), ConversionOptions(micrographs=LIST))


def test_pixel_size_that_contradicts() -> None:
    write_particles_of(4.0)
    with pytest.raises(InputError, match=r"pixels of 4 Å, but .* has 2 Å: give --factor 2"):
        convert(Path("p.star"), Path("out.star"), ConversionOptions(micrographs=LIST))
    options = ConversionOptions(micrographs=LIST, factor=2, outside="keep")
    convert(Path("p.star"), Path("out.star"), options)
    np.testing.assert_array_equal(read_star_points(Path("out.star")).yx[0], 2 * MARK[0])
