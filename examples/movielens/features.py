# SPDX-License-Identifier: Apache-2.0
"""Turns ratings into the fids of a ranking model.

A fid is `slot << 48 | id`. Six features describe a pair of user and movie:

| feature    | slot | ids                                                      |
|------------|------|----------------------------------------------------------|
| user       | 1    | the user                                                 |
| movie      | 2    | the movie                                                |
| genre      | 3    | the movie's genres                                       |
| year       | 4    | the movie's release year, 0 where unknown                |
| user_genre | 5    | the user crossed with each of the movie's genres         |
| liked      | 6    | the movies the user liked last, before this rating       |

What a user likes after the training part ends is never looked at.
"""

from __future__ import annotations

import dataclasses
from typing import Dict, NamedTuple, Optional

import numpy as np

from examples.movielens.dataset import MovieLens

SLOTS = {"user": 1, "movie": 2, "genre": 3, "year": 4, "user_genre": 5, "liked": 6}
_SLOT_SHIFT = 48
_GENRE_BITS = 6


class Ragged(NamedTuple):
  """Rows of unequal length: int64 values, and int64 [rows + 1] where each row begins."""

  values: np.ndarray
  row_splits: np.ndarray

  def rows(self, which: np.ndarray) -> Ragged:
    """The given rows, in that order."""
    return _ranges(self.values, self.row_splits[which], self.row_splits[which + 1])


def _ranges(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> Ragged:
  """Row i is values[begin[i]:end[i]]."""
  lengths = (end - begin).astype(np.int64)
  splits = np.concatenate([[0], np.cumsum(lengths)])
  index = np.arange(splits[-1]) + np.repeat(begin - splits[:-1], lengths)
  return Ragged(values[index].astype(np.int64), splits)


def _hash(ids: np.ndarray) -> np.ndarray:
  """Mixes the bits of non-negative ids (murmur3's finaliser), uint64."""
  x = ids.astype(np.uint64)
  x ^= x >> np.uint64(33)
  x *= np.uint64(0xFF51AFD7ED558CCD)
  x ^= x >> np.uint64(33)
  x *= np.uint64(0xC4CEB9FE1A85EC53)
  return x ^ (x >> np.uint64(33))


@dataclasses.dataclass(frozen=True)
class _Movies:
  """What is known of movies, in the order of `ids`."""

  ids: np.ndarray  # int64 [movies], sorted
  genres: Ragged
  years: np.ndarray  # int64 [movies]

  @classmethod
  def of(cls, data: MovieLens) -> _Movies:
    ids = np.union1d(data.movies, np.fromiter(data.titles, np.int64, len(data.titles)))
    names = sorted({name for genres in data.genres.values() for name in genres})
    if len(names) >= 1 << _GENRE_BITS:
      raise ValueError(f"{len(names)} genres do not fit into {_GENRE_BITS} bits.")
    number = {name: i for i, name in enumerate(names, 1)}
    rows = [[number[name] for name in data.genres.get(int(movie), ())] for movie in ids]
    splits = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    years = data.years()
    return cls(
      ids,
      Ragged(np.array([g for row in rows for g in row], np.int64), splits),
      np.array([years.get(int(movie), 0) for movie in ids], np.int64),
    )

  def index(self, movies: np.ndarray) -> np.ndarray:
    return np.searchsorted(self.ids, movies)


class FeatureBuilder:
  """Makes fids of ratings, a batch at a time.

  Args:
    data: all ratings.
    is_test: bool [ratings]; what those say is not used as history.
    history: how many liked movies a history has at most.
    hash_buckets: None gives every id its own fid; a number hashes the ids of each slot into so many
      buckets, as a table of fixed size would.
  """

  def __init__(self, data: MovieLens, is_test: np.ndarray, history: int = 10, hash_buckets: Optional[int] = None):
    self._data = data
    self._movies = _Movies.of(data)
    self._hash_buckets = hash_buckets
    self._history = history
    self._make_histories(data, (data.liked > 0) & ~is_test)

  def __deepcopy__(self, memo) -> FeatureBuilder:
    """Never changes, so copies of a model share it."""
    return self

  def _make_histories(self, data: MovieLens, counts: np.ndarray) -> None:
    """For each rating, the part of `_liked` that came before it: `_begin` to `_end`."""
    order = np.lexsort((data.timestamps, data.users))
    counts = counts[order]
    self._liked = data.movies[order][counts].astype(np.int64)
    before = np.cumsum(counts) - counts
    users, first, number = np.unique(data.users[order], return_index=True, return_counts=True)
    self._begin = np.empty(len(data), np.int64)
    self._end = np.empty(len(data), np.int64)
    self._end[order] = before
    self._begin[order] = np.maximum(np.repeat(before[first], number), before - self._history)
    last = first + number - 1
    stop = before[last] + counts[last]
    self._user_history = {
      int(user): (max(begin, end - self._history), end)
      for user, begin, end in zip(users, before[first], stop, strict=True)
    }

  def batch(self, rows: np.ndarray) -> Dict[str, Ragged]:
    """feature -> the fids of the given ratings (indices)."""
    liked = _ranges(self._liked, self._begin[rows], self._end[rows])
    return self._fids(self._data.users[rows], self._data.movies[rows], liked)

  def pairs(self, user: int, movies: np.ndarray) -> Dict[str, Ragged]:
    """feature -> the fids of one user with each of many movies, as of the end of the training part.

    Raises:
      KeyError: the data set has no such user.
    """
    if user not in self._user_history:
      raise KeyError(
        f"user {user} has rated nothing; give one of {len(self._user_history)} users, "
        f"such as {next(iter(self._user_history))}."
      )
    begin, end = (np.full(len(movies), place) for place in self._user_history[user])
    return self._fids(np.full(len(movies), user), movies, _ranges(self._liked, begin, end))

  def _fids(self, users: np.ndarray, movies: np.ndarray, liked: Ragged) -> Dict[str, Ragged]:
    index = self._movies.index(movies)
    genres = self._movies.genres.rows(index)
    crossed = np.repeat(users.astype(np.int64) << _GENRE_BITS, np.diff(genres.row_splits))
    one_each = np.arange(len(users) + 1)
    ids = {
      "user": Ragged(users.astype(np.int64), one_each),
      "movie": Ragged(movies.astype(np.int64), one_each),
      "genre": genres,
      "year": Ragged(self._movies.years[index], one_each),
      "user_genre": Ragged(crossed | genres.values, genres.row_splits),
      "liked": liked,
    }
    return {name: Ragged(self._fid(name, ragged.values), ragged.row_splits) for name, ragged in ids.items()}

  def _fid(self, name: str, ids: np.ndarray) -> np.ndarray:
    if self._hash_buckets is not None:
      ids = (_hash(ids) % np.uint64(self._hash_buckets)).astype(np.int64)
    return SLOTS[name] << _SLOT_SHIFT | ids
