"""Measures a network. All metrics of kdvideo come from this one function."""

from collections.abc import Sequence

from kdvideo.data.loader import ALL_CORES
from kdvideo.data.videos import join_lists
from kdvideo.evaluation.clip_outputs import Views, compute_clip_outputs
from kdvideo.evaluation.features import AUTO
from kdvideo.evaluation.protocol import Classes, Lists, Protocol, Subject
from kdvideo.evaluation.result import Evaluation, SplitResult
from kdvideo.models.spec import Model

__all__ = ["evaluate"]


def evaluate(
    model: Model,
    lists: Sequence[Lists],
    protocols: Sequence[Protocol],
    *,
    views: Views,
    batch_size: int = AUTO,
    num_workers: int = ALL_CORES,
) -> Evaluation:
    """Measures a network by several protocols on one or more splits.

    Every video goes through the network only once, however many protocols and splits use it.

    Args:
        model: the network, on the device that computes. It is put into eval mode, and back into its mode afterwards.
        lists: the lists of each split.
        protocols: the protocols, in the order of the metrics.
        views: the clips and crops of each video.
        batch_size: approximate number of clips in one forward pass; 0 for what suits the device.
        num_workers: number of decoding processes; -1 for one on each core but one.

    Raises:
        ValueError: a protocol does not fit the network or the videos.
        FloatingPointError: the network's outputs are not finite.
    """
    classes = Classes.of(lists)
    for protocol in protocols:
        if (why := protocol.obstacle(model, classes)) is not None:
            raise ValueError(f"{protocol.name} cannot be measured: {why}")
    needs = {name for protocol in protocols for name in protocol.needs}
    needed = [part for one in lists for name, part in (("test", one.test), ("train", one.train)) if name in needs]
    outputs = None
    if needed:
        outputs = compute_clip_outputs(
            model,
            join_lists(needed),
            views=views,
            batch_size=batch_size,
            num_workers=num_workers,
            device=next(model.parameters()).device,
        )
    subjects = [Subject(model, one, views=views, classes=classes, outputs=outputs) for one in lists]
    return Evaluation([_measure(subject, protocols) for subject in subjects])


def _measure(subject: Subject, protocols: Sequence[Protocol]) -> SplitResult:
    lists = subject.lists
    return SplitResult(
        lists.split,
        num_test=len(lists.test),
        num_train=len(lists.train),
        measurements=[protocol.measure(subject) for protocol in protocols],
        classes=None if subject.outputs is None else subject.test.classes,
    )
