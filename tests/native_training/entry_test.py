# SPDX-License-Identifier: Apache-2.0
"""Slices, their parts and table configs as protos."""

import dataclasses

import pytest
from google.protobuf import text_format

from monolith.native_training import entry, learning_rate_functions
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2 as pb

import tensorflow as tf  # isort: skip

_OPTIMIZERS = [
  (entry.SgdOptimizer(0.1), "sgd { learning_rate: 0.1 }"),
  (entry.SgdOptimizer(), "sgd {}"),
  (
    entry.AdagradOptimizer(0.1, 0.2, 3, 4, 0.5),
    "adagrad { learning_rate: 0.1 initial_accumulator_value: 0.2 hessian_compression_times: 3 "
    "warmup_steps: 4 weight_decay_factor: 0.5 }",
  ),
  (entry.AdagradOptimizer(), "adagrad { hessian_compression_times: 1 warmup_steps: 0 weight_decay_factor: 0 }"),
  (
    entry.AdadeltaOptimizer(0.1, 0.2, 0.3, 0.4, 5),
    "adadelta { learning_rate: 0.1 weight_decay_factor: 0.2 averaging_ratio: 0.3 epsilon: 0.4 warmup_steps: 5 }",
  ),
  (
    entry.AdamOptimizer(0.1, 0.2, 0.3, True, 0.4, True, 0.5, 6),
    "adam { learning_rate: 0.1 beta1: 0.2 beta2: 0.3 use_beta1_warmup: true weight_decay_factor: 0.4 "
    "use_nesterov: true "
    "epsilon: 0.5 warmup_steps: 6 }",
  ),
  (
    entry.AmsgradOptimizer(0.1, 0.2, 0.3, 0.4, True, 0.5, 6),
    "amsgrad { learning_rate: 0.1 beta1: 0.2 beta2: 0.3 weight_decay_factor: 0.4 use_nesterov: true "
    "epsilon: 0.5 warmup_steps: 6 }",
  ),
  (entry.BatchSoftmaxOptimizer(0.1), "batch_softmax { learning_rate: 0.1 }"),
  (
    entry.MomentumOptimizer(0.1, 0.2, True, 0.3, 4),
    "momentum { learning_rate: 0.1 weight_decay_factor: 0.2 use_nesterov: true momentum: 0.3 warmup_steps: 4 }",
  ),
  (entry.MovingAverageOptimizer(), "moving_average { momentum: 0.9 }"),
  (entry.RmspropOptimizer(0.1, 0.2, 0.3), "rmsprop { learning_rate: 0.1 weight_decay_factor: 0.2 momentum: 0.3 }"),
  (entry.RmspropV2Optimizer(0.1), "rmspropv2 { learning_rate: 0.1 weight_decay_factor: 0 momentum: 0.9 }"),
  (
    entry.FtrlOptimizer(0.1, 0.2, 0.3, 4, 0.5, 0.6),
    "ftrl { learning_rate: 0.1 initial_accumulator_value: 0.2 beta: 0.3 warmup_steps: 4 "
    "l1_regularization_strength: 0.5 "
    "l2_regularization_strength: 0.6 }",
  ),
  (
    entry.FTRLWithGroupSparsityOptimizer(0.1, 0.2, 0.3, 4, 0.5, 0.6),
    "group_ftrl { learning_rate: 0.1 initial_accumulator_value: 0.2 beta: 0.3 warmup_steps: 4 "
    "l1_regularization_strength: 0.5 "
    "l2_regularization_strength: 0.6 }",
  ),
  (
    entry.AdaGradWithGroupLassoOptimizer(0.1, 0.2, 0.3, 0.4, 0.5, 6),
    "group_adagrad { learning_rate: 0.1 beta: 0.2 initial_accumulator_value: 0.3 l2_regularization_strength: 0.4 "
    "weight_decay_factor: 0.5 warmup_steps: 6 }",
  ),
  (
    entry.DynamicWdAdagradOptimizer(),
    "dynamic_wd_adagrad { hessian_compression_times: 1 warmup_steps: 0 weight_decay_factor: 0 "
    "decouple_weight_decay: true "
    "enable_dynamic_wd: true flip_direction: true dynamic_wd_temperature: 1 }",
  ),
  (
    entry.StochasticRoundingFloat16OptimizerWrapper(entry.SgdOptimizer(0.1)),
    "sgd { learning_rate: 0.1 } stochastic_rounding_float16: true",
  ),
]


@pytest.mark.parametrize("optimizer, text", _OPTIMIZERS)
def test_optimizer_protos(optimizer, text):
  assert optimizer.as_proto() == text_format.Parse(text, pb.OptimizerConfig())


@pytest.mark.parametrize(
  "initializer, text",
  [
    (entry.ZerosInitializer(), "zeros {}"),
    (entry.ConstantsInitializer(0.5), "constants { constant: 0.5 }"),
    (entry.RandomUniformInitializer(-1.0, 1.0), "random_uniform { minval: -1 maxval: 1 }"),
    (entry.RandomUniformInitializer(), "random_uniform {}"),
    (entry.BatchSoftmaxInitializer(2.0), "constants { constant: 2 }"),
  ],
)
def test_initializer_protos(initializer, text):
  assert initializer.as_proto() == text_format.Parse(text, pb.InitializerConfig())


@pytest.mark.parametrize(
  "compressor, text",
  [
    (entry.OneBitCompressor(), "one_bit { step_size: 200 amplitude: 0.05 }"),
    (entry.FixedR8Compressor(), "fixed_r8 { r: 1 }"),
    (entry.Fp16Compressor(), "fp16 {}"),
    (entry.Fp32Compressor(), "fp32 {}"),
  ],
)
def test_compressor_protos(compressor, text):
  assert compressor.as_proto() == text_format.Parse(text, pb.FloatCompressorConfig())


def test_optimizers_can_be_dataclass_defaults():
  @dataclasses.dataclass
  class Config:
    optimizer: entry.Optimizer = entry.FtrlOptimizer(initial_accumulator_value=1e-6, beta=1.0)

  assert Config().optimizer == entry.FtrlOptimizer(initial_accumulator_value=1e-6, beta=1.0)


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: entry.FtrlOptimizer(beta=-0.5), r"FtrlOptimizer: beta is -0\.5; it must be >= 0"),
    (lambda: entry.AdagradOptimizer(initial_accumulator_value=float("nan")), "initial_accumulator_value is nan"),
    (
      lambda: entry.SgdOptimizer(lambda: 0.1),
      "SgdOptimizer: learning_rate is a function; pass it as .* learning_rate_fn",
    ),
    (lambda: entry.RandomUniformInitializer(1.0, 0.0), r"minval 1\.0 is above maxval 0\.0; swap"),
    (lambda: entry.BatchSoftmaxInitializer(0.5), r"init_step_interval is 0\.5; it must be >= 1"),
    (lambda: entry.OneBitCompressor(step_size=0), "step_size is 0; it must be >= 1"),
    (lambda: entry.FixedR8Compressor(0.0), r"fixed_range is 0\.0; it must be > 0"),
    (lambda: entry.CuckooHashTableConfig(initial_capacity=0), "initial_capacity is 0"),
    (lambda: entry.CuckooHashTableConfig(feature_evict_every_n_hours=-1), "feature_evict_every_n_hours is -1"),
    (lambda: entry.GpucucoHashTableConfig(), "use CuckooHashTableConfig and leave train.use_gpu_emb_table at False"),
    (lambda: entry.CombineAsSegment(0, None, None, None), "dim_size is 0; a slice has at least 1 float"),
  ],
)
def test_wrong_values_are_refused(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_segment_takes_objects_and_protos():
  objects = entry.CombineAsSegment(5, entry.ZerosInitializer(), entry.SgdOptimizer(1.0), entry.Fp16Compressor())
  protos = entry.CombineAsSegment(
    5, entry.ZerosInitializer().as_proto(), entry.SgdOptimizer(1.0).as_proto(), entry.Fp16Compressor().as_proto()
  )
  expected = "dim_size: 5 init_config { zeros {} } opt_config { sgd { learning_rate: 1 } } comp_config { fp16 {} }"
  assert objects == protos == text_format.Parse(expected, pb.EntryConfig.Segment())


def test_table_kind_without_eviction():
  config = pb.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  assert config == text_format.Parse("initial_capacity: 1 cuckoo {}", pb.EmbeddingHashTableConfig())


def test_table_kind_with_eviction():
  config = pb.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig(initial_capacity=7, feature_evict_every_n_hours=12).mutate_table(config)
  expected = "initial_capacity: 7 cuckoo {} enable_feature_eviction: true feature_evict_every_n_hours: 12"
  assert config == text_format.Parse(expected, pb.EmbeddingHashTableConfig())


def _config(capacity=1):
  config = pb.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig(capacity).mutate_table(config)
  return config


def test_text_of_an_instance_names_config_and_rates_only():
  instance = entry.HashTableConfigInstance(
    _config(), [0.1, learning_rate_functions.PolynomialDecay(0.01, 20, 0.05)], ["old"]
  )
  assert str(instance) == (
    "TableConfigPB: b'\\x10\\x01*\\x00', LearningRateFns: [0.1, LearningRateFunction(\"PolynomialDecay\","
    "Params:cycle=False,decay_steps=20,end_learning_rate=0.05,initial_learning_rate=0.01,name=None,power=1.0)]"
  )
  assert str(instance) != str(entry.HashTableConfigInstance(_config(2), instance.learning_rate_fns))


def test_restore_names_are_copied_both_ways():
  given = ["a"]
  instance = entry.HashTableConfigInstance(_config(), [1.0], given)
  given.append("b")
  instance.extra_restore_names.append("c")
  assert instance.extra_restore_names == ["a"]


def test_learning_rates_are_called():
  instance = entry.HashTableConfigInstance(_config(), [0.5, lambda: tf.constant(0.25)])
  assert instance.call_learning_rate_fns().numpy().tolist() == [0.5, 0.25]
  assert instance.call_learning_rate_fns().dtype == tf.float32
  fewer = instance.call_learning_rate_fns_fewer_ops()
  assert fewer[0] == 0.5 and float(fewer[1]) == 0.25


@pytest.mark.parametrize("method", ["call_learning_rate_fns", "call_learning_rate_fns_fewer_ops"])
def test_no_learning_rates_are_refused(method):
  with pytest.raises(ValueError, match="learning_rate_fns is empty"):
    getattr(entry.HashTableConfigInstance(_config(), []), method)()


def test_learning_rate_tensor_is_kept():
  instance = entry.HashTableConfigInstance(_config(), [1.0])
  assert instance.learning_rate_tensor is None
  tensor = instance.call_learning_rate_fns()
  instance.set_learning_rate_tensor(tensor)
  assert instance.learning_rate_tensor is tensor
