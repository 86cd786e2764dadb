# SPDX-License-Identifier: Apache-2.0
"""The serving input of a dumped graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from idl.matrix.proto import line_id_pb2
from monolith.native_training._estimator_export import ServingInputReceiver
from monolith.native_training.model_dump import monolith_model_pb2
from monolith.native_training.model_dump._literals import parse_feature
from monolith.native_training.utils import add_to_collections

__all__ = ["import_receiver_fn"]

# Columns of Examples and Instances that fields of LineId share their names with.
_NEVER_EXTRA = ("label", "instance_weight")


def import_receiver_fn(helper: Any, receiver_conf: monolith_model_pb2.ServingInputReceiverFn) -> ServingInputReceiver:
  """Imports what a receiver function gave.

  The collections in which parsers note what they were asked for (`sparse_features`, `dense_features` and their shapes
  and types, `extra_features` and their shapes, `variant_type`) get what the dump says of it.

  Args:
    helper: a `GraphDefHelper`.
    receiver_conf: what the dump says of the receiver.

  Raises:
    CallerError: the dump names a tensor that its graph does not have.
    ValueError: a feature's literal is none.
  """
  records = {name: parse_feature(name, text) for name, text in sorted(receiver_conf.features.items())}
  receivers = dict(receiver_conf.receiver_name.items())
  wanted = [*(name for record in records.values() for name in record.names), *receivers.values()]
  found = dict(zip(wanted, helper.import_tensors(wanted), strict=True))
  _note_columns(records, receiver_conf.parser_type)
  features = {name: record.build(found.__getitem__) for name, record in records.items()}
  return ServingInputReceiver(features, {name: found[tensor] for name, tensor in receivers.items()})


def _note_columns(records: Any, parser_type: str) -> None:
  fields = line_id_pb2.LineId.DESCRIPTOR.fields_by_name
  ragged = [name for name, record in records.items() if record.is_ragged]
  others = [name for name in records if name not in ragged and "dtype" in records[name].fields]
  extra = [name for name in others if name in fields and name not in _NEVER_EXTRA]
  dense = [name for name in others if name not in extra]

  def shapes(names: Any) -> Any:
    return [records[name].fields.get("last_dim") or 1 for name in names]

  add_to_collections("sparse_features", ragged)
  add_to_collections("dense_features", dense)
  add_to_collections("dense_feature_types", [tf.as_dtype(records[name].fields["dtype"]) for name in dense])
  add_to_collections("dense_feature_shapes", shapes(dense))
  add_to_collections("extra_features", extra)
  add_to_collections("extra_feature_shapes", shapes(extra))
  add_to_collections("variant_type", parser_type)
