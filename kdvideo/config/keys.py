"""Every config key, declared once: the values of PCL(VCP) as published, for UCF101 at full size.

Those of SOLVER, EVAL and ZOO stand in `kdvideo.config.run_keys`.
"""

from kdvideo.config.key import (
    Key,
    Registered,
    Role,
    Section,
    above,
    at_least,
    below,
    between,
    every_channel_above,
    key,
    one_of,
    three_numbers,
)
from kdvideo.config.run_keys import RUN_KEYS
from kdvideo.registry import BACKBONES, DATASETS, LOSSES, PRETEXTS, TASKS

__all__ = ["KEYS", "SECTIONS", "keys_with_role"]

TRAINING, RESUMABLE, PLACE = Role.TRAINING, Role.RESUMABLE, Role.PLACE
MEASURING, UNTOLD, SETTING = Role.MEASURING, Role.UNTOLD, Role.SETTING
SAMPLE, ANSWER = Role.SAMPLE, Role.ANSWER

SECTIONS = {
    "": Section("The run"),
    "TASK": Section("What is trained for"),
    "MODEL": Section("The network"),
    "CLIP": Section("A clip", "what one clip is and how the network sees it"),
    "PRETEXT": Section("The pretext"),
    "CONTRAST": Section("The contrastive loss"),
    "TEACHER": Section("The teacher"),
    "DATA": Section("Videos"),
    "AUGMENT": Section("Augmentation", "SimCLR's set, one draw a clip"),
    "SOLVER": Section("Optimisation"),
    "EVAL": Section("Evaluation"),
    "ZOO": Section("Publishing"),
}

KEYS: dict[str, Key] = {
    "VERSION": key(1, TRAINING, one_of(1), comment="of these keys"),
    "SEED": key(
        0,
        TRAINING | MEASURING | SAMPLE,
        at_least(0),
        below(2**31),
        comment="of weights, samples and augmentation: one seed, one result",
    ),
    "OUTPUT_DIR": key("output", RESUMABLE | PLACE, comment="the run's folder, for metrics, log and checkpoints"),
    "TEACHERS": key(
        [], TRAINING, comment="several teachers, a list of blocks of TEACHER's keys; leave TEACHER alone then"
    ),
    "TASK.NAME": key("pcl", TRAINING, Registered(TASKS), comment="what is minimised"),
    "MODEL.BACKBONE": key(
        "r3d_10",
        TRAINING,
        Registered(BACKBONES),
        comment="one of your own is registered by a file that `--import FILE.py` names",
    ),
    "MODEL.WIDTH": key(
        64, TRAINING | SETTING, at_least(1), comment="channels of the stem; every other layer scales with it"
    ),
    "MODEL.PROJECTION_DIM": key(
        128, TRAINING, at_least(1), comment="length of the projection that the contrastive loss compares"
    ),
    "MODEL.WEIGHTS": key("", TRAINING, comment='initial weights: zoo name, path or URL; "" draws them from SEED'),
    "MODEL.CLIP_SPEC": key(
        "", TRAINING, comment='input convention of WEIGHTS that do not tell it: a name, or "{mean: .., std: .., ..}"'
    ),
    "CLIP.LENGTH": key(16, TRAINING | SAMPLE | SETTING, at_least(1), comment="frames of a clip"),
    "CLIP.FRAME_STRIDE": key(
        1, TRAINING | SAMPLE, at_least(1), comment="video frames from one frame of a clip to the next"
    ),
    "CLIP.SIZE": key(112, TRAINING | SAMPLE | SETTING, at_least(1), comment="height and width of a clip in pixels"),
    "CLIP.MEAN": key(
        [0.45, 0.45, 0.45], TRAINING | SAMPLE, three_numbers(), comment="of each channel, in [0, 1]; it is subtracted"
    ),
    "CLIP.STD": key(
        [0.225, 0.225, 0.225],
        TRAINING | SAMPLE,
        three_numbers(),
        every_channel_above(0),
        comment="of each channel; it divides",
    ),
    "CLIP.MODALITY": key(
        "residual",
        TRAINING | SAMPLE,
        one_of("rgb", "residual"),
        comment="pictures, or the differences of neighbouring frames",
    ),
    "PRETEXT.NAME": key(
        "vcp",
        TRAINING | MEASURING | UNTOLD | SAMPLE | SETTING,
        Registered(PRETEXTS),
        comment="what is done to a tuple of clips, and is to be told",
    ),
    "PRETEXT.TUPLE_LEN": key(3, TRAINING | SAMPLE, at_least(1), comment="clips of a sample; 1 with PRETEXT.NAME none"),
    "PRETEXT.INTERVAL": key(
        8,
        TRAINING | MEASURING | UNTOLD | SAMPLE,
        at_least(0),
        comment="frames between the clips of a tuple; shrinks to 0 in short videos",
    ),
    "CONTRAST.NAME": key(
        "bank_nce", TRAINING, Registered(LOSSES), comment="compares clips of one video with those of others"
    ),
    "CONTRAST.WEIGHT": key(0.5, TRAINING, at_least(0), comment="of the contrastive loss; the pretext's has 1"),
    "CONTRAST.NUM_NEGATIVES": key(
        1024, TRAINING, at_least(1), comment="other videos that each sample is compared with"
    ),
    "CONTRAST.TEMPERATURE": key(0.07, TRAINING, above(0), comment="divides the similarities"),
    "CONTRAST.BANK_MOMENTUM": key(
        0.5, TRAINING, between(0, 1), comment="share of a video's old entry that bank_nce keeps"
    ),
    "TEACHER.WEIGHTS": key("", TRAINING | PLACE, comment="zoo name, path or URL, hf:OWNER/REPO, folder"),
    "TEACHER.CLIP_SPEC": key(
        "",
        TRAINING | ANSWER,
        comment='input convention of another project\'s bare file: a name, or "{mean: .., std: .., ..}"',
    ),
    "TEACHER.SAMPLING": key(
        "auto",
        TRAINING | ANSWER,
        one_of("auto", "shared", "own"),
        comment='"shared": the student\'s frames, resampled; "own": as many of its own over the same spans; "auto": '
        "own where the teacher takes clips of one length and size only, otherwise shared",
    ),
    "TEACHER.VIEWS": key(
        0,
        TRAINING,
        at_least(0),
        comment="clips of its own, spread over each video, to which the teacher answers once for all epochs and "
        "students; 0: it answers to each sample's clips",
    ),
    "TEACHER.LOSSES": key(
        ["logit_distillation"], TRAINING, comment="distillation losses of LOSSES, added with the weights beside them"
    ),
    "TEACHER.LOSS_WEIGHTS": key([1.0], TRAINING, comment="one for each of LOSSES"),
    "TEACHER.STUDENT_LAYERS": key(
        [], TRAINING, comment="stages of the student that losses of tokens compare, e.g. [stage3]; [] is the last one"
    ),
    "TEACHER.KD_TEMPERATURE": key(4.0, TRAINING, above(0), comment="of logit_distillation"),
    "TEACHER.SIMILARITY_TEMPERATURE": key(
        0.07, TRAINING, above(0), comment="of similarity_distillation and queue_distillation"
    ),
    "TEACHER.NUM_ANCHORS": key(
        1024,
        TRAINING,
        at_least(0),
        comment="earlier clips that similarity_ and queue_distillation compare with, besides those of the batch",
    ),
    "TEACHER.REPLAY": key(
        False, TRAINING, comment="on: the teacher's answers are kept on disk, and read by the runs that come after"
    ),
    "TEACHER.WEIGHTING": key(
        "fixed",
        TRAINING,
        one_of("fixed", "adaptive"),
        comment='"adaptive": the losses\' weights are also learnt, by their uncertainty (arXiv 1705.07115)',
    ),
    "DATA.NAME": key(
        "ucf101",
        TRAINING | MEASURING,
        Registered(DATASETS),
        comment="how the folder is laid out, and which videos are the test list",
    ),
    "DATA.ROOT": key("", RESUMABLE | PLACE, comment="folder of the videos; has to be given"),
    "DATA.LIST_DIR": key("", RESUMABLE | PLACE, comment='"" means ROOT/ucfTrainTestlist'),
    "DATA.UNLABELLED_ROOT": key(
        "",
        RESUMABLE | PLACE,
        comment="folder of more training videos, without labels; a teacher's classes are learnt from them",
    ),
    "DATA.SPLIT": key(1, TRAINING | MEASURING, one_of(1, 2, 3), comment="which of a dataset's official lists"),
    "DATA.FRACTION": key(
        1.0,
        TRAINING | MEASURING | UNTOLD,
        above(0),
        between(0, 1),
        comment="of every class of the training list; which videos, SEED draws",
    ),
    "DATA.VALIDATION_SHARE": key(
        0.0,
        TRAINING | MEASURING | UNTOLD,
        below(1),
        between(0, 1),
        comment="of the training list's groups, held out to choose a model or to lower the rate by",
    ),
    "DATA.SHORT_SIDE": key(
        128, TRAINING | MEASURING | UNTOLD | SAMPLE, comment="frames are resized to this before the crop of CLIP.SIZE"
    ),
    "DATA.NUM_WORKERS": key(
        -1,
        RESUMABLE | PLACE,
        at_least(-1),
        comment="processes that read videos, per process of the run; -1 for one on each core but one, 0 for none",
    ),
    "DATA.CACHE": key(
        "",
        RESUMABLE | PLACE,
        comment="folder that keeps all decoded frames, resized to SHORT_SIDE, for this and later runs; "
        '"auto" is KDVIDEO_HOME/frames, "" decodes each clip when it is needed',
    ),
    "DATA.CACHE_ON": key(
        "auto",
        RESUMABLE | PLACE,
        one_of("auto", "host", "device"),
        comment="where CACHE's training frames are read with AUGMENT_ON device: the device's memory or the host's; "
        '"auto" is a GPU\'s where it has the room',
    ),
    "DATA.AUGMENT_ON": key(
        "worker",
        TRAINING | SAMPLE,
        one_of("worker", "device"),
        comment='where colours and blur are done: "worker" or the training "device"',
    ),
    "DATA.MANIFEST": key(
        "",
        RESUMABLE,
        comment='what `kdvideo data check` wrote; "" means ROOT/kdvideo-manifest.jsonl, where it is there',
    ),
    "DATA.TIME_LIMIT": key(
        120.0,
        RESUMABLE,
        above(0),
        comment="seconds for reading from one video; more where the manifest's check gave it more",
    ),
    "DATA.MAX_BAD_FRACTION": key(
        0.01, TRAINING, between(0, 1), comment="share of a list's videos that may be missing or give no frame"
    ),
    "AUGMENT.FLIP_PROB": key(0.5, TRAINING | SAMPLE, between(0, 1), comment="probability that a clip is mirrored"),
    "AUGMENT.COLOR_PROB": key(0.8, TRAINING | SAMPLE, between(0, 1), comment="probability that colours are jittered"),
    "AUGMENT.COLOR_STRENGTH": key(1.0, TRAINING | SAMPLE, at_least(0), comment="of the jitter; 1 is SimCLR's"),
    "AUGMENT.GRAYSCALE_PROB": key(
        0.2, TRAINING | SAMPLE, between(0, 1), comment="probability that a clip becomes grey"
    ),
    "AUGMENT.BLUR_PROB": key(0.5, TRAINING | SAMPLE, between(0, 1), comment="probability that a clip is blurred"),
    "AUGMENT.MIXUP": key(
        0.0,
        TRAINING | SAMPLE,
        between(0, 1),
        comment="a of Beta(a, a), the share of another video's clip; 0: no mixing",
    ),
    **RUN_KEYS,
}


def keys_with_role(role: Role) -> tuple[str, ...]:
    """Returns the dotted names of the keys with a role, as declared."""
    return tuple(name for name, declared in KEYS.items() if role in declared.roles)
