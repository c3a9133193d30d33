"""Writes a model into a zoo. At any moment, its entry is either complete or absent."""

import datetime
import hashlib
import logging
import tempfile
from dataclasses import asdict
from pathlib import Path

import simplejson
import torch
from fvcore.nn import FlopCountAnalysis
from safetensors.torch import save

from kdvideo.config import settings_id
from kdvideo.files import write_atomic
from kdvideo.models.backbone import Backbone
from kdvideo.models.spec import Model, ModelSpec, backbone_of
from kdvideo.version import __version__
from kdvideo.zoo.contents import describe_contents
from kdvideo.zoo.entry import Facts, ZooEntry, check_name
from kdvideo.zoo.folder import Zoo, accept_zoo_dir, gallery_file
from kdvideo.zoo.licences import commerce_warning
from kdvideo.zoo.readable import check_readable

__all__ = ["check_publishable", "count_macs", "publish"]

logger = logging.getLogger("kdvideo")


def check_publishable(name: str, *, zoo: Zoo, replace: bool, config: str) -> None:
    """Refuses what cannot be published, before hours of training.

    Args:
        name: the name of the entry.
        zoo: the zoo to publish into. Its folder is made.
        replace: whether an entry with that name may be replaced.
        config: the run's config. A run may publish its entry again.

    Raises:
        ValueError: the name is no zoo name or is taken, or the zoo cannot be written.
    """
    check_name(name)
    known = None if replace else zoo.entry(name)
    if known is not None and settings_id(known.config) != settings_id(config):
        raise ValueError(f"{name} is taken in {zoo}: choose another name or use `replace`")
    try:
        zoo.path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=zoo.path).close()
    except OSError as error:
        raise ValueError(
            f"`zoo` {zoo} cannot be written: {error.strerror or error}; set `zoo` or KDVIDEO_HOME to a folder "
            "that can be"
        ) from None


@accept_zoo_dir
def publish(
    model: Model,
    name: str,
    *,
    zoo: Zoo,
    spec: ModelSpec,
    facts: Facts,
    dtype: torch.dtype = torch.float32,
    replace: bool = False,
) -> ZooEntry:
    """Writes a model's weights, its entry, and the table.

    The entry makes the model exist: a kill before it leaves an unused file at most. A licence that forbids commercial
    use, also that of a teacher, is logged.

    Args:
        model: the model.
        name: the name of the entry.
        zoo: the zoo to publish into. Its folder is made.
        spec: how the model is built.
        facts: the other contents of the entry. The header of the weights contains the `classes`, too.
        dtype: the type of the stored weights.
        replace: whether an entry with that name may be replaced.

    Raises:
        ValueError: see `check_publishable` and `check_readable`. Nothing is written then.
    """
    check_publishable(name, zoo=zoo, replace=replace, config=facts.config)
    check_readable(model, spec, facts)
    # safetensors refuses channels_last tensors
    state = {
        key: (value.to(dtype) if value.is_floating_point() else value).cpu().contiguous()
        for key, value in model.state_dict().items()
    }
    params, macs = (
        sum(parameter.numel() for parameter in backbone_of(model).parameters()),
        count_macs(backbone_of(model)),
    )
    with zoo.lock():
        check_publishable(name, zoo=zoo, replace=replace, config=facts.config)
        zoo.remove_temporaries()
        path, sha256 = _write_weights(state, zoo, name, describe_contents(spec, facts.classes))
        entry = ZooEntry(
            name=name,
            model=spec,
            file=path.name,
            sha256=sha256,
            params=params,
            macs=macs,
            date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
            kdvideo_version=__version__,
            size=path.stat().st_size,
            **asdict(facts),
        )
        zoo.write(entry)
        _remove_others(path, name)
        zoo.render()
    if warning := commerce_warning(entry.licence, entry.teachers):
        logger.warning("%s: %s", name, warning)
    return entry


def count_macs(backbone: Backbone) -> int:
    """Counts the backbone's multiply-accumulates for one clip of its `clip_spec`. They are what fvcore calls FLOPs."""
    spec = backbone.clip_spec
    parameter = next(backbone.parameters())
    clip = torch.zeros(1, 3, spec.clip_len, spec.size, spec.size, device=parameter.device, dtype=parameter.dtype)
    was_training = backbone.training
    analysis = FlopCountAnalysis(backbone.eval(), clip).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    macs = int(analysis.total())
    backbone.train(was_training)
    return macs


def _remove_others(weights: Path, name: str) -> None:
    """Removes the entry's former weights with their galleries. A kill may have left some."""
    for other in weights.parent.glob(f"{name}-{'[0-9a-f]' * 8}.safetensors"):
        if other != weights:
            other.unlink(missing_ok=True)
            gallery_file(other).unlink(missing_ok=True)


def _write_weights(state: dict[str, torch.Tensor], zoo: Zoo, name: str, header: dict[str, str]) -> tuple[Path, str]:
    """Writes `{name}-{sha256[:8]}.safetensors`, and returns its path and hash."""
    content = _sort_metadata(save(state, metadata=header))  # in memory, because the file's name needs its hash
    sha256 = hashlib.sha256(content).hexdigest()
    path = zoo.weights_path(f"{name}-{sha256[:8]}.safetensors")
    write_atomic(path, lambda temporary: temporary.write_bytes(content))
    return path, sha256


def _sort_metadata(content: bytes) -> bytes:
    """Returns a safetensors file with its metadata in the order of their keys. The library writes them in any order.

    ::

        8 bytes: length of the header | header, JSON and blanks up to a multiple of 8 | tensors

    Args:
        content: the file, with metadata. Its tensors are counted from the header's end, so they stay as they are.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = simplejson.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = simplejson.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]
