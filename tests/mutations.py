"""Put small faults into the module, one at a time: do the tests or the notebooks notice?

    make mutations                   all of them, in copies of the repository; writes mutations.md
    python tests/mutations.py --only "drop the scaling"     one of them, printed

Every fault is a line changed. For each the tests of the files it touches are run, and the notebooks
that build or use that part, until the first goes red. A fault that turns nothing red is a hole in
the tests: the script then ends with status 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "tests" / "mutations.md"


@dataclass(frozen=True)
class Mutation:
    """A fault: in `file`, `old` becomes `new`; these tests and notebooks should go red."""

    what: str
    file: str
    old: str
    new: str
    tests: str
    notebooks: str


MUTATIONS = (
    Mutation(
        "drop the scaling of attention scores", "model/sublayers",
        "dropout_p=self.dropout.p * self.training\n",
        "dropout_p=self.dropout.p * self.training, scale=1.0\n",
        "model", "03",
    ),
    Mutation(
        "count padding as visible", "model/sublayers",
        "visible = tokens != PAD ", "visible = tokens >= PAD ", "model", "03",
    ),
    Mutation(
        "count positions from the left", "model/sublayers",
        "device=tokens.device).flip(0)", "device=tokens.device)", "model", "03",
    ),
    Mutation(
        "merge the heads without the transpose", "model/sublayers",
        "x = x.transpose(1, 2)  # (batch, length, heads",
        "x = x.reshape(x.shape[0], x.shape[2], self.num_heads, -1)  # (batch, length, heads",
        "model", "03",
    ),
    Mutation(
        "forget the residual connection", "model/sublayers",
        "return self.layer_norm(gather_positions(x, positions) + self.dropout(sublayer(x)))",
        "return self.layer_norm(self.dropout(sublayer(x)))", "model", "03",
    ),
    Mutation(
        "let a causal model see the future", "model/sublayers",
        "places[:, None] >= places,", "places[:, None] >= 0 * places,", "causal", "08",
    ),
    Mutation(
        "keep dropout on while scoring", "model/bert4rec",
        "        with _evaluating(self):\n            self._check(histories, highest",
        "        if True:\n            self._check(histories, highest", "model", "03",
    ),
    Mutation(
        "recommend [MASK]", "model/bert4rec",
        "scores[:, [PAD, self.config.mask_token]] = -torch.inf",
        "scores[:, [PAD]] = -torch.inf", "model", "03",
    ),
    Mutation(
        "read the place before [MASK]", "model/bert4rec",
        "tokens.shape[1] - 1)\n        hidden", "max(tokens.shape[1] - 2, 0))\n        hidden",
        "model", "03",
    ),
    Mutation(
        "hide padding too", "cloze/masks",
        "masked = items & (draw < mask_prob)", "masked = draw < mask_prob", "cloze", "02",
    ),
    Mutation(
        "allow rows that hide nothing", "cloze/masks",
        ".scatter(1, smallest, True).scatter(1, largest, False)",
        ".scatter(1, largest, False)", "cloze", "02",
    ),
    Mutation(
        "leak the target into the inputs", "cloze/masks",
        "return torch.where(masked, num_items + 1, tokens), masked", "return tokens, masked",
        "cloze", "02",
    ),
    Mutation(
        "ask at every place", "cloze/masks",
        "return inputs, torch.where(masked, tokens, IGNORE)", "return inputs, tokens.clone()",
        "cloze", "02",
    ),
    Mutation(
        "forget the last item in last-item samples", "cloze/masks",
        "last[:, -1] = True", "last[:, -2] = True", "cloze", "02",
    ),
    Mutation(
        "lose the oldest items of long histories", "cloze/batches",
        "counts = 1 + np.ceil(", "counts = 1 + np.floor(", "cloze", "02",
    ),
    Mutation(
        "train on the validation item", "data/splits",
        "    known[validated] -= 1\n", "    known[validated] -= 0\n", "sequences", "01",
    ),
    Mutation(
        "forget the validation item in the test history", "data/splits",
        "test = part(users, known[users])", "test = part(users, known[users] - 1)",
        "sequences", "01",
    ),
    Mutation(
        "validate on the users that should be learnt from", "data/splits",
        "permutation(users)[:validation_users]", "permutation(users)[validation_users:]",
        "sequences", "01",
    ),
    Mutation(
        "sort histories newest first", "data/sequences",
        "        order = by_user_and_time(user_codes, times)\n",
        "        order = by_user_and_time(user_codes, None if times is None else -times)\n",
        "sequences", "01",
    ),
    Mutation(
        "discount NDCG by one place too many", "evaluation/metrics",
        "1 / np.log2(rank + 1)", "1 / np.log2(rank + 2)", "evaluation", "05",
    ),
    Mutation(
        "count a hit one place too far", "evaluation/metrics",
        "(rank <= cutoff)", "(rank <= cutoff + 1)", "evaluation", "08",
    ),
    Mutation(
        "break ties in favour of the target", "evaluation/ranks",
        "return above.cpu().numpy(), (candidates & (scores == own)).sum(dim=1).cpu().numpy()",
        "return above.cpu().numpy(), np.ones(len(scores), dtype=int)", "evaluation", "05",
    ),
    Mutation(
        "rank the target against seen items", "evaluation/ranks",
        "        candidates[rows, torch.from_numpy(own.tokens).long()] = False\n", "",
        "evaluation", "08",
    ),
    Mutation(
        "draw negatives that the user has seen", "evaluation/negatives",
        "                keys[holdout.histories[user]] = -np.inf\n", "                pass\n",
        "evaluation", "05",
    ),
    Mutation(
        "recommend what is in the history", "recommend/inference",
        "allowed(found, histories, users, seen) & wanted", "wanted.expand(len(users), -1) & wanted",
        "recommender", "00",
    ),
    Mutation(
        "count transitions backwards", "data/neighbours",
        'row, column = (later, earlier) if which == "later"',
        'row, column = (later, earlier) if which != "later"', "baselines", "08",
    ),
    Mutation(
        "mix by the other weight", "evaluation/blend",
        "return (1 - weight) * attention + weight * counting",
        "return weight * attention + (1 - weight) * counting", "blend", "00",
    ),
    Mutation(
        "count what came before where it says less", "evaluation/blend",
        "if found and not max(", "if found and max(", "blend", "06",
    ),
    Mutation(
        "weigh the oldest items of a history most", "evaluation/blend",
        "device=newest.device).flip(0)", "device=newest.device)", "blend", "00",
    ),
    Mutation(
        "explain with the sign turned", "recommend/inference",
        "own[0] - own[1:]", "own[1:] - own[0]", "recommender", "06",
    ),
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="faults whose description contains this")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    chosen = [m for m in MUTATIONS if not options.only or options.only in m.what]
    with tempfile.TemporaryDirectory() as scratch:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.workers):
            copies.put(copy_of_the_repository(Path(scratch) / str(number)))

        def measured(mutation: Mutation) -> tuple[str, str]:
            copy = copies.get()
            try:
                found = tried(mutation, copy)
            finally:
                copies.put(copy)
            print(f"{mutation.what}: tests {found[0]}, notebooks {found[1]}", flush=True)
            return found

        with ThreadPoolExecutor(options.workers) as pool:
            results = list(pool.map(measured, chosen))
    text = table(chosen, results)
    print(text)
    if not options.only:
        OUTPUT.write_text(text, encoding="utf-8")
    return 0 if all(any(map(red, found)) for found in results) else 1


def copy_of_the_repository(folder: Path) -> Path:
    """Copy what git knows or would add, and the tutorial's weights if they are there."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    trained = ROOT / "runs" / "small"
    files = [ROOT / name for name in listed] + list(trained.glob("*"))
    for path in files:
        if path.is_file():
            place = folder / path.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    return folder


def tried(mutation: Mutation, copy: Path) -> tuple[str, str]:
    """Put the fault into a copy, run tests and notebooks, take it out again."""
    path = copy / "bert4rec" / f"{mutation.file}.py"
    sound = path.read_text(encoding="utf-8")
    if sound.count(mutation.old) != 1:
        raise ValueError(f"{mutation.what}: {mutation.file}.py no longer has {mutation.old!r} once")
    path.write_text(sound.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        tests = pytest(copy, f"tests/test_{mutation.tests}.py")
        (notebook,) = (copy / "notebooks").glob(f"{mutation.notebooks}_*.ipynb")
        return tests, pytest(copy, "--nbval", f"notebooks/{notebook.name}")
    finally:
        path.write_text(sound, encoding="utf-8")


def pytest(copy: Path, *arguments: str) -> str:
    """Run pytest in a copy until something fails: what failed first, or "green"."""
    variables = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "CI": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=copy, env=variables, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode == 0:
        return "green"
    failed = re.search(
        r"^(?:FAILED|ERROR) (?:tests|notebooks)/(\S+::Cell \d+|\S+)", done.stdout, re.M
    )
    if done.returncode != 1 or not failed:
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return failed[1]


def red(outcome: str) -> bool:
    return outcome != "green"


def table(mutations: list[Mutation], results: list[tuple[str, str]]) -> str:
    """The outcome as a page of Markdown."""
    rows = [
        f"| {mutation.what} | {mutation.file}.py | {named(tests)} | {named(notebooks)} |"
        for mutation, (tests, notebooks) in zip(mutations, results, strict=True)
    ]
    caught = sum(any(map(red, found)) for found in results)
    by_tests, by_notebooks = (sum(red(found[which]) for found in results) for which in (0, 1))
    return (
        "# Small faults, and what notices them\n\n"
        "Written by `make mutations` ([the script](mutations.py)): each fault is one line of the "
        "module changed. The third column is the first test that went red, the fourth the first "
        "cell of a notebook.\n\n"
        f"{caught} of {len(results)} faults turn something red: {by_tests} a test, {by_notebooks} "
        "a notebook.\n\n"
        "| fault | in | tests | notebooks |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def named(outcome: str) -> str:
    if outcome == "green":
        return "–"
    file, _, what = outcome.partition("::")
    if file.endswith(".ipynb"):
        return f"{file[:2]}, {what.replace('Cell ', 'cell ').replace('::', ' ')}"
    return f"`{what.split('[')[0]}`"


if __name__ == "__main__":
    sys.exit(main())
