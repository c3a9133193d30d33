"""From a folder of videos to a classifier in ONNX.

    python examples/first_hour.py output/demo/data

Features, nearest neighbours, finetuning on the folder's classes, confusions, a stream of frames, export.
"""

import sys
from pathlib import Path

import av

import kdvideo

videos = sys.argv[1]  # one folder of videos per class
names, features = kdvideo.embed(videos, out="output/features.safetensors")  # paths, float32 [V, 128]
for near in kdvideo.predict(names[0], gallery="output/features.safetensors", top=3)[0].best:
    print(names[0], "is near", near.video, f"similarity {near.similarity:.3f}")
kdvideo.finetune(model="r3d_10_w16.pcl-vcp_ucf101mini-s1", data=videos, out="output/mine", SOLVER={"EPOCHS": 8})
print(kdvideo.evaluate("output/mine", videos, out="output/measured").metrics)
print(Path("output/measured/confusion_classify.csv").read_text("utf-8"))
camera = (frame.to_ndarray(format="rgb24") for frame in av.open(names[0]).decode(video=0))
for answer in kdvideo.Predictor("output/mine").stream(camera, every=8):
    print("frame", answer.frame, answer.best[0].class_name, f"probability {answer.best[0].probability:.3f}")
print(kdvideo.export("output/mine", "output/mine.onnx").path)
