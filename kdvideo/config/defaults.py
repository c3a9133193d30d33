"""Every config key with its default: the values of PCL(VCP) as published, for UCF101 at full size."""

from fvcore.common.config import CfgNode

__all__ = ["get_defaults"]

_C = CfgNode()
_C.VERSION = 1
_C.SEED = 0
_C.OUTPUT_DIR = "output"

_C.TASK = CfgNode()
_C.TASK.NAME = "pcl"

_C.MODEL = CfgNode()
_C.MODEL.BACKBONE = "r3d_10"  # one of your own is registered by a file that `--import FILE.py` names
_C.MODEL.WIDTH = 64  # channels of the stem; every other layer scales with it
_C.MODEL.PROJECTION_DIM = 128
_C.MODEL.WEIGHTS = ""  # initial weights: zoo name, path or URL; "" draws them from SEED
_C.MODEL.CLIP_SPEC = ""  # input convention of WEIGHTS that do not tell it: a name, or "{mean: .., std: .., ..}"

_C.CLIP = CfgNode()  # what one clip is and how the network sees it
_C.CLIP.LENGTH = 16
_C.CLIP.FRAME_STRIDE = 1
_C.CLIP.SIZE = 112
_C.CLIP.MEAN = [0.45, 0.45, 0.45]
_C.CLIP.STD = [0.225, 0.225, 0.225]
_C.CLIP.MODALITY = "residual"

_C.PRETEXT = CfgNode()
_C.PRETEXT.NAME = "vcp"
_C.PRETEXT.TUPLE_LEN = 3
_C.PRETEXT.INTERVAL = 8  # frames between the clips of a tuple; shrinks to 0 in short videos

_C.CONTRAST = CfgNode()
_C.CONTRAST.NAME = "bank_nce"
_C.CONTRAST.WEIGHT = 0.5
_C.CONTRAST.NUM_NEGATIVES = 1024
_C.CONTRAST.TEMPERATURE = 0.07
_C.CONTRAST.BANK_MOMENTUM = 0.5

_C.TEACHER = CfgNode()
_C.TEACHER.WEIGHTS = ""  # zoo name (with or without kdvideo://), path or URL
_C.TEACHER.CLIP_SPEC = ""  # input convention of another project's bare file: a name, or "{mean: .., std: .., ..}"
_C.TEACHER.SAMPLING = "shared"  # the student's frames, resampled; "own": as many of its own over the same spans
_C.TEACHER.LOSSES = ["logit_distillation"]  # distillation losses of LOSSES, added with the weights beside them
_C.TEACHER.LOSS_WEIGHTS = [1.0]
_C.TEACHER.KD_TEMPERATURE = 4.0  # of logit_distillation
_C.TEACHER.SIMILARITY_TEMPERATURE = 0.07  # of similarity_distillation
_C.TEACHER.NUM_ANCHORS = 1024  # earlier clips that similarity_distillation compares with, besides those of the batch
_C.TEACHER.REPLAY = False  # on: the teacher's answers are kept on disk, and read by the runs that come after

_C.DATA = CfgNode()
_C.DATA.NAME = "ucf101"
_C.DATA.ROOT = ""
_C.DATA.LIST_DIR = ""  # "" means ROOT/ucfTrainTestlist
_C.DATA.SPLIT = 1
_C.DATA.FRACTION = 1.0  # of every class of the training list; which videos, SEED draws
_C.DATA.VALIDATION_SHARE = 0.0  # of the training list's groups, held out to choose a model or to lower the rate by
_C.DATA.SHORT_SIDE = 128  # frames are resized to this before the crop of CLIP.SIZE
_C.DATA.NUM_WORKERS = 2
_C.DATA.AUGMENT_ON = "worker"  # where colours and blur are done: "worker" or the training "device"
_C.DATA.MANIFEST = ""  # what `kdvideo data check` wrote; "" means ROOT/kdvideo-manifest.jsonl, where it is there
_C.DATA.TIME_LIMIT = 120.0  # seconds for reading from one video; more where the manifest's check gave it more
_C.DATA.MAX_BAD_FRACTION = 0.01  # share of a list's videos that may be missing or give no frame

_C.AUGMENT = CfgNode()  # SimCLR's set, one draw a clip
_C.AUGMENT.FLIP_PROB = 0.5
_C.AUGMENT.COLOR_PROB = 0.8
_C.AUGMENT.COLOR_STRENGTH = 1.0
_C.AUGMENT.GRAYSCALE_PROB = 0.2
_C.AUGMENT.BLUR_PROB = 0.5

_C.SOLVER = CfgNode()
_C.SOLVER.EPOCHS = 100
_C.SOLVER.BATCH_SIZE = 16
_C.SOLVER.OPTIMIZER = "sgd"
_C.SOLVER.BASE_LR = 0.01
_C.SOLVER.BACKBONE_LR_SCALE = 1.0  # the backbone's rate, of BASE_LR; below 1 to finetune gently
_C.SOLVER.MOMENTUM = 0.9  # of sgd
_C.SOLVER.WEIGHT_DECAY = 5e-4
_C.SOLVER.SCHEDULE = "constant"
_C.SOLVER.PLATEAU_FACTOR = 0.1
_C.SOLVER.PLATEAU_PATIENCE = 5  # evaluations without a better one before the rate is lowered
_C.SOLVER.SYNC_BN = False  # BatchNorm over the batch of all processes instead of each one's share; GPUs only
_C.SOLVER.CLIP_GRADIENTS = 0.0  # largest norm of the whole gradient; 0 leaves it alone
_C.SOLVER.AMP = "fp32"  # what the backbones compute in: "fp32", "bf16" or, on CUDA, "fp16"
_C.SOLVER.ACCUMULATE = 1  # parts in which a batch goes through the network, to need less memory
_C.SOLVER.COMPILE = False  # torch.compile of the backbone that is trained
_C.SOLVER.CHECKPOINT_PERIOD = 0  # steps between two checkpoints, besides the one after every epoch; 0 for none
_C.SOLVER.CHECKPOINT_MAX_TO_KEEP = 2  # the newest and those before it; a damaged one falls back to the one before

_C.EVAL = CfgNode()
_C.EVAL.PERIOD = 1  # epochs between two evaluations
_C.EVAL.AMP = "fp32"  # what evaluations at an epoch's end compute in; the final one is fp32
_C.EVAL.TUPLES_PER_VIDEO = 10  # fixed tuples for pretext_accuracy
_C.EVAL.CLIPS_PER_VIDEO = 2  # cached clips for retrieval_at_k at an epoch's end
_C.EVAL.FINAL_CLIPS_PER_VIDEO = 10  # uniform clips for the protocol at the end
_C.EVAL.BATCH_SIZE = 32  # clips in one forward, about; a matter of speed and memory only

_C.ZOO = CfgNode()
_C.ZOO.DIR = ""  # "" is the user's zoo under KDVIDEO_HOME
_C.ZOO.PUBLISH_AS = ""
_C.ZOO.REPLACE = False
_C.ZOO.DTYPE = "float32"  # of the stored weights; the final metrics are measured on what is stored
_C.ZOO.LICENCE = "unspecified"


def get_defaults() -> CfgNode:
    """A fresh copy of the defaults."""
    return _C.clone()
