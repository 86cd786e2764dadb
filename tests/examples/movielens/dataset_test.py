# SPDX-License-Identifier: Apache-2.0
"""The MovieLens reader: every layout, folder and zip, broken lines, the split."""

import zipfile

import numpy as np
import pytest

from examples.movielens import dataset


def _write_csv(folder, ratings="1,10,4.0,100\n1,20,3.5,50\n7,10,0.5,8\n"):
  (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + ratings)
  (folder / "movies.csv").write_text(
    'movieId,title,genres\n10,"Truth, The (1999)",Drama|War\n20,No Year,(no genres listed)\n', encoding="utf-8"
  )


def _check(data):
  np.testing.assert_array_equal(data.users, [1, 1, 7])
  np.testing.assert_array_equal(data.movies, [10, 20, 10])
  np.testing.assert_array_equal(data.ratings, np.float32([4, 3.5, 0.5]))
  np.testing.assert_array_equal(data.timestamps, [100, 50, 8])
  np.testing.assert_array_equal(data.liked, np.float32([1, 0, 0]))
  assert (data.users.dtype, data.ratings.dtype, data.timestamps.dtype) == (np.int32, np.float32, np.int64)


def test_csv_layout_with_quotes_and_empty_genres(tmp_path):
  _write_csv(tmp_path)
  data = dataset.load(str(tmp_path))
  _check(data)
  assert data.titles == {10: "Truth, The (1999)", 20: "No Year"}
  assert data.genres == {10: ("Drama", "War"), 20: ()}
  assert data.years() == {10: 1999}


def test_csv_layout_in_a_zip_with_inner_folder(tmp_path):
  _write_csv(tmp_path)
  with zipfile.ZipFile(tmp_path / "ml-x.zip", "w") as archive:
    for name in ("ratings.csv", "movies.csv"):
      archive.write(tmp_path / name, f"ml-x/{name}")
  _check(dataset.load(str(tmp_path / "ml-x.zip")))


def test_folder_around_the_data_set_is_looked_into(tmp_path):
  (tmp_path / "ml-x").mkdir()
  _write_csv(tmp_path / "ml-x")
  _check(dataset.load(str(tmp_path)))


def test_windows_line_ends_and_missing_last_line_end(tmp_path):
  _write_csv(tmp_path, "1,10,4.0,100\r\n1,20,3.5,50\r\n7,10,0.5,8")
  _check(dataset.load(str(tmp_path)))


def test_ml1m_layout(tmp_path):
  (tmp_path / "ratings.dat").write_text("1::10::4::100\n1::20::3.5::50\n7::10::0.5::8\n")
  (tmp_path / "movies.dat").write_bytes("10::Am\xe9lie: a (2001)::Comedy|Romance\n".encode("latin-1"))
  data = dataset.load(str(tmp_path))
  _check(data)
  assert data.titles[10] == "Am\xe9lie: a (2001)"
  assert data.genres[10] == ("Comedy", "Romance")


def test_ml100k_layout(tmp_path):
  (tmp_path / "u.data").write_text("1\t10\t4\t100\n1\t20\t3.5\t50\n7\t10\t0.5\t8\n")
  flags = ["0"] * 19
  flags[0] = flags[1] = flags[18] = "1"
  (tmp_path / "u.item").write_bytes(
    ("10|Caf\xe9 (1995)|01-Jan-1995||http://x|" + "|".join(flags) + "\n").encode("latin-1")
  )
  data = dataset.load(str(tmp_path))
  _check(data)
  assert data.titles[10] == "Caf\xe9 (1995)"
  assert data.genres[10] == ("Action", "Western")


def test_blocks_join_across_their_borders(tmp_path, monkeypatch):
  monkeypatch.setattr(dataset, "_BLOCK_BYTES", 7)
  _write_csv(tmp_path)
  _check(dataset.load(str(tmp_path)))


@pytest.mark.parametrize(
  "line",
  [
    "7,10,0.5",
    "7,10,0.5,8,9",
    "7,x,0.5,8",
    "7,,0.5,8",
    "7,10,9.5,8",
    "7,10,nan,8",
    "7.5,10,1,8",
    "",
    "-1,10,1,8",
    "7,99999999999,1,8",
  ],
)
def test_broken_rating_line_is_named(tmp_path, line):
  _write_csv(tmp_path, f"1,10,4.0,100\n{line}\n7,10,0.5,8\n")
  with pytest.raises(ValueError, match=r"ratings\.csv, line 3: .*repair or delete the line") as caught:
    dataset.load(str(tmp_path))
  assert repr(line) in str(caught.value)


def test_broken_rating_line_in_a_later_block_keeps_its_number(tmp_path, monkeypatch):
  monkeypatch.setattr(dataset, "_BLOCK_BYTES", 30)
  _write_csv(tmp_path, "1,10,4.0,100\n" * 50 + "oops\n")
  with pytest.raises(ValueError, match="line 52: 'oops'"):
    dataset.load(str(tmp_path))


def test_broken_double_colon_line_is_shown_with_its_delimiter(tmp_path):
  (tmp_path / "ratings.dat").write_text("1::10::4::100\n1::20::3,5::50\n")
  (tmp_path / "movies.dat").write_text("10::A::B\n")
  with pytest.raises(ValueError, match="line 2: '1::20::3,5::50' is not \"user::movie"):
    dataset.load(str(tmp_path))


def test_broken_header_and_broken_movie_lines(tmp_path):
  _write_csv(tmp_path)
  (tmp_path / "movies.csv").write_text("movieId,title,genres\n10,A,Drama\nten,B,Drama\n")
  with pytest.raises(ValueError, match=r"movies\.csv, line 3: 'ten,B,Drama'"):
    dataset.load(str(tmp_path))
  (tmp_path / "movies.csv").write_text("movieId,title,genres\n10,A\n")
  with pytest.raises(ValueError, match=r"movies\.csv, line 2: '10,A'"):
    dataset.load(str(tmp_path))
  (tmp_path / "ratings.csv").write_text("1,10,4.0,100\n")
  with pytest.raises(ValueError, match="line 1: .* is not the header"):
    dataset.load(str(tmp_path))


def test_no_ratings(tmp_path):
  _write_csv(tmp_path, "")
  with pytest.raises(ValueError, match="holds no ratings"):
    dataset.load(str(tmp_path))


def test_missing_files_are_named_with_the_known_layouts(tmp_path):
  with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
    dataset.load(str(tmp_path / "nowhere"))
  with pytest.raises(FileNotFoundError, match="known MovieLens layouts are: ratings.csv with"):
    dataset.load(str(tmp_path))
  _write_csv(tmp_path)
  (tmp_path / "movies.csv").unlink()
  with pytest.raises(FileNotFoundError, match=r"has ratings\.csv but not movies\.csv"):
    dataset.load(str(tmp_path))
  with pytest.raises(ValueError, match="neither a folder nor a .zip"):
    dataset.load(str(tmp_path / "ratings.csv"))


def test_last_fifth_is_by_time_and_stable():
  users = np.array([1] * 11 + [2] * 4)
  times = np.array([5, 9, 1, 9, 9, 0, 2, 3, 4, 5, 6] + [1, 2, 3, 4])
  mask = dataset.last_fifth(users, times)
  np.testing.assert_array_equal(np.flatnonzero(mask), [3, 4])


def test_bundled_data_set_reads_whole():
  import os

  data = dataset.load(os.path.join(os.path.dirname(dataset.__file__), "data", "ml-latest-small"))
  assert len(data) == 100004
  assert len(np.unique(data.users)) == 671
  assert len(data.titles) == 9125
  mask = dataset.last_fifth(data.users, data.timestamps)
  assert 0.19 < mask.mean() <= 0.2
  assert data.titles[1] == "Toy Story (1995)"
