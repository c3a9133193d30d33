"""A retrieval grid: videos beside their nearest neighbours. Right ones have a green frame, wrong ones a red frame."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from kdvideo.inference.neighbours import Grid, Picture
from kdvideo.pictures.style import RIGHT, WRONG, short_name, style

__all__ = ["draw_grid"]

_CELL = 1.25  # size of a cell in inches


def draw_grid(grid: Grid) -> Figure:
    """Draws one row per query with its nearest videos.

    The colour of a frame and a sign beside its class show whether it is the query's class.

    Args:
        grid: the result of `kdvideo.inference.neighbours.build_grid`.
    """
    columns = 1 + len(grid.rows[0].neighbours)
    with style():
        figure = Figure(
            figsize=(_CELL * (columns + 0.8), (_CELL + 0.35) * len(grid.rows) + 0.8),
            layout=ConstrainedLayoutEngine(wspace=0.02, hspace=0.01),
        )
        # The second column is the gap between a query and its neighbours.
        ratios = [1, 0.2, *[1] * (columns - 1)]
        cells = figure.subplots(len(grid.rows), columns + 1, squeeze=False, width_ratios=ratios)
        for axes_of_row, row in zip(cells, grid.rows, strict=True):
            query, gap, *others = axes_of_row
            gap.set_axis_off()
            _draw(query, row.query, caption=row.query.class_name or row.query.video)
            for axes, picture in zip(others, row.neighbours, strict=True):
                _draw_neighbour(axes, picture, right=_is_right(grid, row.query, picture))
        for axes, title in zip(cells[0], ("query", "", "nearest", *_ordinals(columns - 2)), strict=True):
            axes.set_title(title)
        figure.suptitle(_title(grid))
    return figure


def _is_right(grid: Grid, query: Picture, picture: Picture) -> bool | None:
    return None if grid.hits is None else picture.class_name == query.class_name


def _draw_neighbour(axes: Axes, picture: Picture, *, right: bool | None) -> None:
    name = picture.class_name or picture.video
    sign = {None: "", True: "✓ ", False: "✗ "}[right]
    _draw(axes, picture, caption=f"{sign}{name}\n{picture.similarity:.3f}")
    if right is not None:
        axes.xaxis.label.set_color(RIGHT if right else WRONG)
        axes.spines[:].set(color=RIGHT if right else WRONG, linewidth=3.5)


def _draw(axes: Axes, picture: Picture, *, caption: str) -> None:
    if picture.image is None:
        axes.text(0.5, 0.5, "not readable", ha="center", va="center", transform=axes.transAxes, fontsize=8)
        axes.set_box_aspect(1)
    else:
        axes.imshow(picture.image)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.set_xlabel(caption, fontsize=8)


def _ordinals(count: int) -> list[str]:
    return [f"{number}{ {2: 'nd', 3: 'rd'}.get(number, 'th') }" for number in range(2, count + 2)]


def _title(grid: Grid) -> str:
    model = short_name(grid.facts.model)
    if grid.hits is None:
        return f"{model}\n{grid.num_videos} videos"
    return f"{model}\nof {grid.num_videos} videos, {grid.hits:.3f} have another one of their class nearest"
