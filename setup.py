"""Packaging of kdvideo: `pip install -e .[dev]` for a checkout, `pip install .` for the wheel."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def read_version() -> str:
    """The one place that says the version is kdvideo/version.py."""
    namespace: dict[str, str] = {}
    exec((ROOT / "kdvideo" / "version.py").read_text(), namespace)
    return namespace["__version__"]


EXTRAS = {
    "fast": ["torchcodec"],
    "report": ["jinja2", "plotly"],
    "slurm": ["submitit"],
    "hub": ["huggingface_hub"],
    "export": ["onnx", "onnxruntime", "onnxscript"],
    "dev": [
        "build",
        "hypothesis",
        "import-linter",
        "mkdocs-material",
        "mkdocstrings[python]",
        "mypy",
        "packaging",
        "playwright",
        "pre-commit",
        "pytest",
        "pytest-cov",
        "pytest-timeout",
        "pytest-xdist",
        "ruff",
        "types-PyYAML",
        "types-simplejson",
        "types-tqdm",
    ],
}

setup(
    name="kdvideo",
    version=read_version(),
    description="Self-supervised video backbones, knowledge distillation between them, and a verified model zoo",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages(include=["kdvideo", "kdvideo.*"]), "kdvideo.model_zoo"],
    # The zoo lies at the top of the checkout and inside the wheel's package; `kdvideo.paths.zoo_root` finds either.
    package_dir={"kdvideo": "kdvideo", "kdvideo.model_zoo": "model_zoo"},
    package_data={
        "kdvideo": ["py.typed"],
        "kdvideo.report": ["templates/*"],
        "kdvideo.model_zoo": ["configs/**/*.yaml", "datasets/*.csv", "entries/*.json", "weights/*"],
    },
    install_requires=[
        "torch>=2.9",
        "torchvision>=0.24",
        "pytorchvideo>=0.1.5",
        "fvcore",
        "iopath",
        "av>=17,<20",
        "captum",
        "filelock>=3.20.3",  # follows no link that lies where a lock should
        "matplotlib",
        "numpy>=2",
        "packaging",
        "pebble>=5",
        "pyarrow",
        "pyyaml",
        "safetensors",
        "scikit-learn",
        "scipy",
        "simplejson",
        "tensorboard",
        "threadpoolctl",
        "tqdm",
    ],
    extras_require={**EXTRAS, "all": sorted({name for names in EXTRAS.values() for name in names})},
    entry_points={"console_scripts": ["kdvideo = kdvideo.cli:main"]},
)
