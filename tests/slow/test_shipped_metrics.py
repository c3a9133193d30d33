"""Every model that ships gives the metrics of its entry again, on the videos that they were measured on."""

from pathlib import Path

import pytest

from kdvideo.cli import main
from kdvideo.paths import zoo_root
from kdvideo.zoo.sources import list_entries

pytestmark = pytest.mark.slow
SHIPPED = [entry.name for entry in list_entries(zoo_root()) if (zoo_root() / "weights" / entry.file).exists()]


@pytest.mark.parametrize("name", SHIPPED)
def test_metrics_are_found_again(real_data: Path, name: str, capsys: pytest.CaptureFixture):
    """The same hits, one video at most apart; nothing in the entry is left unmeasured."""
    assert main(["zoo", "verify", "--metrics", name, "--data", str(real_data / "ucf101-mini")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert not [line for line in lines if "not measured again" in line]
