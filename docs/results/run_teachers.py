"""Three kinds of teacher into three students, with each loss that fits: the runs behind docs/results/teachers.md.

    python docs/results/run_teachers.py DATA_ROOT OUTPUT

Five epochs each on ucf101-mini at width 16. The teachers: a c3d of PCL(VCP), trained here and read from the zoo;
torchvision's r2plus1d_18 and PyTorchVideo's slow_r50 with random weights, saved in their own projects' layouts and read
as another project's files. Pretext answers are imitated on the teacher's own clips, 8 x 56 x 56; features by students
that see 8 x 32 x 32, while torchvision's teacher gets these clips resampled and the others take frames of their own.
`similarity_distillation` compares within the batch: while a queue fills, its scale changes. Inside each run, the
teacher's output for the first batch is compared with what the other project's own code makes of the same input.
Finished runs are not repeated.
"""

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import simplejson
import torch
import torchvision
from pytorchvideo.models import hub
from runs import markdown_table, read_lines
from torch import Tensor, nn

import kdvideo
from kdvideo.config import load_config
from kdvideo.engine.launch import train
from kdvideo.engine.trainer import Hook, Trainer
from kdvideo.paths import zoo_root

EPOCHS = 5
STUDENTS = ("c3d", "r3d_10", "r2plus1d_10")
C3D = "c3d_w16.pcl-vcp_ucf101mini-s1"
KINETICS = "mean: [0.43216, 0.394666, 0.37645], std: [0.22803, 0.22145, 0.216989]"
SLOW = "mean: [0.45, 0.45, 0.45], std: [0.225, 0.225, 0.225]"
# The others weigh 1. At 1 the logits of r2plus1d_10 fell by 16 %, slow_r50's features for c3d by 12 %.
LOSS_WEIGHTS = {("c3d-zoo", "logit_distillation"): 5.0, ("slow_r50-pytorchvideo", "embedding_distillation"): 5.0}
FEATURE_LOSSES = ("embedding_distillation", "similarity_distillation")


class OwnCode(Hook):
    """Compares the teacher's first output with its own project's, on the input that the teacher was given."""

    def __init__(self, own: Callable[[Tensor], Mapping[str, Tensor]]) -> None:
        self.own = own
        self.difference = float("nan")
        self.description = ""
        self._seen: tuple[Tensor, object] | None = None

    def before_epoch(self, trainer: Trainer) -> None:
        """Listens to the first batch."""
        if self._seen is None:
            self.description = trainer.task.lessons[0].teacher.describe()
            self._listening = trainer.task.lessons[0].teacher.model.register_forward_hook(self._listen)

    def _listen(self, module: nn.Module, inputs: tuple[Tensor], output: object) -> None:
        self._seen = inputs[0].clone(), output
        self._listening.remove()

    @torch.no_grad()
    def after_epoch(self, trainer: Trainer, metrics: dict) -> None:
        """The largest difference, relative to the largest value."""
        clips, output = self._seen
        given = output if isinstance(output, Mapping) else {"feature": output}
        for name, expected in self.own(clips).items():
            difference = ((given[name].reshape_as(expected) - expected).abs().max() / expected.abs().max()).item()
            self.difference = difference if self.difference != self.difference else max(self.difference, difference)


def torchvision_teacher(folder: Path) -> tuple[str, str, Callable]:
    """R(2+1)D-18 as torchvision saves and runs it."""
    torch.manual_seed(0)
    net = torchvision.models.video.r2plus1d_18().eval()
    torch.save(net.state_dict(), folder / "r2plus1d_18.pth")
    net.fc = nn.Identity()
    spec = f"{{{KINETICS}, modality: rgb, clip_len: 4, frame_stride: 2, size: 40}}"
    return str(folder / "r2plus1d_18.pth"), spec, lambda clips: {"feature": net(clips)}


def slow_teacher(folder: Path) -> tuple[str, str, Callable]:
    """SlowR50 as PyTorchVideo's hub saves it; its head's window is too large for 56 x 56, so the mean is taken."""
    torch.manual_seed(0)
    net = hub.slow_r50(pretrained=False).eval()
    torch.save({"model_state": net.state_dict()}, folder / "SLOW_4x16_R50.pyth")

    def own(clips: Tensor) -> dict[str, Tensor]:
        for block in net.blocks[:-1]:
            clips = block(clips)
        return {"feature": clips.mean(dim=(2, 3, 4))}

    spec = f"{{{SLOW}, modality: rgb, clip_len: 4, frame_stride: 2, size: 56}}"
    return str(folder / "SLOW_4x16_R50.pyth"), spec, own


def zoo_teacher(folder: Path, data: str) -> tuple[str, str, Callable]:
    """A c3d of this zoo; "its own code" is the network that its entry alone gives."""
    if not (folder / "zoo" / "entries" / f"{C3D}.json").exists():
        config = zoo_root() / "configs" / "pretrain" / "pcl_vcp_c3d_ucf101mini.yaml"
        options = ["DATA.ROOT", data, "OUTPUT_DIR", str(folder / "c3d"), "EVAL.PERIOD", "30"]
        train(load_config(config, [*options, "ZOO.DIR", str(folder / "zoo"), "ZOO.PUBLISH_AS", C3D]))
    file = next((folder / "zoo" / "weights").glob(f"{C3D}-*.safetensors"))
    net = kdvideo.create_pcl_model("c3d", width=16)
    kdvideo.load_pretrained(net, str(file))
    net.eval()
    return f"kdvideo://{C3D}", "", lambda clips: {"pretext_logits": net(clips)["pretext_logits"]}


def run(name: str, teacher: tuple[str, str, Callable], student: str, *, loss: str, data: str, output: Path) -> dict:
    """One student; what `summary.json` says of it."""
    folder = output / f"{name}-{student}-{loss}"
    if (folder / "summary.json").exists():
        return simplejson.loads((folder / "summary.json").read_text())
    shutil.rmtree(folder, ignore_errors=True)  # of a killed run
    weights, spec, own = teacher
    config = zoo_root() / "configs" / "distill" / f"pcl_vcp_{student}_ucf101mini.yaml"
    options = ["DATA.ROOT", data, "OUTPUT_DIR", str(folder), "ZOO.DIR", str(output / "zoo"), "DATA.NUM_WORKERS", "1"]
    options += ["TEACHER.WEIGHTS", weights, "TEACHER.CLIP_SPEC", spec, "TEACHER.LOSSES", f"['{loss}']"]
    if loss != "logit_distillation":  # answers are imitated on the teacher's own clips, features on small ones
        options += ["CLIP.SIZE", "32", "DATA.SHORT_SIDE", "36", "TEACHER.NUM_ANCHORS", "0"]
        options += ["TEACHER.SAMPLING", "shared" if "torchvision" in name else "own"]
    options += ["TEACHER.LOSS_WEIGHTS", str([LOSS_WEIGHTS.get((name, loss), 1.0)])]
    options += ["SOLVER.EPOCHS", str(EPOCHS), "EVAL.PERIOD", str(EPOCHS), "EVAL.TUPLES_PER_VIDEO", "1"]
    options += ["EVAL.CLIPS_PER_VIDEO", "1", "EVAL.FINAL_CLIPS_PER_VIDEO", "1"]  # what is measured here is the loss
    hook = OwnCode(own)
    train(load_config(config, options), extra_hooks=(hook,))
    epochs, _ = read_lines(folder)
    summary = {
        "teacher": name,
        "student": student,
        "loss": loss,
        "first": epochs[0][loss],
        "last": epochs[-1][loss],
        "difference": hook.difference,
        "sees": hook.description,
    }
    (folder / "summary.json").write_text(simplejson.dumps(summary) + "\n")
    return summary


def main() -> None:
    """Prints one row a run."""
    data, output = sys.argv[1], Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    teachers = {
        "c3d-zoo": (zoo_teacher(output, data), ("logit_distillation", *FEATURE_LOSSES)),
        "r2plus1d_18-torchvision": (torchvision_teacher(output), FEATURE_LOSSES),
        "slow_r50-pytorchvideo": (slow_teacher(output), FEATURE_LOSSES),
    }
    rows = []
    for name, (teacher, losses) in teachers.items():
        for student in STUDENTS:
            for loss in losses:
                one = run(name, teacher, student, loss=loss, data=data, output=output)
                fall = 1 - one["last"] / one["first"]
                values = (f"{one['first']:.4f}", f"{one['last']:.4f}", f"{fall:.0%}", f"{one['difference']:.1e}")
                rows.append([name, student, loss, *values])
                print(rows[-1], one["sees"], flush=True)
    header = ["teacher", "student", "loss", "epoch 1", f"epoch {EPOCHS}", "fall", "teacher against its own code"]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
