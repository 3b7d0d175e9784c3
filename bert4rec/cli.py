"""The command line: `bert4rec download | train | evaluate | recommend`.

Options and their help come from the fields and docs of the dataclasses, here and in the module,
through tyro; `python -m bert4rec` is the same.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import sys
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd

from .evaluation.ranks import scorer_name

if os.environ.get("NO_COLOR"):  # what tyro asks for when it is imported
    os.environ.setdefault("PYTHON_TYRO_ANSI_CODES", "False")
import tyro

from . import __version__, distributed
from .data import download_movielens
from .data.options import DataOptions
from .errors import InputError
from .evaluation import Report, Scorer
from .files import model_folder, read_config, write_atomically
from .model import ModelConfig
from .recommend import Recommender
from .training import AUTO, PRESETS, TrainingConfig, get_preset
from .training.progress import VALIDATED


def _unchecked(config: type, **fields) -> type:
    """Copy a config for the parser: some fields replaced, values checked by the real one later.

    The parser would wrap the config's own message about a bad value into one of its internals.
    """
    return dataclasses.make_dataclass(
        config.__name__,
        [(name, kind, field(default=default)) for name, (kind, default) in fields.items()],
        bases=(config,),
        namespace={"__post_init__": lambda self: None, "__doc__": config.__doc__},
        frozen=True,
    )


# The parser takes a comment beside a field for its help, so types are named here.
if TYPE_CHECKING:
    _Model = ModelConfig
    _Training = TrainingConfig
    _PresetName = str
else:
    # num_items follows from the data and is no option
    _Model = _unchecked(ModelConfig, num_items=(Annotated[int, tyro.conf.Suppress], 1))
    _Training = _unchecked(TrainingConfig)
    _PresetName = Literal[(AUTO, *PRESETS)]


@dataclass(frozen=True)
class Train:
    """Train a model, report what it reaches on the test, and save it as a folder."""

    output: Path
    """The folder for the model, its checkpoint and metrics.json."""
    model: Annotated[_Model, tyro.conf.OmitArgPrefixes]
    training: Annotated[_Training, tyro.conf.OmitArgPrefixes]
    data: Annotated[DataOptions, tyro.conf.OmitArgPrefixes] = field(default_factory=DataOptions)
    preset: _PresetName = AUTO
    """Where the settings below start from. "auto" chooses them by the size and sparsity of the log;
    what stands below as defaults is then that of a small one."""
    log_dir: Path = Path("training")
    """Where TensorBoard's event files go: tensorboard --logdir=training shows them."""
    resume: bool = False
    """Go on from the checkpoint in the output folder."""
    overwrite: bool = False
    """Replace the model in the output folder."""
    blend: bool = True
    """Mix item transitions into the scores, by weights that are chosen on the validation."""
    json: bool = False
    """Print the report as JSON, and nothing else to standard output."""
    given: tyro.conf.Suppress[tuple[str, ...]] = ()
    """The settings that were named, where the log chooses the others."""

    def settings(self) -> dict[str, Any]:
        found = {**vars(self.model), **vars(self.training)}
        del found["num_items"]
        return found

    def run(self) -> None:
        settings = self.settings()
        if self.preset == AUTO:  # what was not given is left to the log
            settings = {name: settings[name] for name in self.given}
        metric = get_preset("tutorial", **settings).training.metric  # says a bad value at once
        interactions, movies = self.data.read()
        with contextlib.redirect_stdout(sys.stderr):  # progress is not the result
            recommender = Recommender.fit(
                interactions,
                movies,
                self.preset,
                **settings,
                **self.data.arguments(),
                seen=self.data.seen,
                validation_users=self.data.validation_users,
                output=self.output,
                log_dir=self.log_dir / self.output.name,
                resume=self.resume,
                overwrite=self.overwrite,
                blend=self.blend,
                data=self.data.record(),
            )
        if distributed.rank() > 0:
            return
        history, report = recommender.history, recommender.report
        assert history is not None and report is not None  # noqa: PT018
        say(
            f"{history.stopped} after {len(history.epochs)} epochs and {history.seconds:.0f} s; "
            f"best validation {metric} {history.best_score:.4f} in epoch "
            f"{history.best_epoch}",
            self.json,
        )
        print_report(report, self.json)
        say(f"saved to {self.output}", self.json)


@dataclass(frozen=True)
class Evaluate:
    """Rank the held-out items with a trained model, beside popularity and item transitions."""

    model: Path
    """The folder of a trained model, or ml-1m: the weights that travel with the package."""
    data: str | None = None
    """A MovieLens release or a file. Default: what the model was trained on."""
    split: Literal["test", "validation"] = "test"
    """Which held-out items are ranked."""
    protocol: str = "full"
    """"full" (against all unseen items), "uniform-100" or "popular-100" (sampled negatives)."""
    beside: tuple[Path, ...] = ()
    """Other models of the same items, ranked on the same users, with a paired test for each."""
    ranks: Path | None = None
    """A .csv file to write each user's rank to, a column per model, for tests of your own."""
    json: bool = False
    """Print the report as JSON."""

    def run(self) -> None:
        recommender = Recommender.load(self.model)
        stored = read_config(model_folder(self.model)).get("data") or {}
        if "data" not in stored and self.data is None:
            raise InputError(
                f"{self.model}/config.json does not say what the model was trained on; name it "
                "with --data."
            )
        known = {f.name for f in dataclasses.fields(DataOptions)}
        options = DataOptions(**{k: v for k, v in stored.items() if k in known})
        if self.data is not None:
            options = dataclasses.replace(options, data=self.data)
        interactions, _ = options.read_log()
        sequences = options.sequences(interactions)
        vocabulary = recommender.vocabulary
        if sequences.vocabulary.is_numbering_of(vocabulary):
            say(f"the items are numbered 1 … {len(vocabulary):,}: read as tokens", self.json)
            sequences = dataclasses.replace(sequences, vocabulary=vocabulary)
        elif sequences.vocabulary != vocabulary:
            sequences = options.sequences(interactions, vocabulary)
        split = sequences.leave_one_out(recommender.validation_users).with_seen(recommender.seen)
        holdout = getattr(split, self.split)
        report = recommender.evaluate(holdout, self.protocol, self.others(recommender))
        if self.ranks is not None:
            table = pd.DataFrame({name: ranks.expected for name, ranks in report.models.items()})
            table.insert(0, "user", holdout.histories.users)
            content = table.to_csv(index=False, float_format="%g")
            write_atomically(self.ranks, content.encode())
        mine = next(iter(report.models))  # what the folder recommends by
        others = set(report.models) - {mine, "item transitions", "popularity", "own popularity"}
        gaps = {
            f"{mine} - {other}": {m: report.difference(mine, other, m) for m in VALIDATED}
            for other in sorted(others)
        }
        print_report(report, self.json, gaps)

    def others(self, recommender: Recommender) -> dict[str, Scorer]:
        """The models to rank beside, by name."""
        models: dict[str, Scorer] = {}
        for folder in self.beside:
            other = Recommender.load(folder)
            if len(other.vocabulary) != len(recommender.vocabulary):
                raise InputError(
                    f"{folder} knows {len(other.vocabulary):,} items, {self.model} "
                    f"{len(recommender.vocabulary):,}; models can be compared on the same items."
                )
            one_split = other.validation_users == recommender.validation_users
            if self.split == "validation" and not one_split:
                raise InputError(
                    f"{folder} and {self.model} were trained with different validation_users: what "
                    "one is validated on the other has learnt. Compare them by --split test."
                )
            name = scorer_name(other.scorer)
            taken = {scorer_name(recommender.scorer), recommender.model.name, *models}
            models[f"{name} ({folder.name})" if name in taken else name] = other.scorer
        return models


@dataclass(frozen=True)
class Recommend:
    """Recommend the next items after some titles or ids."""

    history: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Titles or item ids, oldest first."""
    model: Path
    """The folder of a trained model, or ml-1m: the weights that travel with the package."""
    k: int = 10
    """How many to recommend."""
    json: bool = False
    """Print a JSON list."""

    def run(self) -> None:
        table = Recommender.load(self.model).recommend(self.history, self.k)
        if self.json:
            return print(table.reset_index().to_json(orient="records", force_ascii=False))
        print("after " + " · ".join(self.history))
        for row in table.itertuples():
            print(f"{row.Index:3d}  {row.title}  ({row.score:.2f})")


@dataclass(frozen=True)
class Download:
    """Fetch a MovieLens release from GroupLens and check it."""

    name: Annotated[Literal["100k", "1m", "20m", "25m", "32m"], tyro.conf.Positional]
    """The release."""
    folder: Path | None = None
    """Where to put the archive. Default: BERT4REC_DATA, else the user's cache folder."""

    def run(self) -> None:
        print(download_movielens(self.name, self.folder))


def main(args: list[str] | None = None) -> int:
    """Run the command line.

    Returns: the exit status: 0; 2 for bad input; 130 where Ctrl-C left nothing done."""
    args = sys.argv[1:] if args is None else list(args)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack some letters of a title
            stream.reconfigure(errors="backslashreplace")
    if args == ["--version"]:
        print(f"bert4rec {__version__}")
        return 0
    warnings.showwarning = lambda message, *rest: print(f"note: {message}", file=sys.stderr)
    try:
        # the preset must be known before the options are parsed: it gives their defaults
        ahead = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        ahead.add_argument("--preset", default=AUTO)
        name = ahead.parse_known_args(args)[0].preset
        preset = get_preset("tutorial" if name == AUTO else name)
        shape, training = asdict(preset.model_config(1)), asdict(preset.training)
        command = _parse(args, shape, training)
        if isinstance(command, Train) and command.preset == AUTO:
            # what a setting is in spite of another default was given
            others = [{k: _other(v) for k, v in part.items()} for part in (shape, training)]
            given = command.settings().items() & _parse(args, *others).settings().items()
            command = dataclasses.replace(command, given=tuple(sorted(dict(given))))
        command.run()
    except BrokenPipeError:  # whoever reads the output, as `| head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as error:
        say(f"interrupted{f': {error}' if str(error) else '.'}", quiet=True)
        return 130  # as shells say it
    except (InputError, OSError, FloatingPointError) as error:
        say(f"error: {error}", quiet=True)
        return 2
    return 0


def say(text: str, quiet: bool = False) -> None:
    """Print a remark: to standard error where standard output must hold the result alone."""
    print(text, file=sys.stderr if quiet else sys.stdout, flush=True)


def print_report(report: Report, as_json: bool, gaps: dict | None = None) -> None:
    """Print a report, and paired differences between its models if there are any."""
    if as_json:
        content = report.to_dict() | ({"differences": gaps} if gaps else {})
        print(json.dumps(content, indent=2))
        return
    print(f"\n{report}\n")
    for names, metrics in (gaps or {}).items():
        for metric, gap in metrics.items():
            print(
                f"{names}, {metric}: {gap['difference']:+.4f} ± {gap['standard_error']:.4f} "
                f"(paired, p = {gap['p']:.2g})"
            )


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + "'" if isinstance(value, str) else (value or 0) + 1


def _parse(args: list[str], shape: dict, training: dict) -> Any:
    """Parse the command line, with these defaults for the settings of `train`."""
    train = Train(output=tyro.MISSING, model=_Model(**shape), training=_Training(**training))
    commands: dict[str, tuple[type, dict[str, Any]]] = {
        "download": (Download, {}),
        "train": (Train, {"default": train}),
        "evaluate": (Evaluate, {}),
        "recommend": (Recommend, {}),
    }
    union: Any = None
    for name, (command, extra) in commands.items():
        subcommand = tyro.conf.subcommand(name, prefix_name=False, **extra)
        kind = Annotated[command, subcommand]  # type: ignore[valid-type]
        union = kind if union is None else union | kind
    about = __doc__.split("\n")[0]
    return tyro.cli(union, prog="bert4rec", description=about, args=args)
