"""Files that are whole or not there: atomic writing, and reading that runs no code."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from .errors import InputError, did_you_mean

SHIPPED = Path(__file__).resolve().parent / "pretrained"
CONFIG, WEIGHTS, VOCABULARY = "config.json", "model.safetensors", "vocabulary.csv"
TRANSITIONS = "transitions.safetensors"
# they describe one model, so they change together
TOGETHER = (CONFIG, WEIGHTS, VOCABULARY, TRANSITIONS)
COMMITTED = ".committed"  # stands in a folder while new files take the places of old ones
NEW = ".new"
ABOUT = "bert4rec"  # the entry of a safetensors file that holds our texts and the digest


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at any moment the old or the new content is there, whole.

    Raises:
        InputError: it cannot be written (no space, no permission); the old content is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_together(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write several files of a folder so that at any moment all old or all new ones are found.

    The new ones are written under other names first. A file named .committed then says that they
    count, they take their places, and it goes away. `stored` finds the right ones at any time, so
    a process that is killed here, at any line, leaves either model.

    Raises:
        InputError: a file cannot be written; the old content is untouched.
    """
    make_folder(folder)
    _finish(folder)  # what a killed process had committed
    assert set(contents) <= set(TOGETHER)
    for name, content in contents.items():
        write_atomically(folder / (name + NEW), content)
    write_atomically(folder / COMMITTED, b"")
    _finish(folder)


def stored(folder: str | Path, name: str) -> Path:
    """Return where a file of a folder is that `write_together` wrote."""
    folder = Path(folder)
    new = folder / (name + NEW)
    return new if (folder / COMMITTED).exists() and new.exists() else folder / name


def _finish(folder: Path) -> None:
    committed = (folder / COMMITTED).exists()
    try:
        for name in TOGETHER:
            new = folder / (name + NEW)
            if committed and new.exists():
                new.replace(folder / name)
            new.unlink(missing_ok=True)  # written by a killed process, but never committed
        (folder / COMMITTED).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; raise InputError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder for this process, so that two trainings cannot mix their files in it.

    The operating system gives the lock back when a process ends, however it ends.

    Raises:
        InputError: another process holds it, or the folder cannot be written to.
    """
    import filelock

    make_folder(folder)
    lock = filelock.FileLock(folder / ".lock", timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise InputError(
            f"another process is training into {folder}. Wait for it, or choose another folder."
        ) from error
    except OSError as error:
        raise unwritable(folder, error) from error
    for left in folder.glob(".*.*"):  # half written by a process that was killed
        if left.name.rpartition(".")[2].isdecimal():
            left.unlink(missing_ok=True)
    try:
        yield
    finally:
        lock.release()


def unwritable(path: Path, error: OSError) -> InputError:
    """The error for a path that cannot be written to."""
    return InputError(
        f"{path} cannot be written: {error.strerror or error}. What was there is untouched. Free "
        "space, change its permissions, or choose another folder."
    )


def pack(tensors: dict[str, torch.Tensor], texts: dict[str, str] | None = None) -> bytes:
    """Return named tensors and short texts as a safetensors file with a digest of them all."""
    import safetensors.torch

    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    texts = texts or {}
    # as one entry: the format keeps several in no order, and the same model is the same file here
    about = json.dumps({**texts, "sha256": _digest(tensors, texts)}, sort_keys=True)
    return safetensors.torch.save(tensors, {ABOUT: about})


def write_tensors(
    path: Path, tensors: dict[str, torch.Tensor], texts: dict[str, str] | None = None
) -> None:
    """Write what `pack` makes, atomically."""
    write_atomically(path, pack(tensors, texts))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read what `pack` made; raise InputError if it is absent or damaged."""
    import safetensors

    if not path.is_file():
        raise InputError(f"there is no {path}; is it the folder of a trained model?")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            texts = file.metadata() or {}
        if ABOUT in texts:
            texts = dict(json.loads(texts[ABOUT]))
    except (
        safetensors.SafetensorError,
        OSError,
        ValueError,
        TypeError,
        RuntimeError,
        RecursionError,
    ) as error:
        raise InputError(f"{path} is damaged or no safetensors file: {error}") from error
    digest = texts.pop("sha256", None)  # files of the first version have none
    if digest is not None and digest != _digest(tensors, texts):
        raise InputError(f"{path} is damaged: its content does not have the digest it names.")
    return tensors, texts


def _digest(tensors: dict[str, torch.Tensor], texts: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def model_folder(name: str | Path) -> Path:
    """Return the folder of a model: one on disk, or else one that travels with the package."""
    shipped = SHIPPED / name
    on_disk = stored(name, CONFIG).is_file()
    return shipped if not on_disk and (shipped / CONFIG).is_file() else Path(name)


def read_config(folder: str | Path) -> dict:
    """Read a model folder's config.json; raise InputError if it is absent or damaged."""
    path = stored(folder, CONFIG)
    if not path.is_file():
        models = [p.name for p in (*Path(folder).parent.glob("*/"), *SHIPPED.glob("*/"))]
        near = did_you_mean(Path(folder).name, models)
        raise InputError(f"there is no {path}; is {str(folder)!r} the folder of a model?{near}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if config["format"] != 1 or not isinstance(config["model"], dict):
            raise ValueError(f"format {config['format']}, expected 1")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged or of another version: {error!r}") from error
    return config
