"""Reduced precision: autocast for the backbone, after a look at each convolution's weight gradient."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from kdvideo.distributed import world_size
from kdvideo.models.backbone import Backbone
from kdvideo.models.folding import fold_batch_norm
from kdvideo.models.spec import Model, backbone_of
from kdvideo.registry import TASKS

__all__ = [
    "AMP_DTYPES",
    "ConvolutionUse",
    "check_compiler",
    "find_convolutions",
    "guard_convolutions",
    "prepare_frozen",
    "prepare_student",
    "run_in_precision",
    "weight_gradient_error",
]

AMP_DTYPES = MappingProxyType({"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16})
LARGEST_ERROR = 0.02  # of a weight gradient, relative to fp32's; rounding makes 0.003 in bf16
_NUM_CALLS = 5  # a wrong kernel may be right by chance: it reads memory that is not its own
_Forward = Callable[[Tensor], Tensor]
logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class ConvolutionUse:
    """How a backbone uses one of its convolutions.

    Attributes:
        name: in the backbone.
        module: the convolution.
        shape: of its input.
        stride: of its input in memory: kernels are chosen by the layout, too.
    """

    name: str
    module: _ConvNd
    shape: torch.Size
    stride: tuple[int, ...]

    @property
    def kind(self) -> tuple[object, ...]:
        """Equal for those that run the same kernels."""
        return str(self.module), self.shape, self.stride


def run_in_precision(backbone: Backbone, dtype: torch.dtype, *, compiled: bool = False, frozen: bool = False) -> None:
    """Makes the backbone compute under autocast and give fp32 features; heads and losses stay in fp32.

    A backbone that is trained does so in train mode only: it is evaluated in fp32 and as it is written, because its
    metrics are those of the stored weights.

    Args:
        backbone: changed in place, its tensors are not.
        dtype: fp32 switches autocast off.
        compiled: whether `torch.compile` makes the forward.
        frozen: whether it is in eval mode for good and autocast is meant for that.
    """
    if dtype == torch.float32 and not compiled:
        return
    as_written = backbone.forward
    forward = torch.compile(as_written, dynamic=False) if compiled else as_written

    def in_precision(clip: Tensor) -> Tensor:
        if not (backbone.training or frozen):
            return as_written(clip)
        with torch.autocast(clip.device.type, dtype=dtype, enabled=dtype != torch.float32):
            return forward(clip).float()

    _replace_forward(backbone, in_precision)


def guard_convolutions(backbone: Backbone, dtype: torch.dtype, *, num_clips: int, device: torch.device) -> list[str]:
    """Looks for convolutions whose weight gradient is wrong in `dtype` at its real shape, and makes them right.

    oneDNN 3.12 gives garbage on processors with AVX-512 where a clip has fewer time steps than the kernel, as the last
    stage of R3D, R(2+1)D and C3D has at 16 frames. There the zeros that the kernel would imply are given to it, which
    is the same sum; where that does not help, the convolution stays in fp32. Each is named in the log.

    Args:
        backbone: changed in place, its tensors are not.
        dtype: of autocast.
        num_clips: that go through it in one training step.
        device: where it is.

    Returns:
        The names of those that were wrong.
    """
    errors: dict[tuple[object, ...], float] = {}
    wrong = []
    for use in find_convolutions(backbone, num_clips=num_clips, device=device):
        if not use.module.weight.requires_grad:
            continue
        if use.kind not in errors:
            errors[use.kind] = weight_gradient_error(use, dtype)
        if errors[use.kind] > LARGEST_ERROR:
            how = _make_right(use, dtype)
            off = f"off by {errors[use.kind]:.0%}" if math.isfinite(errors[use.kind]) else "not finite"
            logger.warning(
                "%s: the weight gradient in %s is %s on this processor, input %s; %s",
                *(use.name, dtype, off, list(use.shape), how),
            )
            wrong.append(use.name)
    logger.info("%d convolutions compared with fp32, %d wrong in %s", len(errors), len(wrong), dtype)
    return wrong


@torch.no_grad()
def find_convolutions(backbone: Backbone, *, num_clips: int, device: torch.device) -> list[ConvolutionUse]:
    """Finds the convolutions that a pass of clips goes through, with their inputs."""
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
        backbone.eval()  # or the pass would move BatchNorm's statistics
        backbone(torch.zeros(num_clips, 3, spec.clip_len, spec.size, spec.size, device=device))
    finally:
        backbone.train(was_training)
        for handle in handles:
            handle.remove()
    return found


def weight_gradient_error(use: ConvolutionUse, dtype: torch.dtype) -> float:
    """Measures `|g - g32| / |g32|` of the weight gradient g under autocast.

    It is the worst of five calls, and inf where one is not finite.

    Input and output gradient are random, rounded to `dtype`, and the same for both.
    """
    module, device = use.module, use.module.weight.device
    generator = torch.Generator(device).manual_seed(0)
    clip = torch.empty_strided(use.shape, use.stride, device=device).normal_(generator=generator).to(dtype)
    exact_output = module(clip.float())
    output_gradient = torch.empty_like(exact_output).normal_(generator=generator).to(dtype)
    (exact,) = torch.autograd.grad(exact_output, module.weight, output_gradient.float())
    with torch.autocast(device.type, dtype=dtype):
        output = module(clip)
    errors = []
    for _ in range(_NUM_CALLS):
        (gradient,) = torch.autograd.grad(output, module.weight, output_gradient.to(output.dtype), retain_graph=True)
        errors.append(((gradient.float() - exact).norm() / exact.norm()).item())
    return max(error if math.isfinite(error) else math.inf for error in errors)


def prepare_student(backbone: Backbone, cfg: CfgNode, *, device: torch.device) -> None:
    """Makes a backbone that is trained compute as SOLVER says; reduced precision is checked first.

    Raises:
        ValueError: SOLVER.COMPILE where torch.compile does not work.
    """
    solver, dtype = cfg.SOLVER, AMP_DTYPES[cfg.SOLVER.AMP]
    if solver.COMPILE:
        check_compiler(device)
    if dtype != torch.float32:
        clips_per_sample = 1 if TASKS.get(cfg.TASK.NAME).needs_labels else cfg.PRETEXT.TUPLE_LEN
        num_clips = solver.BATCH_SIZE // world_size() // solver.ACCUMULATE * clips_per_sample
        guard_convolutions(backbone, dtype, num_clips=num_clips, device=device)
    run_in_precision(backbone, dtype, compiled=solver.COMPILE)


def prepare_frozen(model: Model, dtype: torch.dtype) -> int:
    """Makes a network fast that is not trained: BatchNorm folded into its convolutions, autocast, its weights' layout.

    Args:
        model: a teacher, or a copy that is evaluated; changed in place and put into eval mode.
        dtype: what its backbone computes in.

    Returns:
        How many BatchNorms were folded.
    """
    backbone = backbone_of(model.eval())
    folded = fold_batch_norm(backbone)
    backbone.to(memory_format=torch.channels_last_3d)
    run_in_precision(backbone, dtype, frozen=True)
    return folded


def check_compiler(device: torch.device) -> None:
    """Checks that torch.compile works here; on CPU it needs a C++ compiler.

    Raises:
        ValueError: it does not.
    """
    try:
        torch.compile(torch.add)(torch.ones(2, device=device), 1)
    except Exception as error:  # torch._inductor raises many kinds
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"SOLVER.COMPILE: torch.compile does not work here ({reason}): install a C++ compiler or leave it off"
        ) from None


def _make_right(use: ConvolutionUse, dtype: torch.dtype) -> str:
    module, as_written = use.module, use.module.forward
    if isinstance(module, nn.Conv3d) and module.padding_mode == "zeros" and not isinstance(module.padding, str):
        _replace_forward(module, partial(_convolve_padded, module))
        if weight_gradient_error(use, dtype) <= LARGEST_ERROR:
            return "its zero padding in time is made explicit, which is right"
    _replace_forward(module, partial(_convolve_in_fp32, as_written))
    return "it stays in fp32"


def _convolve_padded(module: nn.Conv3d, clip: Tensor) -> Tensor:
    """Computes the same sum, with explicit padding in time.

    ::

        2 time steps, kernel 3, padding 1:    (0) x1 x2 (0)   ->   0 x1 x2 0, padding 0
    """
    assert not isinstance(module.padding, str)
    time, height, width = module.padding
    padded = F.pad(clip, (0, 0, 0, 0, time, time))
    return F.conv3d(
        padded, module.weight, module.bias, module.stride, (0, height, width), module.dilation, module.groups
    )


def _convolve_in_fp32(convolve: _Forward, clip: Tensor) -> Tensor:
    with torch.autocast(clip.device.type, enabled=False):
        return convolve(clip.float()).to(clip.dtype)


def _replace_forward(module: nn.Module, forward: _Forward) -> None:
    # On the instance, as accelerate does: the module's class, the names of its tensors and its hooks stay.
    module.forward = forward
