# SPDX-License-Identifier: Apache-2.0
"""Names of input files from dates and numbers."""

from __future__ import annotations

import datetime
import itertools
import re
from typing import Iterator, List, Optional, Union

__all__ = ["expand_pattern", "gen_patterns"]

_MACRO = re.compile(r"\{(DATE|INT)\((\d+),(\d+)\)\}")
_DAY, _HOUR = "%Y%m%d", "%Y%m%d%H"

Day = Union[int, str]


def expand_pattern(pattern: str) -> List[str]:
  """All patterns that one with ranges stands for; both ends are included.

  `{DATE(a,b)}` counts days (8 digits) or hours (10 digits), `{INT(a,b)}` counts without leading zeros.

  Raises:
    ValueError: a date is none, or has neither 8 nor 10 digits.

  >>> expand_pattern("/d/{DATE(20230228,20230301)}/{INT(9,10)}")
  ['/d/20230228/9', '/d/20230228/10', '/d/20230301/9', '/d/20230301/10']
  """
  pattern = pattern.replace(" ", "")
  pieces, choices, at = [], [], 0
  for match in _MACRO.finditer(pattern):
    pieces.append(pattern[at : match.start()])
    kind, begin, end = match.groups()
    choices.append(list(_dates(begin, end)) if kind == "DATE" else [str(i) for i in range(int(begin), int(end) + 1)])
    at = match.end()
  tail = pattern[at:]
  return [
    "".join(piece + choice for piece, choice in zip(pieces, chosen, strict=True)) + tail
    for chosen in itertools.product(*choices)
  ]


def _dates(begin: str, end: str) -> Iterator[str]:
  form = {8: _DAY, 10: _HOUR}.get(len(begin))
  if form is None or len(begin) != len(end):
    raise ValueError(f"DATE({begin},{end}): give two days of 8 digits or two hours of 10.")
  step = datetime.timedelta(days=1) if form == _DAY else datetime.timedelta(hours=1)
  time, last = (datetime.datetime.strptime(text, form) for text in (begin, end))
  while time <= last:
    yield time.strftime(form)
    time += step


def gen_patterns(
  input_path: Optional[str] = None,
  start_date: Optional[Day] = None,
  start_hour: Optional[int] = None,
  end_date: Optional[Day] = None,
  end_hour: Optional[int] = None,
  is_hourly: bool = False,
  wildcard: str = "*",
) -> List[str]:
  """Patterns of daily (`path/YYYYMMDD/<wildcard>`) or hourly (`path/YYYYMMDD/HH<wildcard>`) input.

  Args:
    input_path: the directory; without it, or without `start_date`, there is nothing.
    start_date: first day, as YYYYMMDD.
    start_hour: first hour of it, 0 to 23; default 0.
    end_date: the day after the last (hourly: the day of the hour after the last); default today.
    end_hour: hour of it that is not read; default 0.
    is_hourly: whether directories of days hold hours.
    wildcard: matches the files.

  >>> gen_patterns("/abc", start_date=20220901, end_date=20220903)
  ['/abc/20220901/*', '/abc/20220902/*']
  """
  if not input_path or not start_date:
    return []
  begin = datetime.datetime.strptime(str(start_date), _DAY)
  end = datetime.datetime.strptime(str(end_date), _DAY) if end_date else _today()
  if is_hourly:
    begin += datetime.timedelta(hours=start_hour or 0)
    end += datetime.timedelta(hours=end_hour or 0)
  step = datetime.timedelta(hours=1) if is_hourly else datetime.timedelta(days=1)
  patterns, path = [], input_path.rstrip("/")
  while begin < end:
    hour = begin.strftime("%H") if is_hourly else ""
    patterns.append(f"{path}/{begin.strftime(_DAY)}/{hour}{wildcard}")
    begin += step
  return patterns


def _today() -> datetime.datetime:
  return datetime.datetime.combine(datetime.date.today(), datetime.time())
