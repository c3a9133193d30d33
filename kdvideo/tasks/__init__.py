"""Tasks: what is minimised. Importing this package fills TASKS."""

from kdvideo.needs import Needs
from kdvideo.tasks.distill import DistillTask
from kdvideo.tasks.lesson import Lesson
from kdvideo.tasks.pcl import PCLTask
from kdvideo.tasks.supervised import SupervisedTask
from kdvideo.tasks.task import Task
from kdvideo.tasks.teacher import FrozenTeacher

__all__ = ["DistillTask", "FrozenTeacher", "Lesson", "Needs", "PCLTask", "SupervisedTask", "Task"]
