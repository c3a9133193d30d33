"""Every config key, declared once: the values of PCL(VCP) as published, for UCF101 at full size."""

from kdvideo.config.key import (
    EachRegistered,
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
from kdvideo.registry import BACKBONES, DATASETS, HOOKS, LOSSES, OPTIMIZERS, PRETEXTS, SCHEDULES, TASKS

__all__ = ["KEYS", "SECTIONS", "keys_with_role"]

TRAINING, RESUMABLE, PLACE, STUDY_DEFAULT = Role.TRAINING, Role.RESUMABLE, Role.PLACE, Role.STUDY_DEFAULT
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
    "VERSION": key(1, TRAINING, one_of(1)),
    "SEED": key(0, TRAINING | MEASURING | SAMPLE, at_least(0), below(2**31)),
    "OUTPUT_DIR": key("output", RESUMABLE | PLACE),
    "TEACHERS": key(
        [], TRAINING, comment="several teachers, a list of blocks of TEACHER's keys; leave TEACHER alone then"
    ),
    "TASK.NAME": key("pcl", TRAINING, Registered(TASKS)),
    "MODEL.BACKBONE": key(
        "r3d_10",
        TRAINING,
        Registered(BACKBONES),
        comment="one of your own is registered by a file that `--import FILE.py` names",
    ),
    "MODEL.WIDTH": key(
        64, TRAINING | SETTING, at_least(1), comment="channels of the stem; every other layer scales with it"
    ),
    "MODEL.PROJECTION_DIM": key(128, TRAINING, at_least(1)),
    "MODEL.WEIGHTS": key("", TRAINING, comment='initial weights: zoo name, path or URL; "" draws them from SEED'),
    "MODEL.CLIP_SPEC": key(
        "", TRAINING, comment='input convention of WEIGHTS that do not tell it: a name, or "{mean: .., std: .., ..}"'
    ),
    "CLIP.LENGTH": key(16, TRAINING | SAMPLE | SETTING, at_least(1)),
    "CLIP.FRAME_STRIDE": key(1, TRAINING | SAMPLE, at_least(1)),
    "CLIP.SIZE": key(112, TRAINING | SAMPLE | SETTING, at_least(1)),
    "CLIP.MEAN": key([0.45, 0.45, 0.45], TRAINING | SAMPLE, three_numbers()),
    "CLIP.STD": key([0.225, 0.225, 0.225], TRAINING | SAMPLE, three_numbers(), every_channel_above(0)),
    "CLIP.MODALITY": key("residual", TRAINING | SAMPLE, one_of("rgb", "residual")),
    "PRETEXT.NAME": key("vcp", TRAINING | MEASURING | UNTOLD | SAMPLE | SETTING, Registered(PRETEXTS)),
    "PRETEXT.TUPLE_LEN": key(3, TRAINING | SAMPLE, at_least(1), comment="clips of a sample; 1 with PRETEXT.NAME none"),
    "PRETEXT.INTERVAL": key(
        8,
        TRAINING | MEASURING | UNTOLD | SAMPLE,
        at_least(0),
        comment="frames between the clips of a tuple; shrinks to 0 in short videos",
    ),
    "CONTRAST.NAME": key("bank_nce", TRAINING, Registered(LOSSES)),
    "CONTRAST.WEIGHT": key(0.5, TRAINING, at_least(0)),
    "CONTRAST.NUM_NEGATIVES": key(1024, TRAINING, at_least(1)),
    "CONTRAST.TEMPERATURE": key(0.07, TRAINING, above(0)),
    "CONTRAST.BANK_MOMENTUM": key(0.5, TRAINING, between(0, 1)),
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
    "TEACHER.LOSS_WEIGHTS": key([1.0], TRAINING),
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
    "DATA.NAME": key("ucf101", TRAINING | MEASURING, Registered(DATASETS)),
    "DATA.ROOT": key("", RESUMABLE | PLACE),
    "DATA.LIST_DIR": key("", RESUMABLE | PLACE, comment='"" means ROOT/ucfTrainTestlist'),
    "DATA.UNLABELLED_ROOT": key(
        "",
        RESUMABLE | PLACE,
        comment="folder of more training videos, without labels; a teacher's classes are learnt from them",
    ),
    "DATA.SPLIT": key(1, TRAINING | MEASURING, one_of(1, 2, 3)),
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
    "AUGMENT.FLIP_PROB": key(0.5, TRAINING | SAMPLE, between(0, 1)),
    "AUGMENT.COLOR_PROB": key(0.8, TRAINING | SAMPLE, between(0, 1)),
    "AUGMENT.COLOR_STRENGTH": key(1.0, TRAINING | SAMPLE, at_least(0)),
    "AUGMENT.GRAYSCALE_PROB": key(0.2, TRAINING | SAMPLE, between(0, 1)),
    "AUGMENT.BLUR_PROB": key(0.5, TRAINING | SAMPLE, between(0, 1)),
    "AUGMENT.MIXUP": key(
        0.0,
        TRAINING | SAMPLE,
        between(0, 1),
        comment="a of Beta(a, a), the share of another video's clip; 0: no mixing",
    ),
    "SOLVER.EPOCHS": key(100, TRAINING | SETTING, at_least(1)),
    "SOLVER.BATCH_SIZE": key(16, TRAINING, at_least(2)),
    "SOLVER.OPTIMIZER": key("sgd", TRAINING, Registered(OPTIMIZERS), comment="sgd, adamw or your own"),
    "SOLVER.BASE_LR": key(0.01, TRAINING, above(0)),
    "SOLVER.BACKBONE_LR_SCALE": key(
        1.0, TRAINING, at_least(0), comment="the backbone's rate, of BASE_LR; below 1 to finetune gently"
    ),
    "SOLVER.MOMENTUM": key(0.9, TRAINING, at_least(0), below(1), comment="of sgd"),
    "SOLVER.WEIGHT_DECAY": key(5e-4, TRAINING, at_least(0)),
    "SOLVER.SCHEDULE": key("constant", TRAINING | STUDY_DEFAULT | SETTING, Registered(SCHEDULES)),
    "SOLVER.WARMUP": key(
        0.0, TRAINING, at_least(0), below(1), comment="share of the run in which the rate rises; of one_cycle, 0 is 0.3"
    ),
    "SOLVER.PLATEAU_FACTOR": key(0.1, TRAINING, above(0), below(1)),
    "SOLVER.PLATEAU_PATIENCE": key(
        5, TRAINING, at_least(0), comment="evaluations without a better one before the rate is lowered"
    ),
    "SOLVER.SYNC_BN": key(
        False, TRAINING, comment="BatchNorm over the batch of all processes instead of each one's share; GPUs only"
    ),
    "SOLVER.CLIP_GRADIENTS": key(
        0.0, TRAINING, at_least(0), comment="largest norm of the whole gradient; 0 leaves it alone"
    ),
    "SOLVER.EMA": key(
        0.0, TRAINING, at_least(0), below(1), comment="decay of the published average of the student's weights; 0: none"
    ),
    "SOLVER.AMP": key(
        "fp32",
        TRAINING | ANSWER,
        one_of("fp32", "bf16", "fp16", "tf32"),
        comment='what the backbones compute in: "fp32", "bf16" or, on CUDA, "fp16" or "tf32"',
    ),
    "SOLVER.DETERMINISTIC": key(
        True,
        RESUMABLE,
        comment="same bits each time from a GPU's convolutions; off, cuDNN takes the fastest kernels that it measures",
    ),
    "SOLVER.ACCUMULATE": key(
        1, TRAINING, at_least(1), comment="parts in which a batch goes through the network, to need less memory"
    ),
    "SOLVER.COMPILE": key(False, TRAINING, comment="torch.compile of the backbones of student and teacher"),
    "SOLVER.CUDA_GRAPH": key(
        False, TRAINING, comment="the whole step as one CUDA graph, which speeds up small networks; GPUs only"
    ),
    "SOLVER.HOOKS": key([], TRAINING, EachRegistered(HOOKS), comment="hooks of your own, after kdvideo's"),
    "SOLVER.CHECKPOINT_EPOCHS": key(
        1, RESUMABLE | PLACE, at_least(1), comment="epochs between two checkpoints; the last epoch always has one"
    ),
    "SOLVER.CHECKPOINT_PERIOD": key(
        0,
        RESUMABLE,
        at_least(0),
        comment="steps between two checkpoints, besides those after epochs; 0 for none",
    ),
    "SOLVER.CHECKPOINT_MAX_TO_KEEP": key(
        2, RESUMABLE, at_least(1), comment="the newest and those before it; a damaged one falls back to the one before"
    ),
    "EVAL.PERIOD": key(1, RESUMABLE | STUDY_DEFAULT, at_least(1), comment="epochs between two evaluations"),
    "EVAL.AMP": key(
        "fp32",
        RESUMABLE,
        one_of("fp32", "bf16"),
        comment="what evaluations at an epoch's end compute in; the final one is fp32",
    ),
    "EVAL.TUPLES_PER_VIDEO": key(
        10, RESUMABLE | MEASURING | UNTOLD, at_least(1), comment="fixed tuples for pretext_accuracy"
    ),
    "EVAL.CLIPS_PER_VIDEO": key(
        2, RESUMABLE | MEASURING | UNTOLD, at_least(1), comment="cached clips for retrieval_at_k at an epoch's end"
    ),
    "EVAL.FINAL_CLIPS_PER_VIDEO": key(
        10, RESUMABLE | STUDY_DEFAULT | MEASURING, at_least(1), comment="uniform clips for the protocol at the end"
    ),
    "EVAL.BATCH_SIZE": key(
        0,
        RESUMABLE | PLACE,
        at_least(0),
        comment="clips in one forward, about; 0 is 32 on a CPU, and what a GPU's memory takes; speed and memory only",
    ),
    "ZOO.DIR": key("", RESUMABLE | PLACE, comment='"" is the user\'s zoo under KDVIDEO_HOME'),
    "ZOO.PUBLISH_AS": key("", RESUMABLE),
    "ZOO.REPLACE": key(False, RESUMABLE),
    "ZOO.DTYPE": key(
        "float32",
        RESUMABLE,
        one_of("float32", "float16"),
        comment="of the stored weights; the final metrics are measured on what is stored",
    ),
    "ZOO.LICENCE": key("unspecified", RESUMABLE),
}


def keys_with_role(role: Role) -> tuple[str, ...]:
    """Returns the dotted names of the keys with a role, as declared."""
    return tuple(name for name, declared in KEYS.items() if role in declared.roles)
