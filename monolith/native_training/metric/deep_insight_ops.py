# SPDX-License-Identifier: Apache-2.0
"""Ops that make messages of sampled predictions for deep insight, an online view of a model's heads.

The databus that the original sends them to exists inside its company only. Here they go to a file of TFRecords, or the
op returns them for hooks that send or write them (`metric_hook`). A message is one line of JSON:

    {"model_name": "m", "req_time": 1700000000, "uid": 7, "train_time": 0, "predict": {"ctr": 0.5},
     "label": {"ctr": 1}, "sample_rate": {"ctr": 1}, "sample_ratio": 0.01}

and, if there are extra fields, `extra_float`, `extra_int` and `extra_str`, each {key: value}. NaN and infinities are
null. Users are sampled, not rows: all rows of a user are in, in every step, or none.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Sequence

import tensorflow as tf

from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["deep_insight_client", "deep_insight_ops", "write_deep_insight", "write_deep_insight_v2"]

deep_insight_ops = gen_monolith_ops

# Names of the columns that an input has for deep insight.
_FEATURE_REQ_TIME = "req_time"
_SAMPLE_RATE = "sample_rate"
_UID = "uid"


def _is_eager() -> bool:
  return tf.compat.v1.executing_eagerly_outside_functions()


def deep_insight_client(
  enable_metrics_counter: bool = False,
  is_fake: bool = False,
  dump_filename: str | None = None,
  container: str = socket.gethostname(),
) -> tf.Tensor:
  """Where messages go. Outside of TF1 graphs every call makes a client that lives as long as the process: keep it.

  Args:
    enable_metrics_counter: whether the log says every ten minutes how many rows came and how many were sampled.
    is_fake: whether nothing is to be sent. A client that is not fake and has no file serves only ops that return their
      messages: others fail with UnimplementedError, as there is no databus.
    dump_filename: a file of uncompressed TFRecords, a message each, on any file system that TensorFlow knows. A file
      from before this process is replaced; what this process wrote to it stays, and messages go behind it. A thread
      writes it; steps wait while it is 8192 messages behind, and fail (DataLossError) once it cannot be written.
    container: resource container of the client.

  Returns:
    A handle for the ops below.
  """
  return deep_insight_ops.monolith_create_deep_insight_client(
    enable_metrics_counter=enable_metrics_counter,
    is_fake=is_fake,
    filename=dump_filename or "",
    container=container,
    # Eagerly, and in different functions, ops of a kind have one name, so two clients would be one resource.
    shared_name=f"MonolithDeepInsightClient_{uuid.uuid4().hex}" if _is_eager() else "",
  )


def write_deep_insight(
  deep_insight_client_tensor: tf.Tensor,
  uids: tf.Tensor,
  req_times: tf.Tensor,
  labels: tf.Tensor,
  preds: tf.Tensor,
  sample_rates: tf.Tensor,
  model_name: str,
  target: str,
  sample_ratio: float = 0.01,
  return_msgs: bool = False,
  use_zero_train_time: bool = False,
) -> tf.Tensor:
  """Makes a message of each row whose user is sampled, for a model with one head.

  Args:
    deep_insight_client_tensor: of `deep_insight_client`.
    uids: int64 `[B]`, users.
    req_times: int64 `[B]`, when the row was requested.
    labels: float32 `[B]`.
    preds: float32 `[B]`.
    sample_rates: float32 `[B]`, the share of rows of the row's kind that the input has kept.
    model_name: name of the model in the messages.
    target: name of the head in the messages.
    sample_ratio: share of the users that are sampled, 0 to 1.
    return_msgs: whether the result has the messages.
    use_zero_train_time: whether messages say 0 for the time of the step, so that runs give equal ones; else they have
      seconds since the epoch.

  Returns:
    string `[B]`: the messages, "" where the user is not sampled; "" everywhere without return_msgs.

  Raises:
    tf.errors.InvalidArgumentError: a shape or sample_ratio is wrong; in graphs a shape may be a ValueError.
    tf.errors.UnimplementedError: the messages would go nowhere; see `deep_insight_client`.
  """
  return deep_insight_ops.monolith_write_deep_insight(
    deep_insight_client_handle=deep_insight_client_tensor,
    uids=uids,
    req_times=req_times,
    labels=labels,
    preds=preds,
    sample_rates=sample_rates,
    model_name=model_name,
    target=target,
    sample_ratio=sample_ratio,
    return_msgs=return_msgs,
    use_zero_train_time=use_zero_train_time,
  )


def write_deep_insight_v2(
  deep_insight_client_tensor: tf.Tensor,
  req_times: tf.Tensor,
  labels: tf.Tensor,
  preds: tf.Tensor,
  sample_rates: tf.Tensor,
  model_name: str,
  extra_fields_values: Sequence[tf.Tensor],
  extra_fields_keys: Sequence[str],
  targets: Sequence[str],
  sample_ratio: float = 0.01,
  return_msgs: bool = False,
  use_zero_train_time: bool = False,
) -> tf.Tensor:
  """Makes a message of each row whose user is sampled, for a model with H heads.

  Args:
    deep_insight_client_tensor: of `deep_insight_client`.
    req_times: int64 `[B]`, when the row was requested.
    labels: float32 `[H, B]`.
    preds: float32 `[H, B]`.
    sample_rates: float32 `[H, B]`.
    model_name: name of the model in the messages.
    extra_fields_values: columns, each `[B]`. float32, int64 and string columns get into the messages, others do not.
    extra_fields_keys: names of the columns. One is `uid`, int64: the users.
    targets: names of the H heads in the messages.
    sample_ratio, return_msgs, use_zero_train_time: as above.

  Returns:
    string `[B]`, as above.

  Raises:
    tf.errors.InvalidArgumentError: as above; or `uid` is missing, a name is there twice, or names are too few or many.
    tf.errors.UnimplementedError: as above.
  """
  return deep_insight_ops.monolith_write_deep_insight_v2(
    deep_insight_client_handle=deep_insight_client_tensor,
    req_times=req_times,
    labels=labels,
    preds=preds,
    sample_rates=sample_rates,
    extra_fields_values=list(extra_fields_values),
    model_name=model_name,
    extra_fields_keys=list(extra_fields_keys),
    targets=list(targets),
    sample_ratio=sample_ratio,
    return_msgs=return_msgs,
    use_zero_train_time=use_zero_train_time,
  )
