"""Memory that whole pictures of a large video would take, and that features of it must not."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

pytestmark = pytest.mark.slow
WIDTH, HEIGHT, FRAMES = 3840, 2160, 176  # ten clips of 16 frames, each frame 25 MB: 4 GB together

READ = """
import resource, sys
from pathlib import Path
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.samples import UniformClips
from kdvideo.data.videos import VideoList

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
video = VideoList([VideoRecord(Path(sys.argv[1]), "v", 0)], [int(sys.argv[2])])
clips = UniformClips(video, ClipSpec(), num_clips=10, short_side=128)[0]["clips"]
print(clips.shape[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_features_of_4k(tmp_path: Path):
    """Ten clips of a 4K video are read in 500 MB: a few whole pictures and the decoder's own."""
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i in range(FRAMES):
            picture = np.full((HEIGHT, WIDTH, 3), i, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    command = [sys.executable, "-c", READ, str(path), str(FRAMES)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True)
    count, kilobytes = map(int, printed.stdout.split())
    assert count == 10
    assert kilobytes < 500_000
