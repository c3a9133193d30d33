"""Convolutions and pooling as PyTorch has them, and as kdvideo computes them on a GPU in reduced precision.

    python benchmarks/stem.py [--device cuda] [--networks r3d_10 ..] [--everything] [--json FILE]

For each stem (with --everything also for each convolution of odd channel numbers, and each pooling) one line of JSON:
milliseconds of [forward, backward], "written" and "suited". The backward is the weight gradient for a stem. It is both
gradients otherwise. "alone" is the stem's 2D convolution without the passes that fold its input, which the
compiler fuses with the preparation of clips. Nothing is compiled here, so padding costs passes. The input is random.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from device_rates import time_calls
from json_lines import write_line
from torch import Tensor, nn
from torch.nn import functional as F

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine.convolutions import convolve_folded, convolve_with_padded_channels, fold_clip
from kdvideo.engine.pooling import pool_apart

NETWORKS = ("r3d_10", "r2plus1d_10", "c3d")


def time_both(compute: Callable[[Tensor], Tensor], clip: Tensor, wanted: list[Tensor]) -> list[float]:
    """Milliseconds of the forward and of the gradients of `wanted`, under autocast to bf16."""
    with torch.autocast(clip.device.type, dtype=torch.bfloat16):
        output = compute(clip)
        forward = time_calls(lambda: compute(clip), clip.device)
    gradient = torch.randn_like(output)
    backward = time_calls(lambda: torch.autograd.grad(output, wanted, gradient, retain_graph=True), clip.device)
    return [round(1e3 * seconds, 4) for seconds in (forward, backward)]


def measure_stem(conv: nn.Conv3d, clip: Tensor) -> dict[str, list[float]]:
    """Times of a convolution of few channels, whose input needs no gradient."""
    wanted = [conv.weight]
    line = {"written": time_both(conv, clip, wanted)}
    line["suited"] = time_both(partial(convolve_folded, conv=conv, pad_output=True), clip, wanted)
    pictures, out = fold_clip(clip, conv), -(-conv.out_channels // 8) * 8
    size = [-(-length // conv.stride[1]) for length in conv.kernel_size[1:]]
    weight = torch.randn(out, pictures.shape[1], *size, device=clip.device).contiguous(
        memory_format=torch.channels_last
    )
    weight.requires_grad_()
    line["alone"] = time_both(lambda inputs: F.conv2d(inputs, weight), pictures, [weight])
    return line


def measure_module(module: nn.Module, clip: Tensor) -> dict[str, list[float]]:
    """Times of a convolution of odd channel numbers, or of a pooling."""
    clip.requires_grad_()
    wanted = [clip, *(each for name, each in module.named_parameters() if name == "weight")]
    suited: Callable[[Tensor], Tensor] = partial(pool_apart, window=module.kernel_size)
    if isinstance(module, nn.Conv3d):
        suited = partial(convolve_with_padded_channels, conv=module)
    return {"written": time_both(module, clip, wanted), "suited": time_both(suited, clip, wanted)}


def find_modules(network: nn.Module, clips: Tensor) -> list[tuple[nn.Module, torch.Size]]:
    """Returns the convolutions and poolings with their inputs' shapes."""
    found: list[tuple[nn.Module, torch.Size]] = []
    handles = [
        module.register_forward_pre_hook(lambda module, inputs: found.append((module, inputs[0].shape)))
        for module in network.modules()
        if isinstance(module, nn.Conv3d | nn.MaxPool3d)
    ]
    with torch.no_grad(), torch.autocast(clips.device.type, dtype=torch.bfloat16):
        network(clips)
    for handle in handles:
        handle.remove()
    return found


def measure(name: str, *, device: torch.device, num_clips: int, everything: bool) -> list[dict[str, Any]]:
    """One line for each convolution or pooling of a network that has another form."""
    toy = device.type != "cuda"
    spec = ClipSpec(clip_len=8, size=32) if toy else ClipSpec()
    network = kdvideo.create_model(name, width=12 if toy else 64, clip_spec=spec)
    network = network.to(device, memory_format=torch.channels_last_3d)
    lines, seen = [], set()
    clips = torch.zeros(num_clips, 3, spec.clip_len, spec.size, spec.size, device=device)
    for module, shape in find_modules(network, clips):
        stem = isinstance(module, nn.Conv3d) and module.in_channels == 3
        odd = isinstance(module, nn.Conv3d) and (module.in_channels % 8 or module.out_channels % 8)
        other = everything and (odd or isinstance(module, nn.MaxPool3d))
        if not (stem or other) or (str(module), shape) in seen:
            continue
        seen.add((str(module), shape))
        clip = torch.randn(shape, device=device, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last_3d)
        times = measure_stem(module, clip) if stem else measure_module(module, clip)
        lines.append({"network": name, "module": str(module), "input": list(shape), **times})
    return lines


def main() -> None:
    """Prints a line for each module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="backbones (default: all three of the paper)")
    parser.add_argument("--everything", action="store_true", help="also odd channel numbers, and pooling")
    parser.add_argument("--json", type=Path, help="file to which the lines are added")
    options = parser.parse_args()
    device = torch.device(options.device)
    for name in options.networks:
        num_clips = 48 if device.type == "cuda" else 2
        for line in measure(name, device=device, num_clips=num_clips, everything=options.everything):
            print(json.dumps(line), flush=True)
            write_line(options.json, line)


if __name__ == "__main__":
    main()
