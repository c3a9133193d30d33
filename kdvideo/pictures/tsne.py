"""t-SNE of features before and after training, with numbers that check what the picture seems to show."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from kdvideo.pictures.style import COLORS, GREY, printable, style

__all__ = ["chance_purity", "draw_tsne", "map_to_plane", "neighbour_purity"]

NEIGHBOURS = 5
_PERPLEXITY = 30.0
_MARKERS = ("o", "^", "s")
_FEWEST = 4  # smallest number of videos


def map_to_plane(features: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Maps unit vectors `[V, D]` to points `[V, 2]` by t-SNE.

    The method is that of van der Maaten and Hinton (JMLR 2008). The squared Euclidean distance of unit vectors is 2 - 2
    cosine, so the neighbours are those of retrieval. t-SNE starts from the first two principal components, as Kobak and
    Berens (Nature Communications 2019) advise. One thread adds in a fixed order: the same features and seed give the
    same points.

    Raises:
        ValueError: there are fewer than 4 videos, or all features are the same.
    """
    if len(features) < _FEWEST:
        raise ValueError(f"t-SNE needs {_FEWEST} videos or more, there are {len(features)}")
    if (features == features[0]).all():
        raise ValueError("all features are the same: there is nothing to draw")
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    tsne = TSNE(init="pca", perplexity=perplexity, random_state=seed, n_jobs=1)
    with threadpool_limits(1):
        return tsne.fit_transform(features.astype(np.float64))


def neighbour_purity(points: np.ndarray, classes: Sequence[str]) -> float:
    """Computes the share of nearest neighbours with a point's own class.

    The neighbours are the 5 nearest other points.

    Args:
        points: `[V, D]`. The result is the mean over them.
        classes: the class of each of the V points.
    """
    count = min(NEIGHBOURS, len(points) - 1)
    nearest = NearestNeighbors(n_neighbors=count).fit(points).kneighbors(return_distance=False)
    own = np.asarray(classes)
    return float((own[nearest] == own[:, None]).mean())


def chance_purity(classes: Sequence[str]) -> float:
    """Computes the purity that randomly drawn neighbours are expected to have."""
    total = len(classes)
    return sum(count * (count - 1) for count in Counter(classes).values()) / (total * (total - 1))


def draw_tsne(panels: Mapping[str, np.ndarray], classes: Sequence[str], *, title: str = "", seed: int = 0) -> Figure:
    """Draws one panel per set of features, coloured by class.

    All sets contain the same videos. Each title gives the purity of the features and that of the drawn points. The
    second one is what the picture shows.

    Args:
        panels: for each title, unit vectors `[V, D]`.
        classes: the class of each of the V videos. The 24 most frequent classes have their own marker; others are grey.
        title: title of the picture, e.g. the model.
        seed: seed of t-SNE.

    Raises:
        ValueError: see `map_to_plane`, or there is a single class.
    """
    if len(set(classes)) < 2:
        raise ValueError(f"t-SNE is coloured by class, and all videos are of one: {classes[0]!r}")
    drawn = {name: map_to_plane(features, seed=seed) for name, features in panels.items()}
    with style():
        figure = Figure(figsize=(4.6 * len(panels) + 1.8, 5.0), layout="constrained")
        (axes_of_panels,) = figure.subplots(1, len(panels), squeeze=False)
        for axes, (name, points) in zip(axes_of_panels, drawn.items(), strict=True):
            _draw_points(axes, points, classes)
            purity = (
                f"{neighbour_purity(panels[name], classes):.2f}, of the points {neighbour_purity(points, classes):.2f}"
            )
            axes.set_title(f"{name}\npurity of the features {purity}")
        figure.suptitle(printable(title))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", markerscale=1.5)
        figure.supxlabel(
            f"purity: share of the {min(NEIGHBOURS, len(classes) - 1)} nearest that have a video's class, "
            f"{chance_purity(classes):.2f} by chance",
            fontsize="medium",
        )
    return figure


def _draw_points(axes: Axes, points: np.ndarray, classes: Sequence[str]) -> None:
    own = np.asarray(classes)
    shown = sorted(name for name, _ in Counter(classes).most_common(len(COLORS) * len(_MARKERS)))
    size = float(np.clip(6000 / len(points), 4, 36))

    def scatter(chosen: np.ndarray, label: str, color: str, marker: str = "o") -> None:
        x, y = points[chosen].T
        axes.scatter(x, y, s=size, c=color, marker=marker, edgecolors="white", linewidths=0.3, label=label)

    if (rest := ~np.isin(own, shown)).any():
        scatter(rest, "other classes", GREY)
    for number, name in enumerate(shown):
        scatter(own == name, name, COLORS[number % len(COLORS)], _MARKERS[number // len(COLORS)])
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    axes.spines[:].set(visible=True, color="#C8C8C8")
