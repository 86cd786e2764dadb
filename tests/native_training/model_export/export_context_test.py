# SPDX-License-Identifier: Apache-2.0
"""Tests of the export mode and of what is registered for an export."""

from __future__ import annotations

import pytest

from monolith.native_training.model_export import export_context
from monolith.native_training.model_export.export_context import ExportMode

import tensorflow as tf  # isort: skip


def test_mode_lasts_as_long_as_the_block():
  assert not export_context.is_exporting()
  with export_context.enter_export_mode(ExportMode.DISTRIBUTED) as ctx:
    assert export_context.is_exporting() and export_context.is_exporting_distributed()
    assert not export_context.is_exporting_standalone()
    assert export_context.get_current_export_ctx() is ctx
    with pytest.raises(AssertionError, match="exports do not nest"):
      with export_context.enter_export_mode(ExportMode.STANDALONE):
        pass
  assert export_context.get_current_export_ctx() is None


def test_mode_ends_with_an_error_too():
  with pytest.raises(KeyError):
    with export_context.enter_export_mode(ExportMode.STANDALONE):
      raise KeyError("x")
  assert not export_context.is_exporting()


def test_what_a_dry_run_registers_is_forgotten():
  with export_context.scratch_export_context():
    assert export_context.get_current_export_ctx() is None
  with export_context.enter_export_mode(ExportMode.STANDALONE, export_context.ExportContext(True)) as ctx:
    with pytest.raises(KeyError), export_context.scratch_export_context():
      scratch = export_context.get_current_export_ctx()
      assert export_context.is_exporting() and scratch is not ctx and scratch.with_remote_gpu
      scratch.dense_sub_graph("d")
      raise KeyError("x")
    assert export_context.get_current_export_ctx() is ctx and not ctx.dense_sub_graphs


def test_dry_run_counts_where_asked():
  with tf.Graph().as_default() as graph:
    assert not export_context.is_dry_run_or_exporting()
    graph.dry_run = True
    assert export_context.is_dry_run_or_exporting()
    assert not export_context.is_exporting()


def test_signatures_belong_to_their_graph():
  ctx = export_context.ExportContext(with_remote_gpu=True)
  first, second = ctx.sub_graph("ps_0"), ctx.sub_graph("ps_1")
  assert ctx.sub_graph("ps_0") is first and ctx.sub_graph_num == 2 and ctx.with_remote_gpu
  ctx.add_signature(first, "lookup", {"a": 1}, {"b": 2})
  ctx.merge_signature(first, "lookup", {"c": 3}, {})
  ctx.merge_signature(second, "assign", {}, {"d": 4})
  (lookup,) = ctx.signatures(first)
  assert lookup == ("lookup", {"a": 1, "c": 3}, {"b": 2})
  assert [s.name for s in ctx.signatures(second)] == ["assign"]
  assert ctx.signatures(tf.Graph()) == []
  assert first.get_collection("signature_name") == ["lookup"]
