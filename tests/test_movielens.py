"""Each original layout, on archives made by hand, and every way in which a file can be wrong."""

import dataclasses
import hashlib
import http.server
import threading
import zipfile

import pandas as pd
import pytest
from helpers import SHARED

from bert4rec import InputError, load_movielens
from bert4rec.data import movielens
from bert4rec.data.movielens import RELEASES, download_movielens, read_release

DAT = {
    "ml-1m/ratings.dat": b"1::1193::5::978300760\n1::661::3::978302109\n6040::1097::4::956715569\n",
    "ml-1m/movies.dat": "661::James and the Giant Peach (1996)::Animation|Children's|Musical\n"
    "1193::One Flew Over the Cuckoo's Nest (1975)::Drama\n"
    "1097::Misérables, Les: a tale (1995)::Drama|Musical\n".encode("latin-1"),
    "ml-1m/README": b"read me",
}
FLAGS = {"Animation": 3, "Comedy": 5, "Drama": 8}


def flags(*genres):
    return "|".join("1" if i in {FLAGS[g] for g in genres} else "0" for i in range(19))


TAB = {
    "ml-100k/u.data": b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
    "ml-100k/u.item": (
        f"242|Kolya (1996)|24-Jan-1997||http://us.imdb.com/x|{flags('Comedy')}\n"
        f"302|L.A. Confidential é (1997)|01-Jan-1997||http://x|{flags('Drama', 'Comedy')}\n"
    ).encode("latin-1"),
}
CSV = {
    "ml-20m/ratings.csv": b"userId,movieId,rating,timestamp\n1,2,3.5,111248\n1,29,0.5,11\n",
    "ml-20m/movies.csv": "movieId,title,genres\n2,Jumanji (1995),Adventure|Children\n"
    '29,"City of Lost Children, The (Cité des enfants perdus, La) (1995)",Drama\n'.encode(),
}


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Register a hand-made archive as a release; returns its path."""

    def register(name, members, num_ratings, **changes):
        archive = make_zip(tmp_path / RELEASES[name].archive, members)
        digest = "md5:" + hashlib.md5(archive.read_bytes()).hexdigest()
        changes = {"digest": digest, "num_ratings": num_ratings} | changes
        monkeypatch.setitem(RELEASES, name, dataclasses.replace(RELEASES[name], **changes))
        return archive

    return register


def test_embedded_set(ratings_and_movies):
    ratings, movies = ratings_and_movies
    assert ratings.shape == (100_004, 4)
    assert ratings["userId"].nunique() == 671
    assert list(movies.columns) == ["movieId", "title", "genres"]
    assert len(movies) == 9_066 == movies["movieId"].nunique() == ratings["movieId"].nunique()
    titles = movies.set_index("movieId")["title"]
    assert titles[1] == "Toy Story (1995)"
    assert titles[2571] == "Matrix, The (1999)"
    assert titles[293] == "Léon: The Professional (a.k.a. The Professional) (Léon) (1994)"
    assert movies["title"].notna().all()
    assert ratings["rating"].between(0.5, 5).all()


def test_1m_layout_keeps_the_first_rating_and_reads_latin_1(release, tmp_path):
    release("1m", DAT, 3)
    ratings, movies = load_movielens("1m", tmp_path)
    assert ratings.to_numpy().tolist() == [
        [1, 1193, 5, 978300760],
        [1, 661, 3, 978302109],
        [6040, 1097, 4, 956715569],
    ]
    assert movies["title"].tolist()[2] == "Misérables, Les: a tale (1995)"
    assert movies["genres"].tolist()[0] == "Animation|Children's|Musical"


def test_100k_layout(release, tmp_path):
    release("100k", TAB, 2)
    ratings, movies = load_movielens("100k", tmp_path)
    assert ratings["movieId"].tolist() == [242, 302]
    assert ratings["timestamp"].tolist() == [881250949, 891717742]
    assert movies["title"].tolist() == ["Kolya (1996)", "L.A. Confidential é (1997)"]
    assert movies["genres"].tolist() == ["Comedy", "Comedy|Drama"]


def test_20m_layout_has_a_header_quotes_and_half_stars(release, tmp_path):
    release("20m", CSV, 2)
    ratings, movies = load_movielens("20m", tmp_path)
    assert ratings["rating"].tolist() == [3.5, 0.5]
    assert movies["title"][1].startswith("City of Lost Children, The (Cité")


@pytest.mark.parametrize("nested", [True, False])
def test_unpacked_folder_and_environment_variable(tmp_path, monkeypatch, nested):
    folder = tmp_path / "ml-1m" if nested else tmp_path
    folder.mkdir(exist_ok=True)
    for name, content in DAT.items():
        (folder / name.removeprefix("ml-1m/")).write_bytes(content)
    monkeypatch.setitem(RELEASES, "1m", dataclasses.replace(RELEASES["1m"], num_ratings=3))
    monkeypatch.setenv("BERT4REC_DATA", str(tmp_path))
    ratings, _ = load_movielens("1m", download=False)
    assert len(ratings) == 3


def test_the_real_movies_file_of_1m():
    if not (SHARED / "ml-1m" / "movies.dat").exists():
        pytest.skip("the original MovieLens-1M files are not beside the repository")
    with (SHARED / "ml-1m" / "movies.dat").open("rb") as file:
        movies = movielens._dat_movies(file)
    assert len(movies) == 3_883
    assert movies["movieId"].max() == 3_952
    assert sum(not title.isascii() for title in movies["title"]) == 50
    assert movies.set_index("movieId")["title"][1] == "Toy Story (1995)"


def test_unknown_release():
    with pytest.raises(InputError, match=r"'1M'.*Did you mean '1m'"):
        load_movielens("1M")


def test_wrong_digest(release, tmp_path):
    archive = release("1m", DAT, 3, digest="md5:" + "0" * 32)
    with pytest.raises(InputError, match=r"ml-1m\.zip has md5 \w+, expected 0{32}"):
        load_movielens("1m", tmp_path)
    assert archive.exists()  # what a user put there is never deleted


def test_truncated_archive(release, tmp_path):
    archive = release("1m", DAT, 3)
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(InputError, match="cut short, damaged"):
        load_movielens("1m", tmp_path)
    with pytest.raises(InputError, match=r"not a whole \.zip"):
        read_release(archive, "dat")


def test_broken_archive(tmp_path):
    # 500 bytes in the middle of the compressed data are overwritten; the index is still there
    lines = "".join(f"{i}::{i * 7919 % 4000}::3::{978300760 + i * 31}\n" for i in range(5000))
    archive = make_zip(tmp_path / "ml-1m.zip", DAT | {"ml-1m/ratings.dat": lines.encode()})
    content = bytearray(archive.read_bytes())
    content[1000:1500] = bytes(500)
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"ratings\.dat in .*ml-1m\.zip is damaged"):
        read_release(archive, "dat")


def test_missing_member(tmp_path):
    members = {name: content for name, content in DAT.items() if "movies" not in name}
    archive = make_zip(tmp_path / "ml-1m.zip", members)
    with pytest.raises(InputError, match=r"no member movies\.dat; it holds ml-1m/ratings\.dat"):
        read_release(archive, "dat")
    with pytest.raises(InputError, match=r"has no file ratings\.csv"):
        read_release(tmp_path, "csv")


def test_file_cut_short_inside_an_unpacked_folder(tmp_path):
    (tmp_path / "ratings.dat").write_bytes(DAT["ml-1m/ratings.dat"])
    (tmp_path / "movies.dat").write_bytes(DAT["ml-1m/movies.dat"])
    with pytest.raises(InputError, match="holds 3 ratings, but MovieLens 1m has 1,000,209"):
        load_movielens("1m", tmp_path)


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("ml-1m/ratings.dat", b"1::1193::5\n"),
        ("ml-1m/ratings.dat", b"one::1193::5::978300760\n"),
        ("ml-1m/ratings.dat", b""),
        ("ml-1m/movies.dat", b"1::Toy Story (1995)\n"),
    ],
)
def test_wrong_layout_names_the_file(tmp_path, member, content):
    archive = make_zip(tmp_path / "ml-1m.zip", DAT | {member: content})
    with pytest.raises(InputError, match=rf"{member.split('/')[1]} in .* not in MovieLens' 'dat'"):
        read_release(archive, "dat")


class Server(http.server.ThreadingHTTPServer):
    """Serves one body for every path, on this machine."""

    def __init__(self, body, claimed=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(claimed or len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture
def served(monkeypatch, tmp_path):
    """Serve a body under the release's URL; returns the folder to download to."""
    servers = []

    def serve(body, claimed=None, expected=None):
        server = Server(body, claimed)
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}/ml-1m.zip"
        monkeypatch.setattr(movielens.Release, "url", url)
        digest = "md5:" + hashlib.md5(expected or body).hexdigest()
        changed = dataclasses.replace(RELEASES["1m"], digest=digest, num_ratings=3)
        monkeypatch.setitem(RELEASES, "1m", changed)
        return tmp_path / "cache"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_download_then_cache(served, tmp_path, capsys):
    body = make_zip(tmp_path / "x.zip", DAT).read_bytes()
    folder = served(body)
    ratings, _ = load_movielens("1m", folder)
    assert len(ratings) == 3
    assert [path.name for path in folder.iterdir()] == ["ml-1m.zip"]
    served(b"the server has changed", expected=body)
    assert download_movielens("1m", folder).read_bytes() == body  # not fetched again


def test_download_of_another_file_keeps_nothing(served):
    folder = served(b"<html>sorry</html>", expected=b"the archive")
    with pytest.raises(InputError, match=r"is not MovieLens 1m.*put it at .*ml-1m\.zip"):
        download_movielens("1m", folder)
    assert list(folder.iterdir()) == []


def test_download_that_breaks_off_keeps_nothing(served, tmp_path):
    body = make_zip(tmp_path / "x.zip", DAT).read_bytes()
    folder = served(body[:200], claimed=len(body), expected=body)
    with pytest.raises(InputError, match=r"put it at .*ml-1m\.zip"):
        download_movielens("1m", folder)
    assert list(folder.iterdir()) == []


def test_no_network_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(movielens.Release, "url", "http://127.0.0.1:9/ml-1m.zip")
    with pytest.raises(
        InputError, match=r"Fetch http.*\(6 MB\).*put it at .*digest.*BERT4REC_DATA"
    ):
        load_movielens("1m", tmp_path)
    with pytest.raises(InputError, match="call with download=True"):
        load_movielens("1m", tmp_path, download=False)


def test_unwritable_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(movielens.Release, "url", "http://127.0.0.1:9/ml-1m.zip")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not download"):
        download_movielens("1m", tmp_path / "file" / "folder")


def test_ratings_are_in_file_order(ratings_and_movies):
    ratings, _ = ratings_and_movies
    assert ratings["movieId"].head(3).tolist() == [31, 1029, 1061]
    assert isinstance(ratings.index, pd.RangeIndex)
