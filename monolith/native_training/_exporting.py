# SPDX-License-Identifier: Apache-2.0
"""Exporters of a task, after training or with every checkpoint."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

import tensorflow as tf

from monolith.native_training.model_export import export_hooks, saved_model_exporters
from monolith.native_training.model_export.export_context import ExportMode

__all__ = ["create_export_listener", "create_exporter"]


def create_exporter(
  task: Any,
  model_dir: str,
  warmup_file: Optional[str],
  export_dir_base: str,
  dense_only: bool,
  include_graphs: Optional[List[str]] = None,
  export_context_list: Optional[List[Any]] = None,
) -> Any:
  """The exporter that the task's `serving` params ask for.

  Args:
    task: a CpuTraining, or a NativeTask for a model without tables.
    model_dir: directory of the checkpoints.
    warmup_file: warmup requests that go into the export; made up where it does not exist. None leaves them out.
    export_dir_base: directory of exports, relative to model_dir or absolute.
    dense_only: export the dense part only; distributed mode only, which is not supported yet.
    include_graphs: names of the sub-models to export; distributed mode only, which is not supported yet.
    export_context_list: makers of context managers that are entered while exporting.

  Raises:
    ValueError: the mode is not one of `ExportMode`, or cannot export what is asked.
  """
  # A CpuTraining wraps its task; a bare task exports a model without tables.
  serving = getattr(task, "task", task).p.serving
  arguments: Dict[str, Any] = {
    "model_fn": task.create_model_fn(),
    "model_dir": model_dir,
    "export_dir_base": os.path.join(model_dir, export_dir_base),
    "shared_embedding": serving.shared_embedding,
    "warmup_file": warmup_file,
    "export_context_list": export_context_list,
  }
  if serving.export_mode is ExportMode.STANDALONE:
    if dense_only or include_graphs:
      raise ValueError(
        f"dense_only is {dense_only!r} and include_graphs is {include_graphs!r}, but an export is one whole model; "
        "leave them out, and serving.export_when_saving False where checkpoints of the dense part alone are saved."
      )
    return saved_model_exporters.StandaloneExporter(**arguments)
  if serving.export_mode is ExportMode.DISTRIBUTED:
    return saved_model_exporters.DistributedExporter(**arguments, dense_only=dense_only, include_graphs=include_graphs)
  raise ValueError(f"serving.export_mode is {serving.export_mode}; it must be ExportMode.STANDALONE or DISTRIBUTED.")


def create_export_listener(
  training: Any, model_dir: str, save_path: str, dense_only: bool
) -> tf.compat.v1.train.CheckpointSaverListener:
  """The listener that exports every checkpoint saved under `save_path`.

  Args:
    training: a CpuTraining.
    model_dir: directory of the full checkpoints and of the exports.
    save_path: path of the listened-to checkpoints, without step.
    dense_only: whether those are without tables.

  Raises:
    ValueError: the task has no receiver function, or its export mode cannot export what is asked.
  """
  receiver_fn = training.create_serving_input_receiver_fn()
  if receiver_fn is None:
    raise ValueError(
      f"{type(training.task).__name__}: serving.export_when_saving is set, but the task gives no "
      "serving_input_receiver_fn; define it or leave export_when_saving False."
    )
  exporter = create_exporter(
    training,
    model_dir,
    training.config.warmup_file,
    training.task.p.serving.export_dir_base,
    dense_only,
  )
  return export_hooks.ExportSaverListener(save_path, receiver_fn, exporter, dense_only=dense_only)
