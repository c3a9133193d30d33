"""The base class of backbones, and the residual stages that R3D and R(2+1)D share."""

import operator
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.pytorchvideo_parts import Net, ResBlock, ResStage
from kdvideo.models.recompute import set_recomputing

__all__ = ["Backbone", "NetBackbone", "ResidualConvs", "create_basic_stage", "find_stages", "stage_widths"]

# (dim_in, dim_out, stride) -> first and second convolution, and the shortcut's or None
ResidualConvs = Callable[[int, int, int], tuple[nn.Module, nn.Module, nn.Module | None]]


class Backbone(nn.Module):
    """A network that gives one feature vector per clip.

    Attributes:
        num_features: D, the length of a feature.
        clip_spec: the input convention.
        takes_any_clip: whether it takes clips of other lengths and sizes than those of `clip_spec`.
        stages: names of the maps of `forward_stages`, from the input on. A backbone that names none has the last alone.
    """

    takes_any_clip: bool = True

    def __init__(self, *, num_features: int, clip_spec: ClipSpec, stages: Sequence[str] = ("last",)) -> None:
        super().__init__()
        self.num_features = num_features
        self.clip_spec = clip_spec
        self.stages = tuple(stages)  # no attribute of the class, which would hide a derived class's module of this name

    def forward_features(self, clip: Tensor) -> Tensor:
        """Computes the feature map. `[B, C, T, H, W]` -> `[B, D, t, h, w]`."""
        raise NotImplementedError(f"{type(self).__name__} has no forward_features")

    def forward_stages(self, clip: Tensor) -> dict[str, Tensor]:
        """Computes the maps of all stages in one pass. `[B, C, T, H, W]` -> `[B, D, t, h, w]` each.

        Returns:
            A map for each name of `stages`, in their order. The last one is that of `forward_features`.
        """
        return {self.stages[-1]: self.forward_features(clip)}

    def parts_to_recompute(self) -> Sequence[nn.Module]:
        """Returns the modules that gradient checkpointing computes twice. None, if a backbone does not say."""
        return ()

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trains with less memory and more time: each part keeps its input, and computes the rest again.

        Raises:
            ValueError: the backbone does not say what its parts are.
        """
        parts = self.parts_to_recompute()
        if not parts:
            raise ValueError(f"{type(self).__name__} names no parts to recompute: write its parts_to_recompute()")
        set_recomputing(parts, enable)

    def forward(self, clip: Tensor) -> Tensor:
        """Averages the feature map over time and space. `[B, C, T, H, W]` -> `[B, D]`."""
        return self.forward_features(clip).mean(dim=(2, 3, 4))

    def forward_outputs(self, clip: Tensor, *, stages: Sequence[str], feature: bool = True) -> dict[str, Tensor]:
        """Computes features and maps together, in one pass if the feature is the mean of the last map.

        A network with a `forward` of its own needs a second pass for its features.

        Args:
            clip: `[B, C, T, H, W]`.
            stages: names of `stages`.
            feature: whether the features are wanted, too.

        Returns:
            `feature[B, D]`, the same as that of `forward`, and for each of the stages its map `[B, D, t, h, w]`.
        """
        maps = self.forward_stages(clip)
        outputs = {stage: maps[stage] for stage in stages}
        if feature and type(self).forward is Backbone.forward:
            outputs["feature"] = maps[self.stages[-1]].mean(dim=(2, 3, 4))
        elif feature:
            outputs["feature"] = type(self).forward(self, clip)  # the instance's may be another, in its precision
        return outputs


class NetBackbone(Backbone):
    """A backbone that applies its blocks one after another.

    They are named and initialised as those of a PyTorchVideo `Net`.

    Args:
        blocks: stem and stages; their output is `[B, num_features, t, h, w]`.
        num_features: D, the length of a feature.
        clip_spec: the input convention.
        stages: maps each stage's name to the index of its last block. The next block must not change that output in
            place. None: the last block is the only stage.

    Example:
        >>> import torch
        >>> blocks = [nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU()), nn.Conv3d(4, 8, 3)]
        >>> net = NetBackbone(blocks=blocks, num_features=8, clip_spec=ClipSpec(), stages={"stem": 0, "stage1": 1})
        >>> net(torch.randn(2, 3, 8, 32, 32)).shape
        torch.Size([2, 8])
        >>> {name: list(map_.shape) for name, map_ in net.forward_stages(torch.randn(2, 3, 8, 32, 32)).items()}
        {'stem': [2, 4, 6, 30, 30], 'stage1': [2, 8, 4, 28, 28]}
    """

    def __init__(
        self,
        *,
        blocks: Sequence[nn.Module],
        num_features: int,
        clip_spec: ClipSpec,
        stages: Mapping[str, int] | None = None,
    ) -> None:
        stages = stages or {"last": len(blocks) - 1}
        super().__init__(num_features=num_features, clip_spec=clip_spec, stages=tuple(stages))
        self.blocks = Net(blocks=nn.ModuleList(blocks)).blocks
        self._stage_ends = tuple(stages.values())

    def forward_features(self, clip: Tensor) -> Tensor:
        """Computes the last block's output. `[B, C, T, H, W]` -> `[B, D, t, h, w]`."""
        for block in self.blocks:
            clip = block(clip)
        return clip

    def parts_to_recompute(self) -> Sequence[nn.Module]:
        """Returns all blocks but the last, whose output is kept anyway."""
        return list(self.blocks)[:-1]

    def forward_stages(self, clip: Tensor) -> dict[str, Tensor]:
        """Computes the maps of all stages in one pass. `[B, C, T, H, W]` -> `[B, D, t, h, w]` each."""
        outputs = []
        for block in self.blocks:
            clip = block(clip)
            outputs.append(clip)
        return {name: outputs[end] for name, end in zip(self.stages, self._stage_ends, strict=True)}


def find_stages(blocks: Sequence[nn.Module]) -> dict[str, int]:
    """Returns where the stages of a residual network end: its stem, and each block that is a `ResStage`."""
    ends = [index for index, block in enumerate(blocks) if isinstance(block, ResStage)]
    return {"stem": 0, **{f"stage{number}": end for number, end in enumerate(ends, start=1)}}


def stage_widths(width: int) -> tuple[int, int, int, int]:
    """Returns the channels of the four stages behind a stem of `width` channels."""
    return width, 2 * width, 4 * width, 8 * width


def create_basic_stage(*, depth: int, dim_in: int, dim_out: int, stride: int, convs: ResidualConvs) -> ResStage:
    """Builds a PyTorchVideo `ResStage` of basic blocks, which have two convolutions.

    PyTorchVideo itself has bottlenecks only.

    ::

                Input
                  |--------------+
               conv_a, norm, act |
               conv_b, norm      | (convolution, norm where the shape changes)
                  |              |
                 Sum <-----------+
                  |
                 act

    Args:
        depth: number of blocks.
        dim_in: channels of the input.
        dim_out: channels of each block's output.
        stride: stride of the first block, in time and space.
        convs: builds the convolutions of one block.
    """
    blocks = [
        _create_basic_block(dim_in if i == 0 else dim_out, dim_out, stride=stride if i == 0 else 1, convs=convs)
        for i in range(depth)
    ]
    return ResStage(res_blocks=nn.ModuleList(blocks))


def _create_basic_block(dim_in: int, dim_out: int, *, stride: int, convs: ResidualConvs) -> ResBlock:
    conv_a, conv_b, conv_shortcut = convs(dim_in, dim_out, stride)
    main = OrderedDict(
        conv_a=conv_a,
        norm_a=nn.BatchNorm3d(dim_out),
        act_a=nn.ReLU(inplace=True),
        conv_b=conv_b,
        norm_b=nn.BatchNorm3d(dim_out),
    )
    return ResBlock(
        branch1_conv=conv_shortcut,
        branch1_norm=None if conv_shortcut is None else nn.BatchNorm3d(dim_out),
        branch2=nn.Sequential(main),
        activation=nn.ReLU(inplace=True),
        branch_fusion=operator.add,
    )
