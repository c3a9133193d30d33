"""Tasks: what is minimised. Importing this module fills TASKS."""

from kdvideo.tasks.distill import DistillTask, FrozenTeacher
from kdvideo.tasks.pcl import PCLTask
from kdvideo.tasks.supervised import SupervisedTask
from kdvideo.tasks.task import Task

__all__ = ["DistillTask", "FrozenTeacher", "PCLTask", "SupervisedTask", "Task"]
