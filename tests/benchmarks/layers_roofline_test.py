# SPDX-License-Identifier: Apache-2.0
"""The bounds of memory-bound layers: the bytes that are counted, and a tiny run."""

from __future__ import annotations

from benchmarks.layers import registry, roofline

import tensorflow as tf


def test_bytes_are_counted_once_each():
  case, outputs = registry.CASES["ffm_dot"], tf.zeros([3, 169])
  inputs = 2 * 3 * 208 * 4
  assert roofline.moved_bytes(case, 3, "forward", outputs, []) == inputs + 3 * 169 * 4
  gradients = [[tf.zeros([3, 208])] * 2, []]
  moved = roofline.moved_bytes(case, 3, "both", (outputs, gradients), [])
  assert moved == 2 * inputs + 2 * 3 * 169 * 4 + inputs
  assert roofline.num_bytes([None, tf.zeros([2], tf.float64)]) == 16


def test_times_end_with_the_calls_or_the_seconds():
  assert len(roofline.times_of(lambda: None, 7, 60)) == 7
  assert len(roofline.times_of(lambda: None, 1000, 0)) == 3


def test_whole_run(capsys):
  """Every pass of every case has its row of positive numbers."""
  roofline.run(roofline.parse(["--cases", "irazor", "--batch", "3", "--steps", "3", "--megabytes", "1"]))
  rates, _, header, *rows = capsys.readouterr().out.splitlines()
  assert rates.startswith("copies: ") and header.split()[-2:] == ["median", "best"]
  assert [row.split()[:2] for row in rows] == [["irazor", "forward"], ["irazor", "both"]]
  for row in rows:
    numbers = [float(word) for word in row.split()[2:]]
    assert len(numbers) == 6 and numbers[-1] <= numbers[-2]
