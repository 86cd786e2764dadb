# SPDX-License-Identifier: Apache-2.0
"""Reads any MovieLens data set, as a folder or as the .zip that GroupLens publishes.

Known layouts (https://grouplens.org/datasets/movielens/):

* `ratings.csv` and `movies.csv` with a header line (ml-latest-small, ml-20m, ml-25m, ml-32m);
* `ratings.dat` and `movies.dat` with `::` between the fields, latin-1 (ml-1m, ml-10M100K);
* `u.data` with tabs and `u.item` with `|` and one 0/1 flag a genre, latin-1 (ml-100k).

Ratings are parsed in blocks of whole lines with NumPy, so that 25 million of them need about half a
gigabyte (20 bytes a rating, twice while the columns are joined) and no Python object a line.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import re
import warnings
import zipfile
from typing import BinaryIO, Dict, Iterator, List, Optional, Tuple

import numpy as np

LIKED_RATING = 4.0

_BLOCK_BYTES = 16 << 20
_YEAR = re.compile(r"\((\d{4})(?:[-\u2013]\d{0,4})?\)\s*$")
_NO_GENRE = frozenset(["(no genres listed)", "unknown", ""])
# The order of the 0/1 flags in u.item, as the file u.genre of ml-100k lists them.
_ML100K_GENRES = (
  "unknown",
  "Action",
  "Adventure",
  "Animation",
  "Children's",
  "Comedy",
  "Crime",
  "Documentary",
  "Drama",
  "Fantasy",
  "Film-Noir",
  "Horror",
  "Musical",
  "Mystery",
  "Romance",
  "Sci-Fi",
  "Thriller",
  "War",
  "Western",
)


@dataclasses.dataclass(frozen=True)
class _Layout:
  """How one family of data sets writes its files."""

  ratings: str
  movies: str
  delimiter: bytes
  header: bool
  encoding: str


_LAYOUTS = (
  _Layout("ratings.csv", "movies.csv", b",", True, "utf-8"),
  _Layout("ratings.dat", "movies.dat", b"::", False, "latin-1"),
  _Layout("u.data", "u.item", b"\t", False, "latin-1"),
)


@dataclasses.dataclass(frozen=True)
class MovieLens:
  """Ratings as columns, movies as look-up tables.

  Attributes:
    users: int32 [n], the user of each rating, as numbered in the file.
    movies: int32 [n], the movie of each rating, as numbered in the file.
    ratings: float32 [n], stars between 0.5 and 5.
    timestamps: int64 [n], seconds since 1970.
    titles: movie -> title, the year in parentheses included.
    genres: movie -> the names of its genres, possibly none.
  """

  users: np.ndarray
  movies: np.ndarray
  ratings: np.ndarray
  timestamps: np.ndarray
  titles: Dict[int, str]
  genres: Dict[int, Tuple[str, ...]]

  def __len__(self) -> int:
    return len(self.users)

  @property
  def liked(self) -> np.ndarray:
    """float32 [n]: 1 where the rating is at least LIKED_RATING, else 0."""
    return (self.ratings >= LIKED_RATING).astype(np.float32)

  def years(self) -> Dict[int, int]:
    """movie -> release year, for the movies whose title ends in one."""
    found = ((movie, _YEAR.search(title)) for movie, title in self.titles.items())
    return {movie: int(match.group(1)) for movie, match in found if match}

  def take(self, rows: np.ndarray) -> MovieLens:
    """The same movies with only the given ratings (indices or a bool mask, [n])."""
    return dataclasses.replace(
      self,
      users=self.users[rows],
      movies=self.movies[rows],
      ratings=self.ratings[rows],
      timestamps=self.timestamps[rows],
    )

  def first_users(self, number: int) -> MovieLens:
    """Only the ratings of the `number` users with the smallest numbers."""
    users = np.unique(self.users)[:number]
    return self.take(np.isin(self.users, users))


class _Source:
  """The files of a folder or of a zip archive, found by their base name."""

  def __init__(self, path: str):
    self.path = path
    self._zip: Optional[zipfile.ZipFile] = None
    if os.path.isdir(path):
      self._files = _files_of_folder(path)
    elif zipfile.is_zipfile(path):
      self._zip = zipfile.ZipFile(path)
      self._files = {os.path.basename(name): name for name in reversed(self._zip.namelist()) if not name.endswith("/")}
    elif os.path.exists(path):
      raise ValueError(
        f"{path} is neither a folder nor a .zip archive; give the folder that "
        f"holds a MovieLens data set, or its zip file."
      )
    else:
      raise FileNotFoundError(
        f"{path} does not exist; give the folder that holds a MovieLens data set, or its zip file."
      )

  def __contains__(self, name: str) -> bool:
    return name in self._files

  def where(self, name: str) -> str:
    """The file's name for a message."""
    return os.path.join(self.path, self._files[name])

  def open(self, name: str) -> BinaryIO:
    if self._zip is not None:
      return self._zip.open(self._files[name])  # type: ignore[return-value]
    return open(os.path.join(self.path, self._files[name]), "rb")

  def close(self) -> None:
    if self._zip is not None:
      self._zip.close()


def _files_of_folder(path: str) -> Dict[str, str]:
  """Base name -> path below `path`; one level of folders is looked into, the top one wins."""
  files: Dict[str, str] = {}
  for child in sorted(os.listdir(path)):
    inner = os.path.join(path, child)
    if os.path.isdir(inner):
      for name in sorted(os.listdir(inner)):
        if os.path.isfile(os.path.join(inner, name)):
          files.setdefault(name, os.path.join(child, name))
  files.update({name: name for name in os.listdir(path) if os.path.isfile(os.path.join(path, name))})
  return files


def load(path: str) -> MovieLens:
  """Reads the data set at `path`.

  Args:
    path: a folder, or a zip archive, in one of the layouts named at the top of this file.

  Raises:
    FileNotFoundError: `path`, or a file that its layout needs, is missing.
    ValueError: a line cannot be read; the message names file, line number and line.
  """
  source = _Source(path)
  try:
    layout = _find_layout(source)
    users, movies, ratings, timestamps = _read_ratings(source, layout)
    titles, genres = _read_movies(source, layout)
  finally:
    source.close()
  return MovieLens(users, movies, ratings, timestamps, titles, genres)


def last_fifth(users: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
  """Marks the latest fifth of each user's ratings.

  Args:
    users: int [n].
    timestamps: int [n]; of equal ones the later row counts as later.

  Returns:
    bool [n]: for a user with k ratings, the k // 5 latest ones.
  """
  order = np.lexsort((timestamps, users))
  _, start, count = np.unique(users[order], return_index=True, return_counts=True)
  first_test = start + count - count // 5
  mask = np.zeros(len(users), bool)
  mask[order] = np.arange(len(users)) >= np.repeat(first_test, count)
  return mask


def _find_layout(source: _Source) -> _Layout:
  """The layout whose files are there; one of its two files missing is an error of its own."""
  for layout in _LAYOUTS:
    if layout.ratings in source and layout.movies in source:
      return layout
  known = "; ".join(f"{each.ratings} with {each.movies}" for each in _LAYOUTS)
  for layout in _LAYOUTS:
    for here, missing in ((layout.ratings, layout.movies), (layout.movies, layout.ratings)):
      if here in source:
        raise FileNotFoundError(
          f"{source.path} has {here} but not {missing}; the known MovieLens layouts are: {known}."
        )
  raise FileNotFoundError(
    f"{source.path} has no ratings.csv, ratings.dat or u.data; the known MovieLens layouts are: {known}."
  )


# ---- ratings ----


def _read_ratings(source: _Source, layout: _Layout) -> Tuple[np.ndarray, ...]:
  columns: Tuple[List[np.ndarray], ...] = ([], [], [], [])
  where = source.where(layout.ratings)
  with source.open(layout.ratings) as file:
    line_number = 1
    if layout.header:
      _check_header(file.readline(), where)
      line_number = 2
    for block in _blocks_of_lines(file):
      table, num_lines = _parse_block(block, layout.delimiter, where, line_number)
      for column, values, dtype in zip(columns, table.T, (np.int32, np.int32, np.float32, np.int64), strict=True):
        column.append(values.astype(dtype))
      line_number += num_lines
  if not columns[0]:
    raise ValueError(f"{where} holds no ratings; download the data set again.")
  return tuple(np.concatenate(column) for column in columns)


def _check_header(line: bytes, where: str) -> None:
  if [name.strip() for name in line.split(b",")] != [b"userId", b"movieId", b"rating", b"timestamp"]:
    raise ValueError(
      f"{where}, line 1: {_shown(line)} is not the header "
      f'"userId,movieId,rating,timestamp"; restore it or download the data again.'
    )


def _blocks_of_lines(file: BinaryIO) -> Iterator[bytes]:
  """Pieces of about _BLOCK_BYTES that end at a line end; the last line may lack one."""
  rest = b""
  while True:
    piece = file.read(_BLOCK_BYTES)
    if not piece:
      break
    cut = piece.rfind(b"\n") + 1
    if cut:
      yield rest + piece[:cut]
      rest = piece[cut:]
    else:
      rest += piece
  if rest.strip():
    yield rest + b"\n"


def _parse_block(block: bytes, delimiter: bytes, where: str, first_line: int) -> Tuple[np.ndarray, int]:
  """-> (float64 [lines, 4], number of lines); names the first broken line when there is one."""
  if b"\r" in block:
    block = block.replace(b"\r\n", b"\n")
  if delimiter == b"::" and b"," not in block:
    block, delimiter = block.replace(b"::", b","), b","
  table = _parse_fast(block, delimiter)
  if table is None:
    raise _broken_line(block, delimiter, where, first_line)
  return table, len(table)


def _parse_fast(block: bytes, delimiter: bytes) -> Optional[np.ndarray]:
  """float64 [lines, 4], or None when any line is not four plausible numbers."""
  if len(delimiter) != 1:
    return None
  bytes_ = np.frombuffer(block, np.uint8)
  is_end = bytes_ == ord("\n")
  is_mark = np.flatnonzero(is_end | (bytes_ == ord(delimiter)))
  num_lines = int(np.count_nonzero(is_end))
  if len(is_mark) != 4 * num_lines or not is_end[is_mark[3::4]].all():
    return None
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("error")  # older NumPy warns, newer ones raise ValueError
      flat = np.fromstring(block.replace(b"\n", delimiter).rstrip(delimiter).decode("latin-1"), sep=delimiter.decode())
  except (DeprecationWarning, ValueError):
    return None
  if len(flat) != 4 * num_lines:
    return None
  table = flat.reshape(-1, 4)
  return table if _plausible(table).all() else None


def _plausible(table: np.ndarray) -> np.ndarray:
  """bool [lines]: ids and time are whole numbers in range, the rating lies between 0 and 5."""
  user, movie, rating, time = table.T
  whole = (user % 1 == 0) & (movie % 1 == 0) & (time % 1 == 0)
  ids = (user >= 0) & (user < 2**31) & (movie >= 0) & (movie < 2**31)
  return whole & ids & (rating >= 0) & (rating <= 5) & (time >= 0) & (time < 2**53)


def _broken_line(block: bytes, delimiter: bytes, where: str, first_line: int) -> ValueError:
  """Names the first line of a block that cannot be read."""
  for offset, line in enumerate(block.split(b"\n")[:-1]):
    fields = line.split(delimiter)
    try:
      good = len(fields) == 4 and _plausible(np.array([[float(x) for x in fields]])).all()
    except ValueError:
      good = False
    if not good:
      return ValueError(
        f"{where}, line {first_line + offset}: {_shown(line)} is not "
        f'"user{delimiter.decode()}movie{delimiter.decode()}rating'
        f'{delimiter.decode()}seconds" with a rating between 0 and 5; repair or '
        f"delete the line."
      )
  return ValueError(f"{where}, lines from {first_line} on: the numbers cannot be read; download the data set again.")


def _shown(line: bytes) -> str:
  text = line.decode("utf-8", "replace").rstrip("\r\n")
  return repr(text if len(text) <= 120 else text[:117] + "...")


# ---- movies ----


def _read_movies(source: _Source, layout: _Layout) -> Tuple[Dict[int, str], Dict[int, Tuple[str, ...]]]:
  titles: Dict[int, str] = {}
  genres: Dict[int, Tuple[str, ...]] = {}
  where = source.where(layout.movies)
  with source.open(layout.movies) as raw:
    text = io.TextIOWrapper(raw, encoding=layout.encoding, newline="")
    for number, line, fields in _movie_fields(text, layout):
      try:
        movie, title, names = fields
        key = int(movie)
      except ValueError:
        raise ValueError(
          f"{where}, line {number}: {_shown(line.encode())} does not hold a movie "
          f"number, a title and genres; repair or delete the line."
        ) from None
      titles[key] = title
      genres[key] = tuple(name for name in names if name not in _NO_GENRE)
  return titles, genres


def _movie_fields(text: io.TextIOWrapper, layout: _Layout) -> Iterator[Tuple[int, str, list]]:
  """Yields (line number, line, [movie, title, genre names]); a broken line has another length."""
  if layout.delimiter == b",":
    reader = csv.reader(text)
    next(reader, None)
    for row in reader:
      fields = [row[0], row[1], row[2].split("|")] if len(row) == 3 else row[:1]
      yield reader.line_num, ",".join(row), fields
    return
  for number, raw in enumerate(text, 1):
    line = raw.rstrip("\r\n")
    if layout.delimiter == b"::":
      row = line.split("::")
      yield number, line, [row[0], row[1], row[2].split("|")] if len(row) == 3 else row[:1]
    else:
      yield number, line, _ml100k_fields(line)


def _ml100k_fields(line: str) -> list:
  """movie | title | release | video release | URL | one flag a genre."""
  row = line.split("|")
  flags = row[5:]
  if len(flags) != len(_ML100K_GENRES) or not set(flags) <= {"0", "1"}:
    return row[:1]
  return [row[0], row[1], [name for name, flag in zip(_ML100K_GENRES, flags, strict=True) if flag == "1"]]
