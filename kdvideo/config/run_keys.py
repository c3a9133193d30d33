"""The config keys of how a run is optimised, evaluated and published."""

from kdvideo.config.key import EachRegistered, Key, Registered, Role, above, at_least, below, key, one_of
from kdvideo.registry import HOOKS, OPTIMIZERS, SCHEDULES

__all__ = ["RUN_KEYS"]

TRAINING, RESUMABLE, PLACE, STUDY_DEFAULT = Role.TRAINING, Role.RESUMABLE, Role.PLACE, Role.STUDY_DEFAULT
MEASURING, UNTOLD, SETTING, ANSWER = Role.MEASURING, Role.UNTOLD, Role.SETTING, Role.ANSWER

RUN_KEYS: dict[str, Key] = {
    "SOLVER.EPOCHS": key(100, TRAINING | SETTING, at_least(1), comment="times that every training video is seen"),
    "SOLVER.BATCH_SIZE": key(16, TRAINING, at_least(2), comment="samples in one step, over all processes"),
    "SOLVER.OPTIMIZER": key("sgd", TRAINING, Registered(OPTIMIZERS), comment="sgd, adamw or your own"),
    "SOLVER.BASE_LR": key(0.01, TRAINING, above(0), comment="highest learning rate"),
    "SOLVER.BACKBONE_LR_SCALE": key(
        1.0, TRAINING, at_least(0), comment="the backbone's rate, of BASE_LR; below 1 to finetune gently"
    ),
    "SOLVER.MOMENTUM": key(0.9, TRAINING, at_least(0), below(1), comment="of sgd"),
    "SOLVER.WEIGHT_DECAY": key(
        5e-4, TRAINING, at_least(0), comment="of everything but the learnt weights of WEIGHTING adaptive"
    ),
    "SOLVER.SCHEDULE": key(
        "constant", TRAINING | STUDY_DEFAULT | SETTING, Registered(SCHEDULES), comment="how the rate goes on"
    ),
    "SOLVER.WARMUP": key(
        0.0, TRAINING, at_least(0), below(1), comment="share of the run in which the rate rises; of one_cycle, 0 is 0.3"
    ),
    "SOLVER.PLATEAU_FACTOR": key(
        0.1, TRAINING, above(0), below(1), comment="of plateau: by what the rate is multiplied"
    ),
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
    "ZOO.PUBLISH_AS": key("", RESUMABLE, comment='name of the entry that the run publishes; "" publishes none'),
    "ZOO.REPLACE": key(False, RESUMABLE, comment="whether an entry of that name is replaced; it is an error otherwise"),
    "ZOO.DTYPE": key(
        "float32",
        RESUMABLE,
        one_of("float32", "float16"),
        comment="of the stored weights; the final metrics are measured on what is stored",
    ),
    "ZOO.LICENCE": key("unspecified", RESUMABLE, comment="of the published weights, e.g. CC-BY-4.0"),
}
