"""What comes after a training, as functions: measuring a model and publishing it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from kdvideo.engine.evaluate import evaluate as evaluate_config
from kdvideo.engine.evaluation_config import evaluation_config
from kdvideo.engine.publish import publish_run
from kdvideo.evaluation.result import Evaluation
from kdvideo.paths import expand_user
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo, ZooLike, as_zoo
from kdvideo.zoo.names_of_sources import source_name
from kdvideo.zoo.publish_network import publish_network

__all__ = ["evaluate", "publish"]


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    protocols: Sequence[str] = (),
    num_crops: int = 1,
    splits: Sequence[int] = (),
    out: str | Path | None = None,
    device: str = "",
    **overrides: Any,
) -> Evaluation:
    """Measures what a model is worth: retrieval, kNN, linear probe, classes, pretext.

    A model of kdvideo is measured as it was trained: with the same kind of dataset, split and size of frames.

    Args:
        model: a zoo name, path or URL, or a backbone's name for random weights.
        data: the folder of the dataset. `DATA={"NAME": "class_folders"}` chooses another kind than in training.
        protocols: names from `kdvideo.evaluation.choice.PROTOCOLS`. Defaults to what model and data allow, or to
            classes alone where the model knows those of the data.
        num_crops: crops of each clip, 1 or 3.
        splits: splits of the dataset, e.g. `(1, 2, 3)`. Defaults to the training's.
        out: the folder for `evaluation.json` and the confusion tables. Defaults to `output/eval/` and the model's name.
        device: "cpu", "cuda" or "cuda:1". Defaults to the GPU if there is one.
        overrides: config keys as in the yaml files: `EVAL={"FINAL_CLIPS_PER_VIDEO": 3}`.

    Returns:
        The shares by name in `metrics`; `splits` have their intervals.

    Raises:
        ValueError: the weights, the data or a setting cannot work.

    Example:
        >>> import kdvideo
        >>> name, folders = "r3d_10_w16.pcl-vcp_ucf101mini-s1", {"NAME": "class_folders"}
        >>> found = kdvideo.evaluate(name, "clips", protocols=["retrieval"], DATA=folders)
        >>> 0 <= found.metrics["retrieval_10clip_at_1"] <= 1
        True
    """
    values = {"DATA": {**overrides.pop("DATA", {}), "ROOT": str(data)}, **overrides}
    if out is not None:
        values["OUTPUT_DIR"] = str(out)
    cfg = evaluation_config(source_name(model), values=values)
    return evaluate_config(cfg, protocols=protocols, num_crops=num_crops, splits=splits, device=device)


def publish(
    model: nn.Module | str | Path,
    name: str,
    *,
    licence: str | None = None,
    zoo: ZooLike | None = None,
    backbone: str = "",
    classes: Sequence[str] = (),
    dataset: str = "not said",
    replace: bool = False,
) -> ZooEntry:
    """Puts a network, or a finished run's, into the zoo: its weights, and all that is needed to build it.

    A network of your own has to be built by a registered backbone, which is imported before it is loaded again.

    Args:
        model: a model in memory; or a run's folder or checkpoint.
        name: the name of the entry.
        licence: the licence of the weights. A run has one of its own, `ZOO.LICENCE`.
        zoo: the zoo to publish into. Defaults to the user's.
        backbone: the name in BACKBONES of what builds the network. Defaults to the one that has built it, or that has
            its tensors.
        classes: the names of a classifier's outputs. Defaults to its `class_names`.
        dataset: what the network was trained on, in words.
        replace: whether an entry with that name may be replaced.

    Raises:
        ValueError: the name is taken, the licence or the classes are missing, or the entry could not be read back.
            Nothing is written then.

    Example:
        >>> import kdvideo
        >>> net = kdvideo.create_model("r3d_10", width=8, clip_spec=kdvideo.ClipSpec(clip_len=8, size=56))
        >>> kdvideo.publish(net, "r3d_10_w8.mine", licence="MIT").params
        228120
        >>> again = kdvideo.create_model("r3d_10_w8.mine", pretrained=True)
    """
    place = as_zoo(zoo) or Zoo.user()
    if isinstance(model, nn.Module):
        if licence is None:
            raise ValueError("nobody else knows the licence of these weights: give `licence`, e.g. 'CC-BY-4.0'")
        return publish_network(
            model,
            name,
            zoo=place,
            backbone=backbone,
            classes=classes,
            dataset=dataset,
            licence=licence,
            replace=replace,
        )
    if backbone or classes or dataset != "not said":
        raise ValueError("a run says its backbone, its classes and its dataset itself: give none")
    return publish_run(expand_user(model), name, zoo=place, licence=licence, replace=replace)
