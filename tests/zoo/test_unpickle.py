"""Hostile and odd pickles: nothing runs, nothing is imported, and the tensors beside them still come out."""

import argparse
import functools
import io
import logging
import os
import pickle
import pickletools
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdvideo.zoo import unpickle
from kdvideo.zoo.unpickle import Placeholder, read_checkpoint

WEIGHTS = OrderedDict(weight=torch.arange(6.0).view(2, 3), bias=torch.zeros(2, dtype=torch.float16))


class _Calls:
    """Pickled as a call: `function(*args)`, and then whatever pickle does with a state and items."""

    def __init__(self, function: Any, *args: Any, rest: tuple[Any, ...] = ()) -> None:
        self.reduced = (function, args, *rest)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


class _Unknown:
    """A class that the reader does not trust, though it could be imported."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        Path(state["marker"]).touch()


class _UnknownDict(dict):
    """As mmengine's ConfigDict: a dict by inheritance."""


def _save(checkpoint: Any, path: Path, *, legacy: bool) -> Path:
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not legacy)
    return path


def _assert_weights(state: Any) -> None:
    assert list(state) == list(WEIGHTS)
    for key, expected in WEIGHTS.items():
        assert type(state[key]) is torch.Tensor
        assert state[key].dtype == expected.dtype
        assert torch.equal(state[key], expected)


def _attacks(marker: Path) -> dict[str, Any]:
    touch = f"open({str(marker)!r}, 'w').close()"
    unknown = _Unknown()
    unknown.__dict__["marker"] = str(marker)
    return {
        "os.system": _Calls(os.system, f"touch {marker}"),
        "subprocess": _Calls(subprocess.Popen, ["touch", str(marker)]),
        "builtins.eval": _Calls(eval, touch),
        "builtins.exec": _Calls(exec, touch),
        "partial": _Calls(functools.partial(exec, touch)),
        "method": _Calls(Path.touch, marker),
        "reduce": _Calls(functools.reduce, exec, [touch, {}]),
        "setstate": unknown,
        "setstate of a call's result": _Calls(_Unknown, rest=({"marker": str(marker)},)),
        "state holds a call": _Calls(argparse.Namespace, rest=({"a": _Calls(exec, touch)},)),
        "items of a call": _Calls(_UnknownDict, rest=(None, None, iter([("a", _Calls(exec, touch))]))),
        "torch's own loader": _Calls(torch.storage._load_from_bytes, _zip_bytes(_Calls(exec, touch))),
        "a key": {_Calls(os.system, f"touch {marker}"): 1},
    }


def _zip_bytes(obj: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(obj, stream)
    return stream.getvalue()


@pytest.mark.parametrize("legacy", [False, True])
def test_calls_in_a_pickle_do_not_happen(tmp_path: Path, legacy: bool):
    """Each attack is shown to work on a reader that trusts it, or this test would prove nothing."""
    marker = tmp_path / "executed"
    for name, attack in _attacks(marker).items():
        path = _save({"state_dict": WEIGHTS, "extra": attack}, tmp_path / "attack.pth", legacy=legacy)
        _assert_weights(read_checkpoint(path)["state_dict"])
        assert not marker.exists(), name
        torch.load(path, weights_only=False)
        _wait_for(marker)
        marker.unlink()


def _wait_for(marker: Path) -> None:
    while not marker.exists():  # Popen does not wait for its child
        time.sleep(0.02)


def _replace_pickle(path: Path, program: bytes) -> Path:
    """A checkpoint whose data.pkl is this program; its tensors' storages stay."""
    with zipfile.ZipFile(path) as source:
        records = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w") as target:
        for name, data in records.items():
            target.writestr(name, program if name.endswith("/data.pkl") else data)
    return path


def _string(text: str) -> bytes:
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


@pytest.mark.parametrize(
    "program",
    [
        b"cposix\nsystem\n(%s\ntR.",  # GLOBAL, REDUCE
        b"(S%r\niposix\nsystem\n.",  # INST
        b"(cposix\nsystem\n%s\no.",  # OBJ
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93%s\n\x85R.",  # STACK_GLOBAL
        b"cbuiltins\ngetattr\n(cposix\nsystem\nS'__call__'\ntR(%s\ntR.",  # a method of the function
        b"\x80\x02cposix\nsystem\n%s\n\x85\x81.",  # NEWOBJ
    ],
)
def test_hand_written_programs_do_not_run(tmp_path: Path, program: bytes):
    """The opcodes by which a pickle can call, in a checkpoint's data.pkl."""
    marker = tmp_path / "executed"
    command = f"touch {marker}"
    path = _save(WEIGHTS, tmp_path / "attack.pth", legacy=False)
    code = program.replace(b"%s\n", _string(command)).replace(b"%r", repr(command).encode())
    pickletools.dis(code, out=io.StringIO())  # it is a valid pickle
    result = read_checkpoint(_replace_pickle(path, code))
    assert isinstance(result, Placeholder)
    assert not marker.exists()


def test_a_program_cannot_change_what_it_is_given(tmp_path: Path):
    """BUILD sets attributes; those of torch's functions and of our own outlive a file, so none may be reachable."""
    attributes = b"}(" + _string("__defaults__") + b"K\x01\x85" + _string("poisoned") + b"K\x01u"
    path = tmp_path / "attack.pth"
    for name in ("torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_parameter", "collections\nOrderedDict"):
        _save(WEIGHTS, path, legacy=False)
        _replace_pickle(path, b"\x80\x02c" + name.encode() + b"\nN" + attributes + b"\x86b.")
        with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
            read_checkpoint(path)
    for function in (torch._utils._rebuild_tensor_v2, unpickle._rebuild_tensor, unpickle._rebuild_parameter):
        assert not hasattr(function, "poisoned")
        assert function.__defaults__ in (None, (None,))
    assert not hasattr(OrderedDict, "poisoned")
    assert not hasattr(Placeholder, "poisoned")


def test_names_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Importing a module already runs it."""
    (tmp_path / "module_of_a_stranger.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\nX = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = _save(WEIGHTS, tmp_path / "attack.pth", legacy=False)
    read_checkpoint(_replace_pickle(path, b"cmodule_of_a_stranger\nX\n."))
    assert not (tmp_path / "imported").exists()
    assert "module_of_a_stranger" not in sys.modules


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_come_out_beside_other_things(tmp_path: Path, legacy: bool, caplog: pytest.LogCaptureFixture):
    """What real checkpoints carry: arguments, numpy scalars and arrays, classes of the author's, containers."""
    extra = {
        "args": argparse.Namespace(lr=0.1, betas=(0.9, 0.99)),
        "best": np.float64(0.75),
        "history": np.arange(5),
        "config": _UnknownDict(depth=18),
        "counts": defaultdict(int, a=1),
        "path": tmp_path,
        "loss": torch.nn.CrossEntropyLoss(),
        "epoch": 7,
    }
    path = _save({"state_dict": WEIGHTS, **extra}, tmp_path / "model.pth.tar", legacy=legacy)
    with caplog.at_level(logging.WARNING):
        checkpoint = read_checkpoint(path)
    _assert_weights(checkpoint["state_dict"])
    assert checkpoint["epoch"] == 7
    for key in ("args", "best", "config", "counts", "loss"):
        assert isinstance(checkpoint[key], Placeholder), key
    assert checkpoint["args"].name == "argparse.Namespace"
    for name in ("argparse.Namespace", "_UnknownDict", "torch.nn.modules.loss.CrossEntropyLoss"):
        assert name in caplog.text


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_other_protocols(tmp_path: Path, protocol: int):
    """pytorchvideo's and others' files may be written by any protocol."""
    path = tmp_path / "model.pth"
    torch.save({"state_dict": WEIGHTS, "args": argparse.Namespace(a=1)}, path, pickle_protocol=protocol)
    _assert_weights(read_checkpoint(path)["state_dict"])


def test_parameters_lose_hooks_and_gradients(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """A state dict of Parameters gives plain tensors, whatever else is in the file."""
    state = OrderedDict((key, torch.nn.Parameter(value)) for key, value in WEIGHTS.items())
    path = _save({"state_dict": state, "args": argparse.Namespace()}, tmp_path / "model.pth", legacy=False)
    _assert_weights(read_checkpoint(path)["state_dict"])


def test_torchscript_and_tar_are_refused(tmp_path: Path):
    """torch.load would run the first and unpack the second."""
    script = tmp_path / "script.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(script))
    tar = tmp_path / "old.tar"
    with tarfile.open(tar, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(_Calls(exec, f"open({str(tmp_path / 'executed')!r}, 'w')"))
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    for path in (script, tar):
        with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
            read_checkpoint(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x02", pickle.dumps({"a": 1}), b"PK\x03\x04"])
def test_damaged_files_say_so(tmp_path: Path, content: bytes):
    """One line with the file's name, no traceback from inside torch."""
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.pth cannot be read as a checkpoint \("):
        read_checkpoint(path)


def test_truncated_files_say_so(tmp_path: Path):
    """Cut anywhere, both formats."""
    for legacy in (False, True):
        whole = _save({"state_dict": WEIGHTS, "args": argparse.Namespace()}, tmp_path / "whole.pth", legacy=legacy)
        data = whole.read_bytes()
        for part in (0.1, 0.5, 0.9):
            cut = tmp_path / "cut.pth"
            cut.write_bytes(data[: int(len(data) * part)])
            with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
                read_checkpoint(cut)
