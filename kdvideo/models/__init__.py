"""Backbones and heads. Importing this module fills BACKBONES and HEADS."""

from kdvideo.models.backbone import Backbone, NetBackbone
from kdvideo.models.c3d import create_c3d
from kdvideo.models.c3d_sports1m import create_c3d_sports1m
from kdvideo.models.from_pytorchvideo import EfficientX3DBackbone, X3DBackbone
from kdvideo.models.from_torchvision import MC3Backbone, MViTBackbone, S3DBackbone, Swin3DBackbone
from kdvideo.models.heads import (
    OrderHead,
    PCLHead,
    PretextHead,
    ProjectionHead,
    create_classification_head,
    create_distillation_head,
    create_order_head,
    create_pcl_head,
    create_pretext_head,
    create_projection_head,
)
from kdvideo.models.pcl import ClassificationModel, PCLModel, build_backbone, build_pcl_model
from kdvideo.models.r2plus1d import create_r2plus1d
from kdvideo.models.r3d import create_r3d

__all__ = [
    "Backbone",
    "ClassificationModel",
    "EfficientX3DBackbone",
    "MC3Backbone",
    "MViTBackbone",
    "NetBackbone",
    "OrderHead",
    "PCLHead",
    "PCLModel",
    "PretextHead",
    "ProjectionHead",
    "S3DBackbone",
    "Swin3DBackbone",
    "X3DBackbone",
    "build_backbone",
    "build_pcl_model",
    "create_c3d",
    "create_c3d_sports1m",
    "create_classification_head",
    "create_distillation_head",
    "create_order_head",
    "create_pcl_head",
    "create_pretext_head",
    "create_projection_head",
    "create_r2plus1d",
    "create_r3d",
]
