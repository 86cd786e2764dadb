# SPDX-License-Identifier: Apache-2.0
"""Makes a warm-up file of requests that were saved one a file.

python -m monolith.native_training.model_export.warmup_example_batch --input_folder=requests --output_path=warmup
"""

from __future__ import annotations

import os
from typing import Any, Iterator, List

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from absl import app, flags, logging

from monolith.native_training import _proto_files
from monolith.native_training.model_export import _prediction_logs, _serving_protos, _tool_flags

__all__ = ["define_flags", "gen_prediction_log", "main"]

_FLAGS: _tool_flags.Definitions = {
  "input_folder": (flags.DEFINE_string, None, "Directory of serialized PredictRequests, one a file."),
  "output_path": (flags.DEFINE_string, None, "The TFRecord file to write."),
}


def gen_prediction_log(input_folder: str) -> Iterator[Any]:
  """The requests of a directory, in the order of their file names, for the signature `serving_default`.

  Args:
    input_folder: a directory; what lies in directories below it is passed over.

  Yields:
    PredictionLogs, for the model `default`.

  Raises:
    ImportError: tensorflow-serving-api is not installed.
    ValueError: a file is no PredictRequest, or one without inputs.
  """
  message = _serving_protos.load("prediction_log_pb2").PredictionLog
  for name in sorted(tf.io.gfile.listdir(input_folder)):
    path = os.path.join(input_folder, name)
    if tf.io.gfile.isdir(path):
      continue
    log = message()
    request = log.predict_log.request
    _proto_files.read_proto(path, request)
    if not request.inputs:
      raise ValueError(f"{path} is no serialized PredictRequest, or one without inputs.")
    request.model_spec.name = "default"
    request.model_spec.signature_name = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    yield log


def define_flags() -> None:
  """Defines the program's flags, but for those that somebody has defined."""
  _tool_flags.define(_FLAGS)


def main(argv: List[str]) -> None:
  """Writes the file by the flags.

  Raises:
    app.UsageError: there are other arguments, or a flag is not set.
    ValueError: the directory holds something else, or nothing.
  """
  _tool_flags.refuse_arguments(argv)
  folder, output_path = _tool_flags.required("input_folder"), _tool_flags.required("output_path")
  count = _prediction_logs.write_logs(output_path, gen_prediction_log(folder))
  logging.info("Wrote %d warm-up requests to %s.", count, output_path)


if __name__ == "__main__":
  define_flags()
  app.run(main)
