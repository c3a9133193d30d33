"""What registered parts have to be: a mistake is one line before the first step, and the trackers' hooks log."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pages import BLOCKS

from kdvideo.config import load_config
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import VideoRecord
from kdvideo.engine.launch import train
from kdvideo.engine.trainer import Hook
from kdvideo.losses import ContrastiveLoss
from kdvideo.models import build_backbone, build_pcl_model
from kdvideo.models.pcl import ClassificationModel
from kdvideo.registry import BACKBONES, DATASETS, HEADS, HOOKS, LOSSES, OPTIMIZERS, SCHEDULES, TASKS
from kdvideo.tasks import Task


class Unbuilt(Hook):
    """It takes no config."""


class Forgetful(Hook):
    """It does not take the step's numbers."""

    def __init__(self, cfg, *, folder): ...

    def after_step(self, trainer): ...


def test_calls_of_hooks_and_tasks(tiny_overrides: list[str]):
    """What cannot be called as it will be is told before the first step, with the arguments that it will get."""
    HOOKS.register_as("unbuilt")(Unbuilt)
    refused(tiny_overrides, r"SOLVER\.HOOKS unbuilt is called with \(cfg, folder=\.\.\)", "SOLVER.HOOKS", "[unbuilt]")
    HOOKS.register_as("forgetful")(Forgetful)
    message = r"after_step of SOLVER\.HOOKS forgetful is called with \(trainer, scalars\), .*: too many"
    refused(tiny_overrides, message, "SOLVER.HOOKS", "[forgetful]")
    TASKS.register_as("bare")(type("Bare", (Task,), {}))
    message = r"TASK\.NAME bare has no from_config\(cfg, \*, teacher, model, num_videos\)"
    refused(tiny_overrides, message, "TASK.NAME", "bare")
    TASKS.register_as("other")(type("Other", (Task,), {"from_config": classmethod(lambda cls, cfg, *, student: None)}))
    message = r"from_config of TASK\.NAME other is called with \(cfg, teacher=\.\., "
    refused(tiny_overrides, message, "TASK.NAME", "other")


@pytest.fixture(autouse=True)
def _taken_out_again(new_process) -> None:
    """What a test registers goes with it."""


def refused(tiny_overrides: list[str], message: str, *options: str) -> None:
    """One line, before the first step."""
    with pytest.raises(ValueError, match=message) as caught:
        train(load_config(None, [*tiny_overrides, *options]))
    assert "\n" not in str(caught.value)


class WrongHead(torch.nn.Module):
    """As many logits as it pleases; `fails` takes no features at all."""

    def __init__(self, in_features, *, num_classes, tuple_len=1, fails=False):
        super().__init__()
        self.num_classes, self.tuple_len, self.fails = num_classes, tuple_len, fails

    def forward(self, features):
        if self.fails:
            raise RuntimeError("no such shape\nand more")
        return features.flatten(1)[:, :3]


def test_heads():
    """Today's traceback came from cross_entropy, twenty lines below the head."""
    backbone = build_backbone("r3d_10", width=4, clip_spec=ClipSpec(clip_len=8, size=32))
    HEADS.register_as("wrong")(WrongHead)
    HEADS.register_as("no_module")(lambda in_features, **_: None)
    HEADS.register_as("forgetful")(lambda in_features, **_: torch.nn.Linear(1, 1))
    with pytest.raises(
        ValueError, match=r"head 'wrong' maps features \[2, 32\] to \[2, 3\]: it must be logits \[2, 5\]"
    ):
        ClassificationModel(backbone, num_classes=5, head="wrong")
    with pytest.raises(ValueError, match=r"cannot take features \[2, 32\] \(RuntimeError: no such shape\): it"):
        ClassificationModel(backbone, num_classes=5, head="wrong", fails=True)
    with pytest.raises(ValueError, match=r"head 'wrong' maps features \[2, 3, 32\] to \[2, 3\]"):
        build_pcl_model(backbone, pretext_head="wrong")
    with pytest.raises(ValueError, match=r"head 'forgetful' lacks num_classes, tuple_len: keep it as an attribute"):
        build_pcl_model(backbone, pretext_head="forgetful")
    with pytest.raises(ValueError, match=r"head 'no_module' has built a NoneType: it must be a torch.nn.Module"):
        ClassificationModel(backbone, num_classes=5, head="no_module")
    assert ClassificationModel(backbone, num_classes=3, head="wrong").head.training


def test_contrastive_losses(tiny_overrides: list[str]):
    """Without a base, not a scalar, or with other arguments."""

    class PerClip(ContrastiveLoss):
        @classmethod
        def from_config(cls, cfg, *, num_videos):
            return cls()

        def forward(self, z, index, negatives):
            return z.sum(dim=(1, 2))

    class Fails(PerClip):
        def forward(self, z, index, negatives):
            return z[:, 2].sum()

    LOSSES.register_as("bare")(torch.nn.MSELoss)
    LOSSES.register_as("per_clip")(PerClip)
    LOSSES.register_as("fails")(Fails)
    small = ("MODEL.PROJECTION_DIM", "8", "CONTRAST.NAME")
    message = "contrastive loss 'bare' lacks from_config, num_negatives: derive it from kdvideo.losses.ContrastiveLoss"
    refused(tiny_overrides, message, *small, "bare")
    message = r"'per_clip' gives \[2\] as loss\(z\[2, 2, 8\], index\[2\], negatives\[2, 0\]\): it must be a scalar"
    refused(tiny_overrides, message, *small, "per_clip")
    refused(tiny_overrides, r"'fails' fails as .* \(IndexError: ", *small, "fails")


def test_datasets(tiny_overrides: list[str]):
    """Swapped arguments, no videos, no records."""
    record = VideoRecord(path=Path("a.avi"), name="a.avi", class_id=0)
    datasets = {
        "swapped": [VideoRecord("a.avi", Path("a.avi"), 0)],
        "named": [VideoRecord(path=Path("a.avi"), name="a.avi", class_id="a")],
        "below": [VideoRecord(path=Path("a.avi"), name="a.avi", class_id=-1)],
        "paths": [record.path],
        "empty": [],
    }
    messages = {
        "swapped": "training video 1: path is 'a.avi' of type str; give VideoRecord",
        "named": "training video 1: class_id is 'a' of type str; give",
        "below": "training video 1: class_id is -1, below 0; give",
        "paths": "training video 1: a PosixPath is no VideoRecord",
        "empty": "dataset 'empty' gives no training video: look at",
    }
    for name, message in messages.items():
        DATASETS.register_as(name)(lambda *_, records=datasets[name], **__: records)
        refused(tiny_overrides, message, "DATA.NAME", name)


def test_tasks(tiny_overrides: list[str]):
    """Of another class, without `trainable`, without a loss."""

    class NoTask(torch.nn.Module):
        @classmethod
        def from_config(cls, cfg, *, model, num_videos, teacher):
            return cls()

    class Nothing(Task):
        from_config = NoTask.from_config.__func__

    Nothing.from_config = classmethod(Nothing.from_config)

    class NoLoss(Nothing):
        def __init__(self):
            super().__init__()
            self.trainable = torch.nn.Linear(1, 1)

        def forward(self, batch):
            return {"accuracy": torch.zeros(())}

    for name, kind in (("no_task", NoTask), ("nothing", Nothing), ("no_loss", NoLoss)):
        TASKS.register_as(name)(kind)
    refused(tiny_overrides, "no_task has built a NoTask: derive it from kdvideo.tasks.Task", "TASK.NAME", "no_task")
    refused(tiny_overrides, "TASK.NAME nothing has no trainable: set self.trainable", "TASK.NAME", "nothing")
    refused(tiny_overrides, "NoLoss gives accuracy and no loss: ", "TASK.NAME", "no_loss")


def test_hooks_optimizers_and_schedules(tiny_overrides: list[str]):
    """Unknown, or of another class."""
    HOOKS.register_as("a_function")(lambda cfg, *, folder: print)
    OPTIMIZERS.register_as("own_groups")(lambda groups, **_: torch.optim.SGD(groups[0]["params"], lr=1))
    SCHEDULES.register_as("a_number")(lambda *_, **__: 0.1)
    refused(tiny_overrides, r"SOLVER.HOOKS: unknown hook 'wandb'", "SOLVER.HOOKS", "[wandb]")
    message = "a_function has built a builtin_function_or_method: derive it from kdvideo.engine.trainer.Hook"
    refused(tiny_overrides, message, "SOLVER.HOOKS", "[a_function]")
    refused(tiny_overrides, "own_groups has built a SGD: it must be a", "SOLVER.OPTIMIZER", "own_groups")
    refused(tiny_overrides, "a_number has built a float: it must be a", "SOLVER.SCHEDULE", "a_number")


def test_parts_take_at_most_25_lines():
    """The page's files, blank lines counted; two trackers are two."""
    own = {block.title: block.text for block in BLOCKS if block.page == "docs/own_parts.md" and block.title}
    assert len(own) == 8
    for title, text in own.items():
        assert len(text.splitlines()) <= (50 if title == "trackers.py" else 25), title


def test_trackers_log_every_epoch(tiny_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stand-ins for W&B and MLflow get the config, each epoch's numbers, and the end."""
    seen: list[tuple] = []
    run = SimpleNamespace(
        log=lambda values, step: seen.append(("wandb", step, values["loss"])), finish=lambda: seen.append(("finish",))
    )
    wandb = SimpleNamespace(init=lambda **options: seen.append(("init", options["config"]["SEED"])) or run)
    mlflow = SimpleNamespace(
        start_run=lambda run_name: seen.append(("start", run_name)),
        log_dict=lambda values, file: seen.append(("config", values["SEED"])),
        log_metrics=lambda values, step: seen.append(("mlflow", step, values["loss"])),
        end_run=lambda: seen.append(("end",)),
    )
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    exec(next(block.text for block in BLOCKS if block.title == "trackers.py"), {})
    out = ["OUTPUT_DIR", str(tmp_path / "tracked"), "SOLVER.EPOCHS", "1"]
    train(load_config(None, [*tiny_overrides, *out, "SOLVER.HOOKS", "[wandb, mlflow]"]))
    assert [one[0] for one in seen] == ["init", "start", "config", "wandb", "mlflow", "finish", "end"]
    assert seen[3][1:] == seen[4][1:]
    assert isinstance(HOOKS.get("wandb"), type)
    assert issubclass(HOOKS.get("wandb"), Hook)


def test_a_module_of_four_things(tiny_overrides: list[str]):
    """`num_features`, `clip_spec`, `forward_features` and `forward` are all that a backbone needs: it trains."""

    class Plain(torch.nn.Module):
        def __init__(self, *, clip_spec):
            super().__init__()
            self.num_features, self.clip_spec = 4, clip_spec
            self.conv = torch.nn.Conv3d(3, 4, 3, stride=4)

        def forward_features(self, clip):
            return self.conv(clip)

        def forward(self, clip):
            return self.forward_features(clip).mean(dim=(2, 3, 4))

    BACKBONES.register_as("plain")(Plain)
    options = ["MODEL.BACKBONE", "plain", "MODEL.WIDTH", "64", "TASK.NAME", "supervised", "SOLVER.EPOCHS", "1"]
    assert "video_accuracy_3clip" in train(load_config(None, [*tiny_overrides, *options])).metrics
