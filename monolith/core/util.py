# SPDX-License-Identifier: Apache-2.0
"""Choosing input files by date."""

from __future__ import annotations

import tensorflow as tf

_DATE_LENGTH = 8
_FIRST, _LAST = "00000000", "99999999"


def range_dateset(
  dataset: tf.data.Dataset, root_path: str, start_date: str | None = None, end_date: str | None = None
) -> tf.data.Dataset:
  """Keeps the paths whose date lies in a range.

  Args:
    dataset: string scalars, paths that go on with a date YYYYMMDD right after `root_path`.
    root_path: what stands before the date, with its last slash.
    start_date: first date kept, YYYYMMDD; None keeps from the beginning.
    end_date: last date kept; None keeps to the end.

  Returns:
    The paths kept, in their order.

  Raises:
    ValueError: a date is not eight digits.
  """
  bounds = (start_date or _FIRST, end_date or _LAST)
  for bound in bounds:
    if len(bound) != _DATE_LENGTH or not bound.isdigit():
      raise ValueError(f"range_dateset: date {bound!r} is not eight digits; write it as YYYYMMDD.")
  first, last = map(int, bounds)

  def in_range(path: tf.Tensor) -> tf.Tensor:
    date = tf.strings.to_number(tf.strings.substr(path, len(root_path.encode()), _DATE_LENGTH), tf.int32)
    return tf.logical_and(date >= first, date <= last)

  return dataset.filter(in_range)
