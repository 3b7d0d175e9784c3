"""Where the ratings come from: the MovieLens set in data/, or a verified download.

Everything ends in the same two tables, with GroupLens' own column names:

    ratings   userId, movieId, rating, timestamp (seconds since 1970), in the order of the file
    movies    movieId, title, genres (separated by "|")

Source: F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", 2015.
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

import pandas as pd

from ..errors import InputError, did_you_mean

RATING_COLUMNS = {"userId": "int32", "movieId": "int32", "rating": "float32", "timestamp": "int64"}


# the flags at the end of a line of u.item, in order
TAB_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


@dataclass(frozen=True)
class Release:
    """One MovieLens release: what it is called, how it is checked and how it is laid out."""

    folder: str  # the folder inside the archive, and the archive's name without .zip
    layout: str  # "csv", "dat" or "tab"
    num_ratings: int
    digest: str = ""  # "md5:…" of the archive, as GroupLens publishes it
    size: str = ""

    @property
    def archive(self) -> str:
        return f"{self.folder}.zip"

    @property
    def url(self) -> str:
        return f"https://files.grouplens.org/datasets/movielens/{self.archive}"


RELEASES = {
    "small": Release("movielens-small", "csv", 100_004),
    "100k": Release("ml-100k", "tab", 100_000, "md5:0e33842e24a9c977be4e0107933c0723", "5 MB"),
    "1m": Release("ml-1m", "dat", 1_000_209, "md5:c4d9eecfca2ab87c1945afe126590906", "6 MB"),
    "20m": Release("ml-20m", "csv", 20_000_263, "md5:cd245b17a1ae2cc31bb14903e1204af3", "190 MB"),
    "25m": Release("ml-25m", "csv", 25_000_095, "md5:6b51fb2759a8657d3bfcbfc42b592ada", "250 MB"),
    "32m": Release("ml-32m", "csv", 32_000_204, "md5:d472be332d4daa821edc399621853b57", "239 MB"),
}


def load_movielens(
    name: str = "small", folder: str | Path | None = None, download: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Load one MovieLens release as two tables, `(ratings, movies)`.

    Args:
        name: "small" (in the repository, works offline), "100k", "1m", "20m", "25m" or "32m".
        folder: where to look for the archive (`ml-1m.zip`) or the unpacked folder (`ml-1m/`),
            and where a download goes. Default: the environment variable BERT4REC_DATA, else the
            user's cache folder. "small" needs none.
        download: fetch the archive from GroupLens if it is not there.

    Returns:
        ratings with columns userId, movieId, rating, timestamp, in the order of the file, and
        movies with columns movieId, title, genres.

    Raises:
        InputError: the name is unknown, the archive is absent and cannot be fetched, its digest
            is wrong, or a file in it is missing, cut short or not in the release's layout.
    """
    release = _release(name)
    source = _embedded_folder() if name == "small" and folder is None else None
    if source is None:
        folder = data_folder(folder)
        source = _find(release, folder)
    if source is None:
        if not download:
            raise InputError(
                f"MovieLens {name} is not in {folder}. Put {release.archive} there "
                f"(from {release.url}), or call with download=True."
            )
        source = download_movielens(name, folder)
    ratings, movies = read_release(source, release.layout)
    if len(ratings) != release.num_ratings:
        raise InputError(
            f"{source} holds {len(ratings):,} ratings, but MovieLens {name} has "
            f"{release.num_ratings:,}: the file is cut short or is another release. "
            f"Delete it and fetch {release.url} again."
        )
    return ratings, movies


def download_movielens(name: str, folder: str | Path | None = None) -> Path:
    """Fetch a release's archive into `folder`, check its digest, and return its path.

    An archive that is already there is checked and not fetched again. The download goes to a
    temporary name and is renamed only when its digest is right, so what lies under the final
    name is whole.

    Raises:
        InputError: no network, a server or certificate that fails, or a wrong digest. The message
            says what to fetch by hand and where to put it.
    """
    release = _release(name)
    if not release.digest:
        raise InputError(f"MovieLens {name} comes with the package; there is nothing to download.")
    folder = data_folder(folder)
    target = folder / release.archive
    if target.exists():
        _check_digest(target, release)
        return target

    import pooch
    import requests

    try:
        folder.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(
            release.url,
            known_hash=release.digest,
            fname=release.archive,
            path=folder,
            downloader=pooch.HTTPDownloader(progressbar=True, timeout=30),
        )
    except (requests.RequestException, OSError) as error:
        raise InputError(
            f"could not download MovieLens {name}: {type(error).__name__}: {error}. "
            f"Fetch {release.url} ({release.size}) in another way and put it at {target}; "
            "its digest will be checked there. (BERT4REC_DATA names another folder.)"
        ) from error
    except ValueError as error:  # what pooch raises when the digest differs
        raise InputError(
            f"what {release.url} sent is not MovieLens {name} ({error}). Nothing was kept. Try "
            f"again, or fetch it in another way and put it at {target}."
        ) from error
    return target


def data_folder(folder: str | Path | None = None) -> Path:
    """Return the folder for archives: the argument, else BERT4REC_DATA, else the user's cache."""
    if folder is None:
        folder = os.environ.get("BERT4REC_DATA") or None
    if folder is None:
        import pooch

        folder = pooch.os_cache("bert4rec")
    return Path(folder).expanduser()


def read_release(source: str | Path, layout: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read `(ratings, movies)` from an archive or an unpacked folder in a known layout.

    Args:
        source: a .zip file or a folder.
        layout: "csv" (20M and later: ratings.csv and movies.csv, UTF-8, with headers), "dat"
            (1M and 10M: fields separated by `::`, latin-1, no header) or "tab" (100K: u.data
            separated by tabs, u.item by `|`, latin-1, no header).

    Raises:
        InputError: `source` is not a whole archive, lacks a file, or a file is not in the layout.
    """
    source = Path(source)
    tables = []
    for member, read in LAYOUTS[layout]:
        with _open(source, member) as file:
            try:
                tables.append(read(file))
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise InputError(
                    f"{member} in {source} is damaged ({error}). Delete it and fetch it again."
                ) from error
            except (ValueError, KeyError, pd.errors.ParserError) as error:
                raise InputError(
                    f"{member} in {source} is not in MovieLens' {layout!r} layout: {error}"
                ) from error
    return tables[0], tables[1]


def _release(name: str) -> Release:
    if name not in RELEASES:
        raise InputError(
            f"no MovieLens release is called {name!r}; there are {', '.join(RELEASES)}."
            + did_you_mean(name, RELEASES)
        )
    return RELEASES[name]


def _embedded_folder() -> Path:
    # In a checkout the data lies beside the package, in an installed package beside this file.
    here = Path(__file__).parent
    for place in (here, here.parents[1] / "data"):
        if (place / RELEASES["small"].folder).is_dir():
            return place / RELEASES["small"].folder
    raise InputError(f"the embedded MovieLens set is missing from {here}: reinstall bert4rec.")


def _find(release: Release, folder: Path) -> Path | None:
    (ratings, _), _ = LAYOUTS[release.layout]
    for place in (folder / release.folder, folder):
        if _plain_or_gz(place, ratings):
            return place
    archive = folder / release.archive
    if archive.exists():
        _check_digest(archive, release)
        return archive
    return None


def _check_digest(archive: Path, release: Release) -> None:
    if not release.digest:
        return
    algorithm, expected = release.digest.split(":")
    import pooch

    found = pooch.file_hash(str(archive), alg=algorithm)
    if found != expected:
        raise InputError(
            f"{archive} has {algorithm} {found}, expected {expected}: it is cut short, damaged or "
            f"another file. Delete it and fetch {release.url} again."
        )


def _plain_or_gz(folder: Path, name: str) -> Path | None:
    places = (folder / name, folder / f"{name}.gz")
    return next((place for place in places if place.exists()), None)


@contextmanager
def _open(source: Path, member: str) -> Iterator[IO[bytes]]:
    """Open one file of an archive or folder for reading bytes; `member.gz` will do as well."""
    if source.is_dir():
        path = _plain_or_gz(source, member)
        if path is None:
            raise InputError(f"{source} has no file {member}; it belongs to this release.")
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            yield cast(IO[bytes], file)
        return
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, FileNotFoundError) as error:
        raise InputError(
            f"{source} is not a whole .zip archive ({error}). Delete it and fetch it again."
        ) from error
    with archive:
        names = [name for name in archive.namelist() if PurePosixPath(name).name == member]
        if not names:
            raise InputError(
                f"{source} has no member {member}; it holds {', '.join(archive.namelist()[:8])}."
            )
        with archive.open(names[0]) as file:
            yield file


def _csv_ratings(file: IO[bytes]) -> pd.DataFrame:
    return pd.read_csv(file, usecols=list(RATING_COLUMNS), dtype=RATING_COLUMNS)


def _csv_movies(file: IO[bytes]) -> pd.DataFrame:
    return pd.read_csv(
        file,
        usecols=["movieId", "title", "genres"],
        dtype={"movieId": "int32", "title": str, "genres": str},
        keep_default_na=False,
        encoding="utf-8",
    )


def _dat_ratings(file: IO[bytes]) -> pd.DataFrame:
    # pandas reads one-character separators ten times faster; ratings hold digits and `::` only.
    text = io.BytesIO(file.read().replace(b"::", b"\t"))
    return _tab_ratings(text)


def _tab_ratings(file: IO[bytes]) -> pd.DataFrame:
    # header=None: the first line is a rating. A header would swallow it.
    ratings = pd.read_csv(
        file, sep="\t", header=None, dtype=dict(enumerate(RATING_COLUMNS.values()))
    )
    if ratings.shape[1] != len(RATING_COLUMNS):
        raise ValueError(f"expected {len(RATING_COLUMNS)} fields a line, found {ratings.shape[1]}")
    return ratings.set_axis(list(RATING_COLUMNS), axis="columns")


def _dat_movies(file: IO[bytes]) -> pd.DataFrame:
    return _movies(line.split("::") for line in file.read().decode("latin-1").splitlines())


def _tab_movies(file: IO[bytes]) -> pd.DataFrame:
    def rows() -> Iterator[list[str]]:
        for line in file.read().decode("latin-1").splitlines():
            movie, title, *rest = line.split("|")
            flags = rest[-len(TAB_GENRES) :]
            named = [genre for genre, flag in zip(TAB_GENRES, flags, strict=True) if flag == "1"]
            yield [movie, title, "|".join(named)]

    return _movies(rows())


def _movies(rows: Iterator[list[str]]) -> pd.DataFrame:
    table = list(rows)
    for number, row in enumerate(table, start=1):
        if len(row) != 3:
            raise ValueError(f"line {number}: expected movie, title and genres, found {row}")
    movies = pd.DataFrame(table, columns=["movieId", "title", "genres"])
    return movies.astype({"movieId": "int32"})


# for each layout the files of ratings and of movies, and how they are read
LAYOUTS = {
    "csv": (("ratings.csv", _csv_ratings), ("movies.csv", _csv_movies)),
    "dat": (("ratings.dat", _dat_ratings), ("movies.dat", _dat_movies)),
    "tab": (("u.data", _tab_ratings), ("u.item", _tab_movies)),
}
