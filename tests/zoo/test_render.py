"""MODEL_ZOO.md."""

from tiny_zoo import NAME, publish_tiny

from kdvideo.paths import user_zoo
from kdvideo.zoo.render import render_catalogue


def test_catalogue_is_rendered():
    """MODEL_ZOO.md of the zoo has the entry's row after publishing."""
    _, entry = publish_tiny()
    text = (user_zoo() / "MODEL_ZOO.md").read_text()
    assert text == render_catalogue([entry])
    assert f"| `{NAME}` | 4 x 32², residual | 0.06 M |" in text
    assert "| 50.0 (20.0) | 25.0 | - | - |" in text
