# SPDX-License-Identifier: Apache-2.0
"""Names of input files from dates and numbers."""

import datetime

import pytest

from monolith.native_training.data import _input_patterns
from monolith.native_training.data.datasets import PBDataset


def test_days_without_the_last():
  patterns = PBDataset.gen_patterns("/abc", start_date=20220901, end_date=20220920)
  assert len(patterns) == 19
  assert patterns[0] == "/abc/20220901/*" and patterns[-1] == "/abc/20220919/*"
  assert PBDataset.gen_patterns("/abc/", "20240228", end_date="20240301", wildcard="*.pb") == [
    "/abc/20240228/*.pb", "/abc/20240229/*.pb",
  ]  # fmt: skip


def test_hours():
  assert PBDataset.gen_patterns("/abc", 20220930, 22, 20221001, 1, is_hourly=True) == [
    "/abc/20220930/22*", "/abc/20220930/23*", "/abc/20221001/00*",
  ]  # fmt: skip


def test_nothing_and_today(monkeypatch):
  assert PBDataset.gen_patterns(None, 20220901) == [] == PBDataset.gen_patterns("/abc")
  monkeypatch.setattr(_input_patterns, "_today", lambda: datetime.datetime(2022, 9, 3))
  assert PBDataset.gen_patterns("/abc", 20220901) == ["/abc/20220901/*", "/abc/20220902/*"]


def test_ranges_in_patterns():
  assert _input_patterns.expand_pattern("/a/*") == ["/a/*"]
  assert _input_patterns.expand_pattern("/a/{ DATE(2023123122, 2024010101) }/x") == [
    f"/a/{hour}/x" for hour in ("2023123122", "2023123123", "2024010100", "2024010101")
  ]
  assert len(_input_patterns.expand_pattern("{INT(0,9)}/{INT(5,7)}")) == 30
  assert _input_patterns.expand_pattern("{INT(3,2)}") == []
  for bad in ("{DATE(2023,2024)}", "{DATE(20230101,2023010100)}"):
    with pytest.raises(ValueError, match="give two days of 8 digits or two hours of 10"):
      _input_patterns.expand_pattern(bad)
