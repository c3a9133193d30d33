"""Modules and objects that have moved. Their former names work for one more version, with a warning each."""

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["FORMER_ATTRIBUTES", "FORMER_NAMES", "follow_former_names", "former_attributes"]

FORMER_NAMES = {
    "kdvideo.data.blur": "kdvideo.data.augment.blur",
    "kdvideo.data.check": "kdvideo.data.checking.check",
    "kdvideo.data.color": "kdvideo.data.augment.color",
    "kdvideo.data.decode": "kdvideo.data.readers.decode",
    "kdvideo.data.file_errors": "kdvideo.data.readers.file_errors",
    "kdvideo.data.isolation": "kdvideo.data.checking.isolation",
    "kdvideo.data.length": "kdvideo.data.readers.length",
    "kdvideo.data.look": "kdvideo.data.checking.look",
    "kdvideo.data.manifest": "kdvideo.data.checking.manifest",
    "kdvideo.data.orientation": "kdvideo.data.readers.orientation",
    "kdvideo.data.outage": "kdvideo.data.readers.outage",
    "kdvideo.data.prepare": "kdvideo.data.proxies.dataset",
    "kdvideo.data.pretext": "kdvideo.data.pretexts.base",
    "kdvideo.data.probe": "kdvideo.data.readers.probe",
    "kdvideo.data.pyav_reader": "kdvideo.data.readers.pyav",
    "kdvideo.data.rebuild": "kdvideo.data.datasets.rebuild",
    "kdvideo.data.revision": "kdvideo.data.readers.revision",
    "kdvideo.data.rotnet": "kdvideo.data.pretexts.rotnet",
    "kdvideo.data.torchcodec_reader": "kdvideo.data.readers.torchcodec",
    "kdvideo.data.vcop": "kdvideo.data.pretexts.vcop",
    "kdvideo.data.vcp": "kdvideo.data.pretexts.vcp",
    "kdvideo.engine.evaluation_result": "kdvideo.evaluation.result",
    "kdvideo.engine.protocols": "kdvideo.evaluation.choice",
    "kdvideo.engine.save_evaluation": "kdvideo.evaluation.save",
    "kdvideo.engine.tuple_evaluation": "kdvideo.evaluation.pretext",
    "kdvideo.evaluation.measure": "kdvideo.evaluation.evaluate",
    "kdvideo.evaluation.probe": "kdvideo.evaluation.linear_probe",
    "kdvideo.evaluation.protocols": "kdvideo.evaluation.pretext",
    "kdvideo.inference.doctor": "kdvideo.doctor",
    "kdvideo.inference.requirements": "kdvideo.requirements",
    "kdvideo.models.adapters_pytorchvideo": "kdvideo.models.from_pytorchvideo",
    "kdvideo.models.adapters_torchvision": "kdvideo.models.from_torchvision",
    "kdvideo.study.pictures": "kdvideo.pictures",
    "kdvideo.study.pictures.confusion": "kdvideo.pictures.confusion",
    "kdvideo.study.pictures.curves": "kdvideo.pictures.curves",
    "kdvideo.study.pictures.gradcam": "kdvideo.pictures.gradcam",
    "kdvideo.study.pictures.retrieval": "kdvideo.pictures.retrieval",
    "kdvideo.study.pictures.study": "kdvideo.study.figures",
    "kdvideo.study.pictures.style": "kdvideo.pictures.style",
    "kdvideo.study.pictures.tsne": "kdvideo.pictures.tsne",
    "kdvideo.study.report": "kdvideo.report",
    "kdvideo.study.report.matrix": "kdvideo.report.matrix",
    "kdvideo.study.report.models": "kdvideo.report.models",
    "kdvideo.study.report.page": "kdvideo.report.page",
    "kdvideo.study.report.retrieval": "kdvideo.inference.neighbours",
    "kdvideo.study.report.runs": "kdvideo.report.runs",
    "kdvideo.zoo.formats.small_nets": "kdvideo.zoo.formats.vcop",
}

# Module -> former name in it -> current module and name.
_HEADS = {
    "PCLHead": "kdvideo.models._former.PCLHead",
    "create_classification_head": "kdvideo.models.heads.ClassificationHead",
    "create_distillation_head": "kdvideo.models.heads.DistillationHead",
    "create_order_head": "kdvideo.models.heads.OrderHead",
    "create_pcl_head": "kdvideo.models._former.create_pcl_head",
    "create_pretext_head": "kdvideo.models.heads.PretextHead",
    "create_projection_head": "kdvideo.models.heads.ProjectionHead",
}
_C3D = {"create_c3d": "kdvideo.models.c3d.c3d"}
_C3D_SPORTS1M = {"create_c3d_sports1m": "kdvideo.models.c3d_sports1m.c3d_sports1m"}
_R2PLUS1D = {"create_r2plus1d": "kdvideo.models._former.create_r2plus1d"}
_R3D = {"create_r3d": "kdvideo.models._former.create_r3d"}
_AUGMENT = (
    "AugmentConfig",
    "AugmentPlan",
    "augment_clips",
    "augment_each",
    "center_crop_plan",
    "draw_augment",
    "stack_maps",
)
_PROXIES = ("ProxyConfig", "proxy_name", "write_proxy")

# Two of the moved modules have the name of a package now.
FORMER_ATTRIBUTES = {
    "kdvideo.data.augment": {name: f"kdvideo.data.augment.plan.{name}" for name in _AUGMENT},
    "kdvideo.data.proxies": {name: f"kdvideo.data.proxies.transcode.{name}" for name in _PROXIES},
    "kdvideo.data.proxies.dataset": {"prepare_dataset": "kdvideo.data.proxies.dataset.write_proxies"},
    "kdvideo.models": _HEADS | _C3D | _C3D_SPORTS1M | _R2PLUS1D | _R3D,
    "kdvideo.models.c3d": _C3D,
    "kdvideo.models.c3d_sports1m": _C3D_SPORTS1M,
    "kdvideo.models.heads": _HEADS,
    "kdvideo.models.r2plus1d": _R2PLUS1D,
    "kdvideo.models.r3d": _R3D,
    "kdvideo.tasks.distill": {name: f"kdvideo.tasks.teacher.{name}" for name in ("check_teacher", "resample_clips")},
}


class _FormerNames(MetaPathFinder, Loader):
    """Finds a module by its former name, and loads the current module itself."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns a spec for a former name, else None."""
        return ModuleSpec(fullname, self) if fullname in FORMER_NAMES else None

    def exec_module(self, module: ModuleType) -> None:
        """Replaces `module` by the current module, after a warning that names it."""
        today = FORMER_NAMES[module.__name__]
        message = f"{module.__name__} is {today} now; the former name goes with the next version"
        warnings.warn(message, FutureWarning, stacklevel=2)
        sys.modules[module.__name__] = import_module(today)  # importlib returns the module that it finds here


def follow_former_names() -> None:
    """Lets imports find modules under their former names."""
    if not any(isinstance(finder, _FormerNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, _FormerNames())  # first, because a moved package would find its modules a second time


def former_attributes(module: str) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a module that has former names.

    Args:
        module: the module's `__name__`, a key of FORMER_ATTRIBUTES.
    """

    def find(name: str) -> Any:
        if name not in FORMER_ATTRIBUTES[module]:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        today = FORMER_ATTRIBUTES[module][name]
        message = f"{module}.{name} is {today} now; the former name goes with the next version"
        warnings.warn(message, FutureWarning, stacklevel=2)
        home, _, attribute = today.rpartition(".")
        return getattr(import_module(home), attribute)

    return find
