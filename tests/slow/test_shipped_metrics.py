"""Every model that ships gives the metrics of its entry again, on the videos that they were measured on."""

from pathlib import Path

import pytest

from kdvideo.cli import main
from kdvideo.engine import verify
from kdvideo.engine.evaluation_config import evaluation_config
from kdvideo.zoo.folder import Zoo

pytestmark = pytest.mark.slow
ZOO = Zoo.packaged()
SHIPPED = [entry.name for entry in ZOO.entries() if ZOO.weights_of(entry).exists()]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decoded frames, which are those of the videos to the bit: the models share them."""
    return tmp_path_factory.mktemp("frames")


@pytest.mark.parametrize("name", SHIPPED)
def test_metrics_are_found_again(
    real_data: Path, frames: Path, name: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """The same hits, one video at most apart; nothing in the entry is left unmeasured."""

    def with_frames(*arguments, **keywords):
        cfg = evaluation_config(*arguments, **keywords)
        cfg.DATA.CACHE = str(frames)
        return cfg

    monkeypatch.setattr(verify, "evaluation_config", with_frames)
    assert main(["zoo", "verify", "--metrics", name, "--data", str(real_data / "ucf101-mini")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert not [line for line in lines if "not measured again" in line]
