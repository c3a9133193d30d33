"""The network of a file is found wherever Lightning, torch.compile, EMA, MoCo or people themselves have put it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign import fill, read_reference
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import video

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import ClassificationModel
from kdvideo.registry import BACKBONES
from kdvideo.zoo.formats import CLIP_SPECS, LAYOUTS, find_state, recognise
from kdvideo.zoo.load import load_model

RGB, KINETICS = CLIP_SPECS["kdvideo-rgb"], CLIP_SPECS["torchvision"]
SINGLE = ["model.", "net.", "_orig_mod.", "module.", "ema_model.", "encoder.", "encoder_q.", "backbone."]
NESTED = [
    "module.encoder_q.",
    "model.net.",
    "net._orig_mod.model.",
    "_orig_mod.module.",
    "ema_model.module.backbone.",
    "my_detector.trunk.",
]
PREFIXES = [*SINGLE, *NESTED]
OWN = "tests_tiny_own"

State = dict[str, Tensor]


class Own(Backbone):
    """A user's own network, whose builder needs an argument."""

    def __init__(self, *, depth: int, clip_spec: ClipSpec) -> None:
        super().__init__(num_features=4, clip_spec=clip_spec)
        self.module = nn.Conv3d(3, 4, 1)  # a name that DataParallel takes, too
        self.layers = nn.ModuleList(nn.Conv3d(4, 4, 1) for _ in range(depth))

    def forward_features(self, clip: Tensor) -> Tensor:
        clip = self.module(clip)
        for layer in self.layers:
            clip = layer(clip)
        return clip


@pytest.fixture
def own() -> Iterator[Callable[[], Backbone]]:
    """Registers it for one test, with a default and with a depth that the file cannot tell."""
    BACKBONES.register_as(OWN)(lambda *, depth=2, clip_spec=RGB: Own(depth=depth, clip_spec=clip_spec))
    yield lambda **kwargs: kdvideo.create_model(OWN, **kwargs)
    del BACKBONES._obj_map[OWN]


@pytest.fixture(scope="module")
def theirs() -> State:
    """torchvision's r3d_18 with 400 classes; each tensor one number, so that files are small."""
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in video.r3d_18().state_dict().items()}
    return {key: fill(key, (1,))[0].expand(shape) for key, shape in shapes.items()}


def save(checkpoint: Any, folder: Path, ending: str = "pth") -> str:
    file = folder / f"file.{ending}"
    save_file(checkpoint, file) if ending == "safetensors" else torch.save(checkpoint, file)
    return str(file)


def put(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {prefix + key: value for key, value in state.items()}


def assert_holds(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    held = model.state_dict()
    assert held.keys() == state.keys()
    assert all(torch.equal(value, held[key]) for key, value in state.items())


BESIDE = {"loss.centers": torch.zeros(3), "ce_weight": torch.zeros(2)}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_another_projects_network_under_any_prefix(theirs: State, tmp_path: Path, prefix: str):
    """With its classifier, and with what a Lightning module keeps beside it, which is named."""
    source = save({"state_dict": {**put(prefix, theirs), **BESIDE}, "epoch": 3}, tmp_path)
    with torch.device("meta"):  # drawing 33 million weights takes longer than all the rest
        model = kdvideo.create_model("r3d_18", 400, clip_spec=KINETICS)
    model.to_empty(device="cpu")
    report = kdvideo.load_pretrained(model, source, clip_spec=KINETICS)
    assert (report.prefix, report.under, report.new) == (prefix, "state_dict", ())
    assert set(report.dropped) == set(BESIDE)
    assert all("no part of the network, whose names begin with" in why for why in report.dropped.values())
    assert report.renamed["head.weight"] == f"{prefix}fc.weight"
    assert f"(under state_dict, prefix {prefix}): 122 tensors used, 2 dropped" in str(report)
    assert torch.equal(model.state_dict()["backbone.blocks.0.conv.weight"], theirs["stem.0.weight"])


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("prefix", ["", *PREFIXES])
def test_ones_own_registered_backbone_under_any_prefix(
    own: Callable[..., Backbone], tmp_path: Path, prefix: str, ending: str
):
    """Filled and found by name, in a pickle as in safetensors."""
    model = own()
    source = save({**put(prefix, model.state_dict()), **(BESIDE if prefix else {})}, tmp_path, ending)
    filled = own()
    report = kdvideo.load_pretrained(filled, source)
    assert_holds(filled, model.state_dict())
    assert report.prefix == (prefix if prefix != "backbone." else "")
    assert set(report.dropped) == (set(BESIDE) if prefix else set())
    assert_holds(load_model(source, clip_spec=RGB)[0], model.state_dict())


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_an_own_backbone_with_arguments_that_no_file_tells(own: Callable[..., Backbone], tmp_path: Path, ending: str):
    """It fills its like from both kinds of files; to build it from the file alone is refused."""
    model = own(depth=5)
    source = save(put("net.", model.state_dict()), tmp_path, ending)
    filled = own(depth=5)
    assert kdvideo.load_pretrained(filled, source).prefix == "net."
    assert_holds(filled, model.state_dict())
    with pytest.raises(ValueError, match="fit no backbone that is registered here"):
        load_model(source, clip_spec=RGB)


@pytest.mark.parametrize("prefix", ["", "model.", "module.student._orig_mod."])
def test_a_model_with_heads_keeps_them(tmp_path: Path, prefix: str):
    """kdvideo's own classifier within somebody's module, and PCL's heads."""
    for model in (
        kdvideo.create_model("r3d_10", num_classes=5, width=4),
        kdvideo.create_pcl_model("c3d", width=4, projection_dim=8),
    ):
        source = save({"model": {**put(prefix, model.state_dict()), **(BESIDE if prefix else {})}}, tmp_path)
        loaded, _ = load_model(source, clip_spec=RGB)
        assert type(loaded) is type(model)
        assert_holds(loaded, model.state_dict())


@pytest.mark.parametrize("prefix", ["", "module.", "net._orig_mod."])
def test_bare_keys_where_a_layout_expects_a_prefix(foreign_outputs: Path, tmp_path: Path, prefix: str):
    """IIC keeps VCOP's nets under `model` without more; MMAction2's networks are found without `backbone.`, too."""
    state, _ = read_reference(foreign_outputs, "pcl_r3d")
    bare = {key.removeprefix("base_network."): value for key, value in state.items() if key.startswith("base_")}
    spec = CLIP_SPECS["pcl-residual"]
    model, _ = load_model(save({"model": put(prefix, bare), "epoch": 240}, tmp_path), clip_spec=spec)
    whole, _ = load_model(save(state, tmp_path, "pt"), clip_spec=spec)
    assert_holds(model, whole.backbone.state_dict())
    finetuned = {**bare, "linear.weight": torch.ones(7, 512), "linear.bias": torch.ones(7)}
    classifier, _ = load_model(save({"model": put(prefix, finetuned)}, tmp_path), clip_spec=spec)
    assert isinstance(classifier, ClassificationModel)
    assert classifier.num_classes == 7
    (mmaction2,) = [layout for layout in LAYOUTS if layout.name == "mmaction2-r2plus1d_34"]
    signature = {key: torch.empty(shape) for key, shape in mmaction2.signature.items() if shape}
    assert str(recognise(put(prefix, signature), LAYOUTS)).startswith("mmaction2-r2plus1d_34")


def test_dataparallel_within_a_layouts_own_prefix(foreign_outputs: Path, tmp_path: Path):
    """PCL's heads are found although torch.compile stands between them and the network."""
    state, _ = read_reference(foreign_outputs, "pcl_r3d")
    wrapped = {
        f"module.{key.replace('base_network.', 'base_network._orig_mod.')}": value for key, value in state.items()
    }
    model = kdvideo.create_pcl_model("r3d_10")
    report = kdvideo.load_pretrained(model, save(wrapped, tmp_path), clip_spec=CLIP_SPECS["pcl-residual"])
    assert (report.prefix, report.new, dict(report.dropped)) == ("module.base_network._orig_mod.", (), {})


def test_mocos_encoder_is_the_one_that_learns(theirs: State, own: Callable[..., Backbone], tmp_path: Path):
    """Its momentum copy and its queue are named as left out."""
    queue = {"module.queue": torch.zeros(8, 16), "module.queue_ptr": torch.zeros(1)}
    nets = [(theirs, "r3d_18", 120), (own().state_dict(), OWN, 6)]
    for state, name, count in nets:
        old = {key: torch.zeros_like(value) for key, value in state.items()}
        moco = {**put("module.encoder_q.", state), **put("module.encoder_k.", old), **queue}
        model = kdvideo.create_model(name, clip_spec=KINETICS)
        report = kdvideo.load_pretrained(model, save({"state_dict": moco}, tmp_path), clip_spec=KINETICS)
        assert (report.prefix, len(report.used)) == ("module.encoder_q.", count)
        key = next(iter(state))
        assert report.dropped[f"module.encoder_k.{key}"] == "the momentum copy of the encoder"
        assert "no part of the network" in report.dropped["module.queue"]
        assert any(value.any() for value in model.state_dict().values())


def test_two_that_fit_are_refused_with_both_named(theirs: State, own: Callable[..., Backbone], tmp_path: Path):
    """Averaged and trained weights in one state dict, a teacher beside its student, of whichever projects."""
    model, small = own(), kdvideo.create_model("c3d", width=4)
    twice = put("model.", theirs) | put("ema_model.", theirs)
    ours = put("model.", model.state_dict()) | put("ema_model.", model.state_dict())
    pair = put("student.", small.state_dict()) | put("teacher.", theirs)
    for state, message in (
        (twice, r"several: torchvision-r3d_18 under model\., torchvision-r3d_18 under ema_model\.; save the one"),
        (ours, rf"several networks, {OWN} under model\., {OWN} under ema_model\.: save the one"),
        (pair, r"several networks, torchvision-r3d_18 under teacher\. and c3d under student\.: save the one"),
        (pair | put("old.", small.state_dict()), r"several networks, torchvision-r3d_18 under teacher\. and c3d"),
    ):
        with pytest.raises(ValueError, match=message):
            load_model(save(state, tmp_path), clip_spec=KINETICS)
    with pytest.raises(ValueError, match=r"this backbone several times, under ema_model\., model\.: save the one"):
        kdvideo.load_pretrained(model, save(ours, tmp_path))


def test_a_students_like_is_found_beside_a_larger_teacher(tmp_path: Path):
    """All names of r3d_10 are names of r3d_18, too: the one without others counts, and the one of the same width."""
    student = kdvideo.create_model("r3d_10", width=4)
    for teacher in (kdvideo.create_model("r3d_18", width=4), kdvideo.create_model("r3d_10", width=8)):
        state = put("student.", student.state_dict()) | put("teacher.", teacher.state_dict())
        filled = kdvideo.create_model("r3d_10", width=4)
        assert kdvideo.load_pretrained(filled, save(state, tmp_path)).prefix == "student."
        assert_holds(filled, student.state_dict())


@pytest.mark.parametrize(
    ("wrap", "under", "others"),
    [
        (lambda state, old: state, "", set()),
        (lambda state, old: {"state_dict": state, "optimizer_states": [{"state": {0: old}}]}, "state_dict", set()),
        (lambda state, old: {"state_dict": state, "state_dict_ema": old}, "state_dict", {"state_dict_ema.*"}),
        (lambda state, old: {"model_ema": {**put("module.", old), "n_averaged": old["0"]}, "model": state}, "model",
         {"model_ema.*"}),
        (lambda state, old: {"state": {"model": state}}, "state.model", set()),
        (lambda state, old: {"net": state, "classifier": old}, "net", {"classifier.*"}),
        (lambda state, old: {"student": state, "teacher": old, "epoch": 2}, "student", {"teacher.*"}),
        (lambda state, old: {"ema": {"module": state}}, "ema.module", set()),
    ],
)  # fmt: skip
def test_checkpoints_of_other_trainers(tmp_path: Path, wrap, under: str, others: set[str]):
    """What Lightning, timm, torchvision's references, DINO and DeepSpeed write; other state dicts are named."""
    model = kdvideo.create_model("r3d_10", width=4)
    source = save(wrap(model.state_dict(), {"0": torch.zeros(1)}), tmp_path)
    filled = kdvideo.create_model("r3d_10", width=4)
    report = kdvideo.load_pretrained(filled, source)
    assert_holds(filled, model.state_dict())
    assert report.under == under
    assert set(report.dropped) == others
    assert find_state(torch.load(source), origin="here").under == under


def test_names_that_unwrapping_would_make_equal_stay(own: Callable[..., Backbone], tmp_path: Path):
    """The average of a network beside the network itself, as AveragedModel keeps it, is a second network."""
    model = own()
    state = model.state_dict() | put("module.", model.state_dict())
    with pytest.raises(ValueError, match=r"several times, under no prefix, module\."):
        kdvideo.load_pretrained(model, save(state, tmp_path))
