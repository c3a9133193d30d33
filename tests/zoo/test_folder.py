"""A zoo's folder: names that lead nowhere else, and the former argument `zoo_dir`."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_zoo import NAME, publish_tiny

import kdvideo
from kdvideo.paths import user_zoo
from kdvideo.zoo import Zoo
from kdvideo.zoo.folder import as_zoo
from kdvideo.zoo.load import load_model
from kdvideo.zoo.sources import find_entry


def test_no_name_leads_out_of_a_zoo():
    """Whoever makes an entry in Python passes no check of its JSON: the folder checks the names again."""
    _, entry = publish_tiny()
    zoo = Zoo.user()
    for name in ("../x", "/etc/passwd", "a/b", ".."):
        for path_of in (zoo.entry_path, zoo.record_path, zoo.entry, lambda name: zoo.write(replace(entry, name=name))):
            with pytest.raises(ValueError, match="is no zoo name"):
                path_of(name)
    for file in ("../x.pt", "/etc/x.pt", "MODEL_ZOO.md", ".x.pt"):
        with pytest.raises(ValueError, match="names a file outside its zoo"):
            zoo.weights_of(replace(entry, file=file))


def test_a_zoo_by_its_path(tmp_path: Path):
    """A folder may be given as text or path; one without entries is empty, and no table is written into it."""
    assert as_zoo(str(tmp_path)) == as_zoo(tmp_path) == as_zoo(Zoo(tmp_path)) == Zoo(tmp_path)
    assert as_zoo(None) is None
    assert (Zoo(tmp_path).entries(), Zoo(tmp_path).entry(NAME)) == ([], None)
    with pytest.raises(ValueError, match="is no zoo: it has no folder entries/"):
        Zoo(tmp_path).render()


def test_models_of_another_zoo(tmp_path: Path):
    """Every function that takes a name takes the zoo to look into first; without it the name is unknown."""
    publish_tiny()
    elsewhere = user_zoo().rename(tmp_path / "elsewhere")
    assert NAME not in kdvideo.list_models()
    with pytest.raises(ValueError, match="unknown model"):
        kdvideo.create_model(NAME)
    for zoo in (elsewhere, str(elsewhere), Zoo(elsewhere)):
        assert NAME in kdvideo.list_models(zoo=zoo)
        model = kdvideo.create_model(NAME, pretrained=True, zoo=zoo)
        assert kdvideo.load_pretrained(model, NAME, zoo=zoo).new == ()
        assert kdvideo.create_pcl_model(NAME, pretrained=True, zoo=zoo).pretext_head is not None
        assert find_entry(NAME, zoo=zoo).zoo == Zoo(elsewhere)


def test_the_former_argument_warns(tmp_path: Path):
    """`zoo_dir=` does what `zoo=` does, and says so in one line that points at its caller."""
    publish_tiny()
    elsewhere = user_zoo().rename(tmp_path / "elsewhere")
    with pytest.warns(FutureWarning, match=r"load_model\(zoo_dir=\) is zoo= now") as caught:
        _, weights = load_model(NAME, zoo_dir=elsewhere)
    assert weights.entry is not None
    assert weights.path.is_relative_to(elsewhere)
    assert [Path(one.filename).name for one in caught] == ["test_folder.py"]
