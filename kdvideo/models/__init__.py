"""Backbones and heads. Importing this package fills BACKBONES and HEADS."""

from kdvideo.former_names import former_attributes
from kdvideo.models import c3d, c3d_sports1m, from_timm, from_transformers, r2plus1d, r3d
from kdvideo.models.backbone import Backbone, NetBackbone
from kdvideo.models.frames import FramesBackbone
from kdvideo.models.from_pytorchvideo import EfficientX3DBackbone, X3DBackbone
from kdvideo.models.from_torchvision import MC3Backbone, MViTBackbone, S3DBackbone, Swin3DBackbone
from kdvideo.models.heads import ClassificationHead, DistillationHead, OrderHead, PretextHead, ProjectionHead
from kdvideo.models.pcl import ClassificationModel, PCLModel, build_backbone, build_pcl_model

__all__ = [
    "Backbone",
    "ClassificationHead",
    "ClassificationModel",
    "DistillationHead",
    "EfficientX3DBackbone",
    "FramesBackbone",
    "MC3Backbone",
    "MViTBackbone",
    "NetBackbone",
    "OrderHead",
    "PCLModel",
    "PretextHead",
    "ProjectionHead",
    "S3DBackbone",
    "Swin3DBackbone",
    "X3DBackbone",
    "build_backbone",
    "build_pcl_model",
    "c3d",
    "c3d_sports1m",
    "from_timm",
    "from_transformers",
    "r2plus1d",
    "r3d",
]

__getattr__ = former_attributes(__name__)
