"""Grad-CAM of a video as a picture: frames, the heat in them, and the heat over time."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdvideo.inference.explain import VideoCam
from kdvideo.pictures.style import COLORS, GREY, printable, style

__all__ = ["draw_gradcam"]

_FRAMES = 8  # number of frames in the strip
_STRONGEST = 0.75  # opacity of the strongest heat


def draw_gradcam(cam: VideoCam, *, title: str) -> Figure:
    """Draws eight frames of a video with their heat.

    Below them is the heat's mean over each frame. The frames are spread over the video. Heat is relative to its highest
    value in the video, so frames of one picture can be compared, but not two pictures.

    Args:
        cam: the result of `kdvideo.inference.explain.explain_video`.
        title: title of the picture, e.g. video and model.
    """
    frames = cam.frames.permute(0, 2, 3, 1).numpy()
    heat = cam.heat.numpy()
    relative = heat / (heat.max() or 1.0)
    shown = np.unique(np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int))
    with style():
        figure = Figure(figsize=(1.35 * len(shown) + 0.9, 5.4), layout="constrained")
        strip, course = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.35, 1])[:, 0]
        cells = strip.subplots(2, len(shown), squeeze=False)
        for column, place in enumerate(shown):
            above, below = cells[:, column]
            _draw_frame(above, frames[place])
            _draw_frame(below, frames[place], heat=relative[place])
            above.set_title(f"frame {cam.numbers[place]}", fontsize="small")
        image = below.get_images()[-1]
        strip.colorbar(image, ax=cells, label="share of the highest", ticks=[0, 0.5, 1], shrink=0.9, aspect=25)
        axes = course.subplots()
        _draw_course(axes, cam, relative.mean(axis=(1, 2)), [cam.numbers[place] for place in shown])
        nothing = "" if heat.any() else "; zero everywhere: nothing speaks for it"
        figure.suptitle(printable(f"{title}\nGrad-CAM of the {cam.score}{nothing}\nby {cam.layer}"))
    return figure


def _draw_frame(axes: Axes, frame: np.ndarray, *, heat: np.ndarray | None = None) -> None:
    axes.set_axis_off()
    if heat is None:
        axes.imshow(frame, interpolation="bilinear")
        return
    # The frame is drawn in grey, so that its own colours cannot be mistaken for heat.
    axes.imshow(frame @ np.array([0.299, 0.587, 0.114]), cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    axes.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=_STRONGEST * heat.clip(0.25, 1), interpolation="bilinear")


def _draw_course(axes: Axes, cam: VideoCam, means: np.ndarray, marked: list[int]) -> None:
    for number in marked:
        axes.axvline(number, color=GREY, linestyle=":", linewidth=0.8)
    axes.plot(cam.numbers, means, color=COLORS[1])
    axes.set(xlabel="frame; dotted: those above", ylabel="mean over the frame", ylim=(0, None))
    axes.margins(x=0.02)
