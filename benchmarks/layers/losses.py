# SPDX-License-Identifier: Apache-2.0
"""Losses of a batch as registry.py has them."""

from __future__ import annotations

from typing import Any

from benchmarks.layers import inbatch_auc
from benchmarks.layers.registry import arrays, case

from monolith.native_training.losses.batch_softmax_loss import batch_softmax_loss
from monolith.native_training.losses.inbatch_auc_loss import inbatch_auc_loss

import numpy as np
import tensorflow as tf

DIM = 32


def _half_of_them_positive(batch: int) -> Any:
  labels, logits = inbatch_auc.make_batch(batch, 0.5)
  labels[0] = 1 - labels[-1]  # a batch of a few rows too has both kinds
  return [labels, logits]


@case("inbatch_auc", _half_of_them_positive, lambda: lambda inputs: inbatch_auc_loss(*inputs)[tf.newaxis], target=2.0)
def _inbatch_auc(inputs, weights):
  return inbatch_auc.n_by_n(tf.stop_gradient(inputs[0]), inputs[1])[tf.newaxis]


def _queries_and_items(batch: int) -> Any:
  intervals = np.random.default_rng(5).uniform(1, 50, batch).astype(np.float32)
  return [*arrays(batch, (DIM,), (DIM,)), intervals, abs(arrays(batch, ()))]


@case("batch_softmax", _queries_and_items, lambda: lambda inputs: batch_softmax_loss(*inputs)[tf.newaxis])
def _batch_softmax(inputs, weights):
  query, item, interval, interest = inputs
  similarity = tf.matmul(tf.nn.l2_normalize(query, axis=1), tf.nn.l2_normalize(item, axis=1), transpose_b=True)
  similarity = tf.exp(similarity - tf.math.log(1 / tf.maximum(interval, 1.0)))
  shares = tf.linalg.diag_part(similarity) / tf.reduce_sum(similarity, axis=1)
  return -tf.reduce_sum(interest * tf.math.log(shares))[tf.newaxis]
