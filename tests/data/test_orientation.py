"""The eight ways in which a file can ask to be shown, and files that ask for something else."""

from pathlib import Path

import av
import numpy as np
import pytest
from odd_videos import corner, set_display_matrix, stored_picture, write_video

from kdvideo.data.proxies.transcode import write_proxy
from kdvideo.data.readers.decode import read_frames
from kdvideo.data.readers.orientation import Orientation, orientation_of, turn_upright
from kdvideo.data.readers.probe import probe

# a, b, c, d of the matrix; where the white corner, stored top left, has to be seen; whether width and height change
WAYS = [
    ((1, 0, 0, 1), ("top", "left"), False),
    ((-1, 0, 0, 1), ("top", "right"), False),
    ((1, 0, 0, -1), ("bottom", "left"), False),
    ((-1, 0, 0, -1), ("bottom", "right"), False),
    ((0, 1, 1, 0), ("top", "left"), True),
    ((0, 1, -1, 0), ("top", "right"), True),  # a quarter clockwise
    ((0, -1, 1, 0), ("bottom", "left"), True),  # a quarter counter-clockwise
    ((0, -1, -1, 0), ("bottom", "right"), True),
]


@pytest.mark.parametrize(("matrix", "place", "turned"), WAYS)
def test_each_way(tmp_path: Path, matrix: tuple[int, int, int, int], place: tuple[str, str], turned: bool):
    """Direct reading, the probe's size and a proxy agree with what the matrix says."""
    path = set_display_matrix(write_video(tmp_path / "v.mp4", codec="libx264"), *matrix)
    shape = (64, 48) if turned else (48, 64)
    picture = read_frames(path, [5])[0].permute(1, 2, 0).numpy()
    assert (corner(picture), picture.shape[:2]) == (place, shape)
    assert (probe(path).height, probe(path).width) == shape
    write_proxy(path, tmp_path / "proxy.mp4")
    proxy = read_frames(tmp_path / "proxy.mp4", [5])[0].permute(1, 2, 0).numpy()
    assert (corner(proxy), proxy.shape[:2]) == (place, shape)


def test_every_pixel_goes_where_the_matrix_says():
    """Against the definition: the pixel at (x, y) is shown at (a x + c y, b x + d y), moved to begin at 0."""
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    for (a, b, c, d), _, _ in WAYS:
        orientation = Orientation(bool(b), (c if b else a) < 0, (b if b else d) < 0)
        shown = turn_upright(picture, orientation)
        height, width = shown.shape[:2]
        for y in range(3):
            for x in range(4):
                to_x, to_y = a * x + c * y, b * x + d * y
                assert shown[to_y + (height - 1) * (b + d < 0), to_x + (width - 1) * (a + c < 0)] == picture[y, x]


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (1, 1, -1, 1)])
def test_what_is_no_quarter_is_left_alone(tmp_path: Path, matrix: tuple[int, int, int, int]):
    """An empty matrix, and a turn by 45 degrees."""
    path = set_display_matrix(write_video(tmp_path / "v.mp4", codec="libx264"), *matrix)
    picture = read_frames(path, [0])[0].permute(1, 2, 0).numpy()
    assert (corner(picture), picture.shape[:2]) == (("top", "left"), (48, 64))


def test_a_picture_without_a_matrix():
    """Most files have none."""
    assert orientation_of(av.VideoFrame.from_ndarray(stored_picture(0))) == Orientation()


def test_files_whose_pictures_changed_are_marked(tmp_path: Path):
    """What was computed from mirrored pictures before does not hold; turned ones were right before."""
    revisions = [
        probe(set_display_matrix(write_video(tmp_path / f"{i}.mp4", codec="libx264"), *matrix)).revision
        for i, (matrix, _, _) in enumerate(WAYS)
    ]
    assert revisions == [0, 1, 1, 0, 1, 0, 0, 1]
