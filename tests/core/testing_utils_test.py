# SPDX-License-Identifier: Apache-2.0
"""The layer checks, on our layers and on layers that must fail them."""

import numpy as np
import pytest

from monolith.core import optimizers, testing_utils, util
from monolith.native_training import layers

import tensorflow as tf  # isort: skip


@pytest.mark.parametrize(
  "cls, kwargs",
  [
    (layers.Dense, {"units": 3, "allow_kernel_norm": True, "kernel_norm_trainable": True}),
    (layers.MLP, {"output_dims": [4, 2], "activations": ["prelu", "sigmoid2"]}),
    (layers.MLP, {"output_dims": [4, 2], "enable_batch_normalization": True}),
    *((getattr(layers, name), {}) for name in layers.advanced_activations.__all__),
  ],
)
def test_our_layers_pass(cls, kwargs):
  assert np.isfinite(testing_utils.layer_test(cls, kwargs, input_shape=(None, 3))).all()


def test_expected_output():
  testing_utils.layer_test(layers.ReLU, input_data=np.float32([[-1, 2]]), expected_output=np.float32([[0, 2]]))
  with pytest.raises(AssertionError, match="Not equal to tolerance"):
    testing_utils.layer_test(layers.ReLU, input_data=np.float32([[-1, 2]]), expected_output=np.float32([[1, 2]]))


def test_wrong_output_shape_is_found():
  class Wrong(tf.keras.layers.Layer):
    def call(self, inputs):
      return inputs

    def compute_output_shape(self, input_shape):
      return (None, 9)

  with pytest.raises(AssertionError, match=r"Wrong: infers \(None, 9\), but returns \(None, 3\)"):
    testing_utils.layer_test(Wrong, input_shape=(2, 3))


def test_lossy_config_is_found():
  class Lossy(layers.Dense):
    def get_config(self):
      config = super().get_config()
      config["units"] += 1
      return config

  with pytest.raises(AssertionError, match="Lossy: another config comes back"):
    testing_utils.layer_test(Lossy, {"units": 2}, input_shape=(2, 3))


def test_input_is_required():
  with pytest.raises(ValueError, match="give input_shape or input_data"):
    testing_utils.layer_test(layers.ReLU)


def test_optimizers_by_name():
  assert set(optimizers.optimizers) == {"adagrad", "momentum", "rmsprop", "adam"}
  assert optimizers.optimizers["adam"] is tf.compat.v1.train.AdamOptimizer


@pytest.mark.parametrize(
  "bounds, expected",
  [
    ((None, None), ["20200101", "20200215", "20210101"]),
    (("20200102", None), ["20200215", "20210101"]),
    ((None, "20200215"), ["20200101", "20200215"]),
    (("20200215", "20200215"), ["20200215"]),
  ],
)
def test_paths_by_date(bounds, expected):
  paths = [f"root/x/{d}/part" for d in ("20200101", "20200215", "20210101")]
  kept = util.range_dateset(tf.data.Dataset.from_tensor_slices(paths), "root/x/", *bounds)
  assert [p.decode().split("/")[2] for p in kept.as_numpy_iterator()] == expected


def test_dates_are_eight_digits():
  with pytest.raises(ValueError, match="date '2020-1-1' is not eight digits"):
    util.range_dateset(tf.data.Dataset.from_tensors("a"), "", "2020-1-1")
