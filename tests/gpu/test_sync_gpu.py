"""No step waits for a real GPU: torch raises an error wherever one would."""

from pathlib import Path

import pytest
import torch
from whole_steps import BATCH_SIZE, NUM_VIDEOS, build_trainer, make_batch

from kdvideo.data.batch import map_batch
from kdvideo.registry import PRETEXTS
from kdvideo.tasks.replay import ReplayStore

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
NUM_STEPS = 5


def pinned(batch: dict) -> dict:
    return map_batch(batch, torch.Tensor.pin_memory)  # type: ignore[arg-type, return-value]


def take_steps(*options: str, on_device: bool = False, replay: ReplayStore | None = None) -> None:
    """Five steps. The first may wait, because libraries start in it; the numbers of all of them are read."""
    trainer = build_trainer(
        *options, move=lambda task: task.to("cuda"), num_steps=NUM_STEPS, on_device=on_device, replay=replay
    )
    trainer.run_step.forward.train()
    batches = [
        pinned(make_batch(tuple_len=1 if trainer.task.needs.classes else 3, on_device=on_device))
        for _ in range(NUM_STEPS)
    ]
    steps = []
    try:
        for number, batch in enumerate(batches):
            steps.append(trainer._train_step(batch))
            assert steps[-1].is_late
            torch.cuda.set_sync_debug_mode("error" if number < NUM_STEPS - 1 else "default")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    trainer._read()
    assert all(step["loss"] > 0 for step in steps)
    trainer.task.flush()


@pytest.mark.parametrize("loss", ["bank_nce", "batch_nce", "queue_nce"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_pcl(loss: str, accumulate: int):
    """With each contrastive loss; in two parts, too."""
    take_steps("CONTRAST.NAME", loss, "SOLVER.ACCUMULATE", str(accumulate))


@pytest.mark.parametrize("loss", ["logit_distillation", "embedding_distillation", "similarity_distillation"])
def test_distill(loss: str):
    """With each distillation loss."""
    take_steps("TASK.NAME", "distill", "TEACHER.LOSSES", f"[{loss}]", "TEACHER.NUM_ANCHORS", "20")


@pytest.mark.parametrize("pretext", [name for name in PRETEXTS.names() if name != "none"])
@pytest.mark.parametrize("on_device", [False, True])
def test_pretexts(pretext: str, on_device: bool):
    """Each of them; with its operation and the augmentation on the device, too."""
    take_steps("PRETEXT.NAME", pretext, on_device=on_device)


@pytest.mark.parametrize(
    "options", [["TASK.NAME", "supervised"], ["SOLVER.AMP", "fp16"], ["SOLVER.OPTIMIZER", "adamw"]]
)
def test_others(options: list[str]):
    """Labels; a scaled loss; the other optimizer."""
    take_steps(*options)


def test_replay(tmp_path: Path):
    """The first run stores the teacher's answers, one step late, the second reads them."""
    store = ReplayStore(tmp_path, {}, shapes={"pretext_logits": (5,)}, num_epochs=BATCH_SIZE, num_videos=NUM_VIDEOS)
    take_steps("TASK.NAME", "distill", replay=store)
    assert store.has_answers(store.look_up(make_batch()))
    take_steps("TASK.NAME", "distill", replay=store)
