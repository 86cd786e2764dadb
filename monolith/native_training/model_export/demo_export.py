# SPDX-License-Identifier: Apache-2.0
"""Exports the small FFM model that `monolith.native_training.demo` trains.

python -m monolith.native_training.demo --model_dir=/tmp/demo
python -m monolith.native_training.model_export.demo_export --model_dir=/tmp/demo --export_base=/tmp/demo_export
"""

from __future__ import annotations

import getpass
import os
import tempfile
from typing import Any, Dict, List, Optional, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from absl import app, flags

from monolith.native_training import cpu_training, input, model, tf_estimator
from monolith.native_training.data import parsers
from monolith.native_training.data.utils import get_slot_feature_name
from monolith.native_training.model_export import _tool_flags, saved_model_exporters
from monolith.native_training.model_export.data_gen_utils import MASK_V2
from monolith.native_training.model_export.export_context import ExportMode

__all__ = ["define_flags", "export_saved_model", "main", "serving_input_receiver_fn"]

_BATCH_SIZE = 64
_MODES = {"standalone": ExportMode.STANDALONE, "distributed": ExportMode.DISTRIBUTED}


def _default_path(name: str) -> str:
  return os.path.join(tempfile.gettempdir(), getpass.getuser(), "monolith", "native_training", "demo", name)


def _define_mode(name: str, default: str, text: str) -> None:
  flags.DEFINE_enum(name, default, list(_MODES), text, case_sensitive=False)


def _flags() -> _tool_flags.Definitions:
  return {
    "num_ps": (flags.DEFINE_integer, 5, "Parameter servers that the model was trained on."),
    "model_dir": (flags.DEFINE_string, _default_path("checkpoints"), "Where the checkpoints are."),
    "export_base": (flags.DEFINE_string, _default_path("saved_models"), "Where the export goes."),
    "export_mode": (_define_mode, "standalone", "What is exported."),
    "warmup_file": (flags.DEFINE_string, None, "Warm-up requests; made up where the file does not exist."),
  }


def serving_input_receiver_fn() -> tf_estimator.export.ServingInputReceiver:
  """Receives serialized Instances as `instances`, whose flat lists of fids hold the model's slots.

  Those fids are version 1. The model was trained on version 2, which they are turned into.
  """
  instances = tf.compat.v1.placeholder(tf.string, [None], name="instances")
  slots = list(range(model._NUM_SLOTS))
  parsed = parsers.parse_instances(instances, fidv1_features=slots)
  features = {}
  for slot in slots:
    fids = parsed[get_slot_feature_name(slot)]
    below = tf.bitwise.bitwise_and(fids.values, tf.constant(MASK_V2, tf.int64))
    features[input.slot_to_key(slot)] = fids.with_values(below + (slot << 48))
  return tf_estimator.export.ServingInputReceiver(features, {"instances": instances})


def export_saved_model(
  model_dir: str,
  export_base: str,
  num_ps: int,
  export_mode: ExportMode,
  warmup_file: Optional[str] = None,
) -> Union[bytes, Dict[str, bytes]]:
  """Exports the newest checkpoint of a `TestFFMModel`.

  Args:
    model_dir: where the checkpoints are.
    export_base: a directory for exports.
    num_ps: parameter servers that the model was trained on.
    export_mode: STANDALONE or DISTRIBUTED.
    warmup_file: warm-up requests for the export, see `StandaloneExporter`.

  Returns:
    What the exporter returns: the path, as bytes.

  Raises:
    ValueError: the mode is neither, or cannot be exported yet; there is no checkpoint, or it is another model's.
  """
  params = model.TestFFMModel.params()
  params.name = "demo_export"
  params.train.per_replica_batch_size = _BATCH_SIZE
  task = params.instantiate()
  training = cpu_training.CpuTraining(cpu_training.CpuTrainingConfig(num_ps=num_ps), task)
  arguments: Dict[str, Any] = {"shared_embedding": False, "warmup_file": warmup_file}
  exporter: saved_model_exporters.BaseExporter
  if export_mode is ExportMode.STANDALONE:
    exporter = saved_model_exporters.StandaloneExporter(training.create_model_fn(), model_dir, export_base, **arguments)
  elif export_mode is ExportMode.DISTRIBUTED:
    exporter = saved_model_exporters.DistributedExporter(
      training.create_model_fn(), model_dir, export_base, **arguments
    )
  else:
    raise ValueError(f"export_mode is {export_mode}; it must be ExportMode.STANDALONE or DISTRIBUTED.")
  return exporter.export_saved_model(serving_input_receiver_fn)


def define_flags() -> None:
  """Defines the program's flags, but for those that somebody has defined."""
  _tool_flags.define(_flags())


def main(argv: List[str]) -> None:
  """Exports by the flags and prints where to.

  Raises:
    app.UsageError: there are other arguments.
    ValueError: see `export_saved_model`.
  """
  _tool_flags.refuse_arguments(argv)
  settings = flags.FLAGS
  exported = export_saved_model(
    settings.model_dir, settings.export_base, settings.num_ps, _MODES[settings.export_mode], settings.warmup_file
  )
  print(f"exported to {exported.decode() if isinstance(exported, bytes) else exported}")


if __name__ == "__main__":
  define_flags()
  app.run(main)
