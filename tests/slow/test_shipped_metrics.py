"""Every model that ships gives the metrics of its entry again, on the videos that they were measured on."""

from pathlib import Path

import pytest

from kdvideo.cli import main
from kdvideo.zoo.folder import Zoo

pytestmark = pytest.mark.slow
ZOO = Zoo.packaged()
SHIPPED = [entry.name for entry in ZOO.entries() if ZOO.weights_of(entry).exists()]


@pytest.mark.parametrize("name", SHIPPED)
def test_metrics_are_found_again(real_data: Path, name: str, capsys: pytest.CaptureFixture):
    """The same hits, one video at most apart; nothing in the entry is left unmeasured."""
    assert main(["zoo", "verify", "--metrics", name, "--data", str(real_data / "ucf101-mini")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert not [line for line in lines if "not measured again" in line]
