"""Tuples and plans that the tests of VCP share."""

from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.base import PretextOperation
from kdvideo.data.pretexts.vcp import VCP

CLIPS = [(20, 21, 22, 23), (25, 26, 27, 28), (30, 31, 32, 33)]  # extent 4, frames 20 to 33
NUM_FRAMES = 60

# Extent 4, frames 7 to 20: one frame short of room before; in a video of 28 frames one short after, since 8 are needed.
CLIPS_AT_7 = [(7, 8, 9, 10), (12, 13, 14, 15), (17, 18, 19, 20)]

AS_IT_IS, ROTATED, QUADRANTS, CHUNKS, REMOTE = range(5)


def operation(label, argument=0):
    return PretextOperation(label=label, argument=argument)


def many_plans(count, clips=CLIPS, num_frames=NUM_FRAMES, **options):
    task = VCP()
    return [
        task.plan(Draws(0, "pretext", index=index), clips, num_frames=num_frames, **options) for index in range(count)
    ]
