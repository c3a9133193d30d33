"""Reduced precision: autocast for the backbone, after a check of each convolution's gradients."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from types import MappingProxyType

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from kdvideo.device import float32_convolutions
from kdvideo.distributed import world_size
from kdvideo.engine.convolutions import convolve_padded_in_time, suit_matrix_units
from kdvideo.engine.memory_format import to_channels_last
from kdvideo.engine.pooling import fuse_pooling
from kdvideo.engine.precise_maps import outputs_in_precision
from kdvideo.models.backbone import Backbone
from kdvideo.models.folding import fold_batch_norm
from kdvideo.models.spec import Model, backbone_of
from kdvideo.needs import needs_of
from kdvideo.tasks.preparation import ClipPreparation

__all__ = [
    "AMP_DTYPES",
    "ConvolutionUse",
    "check_compiler",
    "compile_preparation",
    "convolution_errors",
    "find_convolutions",
    "guard_convolutions",
    "prepare_frozen",
    "prepare_student",
    "run_in_precision",
]

AMP_DTYPES = MappingProxyType(
    {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "tf32": torch.float32}
)
LARGEST_ERROR = 0.02  # relative error of a gradient or an output against fp32; bf16 rounding causes 0.003
_NUM_CALLS = 5  # a wrong kernel reads memory that is not its own, so it may be right by chance
# Autocast would cast their weights anew in each forward, to the same values. A derived class may use them otherwise.
_CAST_BY_AUTOCAST = frozenset((nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear))
_Forward = Callable[[Tensor], Tensor]
logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class ConvolutionUse:
    """How a backbone uses one of its convolutions.

    Attributes:
        name: its name in the backbone.
        module: the convolution.
        shape: the shape of its input.
        stride: the memory strides of its input, because the layout also affects which kernel is chosen.
    """

    name: str
    module: _ConvNd
    shape: torch.Size
    stride: tuple[int, ...]

    @property
    def kind(self) -> tuple[object, ...]:
        """Equal for convolutions that run the same kernels."""
        return str(self.module), self.shape, self.stride


def run_in_precision(backbone: Backbone, dtype: torch.dtype, *, compiled: bool = False, frozen: bool = False) -> None:
    """Makes the backbone compute under autocast and return fp32 features. Heads and losses stay in fp32.

    A trained backbone uses autocast in train mode only. Evaluation runs the original network in fp32, because the
    metrics are those of the stored weights.

    Args:
        backbone: the backbone, changed in place. Its tensors stay as they are.
        dtype: the type of autocast. fp32 switches it off.
        compiled: whether `torch.compile` compiles the forward.
        frozen: whether the backbone always stays in eval mode and uses autocast there.
    """
    if dtype == torch.float32 and not compiled:
        return
    as_written = backbone.forward

    def compute(clip: Tensor) -> Tensor:
        with torch.autocast(clip.device.type, dtype=dtype, enabled=dtype != torch.float32):
            return as_written(clip).float()

    compute_fast = torch.compile(compute, dynamic=False) if compiled else compute

    def in_precision(clip: Tensor) -> Tensor:
        return compute_fast(clip) if backbone.training or frozen else as_written(clip)

    _replace_forward(backbone, in_precision)
    if isinstance(backbone, Backbone):
        replaced = outputs_in_precision(backbone, dtype, compiled=compiled, frozen=frozen)
        backbone.forward_outputs = replaced  # type: ignore[method-assign]


def guard_convolutions(backbone: Backbone, dtype: torch.dtype, *, num_clips: int, device: torch.device) -> list[str]:
    """Finds convolutions that are wrong in `dtype` at their real shape, and corrects them.

    oneDNN 3.12 gives wrong weight gradients on processors with AVX-512 and without AMX if a clip has fewer time steps
    than the kernel, as in the last stage of R3D, R(2+1)D and C3D at 16 frames. There the padding is added explicitly,
    which gives the same sum. If that does not help, the convolution stays in fp32. The log names each of them.

    Args:
        backbone: the backbone, changed in place. Its tensors stay as they are.
        dtype: the type of autocast.
        num_clips: number of clips in one training step.
        device: the backbone's device.

    Returns:
        The names of the wrong convolutions.
    """
    errors: dict[tuple[object, ...], tuple[str, float]] = {}
    wrong, on_gpu = [], device.type == "cuda"
    for use in find_convolutions(backbone, num_clips=num_clips, device=device):
        if not use.module.weight.requires_grad:
            continue
        if use.kind not in errors:
            found = convolution_errors(use, dtype, everything=on_gpu)
            errors[use.kind] = max(found.items(), key=itemgetter(1))
        what, error = errors[use.kind]
        if error > LARGEST_ERROR:
            how = _make_right(use, dtype, everything=on_gpu)
            off = f"off by {error:.0%}" if math.isfinite(error) else "not finite"
            logger.warning(
                "%s: the %s in %s is %s on this %s, input %s; %s",
                *(use.name, what, dtype, off, "GPU" if on_gpu else "processor", list(use.shape), how),
            )
            wrong.append(use.name)
    logger.info("%d convolutions compared with fp32, %d wrong in %s", len(errors), len(wrong), dtype)
    return wrong


@torch.no_grad()
def find_convolutions(backbone: Backbone, *, num_clips: int, device: torch.device) -> list[ConvolutionUse]:
    """Finds the convolutions that a forward pass uses, with their inputs."""
    found: list[ConvolutionUse] = []

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, _ConvNd)
        found.append(ConvolutionUse(name, module, inputs[0].shape, inputs[0].stride()))

    handles = [
        module.register_forward_pre_hook(partial(note, name))
        for name, module in backbone.named_modules()
        if isinstance(module, _ConvNd)
    ]
    spec, was_training = backbone.clip_spec, backbone.training
    try:
        backbone.eval()  # otherwise the pass would change BatchNorm's statistics
        backbone(torch.zeros(num_clips, 3, spec.clip_len, spec.size, spec.size, device=device))
    finally:
        backbone.train(was_training)
        for handle in handles:
            handle.remove()
    return found


def convolution_errors(use: ConvolutionUse, dtype: torch.dtype, *, everything: bool = False) -> dict[str, float]:
    """Measures `|x - x32| / |x32|` of what a convolution computes under autocast.

    Input and output gradient are random and rounded to `dtype`. Both computations get the same ones.

    Args:
        use: the convolution and its input.
        dtype: the type of autocast.
        everything: whether also the input gradient and the output are compared. On CPUs, only weight gradients have
            been seen wrong.

    Returns:
        The error of the "weight gradient", and with `everything` of the "input gradient" and the "output". Each is the
        largest of five calls, or inf if a value is not finite.
    """
    module, device = use.module, use.module.weight.device
    names = ("weight gradient", "input gradient", "output") if everything else ("weight gradient",)
    generator = torch.Generator(device).manual_seed(0)
    clip = torch.empty_strided(use.shape, use.stride, device=device).normal_(generator=generator).to(dtype)
    exact_clip = clip.float().requires_grad_(everything)
    with float32_convolutions(device, tf32=False):
        exact_output = module(exact_clip)
        output_gradient = torch.empty_like(exact_output).normal_(generator=generator).to(dtype)
        exact = [*_gradients(exact_output, [module.weight, exact_clip], output_gradient.float()), exact_output]
    with torch.autocast(device.type, dtype=dtype):
        output = module(clip.requires_grad_(everything))
    errors = []
    for _ in range(_NUM_CALLS):
        found = [*_gradients(output, [module.weight, clip], output_gradient.to(output.dtype)), output]
        pairs = list(zip(found, exact, strict=True))[: len(names)]
        errors.append(torch.stack([(one.float() - other).norm() / other.norm() for one, other in pairs]).detach())
    largest = torch.stack(errors).nan_to_num(nan=math.inf, posinf=math.inf).amax(dim=0)
    return dict(zip(names, largest.tolist(), strict=True))  # the only wait for a GPU


def _gradients(output: Tensor, inputs: Sequence[Tensor], output_gradient: Tensor) -> tuple[Tensor, ...]:
    wanted = [each for each in inputs if each.requires_grad]
    return torch.autograd.grad(output, wanted, output_gradient, retain_graph=True)


def prepare_student(backbone: Backbone, cfg: CfgNode, *, device: torch.device) -> None:
    """Prepares a trained backbone for the precision in SOLVER. Reduced precision is checked first.

    Raises:
        ValueError: SOLVER.COMPILE is set, and torch.compile does not work here.
    """
    solver, dtype = cfg.SOLVER, AMP_DTYPES[cfg.SOLVER.AMP]
    if solver.COMPILE:
        check_compiler(device)
        fuse_pooling(backbone)
    if dtype != torch.float32:
        suit_matrix_units(backbone, compiled=solver.COMPILE)
        clips_per_sample = needs_of(cfg.TASK.NAME).clips_per_sample(cfg.PRETEXT.TUPLE_LEN)
        num_clips = solver.BATCH_SIZE // world_size() // solver.ACCUMULATE * clips_per_sample
        guard_convolutions(backbone, dtype, num_clips=num_clips, device=device)
    run_in_precision(backbone, dtype, compiled=solver.COMPILE)


def prepare_frozen(model: Model, dtype: torch.dtype, *, compiled: bool = False) -> int:
    """Prepares a network for fast inference: it folds BatchNorm, and sets autocast and the weights' type and layout.

    Args:
        model: a teacher, or a copy for evaluation. It is changed in place and put into eval mode.
        dtype: the type in which its backbone computes.
        compiled: whether `torch.compile` compiles its backbone.

    Returns:
        The number of folded BatchNorms.
    """
    backbone = backbone_of(model.eval())
    folded = fold_batch_norm(backbone)
    to_channels_last(backbone)
    suit_matrix_units(backbone, compiled=compiled)
    for module in backbone.modules():
        if type(module) in _CAST_BY_AUTOCAST:
            module.to(dtype)
    run_in_precision(backbone, dtype, compiled=compiled, frozen=True)
    return folded


def compile_preparation(task: nn.Module, *, replayed: bool = False) -> None:
    """Makes the compiler fuse how a task turns decoded clips into its networks' inputs: one pass instead of six.

    Args:
        task: the task, changed in place.
        replayed: whether the teacher's answers are kept. Then its input must not depend on the compiler.
    """
    for module in task.children() if replayed else task.modules():
        if isinstance(module, ClipPreparation):
            module.compile(dynamic=False)


def check_compiler(device: torch.device) -> None:
    """Checks that torch.compile works here. On a CPU it needs a C++ compiler.

    Raises:
        ValueError: it does not work.
    """
    try:
        torch.compile(torch.add)(torch.ones(2, device=device), 1)
    except Exception as error:  # torch._inductor raises many kinds of errors
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"SOLVER.COMPILE: torch.compile does not work here ({reason}): install a C++ compiler or leave it off"
        ) from None


def _make_right(use: ConvolutionUse, dtype: torch.dtype, *, everything: bool) -> str:
    module, as_written = use.module, use.module.forward
    if isinstance(module, nn.Conv3d) and module.padding_mode == "zeros" and not isinstance(module.padding, str):
        _replace_forward(module, partial(convolve_padded_in_time, module))
        if max(convolution_errors(use, dtype, everything=everything).values()) <= LARGEST_ERROR:
            return "its zero padding in time is made explicit, which is right"
    _replace_forward(module, partial(_convolve_in_fp32, as_written))
    return "it stays in fp32"


def _convolve_in_fp32(convolve: _Forward, clip: Tensor) -> Tensor:
    with torch.autocast(clip.device.type, enabled=False):
        return convolve(clip.float()).to(clip.dtype)


def _replace_forward(module: nn.Module, forward: _Forward) -> None:
    # On the instance, as accelerate does. The module's class, its hooks and the names of its tensors stay the same.
    module.forward = forward
