"""TensorBoard's files: the settings of a run as hparams, and its numbers."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kdvideo.config import comparable_settings
from kdvideo.engine.run_folder import METRICS_NAME, RunFolder
from kdvideo.errors import first_line
from kdvideo.extras import missing_extra

__all__ = ["open_board", "write_final"]

logger = logging.getLogger("kdvideo")


def open_board(folder: RunFolder, *, purge_step: int) -> Any:
    """Returns TensorBoard's writer of a run, after it has written the run's settings.

    If TensorBoard cannot be imported, it warns and returns None.

    Args:
        folder: the run's folder, which has its config.
        purge_step: the first step to be written. A resumed run has written it before.
    """
    if (writer := _import_writer()) is None:
        return None
    board = writer(str(folder.board), purge_step=purge_step)
    if config := folder.config():
        start, _ = _session(config)
        board._get_file_writer().add_summary(start)
    return board


def write_final(folder: RunFolder, line: Mapping[str, Any]) -> None:
    """Adds the final line's metrics that epochs do not have, and that the run has ended. Without a board, nothing."""
    if not folder.board.is_dir() or (writer := _import_writer()) is None:
        return
    epochs = {name for epoch in folder.epochs() for name in epoch}
    board = writer(str(folder.board))
    try:
        for name in line.keys() - epochs - {"final"}:
            board.add_scalar(name, line[name], line["epoch"])
        _, end = _session(folder.config())
        board._get_file_writer().add_summary(end)
    finally:
        with suppress(OSError):  # as when the run's own board is closed
            board.close()


def _import_writer() -> Any:
    """Returns the class of TensorBoard's writers. If TensorBoard cannot be imported, it warns and returns None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except Exception as error:  # another version of protobuf raises TypeError, AttributeError or ImportError
        if missing := missing_extra(error):
            logger.warning("no files for TensorBoard, %s has the same numbers: %s", METRICS_NAME, missing)
            return None
        logger.warning(
            "no files for TensorBoard, %s has the same numbers: tensorboard does not import (%s: %s); to mend it: "
            "pip install --upgrade tensorboard protobuf",
            METRICS_NAME,
            type(error).__name__,
            first_line(error),
        )
        return None
    return SummaryWriter


def _session(config: Mapping[str, Any]) -> tuple[Any, Any]:
    """Returns TensorBoard's records of a session's start and end.

    We leave out the record of an experiment: TensorBoard would take that of one run for all, while without it, it finds
    out itself which settings differ among the runs, and which metrics they have.
    """
    from torch.utils.tensorboard.summary import hparams

    settings = {
        key: value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in comparable_settings(config).items()
    }
    _, start, end = hparams(settings, {})
    return start, end
