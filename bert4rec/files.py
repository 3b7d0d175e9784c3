"""Files that are whole or not there: atomic writing, and reading that runs no code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch

from .errors import InputError, did_you_mean

SHIPPED = Path(__file__).resolve().parent / "pretrained"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at any moment the old or the new content is there, whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_tensors(
    path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write named tensors and short texts as one safetensors file, atomically."""
    import safetensors.torch

    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read what `write_tensors` wrote; raise InputError if it is absent or damaged."""
    import safetensors

    if not path.is_file():
        raise InputError(f"there is no {path}; is it the folder of a trained model?")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged or no safetensors file: {error}") from error


def model_folder(name: str | Path) -> Path:
    """Return the folder of a model: one on disk, or else one that travels with the package."""
    shipped = SHIPPED / name
    on_disk = (Path(name) / "config.json").is_file()
    return shipped if not on_disk and (shipped / "config.json").is_file() else Path(name)


def read_config(folder: str | Path) -> dict:
    """Read a model folder's config.json; raise InputError if it is absent or damaged."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        models = [p.name for p in (*Path(folder).parent.glob("*/"), *SHIPPED.glob("*/"))]
        near = did_you_mean(Path(folder).name, models)
        raise InputError(f"there is no {path}; is {str(folder)!r} the folder of a model?{near}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if config["format"] != 1 or not isinstance(config["model"], dict):
            raise ValueError(f"format {config['format']}, expected 1")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged or of another version: {error!r}") from error
    return config
