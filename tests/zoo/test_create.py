"""`create_model` gives what an entry says: a classifier with its names; or features; from any name of weights."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_zoo import FACTS, NAME, SPEC, publish_tiny, weights_file
from torchvision.models.video import MViT_V2_S_Weights, R3D_18_Weights

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models import Backbone, ClassificationModel
from kdvideo.models.spec import ModelSpec
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.publish import publish
from kdvideo.zoo.sources import find_entry, resolve_weights

CLIPS = ClipSpec(clip_len=8, size=32, modality="rgb")
CLASSES = ["walk", "run", "sit, or stand"]
WHOLE = ModelSpec("c3d", {"width": 4}, CLIPS, "classification_head", {"num_classes": 3})
CLIP = torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))


def publish_classifier(zoo: Zoo | None = None) -> tuple[ClassificationModel, ZooEntry]:
    model = WHOLE.build().eval()
    assert isinstance(model, ClassificationModel)
    facts = replace(FACTS, classes=CLASSES)
    return model, publish(model, "c3d.classes", zoo=zoo or Zoo.user(), spec=WHOLE, facts=facts)


def write_run(folder: Path, *, best: bool) -> ClassificationModel:
    """Writes what a run leaves: the last epoch's checkpoint, and with `best` another epoch's student."""
    folder.mkdir(parents=True)
    last, chosen = WHOLE.build().eval(), WHOLE.build().eval()
    extra = {"model": WHOLE.to_dict(), "classes": CLASSES}
    torch.save({"student": last.state_dict(), "optimizer": {}, **extra}, folder / "checkpoint.pt")
    if best:
        torch.save({"student": chosen.state_dict(), "epoch": 1, "value": 0.5, **extra}, folder / "best.pt")
    model = chosen if best else last
    assert isinstance(model, ClassificationModel)
    return model


def assert_same(model: torch.nn.Module, expected: ClassificationModel) -> None:
    assert isinstance(model, ClassificationModel)
    assert (model.classes, model.num_classes, model.clip_spec) == (tuple(CLASSES), 3, CLIPS)
    with torch.no_grad():
        assert torch.equal(model.eval()(CLIP), expected(CLIP))


def test_an_entry_with_a_head_is_a_classifier():
    """It was a bare backbone, without a word. Its own number of classes by name gives the same."""
    published, _ = publish_classifier()
    assert_same(kdvideo.create_model("c3d.classes", pretrained=True), published)
    assert_same(kdvideo.create_model("kdvideo://c3d.classes", 3, pretrained=True), published)
    untrained = kdvideo.create_model("c3d.classes")
    assert isinstance(untrained, ClassificationModel)
    assert untrained.classes == tuple(CLASSES)
    assert not torch.equal(untrained.head.weight, published.head.weight)


def test_number_of_classes():
    """0 gives features, of an architecture as well; another number gives a new head without names."""
    published, _ = publish_classifier()
    features = kdvideo.create_model("c3d.classes", num_classes=0, pretrained=True).eval()
    assert isinstance(features, Backbone)
    with torch.no_grad():
        assert torch.equal(features(CLIP), published.backbone(CLIP))
    assert kdvideo.create_model("c3d", num_classes=0, width=4, clip_spec=CLIPS)(CLIP).shape == (2, 32)
    other = kdvideo.create_model("c3d.classes", num_classes=7, pretrained=True)
    assert isinstance(other, ClassificationModel)
    assert (other(CLIP).shape, other.classes) == ((2, 7), ())
    assert other.head.weight.std() > 0


def test_an_entry_of_a_pretext_gives_features():
    """Its heads answer another question than which class it is."""
    publish_tiny()
    model = kdvideo.create_model(NAME, pretrained=True)
    assert isinstance(model, Backbone)
    assert model.clip_spec == SPEC.clip_spec


@pytest.mark.parametrize("best", [True, False])
def test_runs(tmp_path: Path, best: bool):
    """A run's folder is its best epoch, or its last; its files are taken as well, by `create_model` and by commands."""
    expected = write_run(tmp_path / "out" / "run", best=best)
    sources = [tmp_path / "out" / "run", tmp_path / "out" / "run" / ("best.pt" if best else "checkpoint.pt")]
    for source in (*sources, *map(str, sources)):
        assert_same(kdvideo.create_model(source, pretrained=True), expected)
        assert resolve_weights(str(source)).path == sources[1]
    features = kdvideo.create_model(sources[0], num_classes=0, pretrained=True)
    assert isinstance(features, Backbone)
    assert kdvideo.create_model(sources[0], num_classes=5, pretrained=True)(CLIP).shape == (2, 5)
    backbone = kdvideo.create_model("c3d", width=4, clip_spec=CLIPS)
    assert kdvideo.load_pretrained(backbone, str(sources[0])).new == ()


def test_a_folder_without_a_slash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A zoo's name comes first, so a folder needs a slash. The message says so."""
    write_run(tmp_path / "myrun", best=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"'myrun' is no zoo entry, but a folder here: write ./myrun"):
        kdvideo.create_model("myrun", pretrained=True)
    assert isinstance(kdvideo.create_model("./myrun", pretrained=True), ClassificationModel)


def test_files(tmp_path: Path):
    """A file of weights by its path, with a zoo given or not."""
    published, entry = publish_classifier()
    assert_same(kdvideo.create_model(str(weights_file(entry)), pretrained=True), published)
    assert_same(kdvideo.create_model(weights_file(entry), pretrained=True, zoo=tmp_path), published)
    with pytest.raises(ValueError, match=r"names weights: give `pretrained` True"):
        kdvideo.create_model(str(weights_file(entry)))
    with pytest.raises(ValueError, match="has its own settings: width cannot be given"):
        kdvideo.create_model(str(weights_file(entry)), pretrained=True, width=4)


def test_a_bare_file_takes_a_clip_spec(tmp_path: Path):
    """A state dict of torchvision's layout needs to be told its input."""
    torch.save(torch.nn.Module().state_dict(), tmp_path / "empty.pt")
    classifier = kdvideo.create_model("r3d_18", num_classes=400)
    net = importlib.import_module("torchvision.models.video").r3d_18(num_classes=400)
    torch.save(net.state_dict(), tmp_path / "theirs.pt")
    with pytest.raises(ValueError, match="give one of"):
        kdvideo.create_model(tmp_path / "theirs.pt", pretrained=True)
    model = kdvideo.create_model(tmp_path / "theirs.pt", pretrained=True, clip_spec=CLIPS)
    assert isinstance(model, ClassificationModel)
    assert torch.equal(model.head.weight, net.fc.weight)
    assert classifier.num_classes == model.num_classes == 400


def test_pcl_models_of_files():
    """The heads of a pretext come from a file, too."""
    model, entry = publish_tiny()
    loaded = kdvideo.create_pcl_model(weights_file(entry), pretrained=True)
    assert torch.equal(loaded.pretext_head.fc.weight, model.pretext_head.fc.weight)
    with pytest.raises(ValueError, match="has its own settings: tuple_len cannot be given"):
        kdvideo.create_pcl_model(weights_file(entry), pretrained=True, tuple_len=2)


def test_listing():
    """Only weights, less what is left out; whether a name is one."""
    publish_classifier()
    names = kdvideo.list_models("*c3d*", pretrained=True)
    assert "c3d.classes" in names
    assert "c3d" not in names
    assert "c3d" in kdvideo.list_models("*c3d*")
    assert "c3d.classes" not in kdvideo.list_models("*c3d*", exclude=["*classes", "x*"])
    assert "c3d" not in kdvideo.list_models(exclude="c3d")
    assert [kdvideo.is_model(name) for name in ("c3d", "c3d.classes", "c3d.other", "timm", "a/b")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_zoos_of_ones_own(tmp_path: Path):
    """All of these look into a zoo that is given."""
    published, _ = publish_classifier(Zoo(tmp_path / "zoo"))
    zoo = tmp_path / "zoo"
    assert kdvideo.is_model("c3d.classes", zoo=zoo)
    assert not kdvideo.is_model("c3d.classes")
    assert_same(kdvideo.create_model("c3d.classes", pretrained=True, zoo=zoo), published)


def test_kinetics_classes_have_names(capsys: pytest.CaptureFixture):
    """All entries of classifiers of Kinetics-400 know them, in torchvision's order, which is the alphabet's."""
    names = [entry.name for entry in Zoo.packaged().entries() if "400 classes" in entry.dataset]
    assert len(names) > 20
    for name in names:
        classes = find_entry(name).entry.class_names
        assert len(classes) == len(set(classes)) == 400
        # The order is the only one that all these projects can mean: sorted, with spaces or with underscores.
        assert classes == sorted(classes) == [name.replace("_", " ") for name in sorted(_underscored(classes))]
    model = kdvideo.create_model("r3d_18.torchvision_k400")
    assert isinstance(model, ClassificationModel)
    assert list(model.classes) == R3D_18_Weights.KINETICS400_V1.meta["categories"]
    assert list(model.classes) == MViT_V2_S_Weights.KINETICS400_V1.meta["categories"]
    # As PyTorchVideo's tutorial and I3D's label map number them.
    numbers = {"archery": 5, "bench pressing": 19, "changing wheel": 53, "eating ice cream": 115, "pole vault": 253}
    assert {name: model.classes.index(name) for name in numbers} == numbers
    assert find_entry("r3d_18_hara.hara_k700").entry.class_names == []
    importlib.import_module("kdvideo.cli").main(["zoo", "show", "r3d_18.torchvision_k400"])
    assert "- abseiling" in capsys.readouterr().out


def _underscored(classes: list[str]) -> list[str]:
    return [name.replace(" ", "_") for name in classes]


def test_public_names_complete():
    """A lazy module lists what it has, so that completion works."""
    assert set(kdvideo.__all__) <= set(dir(kdvideo))
    assert "create_model" in dir(kdvideo)


def test_a_path_is_never_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not even where a backbone is called so."""
    monkeypatch.chdir(tmp_path)
    Path("r3d_18").mkdir()
    with pytest.raises(ValueError, match=r"\./r3d_18: r3d_18 has no best.pt"):
        kdvideo.create_model(Path("r3d_18"), pretrained=True)
