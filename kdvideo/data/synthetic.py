"""A small generated dataset in UCF101's layout: encoded .avi files, groups, official-style lists.

It shows six motions of a textured ball over a textured ground. The pictures tell each pretext label: gravity and the
ground show what is up (rotation), the ground's line and the ball's path are continuous (quadrants, chunks), and the
light changes steadily from a video's beginning to its end (remote clip). The camera pans, so residual frames show more
than the ball.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np

from kdvideo.data.draws import Draws
from kdvideo.files import write_atomic, write_text

__all__ = ["MOTIONS", "SyntheticConfig", "write_synthetic_ucf101"]

HEIGHT, WIDTH = 60, 80
_FRAMES_PER_SECOND = 25
_MAX_PAN = 0.9  # pixels per frame

# time in [0, 1) and a phase in [0, 1) -> the ball's place (x, y) in [0, 1], y upwards from the ground
Motion = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]


def _bounce(time: np.ndarray, phase: float) -> tuple[np.ndarray, np.ndarray]:
    fall = (4 * time + phase) % 1
    return 0.15 + 0.7 * (0.3 * time + phase) % 1, 4 * fall * (1 - fall)


def _roll(time: np.ndarray, phase: float) -> tuple[np.ndarray, np.ndarray]:
    return 0.5 + 0.4 * np.sin(2 * np.pi * (1.5 * time + phase)), np.full_like(time, 0.02)


def _swing(time: np.ndarray, phase: float) -> tuple[np.ndarray, np.ndarray]:
    angle = np.sin(2 * np.pi * (2.5 * time + phase))
    return 0.5 + 0.35 * np.sin(angle), 0.9 - 0.6 * np.cos(angle)


def _rise(time: np.ndarray, phase: float) -> tuple[np.ndarray, np.ndarray]:
    return 0.2 + 0.6 * phase + 0.05 * np.sin(12 * np.pi * time), (1.2 * time + phase) % 1


def _circle(time: np.ndarray, phase: float) -> tuple[np.ndarray, np.ndarray]:
    angle = 2 * np.pi * (3 * time + phase)
    return 0.5 + 0.3 * np.cos(angle), 0.5 + 0.4 * np.sin(angle)


def _shake(time: np.ndarray, phase: float) -> tuple[np.ndarray, np.ndarray]:
    return 0.2 + 0.6 * phase + 0.08 * np.sin(2 * np.pi * 11 * time), 0.3 + 0.08 * np.cos(2 * np.pi * 13 * time)


MOTIONS: dict[str, Motion] = {
    "BallBounce": _bounce,
    "BallCircle": _circle,
    "BallRise": _rise,
    "BallRoll": _roll,
    "BallShake": _shake,
    "BallSwing": _swing,
}


@dataclass(frozen=True)
class SyntheticConfig:
    """How much is written.

    Attributes:
        train_groups: groups per class in the training list; the videos of a group share their scene.
        test_groups: further groups per class, in the test list.
        clips_per_group: videos per group.
        min_frames: length of the shortest video.
        max_frames: length of the longest video.
        seed: decides everything that is drawn.
    """

    train_groups: int = 10
    test_groups: int = 4
    clips_per_group: int = 2
    min_frames: int = 64
    max_frames: int = 88
    seed: int = 0


def write_synthetic_ucf101(root: Path, config: SyntheticConfig) -> Path:
    """Writes the videos and `ucfTrainTestlist`. The same config writes the same pictures.

    Args:
        root: the folder to make; files in it are replaced.
        config: how much to write.

    Returns:
        `root`.
    """
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for class_number, name in enumerate(MOTIONS, start=1):
        for group in range(1, config.train_groups + config.test_groups + 1):
            for clip in range(1, config.clips_per_group + 1):
                file = f"{name}/v_{name}_g{group:02d}_c{clip:02d}.avi"
                draws = Draws(config.seed, f"v{class_number}g{group}", index=clip)
                scene = Draws(config.seed, f"s{class_number}g{group}")
                frames = _render_video(MOTIONS[name], draws, scene, config)
                write_atomic(root / file, partial(_encode, frames=frames))
                is_train = group <= config.train_groups
                lists["train" if is_train else "test"].append(f"{file} {class_number}" if is_train else file)
    list_dir = root / "ucfTrainTestlist"
    for subset, lines in lists.items():
        write_text(list_dir / f"{subset}list01.txt", "\n".join(lines) + "\n")
    classes = [f"{number} {name}" for number, name in enumerate(MOTIONS, start=1)]
    write_text(list_dir / "classInd.txt", "\n".join(classes) + "\n")
    return root


def _render_video(motion: Motion, draws: Draws, scene: Draws, config: SyntheticConfig) -> Iterator[np.ndarray]:
    """Renders one video, frames uint8 `[HEIGHT, WIDTH, 3]`. All videos of a group share `scene`."""
    num_frames = config.min_frames + draws.integer(config.max_frames - config.min_frames + 1)
    pan = scene.uniform(0.4, _MAX_PAN)
    backdrop = _backdrop(scene, WIDTH + int(_MAX_PAN * config.max_frames) + 1)
    color = np.array([scene.uniform(0.2, 1.0) for _ in range(3)])
    radius = scene.uniform(7.0, 10.0)
    time = np.arange(num_frames) / config.max_frames
    x, y = motion(time, draws.uniform())
    mirrored = draws.chance(0.5)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    for i in range(num_frames):
        center_x = radius + x[i] * (WIDTH - 2 * radius)
        center_y = HEIGHT - 12 - radius - y[i] * (HEIGHT - 14 - 2 * radius)
        distance = np.hypot(columns - center_x, rows - center_y)
        stripes = 0.6 + 0.4 * np.sign(np.sin((columns - center_x) * 0.9 + (rows - center_y) * 0.5))
        ball = color * stripes[..., None]
        light = 0.55 + 0.45 * i / config.max_frames
        left = int(pan * i)
        picture = light * np.where((distance < radius)[..., None], ball, backdrop[:, left : left + WIDTH])
        noise = 0.01 * np.sin(12.9898 * rows + 78.233 * columns + 37.719 * i)  # like a sensor's, without a generator
        frame = np.clip(255 * (picture + noise[..., None]), 0, 255).astype(np.uint8)
        yield frame[:, ::-1] if mirrored else frame


def _backdrop(scene: Draws, width: int) -> np.ndarray:
    """Draws sky and ground, `[HEIGHT, width, 3]` in [0, 1]. The sky fades downwards; the ground is dark and grainy."""
    rows, columns = np.mgrid[0:HEIGHT, 0:width]
    sky = np.array([scene.uniform(0.5, 0.8), scene.uniform(0.6, 0.9), scene.uniform(0.8, 1.0)])
    ground = np.array([scene.uniform(0.1, 0.4), scene.uniform(0.2, 0.5), scene.uniform(0.0, 0.2)])
    clouds = (
        0.08 * np.sin(columns * scene.uniform(0.1, 0.3) + 6 * scene.uniform()) * np.sin(rows * scene.uniform(0.1, 0.3))
    )
    grain = 0.15 * np.sin(columns * scene.uniform(0.6, 1.4)) * np.sin(rows * scene.uniform(0.6, 1.4))
    fade = (0.7 + 0.3 * (1 - rows / HEIGHT) + clouds)[..., None]
    is_ground = (rows >= HEIGHT - 12)[..., None]
    return np.where(is_ground, ground * (1 + grain[..., None]), sky * fade)


def _encode(path: Path, *, frames: Iterator[np.ndarray]) -> None:
    """Writes an .avi as UCF101's are: MPEG-4 part 2 with B-frames."""
    with av.open(os.path.abspath(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=_FRAMES_PER_SECOND)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 400_000
        stream.codec_context.max_b_frames = 2
        stream.codec_context.gop_size = 12
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())
