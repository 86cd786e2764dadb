# SPDX-License-Identifier: Apache-2.0
"""The text file that lists a model's features: names, slots, and how they are extracted.

One entry a line; empty lines and lines that begin with `#` are skipped:

    column_name: label,user,city
    cache_column: city
    feed feed_name=user; shared=true; feature_id=3
    cache cache_name=c; capacity=100; timeout=60; cache_type=lru
    feature_name=f_city; depend=city; slot=310; shared=true

An entry is `key=value` pairs. A key is the last word before its `=`; a value ends at the last space before the next
key, without trailing `,` and `;`. So a space has to follow a separator, and no value has an `=`. Keys that are not
known are passed over.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set, Tuple, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training import _flags

__all__ = ["Cache", "Feature", "FeatureList", "Feed", "add_feature", "add_feature_by_fids", "current",
           "get_valid_features", "is_example_batch"]  # fmt: skip

COLLECTION = "feature_list"
_TRUE = frozenset(["true", "yes", "t", "y", "1"])
_LOCK = threading.Lock()
_PARSED: Dict[Tuple[str, bool], FeatureList] = {}
_VALID: Set[str] = set()


def _to_bool(text: str) -> bool:
  return text.lower() in _TRUE


def _to_list(text: str) -> List[str]:
  return [part.strip().strip("\"'") for part in text.split(",") if part.strip()]


def _to_text(value: Any) -> str:
  if isinstance(value, list):
    return ",".join(value)
  return str(value).lower() if isinstance(value, bool) else str(value)


@dataclasses.dataclass
class _Entry:
  """An entry of the file; fields that it does not set are None."""

  @classmethod
  def from_pairs(cls, pairs: Dict[str, str]) -> Any:
    known = {field.name: field.type for field in dataclasses.fields(cls)}
    convert: Dict[str, Callable[[str], Any]] = {
      "Optional[int]": int,
      "Optional[bool]": _to_bool,
      "Optional[List[str]]": _to_list,
    }
    return cls(**{key: convert.get(str(known[key]), str)(value) for key, value in pairs.items() if key in known})

  def __str__(self) -> str:
    pairs = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
    return ";".join(f"{name}={_to_text(value)}" for name, value in pairs if value is not None)


@dataclasses.dataclass
class Feed(_Entry):
  feed_name: Optional[str] = None
  shared: Optional[bool] = None
  feature_id: Optional[int] = None

  __str__ = _Entry.__str__


@dataclasses.dataclass
class Cache(_Entry):
  cache_column: Optional[str] = None
  cache_name: Optional[str] = None
  capacity: Optional[int] = None
  timeout: Optional[int] = None
  cache_type: Optional[str] = None
  cache_key_class: Optional[str] = None

  __str__ = _Entry.__str__


@dataclasses.dataclass
class Feature(_Entry):
  """A feature of a model: its name, its slot, what it depends on."""

  feature_name: Optional[str] = None
  depend: Optional[List[str]] = None
  method: Optional[str] = None
  slot: Optional[int] = None
  args: Optional[List[str]] = None
  feature_version: Optional[int] = None
  shared: Optional[bool] = None
  cache_keys: Optional[List[str]] = None
  need_raw: Optional[bool] = None
  feature_id: Optional[int] = None
  input_optional: Optional[List[str]] = None
  feature_group: Optional[List[str]] = None

  __str__ = _Entry.__str__

  @classmethod
  def from_pairs(cls, pairs: Dict[str, str]) -> Feature:
    feature = super().from_pairs(pairs)
    if feature.input_optional is not None:
      feature.input_optional = [_to_bool(text) for text in feature.input_optional]
    return feature

  def __post_init__(self) -> None:
    if not self.feature_name:
      raise ValueError("an entry of a feature has no feature_name; name it.")

  @property
  def name(self) -> str:
    """The name without `fc_` and `f_` before each of its terms, in lower case.

    >>> Feature(feature_name="fc_City-f_Hour").name
    'city-hour'
    """
    return "-".join(_bare(term) for term in str(self.feature_name).split("-")).lower()

  @property
  def depend_strip_prefix(self) -> List[str]:
    """`depend` without prefixes."""
    return [_bare(term) for term in self.depend or []]


def _bare(term: str) -> str:
  for prefix in ("fc_", "f_"):
    if term.lower().startswith(prefix):
      return term[len(prefix) :]
  return term


def _pairs(line: str) -> Dict[str, str]:
  """The key=value pairs of a line."""
  pieces = line.split("=")
  pairs: Dict[str, str] = {}
  key = pieces[0].split()[-1] if pieces[0].split() else ""
  for position, piece in enumerate(pieces[1:], 1):
    value, next_key = piece, ""
    if position < len(pieces) - 1:
      head, _, next_key = piece.rstrip().rpartition(" ")
      value = head
    pairs[key] = value.strip().rstrip(",;").strip()
    key = next_key.strip()
  return {name: value for name, value in pairs.items() if name}


class FeatureList:
  """The entries of a file. Indexing takes a slot or a name, `in` and `get` as well.

  Args:
    column_name: columns of the input.
    feeds: feeds by name.
    caches: caches by name.
    features: features by name.
  """

  def __init__(
    self, column_name: List[str], feeds: Dict[str, Feed], caches: Dict[str, Cache], features: Dict[str, Feature]
  ):
    self.column_name = column_name
    self.feeds = feeds
    self.caches = caches
    self.features = features
    self._by_slot: Dict[int, List[Feature]] = {}
    for feature in features.values():
      if feature.slot is not None:
        self._by_slot.setdefault(feature.slot, []).append(feature)
    tf.compat.v1.add_to_collection(COLLECTION, self)

  @classmethod
  def parse(cls, fname: Optional[str] = None, use_old_name: bool = True) -> FeatureList:
    """Reads a file, once for each path.

    Args:
      fname: the path; default the flag `feature_list`.
      use_old_name: whether features are found by `feature_name`, else by `name`.

    Raises:
      ValueError: no path is given, or a line is no entry.
    """
    fname = fname or _flags.flag_value("feature_list", None)
    if not fname:
      raise ValueError("FeatureList.parse: no file; give fname or set the flag feature_list.")
    with _LOCK:
      if (fname, use_old_name) not in _PARSED:
        with tf.io.gfile.GFile(fname) as lines:
          _PARSED[fname, use_old_name] = cls._of_lines(fname, lines, use_old_name)
      return _PARSED[fname, use_old_name]

  @classmethod
  def _of_lines(cls, fname: str, lines: Iterable[str], use_old_name: bool) -> FeatureList:
    columns: List[str] = []
    feeds: Dict[str, Feed] = {}
    caches: Dict[str, Cache] = {}
    features: Dict[str, Feature] = {}
    cache_columns: List[str] = []
    for number, line in enumerate(lines, 1):
      line = line.strip()
      head = line.split(":", 1)[0].strip()
      if not line or line.startswith("#"):
        continue
      try:
        if head in ("column_name", "cache_column"):
          (columns if head == "column_name" else cache_columns).extend(_to_list(line.split(":", 1)[1]))
        elif line.split()[0].startswith("feed"):
          feed = Feed.from_pairs(_pairs(line))
          feeds[str(feed.feed_name)] = feed
        elif line.split()[0].startswith("cache"):
          cache = Cache.from_pairs(_pairs(line))
          caches[str(cache.cache_name or cache.cache_column)] = cache
        else:
          feature = Feature.from_pairs(_pairs(line))
          features[str(feature.feature_name) if use_old_name else feature.name] = feature
      except ValueError as error:
        raise ValueError(f"{fname}:{number}: {line!r} is no entry of a feature list: {error}") from error
    result = cls(columns, feeds, caches, features)
    result.cache_columns = cache_columns
    return result

  cache_columns: List[str] = []

  def _find(self, item: Union[int, str]) -> Optional[Feature]:
    if isinstance(item, int):
      features = self._by_slot.get(item)
      return features[0] if features else None
    terms = item.split("-")
    for prefix in ("", "f_", "fc_"):
      for name in ("-".join(prefix + term for term in terms), prefix + item):
        if name in self.features:
          return self.features[name]
    return None

  def __getitem__(self, item: Union[int, str]) -> Feature:
    feature = self._find(item)
    if feature is None:
      kind = "slot" if isinstance(item, int) else "name"
      raise KeyError(f"the feature list has no feature of {kind} {item!r}; it has {len(self)} features.")
    return feature

  def get(self, item: Union[int, str], default: Optional[Feature] = None) -> Optional[Feature]:
    """The feature, or `default`."""
    feature = self._find(item)
    return default if feature is None else feature

  def get_with_slot(self, slot: int) -> List[Feature]:
    """All features of a slot."""
    return list(self._by_slot.get(slot, []))

  def __contains__(self, item: object) -> bool:
    return isinstance(item, (int, str)) and self._find(item) is not None

  def __len__(self) -> int:
    return len(self.features)

  def __iter__(self) -> Iterator[Feature]:
    return iter(self.features.values())


def current() -> Optional[FeatureList]:
  """The list of the flag `feature_list`; None where the flag is not set."""
  return FeatureList.parse() if _flags.flag_value("feature_list", None) else None


def is_example_batch() -> bool:
  """Whether the flag `data_type` says that records are ExampleBatches."""
  return str(_flags.flag_value("data_type", "")).lower().replace("_", "") == "examplebatch"


def add_feature(feature: Union[int, str, Iterable[Union[int, str]]]) -> None:
  """Records columns that a model wants, if records are ExampleBatches.

  Args:
    feature: a name, a slot, or several of them.
  """
  if isinstance(feature, (int, str)):
    feature = [feature]
  if not is_example_batch():
    return
  for item in feature:
    _VALID.add(item if isinstance(item, str) else str(FeatureList.parse()[item].feature_name))


def add_feature_by_fids(fids: Union[int, Iterable[int]], feature_list: Optional[FeatureList] = None) -> None:
  """Records the columns that fids belong to, if records are ExampleBatches.

  Args:
    fids: of version 1 or 2; negative int64 and uint64 of 2**63 and above are the same fids.
    feature_list: where slots have their names; default that of the flag.

  Raises:
    ValueError: a fid's slot is not in the list.
  """
  if not is_example_batch():
    return
  features = feature_list or FeatureList.parse()
  for fid in [fids] if isinstance(fids, int) else fids:
    fid = int(fid) & (2**64 - 1)
    v1, v2 = fid >> 54, fid >> 48 & 0x7FFF
    found = [] if fid >> 63 else features.get_with_slot(v2)
    found = found or features.get_with_slot(v1)
    if not found:
      raise ValueError(
        f"fid {fid} is of slot {v1} (version 1) or {v2} (version 2), which the feature list does not have."
      )
    _VALID.update(str(feature.feature_name) for feature in found)


def get_valid_features() -> List[str]:
  """The columns recorded so far, sorted."""
  return sorted(_VALID)
