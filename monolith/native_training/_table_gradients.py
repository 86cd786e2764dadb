# SPDX-License-Identifier: Apache-2.0
"""The gradients of ops over tables: a table is no function of what was written to it, so most have none.

To train embeddings, differentiate with respect to what a lookup returned and apply that, or use `fused_embedding`. A
loss that also depends on something written before, such as a learning rate that is a variable, is differentiated as if
lookups were constants.
"""

from __future__ import annotations

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

_SINGLE = (
  "", "Lookup", "LookupEntry", "Assign", "AssignAdd", "Optimize", "OptimizeDelayed", "Size", "SaveAsTensor", "Save",
  "Restore", "FusedLookup", "FusedOptimize",
)  # fmt: skip
_MULTI = (
  "Lookup", "LookupEntry", "Optimize", "OptimizeDelayed", "Assign", "AssignAdd", "Reinitialize", "Save", "Restore",
  "FeatureStat", "FusedLookup", "FusedOptimize", "LookupSlots", "OptimizeSlots", "Export", "Import",
)  # fmt: skip
_OTHERS = (
  "CreateMonolithMultiHashTable", "ReadMonolithMultiHashTable", "IsHashTableInitialized",
  "MonolithExtractSlotFromEntry",
)  # fmt: skip

for _op in [f"MonolithHashTable{name}" for name in _SINGLE] + [f"MonolithMultiHashTable{name}" for name in _MULTI]:
  tf.no_gradient(_op)
for _op in _OTHERS:
  tf.no_gradient(_op)


@tf.RegisterGradient("MonolithHashTableLookupGradient")
def _lookup_gradient_grad(op: tf.Operation, ids_grad: None, grad: tf.Tensor) -> tuple[None, None, tf.Tensor]:
  """Every row of `input_grads` gets the sum of what its copies get."""
  del ids_grad
  rows = op.inputs[0][:, 0]
  return None, None, tf.math.unsorted_segment_sum(grad, rows, tf.shape(op.inputs[2], rows.dtype)[0])
