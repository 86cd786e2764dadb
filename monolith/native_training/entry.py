# SPDX-License-Identifier: Apache-2.0
"""What an embedding slice is made of: optimizer, initializer and compressor, and how slices make a table.

Every object here turns itself into its protocol buffer with `as_proto()`. A parameter that is None leaves the proto's
default in force.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import tensorflow as tf

from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

LearningRate = float | Callable[[], Any]

_NON_NEGATIVE = (
  "initial_accumulator_value", "beta", "l1_regularization", "l2_regularization", "weight_decay_factor", "warmup_steps"
)  # fmt: skip


class Optimizer(abc.ABC):
  """The update rule of a slice."""

  @abc.abstractmethod
  def as_proto(self) -> embedding_hash_table_pb2.OptimizerConfig:
    """Returns the config, without a dim."""


class Initializer(abc.ABC):
  """The values of a slice before its first write."""

  @abc.abstractmethod
  def as_proto(self) -> embedding_hash_table_pb2.InitializerConfig:
    """Returns the config, without a dim."""


class Compressor(abc.ABC):
  """The storage form of a slice when it is served."""

  @abc.abstractmethod
  def as_proto(self) -> embedding_hash_table_pb2.FloatCompressorConfig:
    """Returns the config, without a dim."""


def _fill(message: Any, values: dict[str, Any]) -> None:
  """Sets the fields of `values` that are not None; also marks an otherwise empty message as present."""
  message.SetInParent()
  for name, value in values.items():
    if value is not None:
      setattr(message, name, value)


@dataclasses.dataclass(frozen=True)
class _FieldsOptimizer(Optimizer):
  """An optimizer whose attributes are the fields of the config member `_MEMBER`."""

  _MEMBER: ClassVar[str]
  # Attribute -> field, where the names differ.
  _FIELDS: ClassVar[dict[str, str]] = {}

  def __post_init__(self) -> None:
    who = type(self).__name__
    if callable(getattr(self, "learning_rate", None)):
      raise ValueError(
        f"{who}: learning_rate is a function; pass it as the slice's learning_rate_fn and leave this one unset."
      )
    for name in _NON_NEGATIVE:
      value = getattr(self, name, None)
      if value is not None and not value >= 0:
        raise ValueError(f"{who}: {name} is {value}; it must be >= 0.")

  def as_proto(self) -> embedding_hash_table_pb2.OptimizerConfig:
    config = embedding_hash_table_pb2.OptimizerConfig()
    values = {self._FIELDS.get(f.name, f.name): getattr(self, f.name) for f in dataclasses.fields(self)}
    _fill(getattr(config, self._MEMBER), values)
    return config


@dataclasses.dataclass(frozen=True)
class SgdOptimizer(_FieldsOptimizer):
  """Plain gradient descent.

  Args:
    learning_rate: default rate of slices that get no function of their own. The same holds for every optimizer below.
  """

  _MEMBER: ClassVar[str] = "sgd"

  learning_rate: float | None = None


@dataclasses.dataclass(frozen=True)
class AdagradOptimizer(_FieldsOptimizer):
  """Adagrad (https://jmlr.org/papers/v12/duchi11a.html).

  Args:
    initial_accumulator_value: start of the squared-gradient sum.
    hessian_compression_times: kept for the config; ignored.
    warmup_steps: > 0 grows the rate linearly from 0 over that many steps. The same holds for every optimizer below.
    weight_decay_factor: the step uses `gradient + weight_decay_factor * weight`. The same holds for every optimizer
      below.
  """

  _MEMBER: ClassVar[str] = "adagrad"

  learning_rate: float | None = None
  initial_accumulator_value: float | None = None
  hessian_compression_times: int = 1
  warmup_steps: int = 0
  weight_decay_factor: float = 0.0


@dataclasses.dataclass(frozen=True)
class AdadeltaOptimizer(_FieldsOptimizer):
  """Adadelta (https://arxiv.org/abs/1212.5701)."""

  _MEMBER: ClassVar[str] = "adadelta"

  learning_rate: float | None = None
  weight_decay_factor: float = 0.0
  averaging_ratio: float = 0.9
  epsilon: float = 0.01
  warmup_steps: int = 0


@dataclasses.dataclass(frozen=True)
class AdamOptimizer(_FieldsOptimizer):
  """Adam (https://arxiv.org/abs/1412.6980). `use_beta1_warmup` is kept for the config; ignored."""

  _MEMBER: ClassVar[str] = "adam"

  learning_rate: float | None = None
  beta1: float = 0.9
  beta2: float = 0.99
  use_beta1_warmup: bool = False
  weight_decay_factor: float = 0.0
  use_nesterov: bool = False
  epsilon: float = 0.01
  warmup_steps: int = 0


@dataclasses.dataclass(frozen=True)
class AmsgradOptimizer(_FieldsOptimizer):
  """AMSGrad (https://openreview.net/forum?id=ryQu7f-RZ)."""

  _MEMBER: ClassVar[str] = "amsgrad"

  learning_rate: float | None = None
  beta1: float = 0.9
  beta2: float = 0.99
  weight_decay_factor: float = 0.0
  use_nesterov: bool = False
  epsilon: float = 0.01
  warmup_steps: int = 0


@dataclasses.dataclass(frozen=True)
class BatchSoftmaxOptimizer(_FieldsOptimizer):
  """Estimates the steps between two sightings of an item, for `batch_softmax_loss`; the slice's dim must be 1."""

  _MEMBER: ClassVar[str] = "batch_softmax"

  learning_rate: float | None = None


@dataclasses.dataclass(frozen=True)
class MomentumOptimizer(_FieldsOptimizer):
  """Gradient descent with momentum."""

  _MEMBER: ClassVar[str] = "momentum"

  learning_rate: float | None = None
  weight_decay_factor: float = 0.0
  use_nesterov: bool = False
  momentum: float = 0.9
  warmup_steps: int = 0


@dataclasses.dataclass(frozen=True)
class MovingAverageOptimizer(_FieldsOptimizer):
  """Makes the weight a moving average of what arrives as its gradient."""

  _MEMBER: ClassVar[str] = "moving_average"

  momentum: float = 0.9


@dataclasses.dataclass(frozen=True)
class RmspropOptimizer(_FieldsOptimizer):
  """RMSProp."""

  _MEMBER: ClassVar[str] = "rmsprop"

  learning_rate: float | None = None
  weight_decay_factor: float = 0.0
  momentum: float = 0.9


@dataclasses.dataclass(frozen=True)
class RmspropV2Optimizer(_FieldsOptimizer):
  """RMSProp whose accumulator takes the whole squared gradient."""

  _MEMBER: ClassVar[str] = "rmspropv2"

  learning_rate: float | None = None
  weight_decay_factor: float = 0.0
  momentum: float = 0.9


_STRENGTHS = {"l1_regularization": "l1_regularization_strength", "l2_regularization": "l2_regularization_strength"}


@dataclasses.dataclass(frozen=True)
class FtrlOptimizer(_FieldsOptimizer):
  """FTRL-proximal (https://research.google/pubs/pub41159/)."""

  _MEMBER: ClassVar[str] = "ftrl"
  _FIELDS: ClassVar[dict[str, str]] = _STRENGTHS

  learning_rate: float | None = None
  initial_accumulator_value: float | None = None
  beta: float | None = None
  warmup_steps: int = 0
  l1_regularization: float | None = None
  l2_regularization: float | None = None


@dataclasses.dataclass(frozen=True)
class FTRLWithGroupSparsityOptimizer(_FieldsOptimizer):
  """FTRL whose L1 term acts on the slice as a group, which makes whole slices exactly 0 (Ni et al., CIKM 2019)."""

  _MEMBER: ClassVar[str] = "group_ftrl"
  _FIELDS: ClassVar[dict[str, str]] = _STRENGTHS

  learning_rate: float | None = None
  initial_accumulator_value: float | None = None
  beta: float | None = None
  warmup_steps: int = 0
  l1_regularization: float | None = None
  l2_regularization: float | None = None


@dataclasses.dataclass(frozen=True)
class AdaGradWithGroupLassoOptimizer(_FieldsOptimizer):
  """Adagrad with one accumulator a slice; the L2 term makes whole slices exactly 0."""

  _MEMBER: ClassVar[str] = "group_adagrad"
  _FIELDS: ClassVar[dict[str, str]] = _STRENGTHS

  learning_rate: float | None = None
  beta: float | None = None
  initial_accumulator_value: float | None = None
  l2_regularization: float | None = None
  weight_decay_factor: float = 0.0
  warmup_steps: int = 0


@dataclasses.dataclass(frozen=True)
class DynamicWdAdagradOptimizer(_FieldsOptimizer):
  """Adagrad whose weight decay acts on the weight, or on the gradient if `decouple_weight_decay` is False.

  Args:
    enable_dynamic_wd: must be False, which is not the default, for a table to take the config: no formula of the
      decay that follows the update's direction was ever published. `flip_direction` and `dynamic_wd_temperature`
      belong to it.
  """

  _MEMBER: ClassVar[str] = "dynamic_wd_adagrad"

  learning_rate: float | None = None
  initial_accumulator_value: float | None = None
  hessian_compression_times: int = 1
  warmup_steps: int = 0
  weight_decay_factor: float = 0.0
  decouple_weight_decay: bool = True
  enable_dynamic_wd: bool = True
  flip_direction: bool = True
  dynamic_wd_temperature: float = 1.0


@dataclasses.dataclass(frozen=True)
class DcOptimizer(Optimizer):
  """Compensates another optimizer for delay (https://arxiv.org/abs/1609.08326, with a constant lambda).

  `optimizer` steps with `g + lambda_ * g^2 * (w - w0)`, where `w` is the weight when the gradient g arrives and `w0`
  what it was when the lookup read it: of use where steps overlap (`embedding_prefetch_capacity`,
  `enable_embedding_postpush`, several workers). Whoever applies gradients passes what was looked up beside them; the
  trainer does, and looks such tables up feature by feature.

  Args:
    optimizer: takes the steps; not itself a DcOptimizer.
    lambda_: strength; >= 0, 0 compensates nothing.

  Raises:
    ValueError: `lambda_` is negative.
  """

  optimizer: Optimizer
  lambda_: float = 0.04

  def __post_init__(self) -> None:
    if not self.lambda_ >= 0:
      raise ValueError(f"DcOptimizer: lambda_ is {self.lambda_}; it must be >= 0.")

  def as_proto(self) -> embedding_hash_table_pb2.OptimizerConfig:
    config = embedding_hash_table_pb2.OptimizerConfig()
    config.dc.lambda_ = self.lambda_
    config.dc.base.CopyFrom(self.optimizer.as_proto())
    return config


class StochasticRoundingFloat16OptimizerWrapper(Optimizer):
  """Keeps the weights on the half-precision grid, rounding stochastically after each step of another optimizer."""

  def __init__(self, optimizer: Optimizer):
    self._optimizer = optimizer

  def as_proto(self) -> embedding_hash_table_pb2.OptimizerConfig:
    config = self._optimizer.as_proto()
    config.stochastic_rounding_float16 = True
    return config


class ZerosInitializer(Initializer):
  """All 0."""

  def as_proto(self) -> embedding_hash_table_pb2.InitializerConfig:
    config = embedding_hash_table_pb2.InitializerConfig()
    config.zeros.SetInParent()
    return config


@dataclasses.dataclass(frozen=True)
class ConstantsInitializer(Initializer):
  """All `constant`."""

  constant: float

  def as_proto(self) -> embedding_hash_table_pb2.InitializerConfig:
    config = embedding_hash_table_pb2.InitializerConfig()
    _fill(config.constants, {"constant": self.constant})
    return config


@dataclasses.dataclass(frozen=True)
class RandomUniformInitializer(Initializer):
  """Uniform on `[minval, maxval)`; the proto's range is [-0.05, 0.05).

  Raises:
    ValueError: both ends are given and `minval > maxval`.
  """

  minval: float | None = None
  maxval: float | None = None

  def __post_init__(self) -> None:
    if self.minval is not None and self.maxval is not None and self.minval > self.maxval:
      raise ValueError(f"RandomUniformInitializer: minval {self.minval} is above maxval {self.maxval}; swap them.")

  def as_proto(self) -> embedding_hash_table_pb2.InitializerConfig:
    config = embedding_hash_table_pb2.InitializerConfig()
    _fill(config.random_uniform, {"minval": self.minval, "maxval": self.maxval})
    return config


@dataclasses.dataclass(frozen=True)
class BatchSoftmaxInitializer(Initializer):
  """Starts a `BatchSoftmaxOptimizer` slice.

  Args:
    init_step_interval: assumed steps between two sightings of a new item; >= 1.

  Raises:
    ValueError: it is below 1.
  """

  init_step_interval: float

  def __post_init__(self) -> None:
    if not self.init_step_interval >= 1:
      raise ValueError(
        f"BatchSoftmaxInitializer: init_step_interval is {self.init_step_interval}; it must be >= 1 step."
      )

  def as_proto(self) -> embedding_hash_table_pb2.InitializerConfig:
    return ConstantsInitializer(self.init_step_interval).as_proto()


@dataclasses.dataclass(frozen=True)
class OneBitCompressor(Compressor):
  """The sign of a float times `amplitude`.

  Args:
    step_size: steps between refreshes of the scale; > 0.
    amplitude: magnitude of what is read.
  """

  step_size: int = 200
  amplitude: float = 0.05

  def __post_init__(self) -> None:
    if self.step_size < 1:
      raise ValueError(f"OneBitCompressor: step_size is {self.step_size}; it must be >= 1.")

  def as_proto(self) -> embedding_hash_table_pb2.FloatCompressorConfig:
    config = embedding_hash_table_pb2.FloatCompressorConfig()
    _fill(config.one_bit, {"step_size": self.step_size, "amplitude": self.amplitude})
    return config


@dataclasses.dataclass(frozen=True)
class FixedR8Compressor(Compressor):
  """One signed byte a float, on a fixed grid.

  Args:
    fixed_range: half width of the range; > 0 and finite.
  """

  fixed_range: float = 1.0

  def __post_init__(self) -> None:
    if not 0 < self.fixed_range < math.inf:
      raise ValueError(f"FixedR8Compressor: fixed_range is {self.fixed_range}; it must be > 0.")

  def as_proto(self) -> embedding_hash_table_pb2.FloatCompressorConfig:
    config = embedding_hash_table_pb2.FloatCompressorConfig()
    _fill(config.fixed_r8, {"r": self.fixed_range})
    return config


class Fp16Compressor(Compressor):
  """Half precision."""

  def as_proto(self) -> embedding_hash_table_pb2.FloatCompressorConfig:
    config = embedding_hash_table_pb2.FloatCompressorConfig()
    config.fp16.SetInParent()
    return config


class Fp32Compressor(Compressor):
  """Single precision: no loss."""

  def as_proto(self) -> embedding_hash_table_pb2.FloatCompressorConfig:
    config = embedding_hash_table_pb2.FloatCompressorConfig()
    config.fp32.SetInParent()
    return config


def CombineAsSegment(
  dim_size: int,
  initializer: Initializer | embedding_hash_table_pb2.InitializerConfig,
  optimizer: Optimizer | embedding_hash_table_pb2.OptimizerConfig,
  compressor: Compressor | embedding_hash_table_pb2.FloatCompressorConfig,
) -> embedding_hash_table_pb2.EntryConfig.Segment:
  """Returns a slice of `dim_size` floats.

  Args:
    dim_size: floats; > 0.
    initializer: an object of this module, or its proto. The same holds for the others.

  Raises:
    ValueError: `dim_size` is not positive.
  """
  if dim_size <= 0:
    raise ValueError(f"CombineAsSegment: dim_size is {dim_size}; a slice has at least 1 float.")
  segment = embedding_hash_table_pb2.EntryConfig.Segment(dim_size=dim_size)
  for target, part in (
    (segment.init_config, initializer),
    (segment.opt_config, optimizer),
    (segment.comp_config, compressor),
  ):
    target.CopyFrom(part.as_proto() if hasattr(part, "as_proto") else part)
  return segment


class HashTableConfig(abc.ABC):
  """The kind of a table and its settings."""

  @abc.abstractmethod
  def mutate_table(self, table_config: embedding_hash_table_pb2.EmbeddingHashTableConfig) -> None:
    """Writes the kind and its settings into `table_config`."""


@dataclasses.dataclass(frozen=True)
class CuckooHashTableConfig(HashTableConfig):
  """The in-memory table.

  Args:
    initial_capacity: entries for which room is reserved; >= 1.
    feature_evict_every_n_hours: hours between evictions of expired entries; 0 evicts never.

  Raises:
    ValueError: a number is out of range.
  """

  initial_capacity: int = 1
  feature_evict_every_n_hours: int = 0

  def __post_init__(self) -> None:
    if self.initial_capacity < 1:
      raise ValueError(f"CuckooHashTableConfig: initial_capacity is {self.initial_capacity}; it must be >= 1 entry.")
    if self.feature_evict_every_n_hours < 0:
      raise ValueError(
        f"CuckooHashTableConfig: feature_evict_every_n_hours is {self.feature_evict_every_n_hours}; "
        "it must be >= 0 (0 evicts never)."
      )

  def mutate_table(self, table_config: embedding_hash_table_pb2.EmbeddingHashTableConfig) -> None:
    table_config.initial_capacity = self.initial_capacity
    table_config.cuckoo.SetInParent()
    if self.feature_evict_every_n_hours > 0:
      table_config.enable_feature_eviction = True
      table_config.feature_evict_every_n_hours = self.feature_evict_every_n_hours


class GpucucoHashTableConfig(HashTableConfig):
  """The name that old model code gives to a table in GPU memory, which this library does not have.

  Raises:
    ValueError: always; the published table config has no GPU table either.
  """

  def __init__(self, *args: Any, **kwargs: Any):
    raise ValueError(
      "GpucucoHashTableConfig: tables live in host memory here; use CuckooHashTableConfig "
      "and leave train.use_gpu_emb_table at False."
    )

  def mutate_table(self, table_config: embedding_hash_table_pb2.EmbeddingHashTableConfig) -> None:
    raise ValueError("GpucucoHashTableConfig: tables live in host memory here; use CuckooHashTableConfig.")


class HashTableConfigInstance:
  """A table's config together with what the proto cannot hold: learning rates and names to restore from.

  The text of an instance identifies its config: features with equal texts share one table.

  Args:
    table_config: the config; kept, not copied.
    learning_rate_fns: one a slice: a number, or a function that returns a float scalar.
    extra_restore_names: other names under which a checkpoint may hold the table.
  """

  def __init__(
    self,
    table_config: embedding_hash_table_pb2.EmbeddingHashTableConfig,
    learning_rate_fns: Iterable[LearningRate],
    extra_restore_names: Iterable[str] | None = None,
  ):
    self._table_config = table_config
    self._learning_rate_fns = list(learning_rate_fns)
    self._learning_rate_tensor: tf.Tensor | None = None
    self._extra_restore_names = list(extra_restore_names or ())

  def __str__(self) -> str:
    functions = ", ".join(map(str, self._learning_rate_fns))
    config = self._table_config.SerializeToString(deterministic=True)
    return f"TableConfigPB: {config!r}, LearningRateFns: [{functions}]"

  @property
  def table_config(self) -> embedding_hash_table_pb2.EmbeddingHashTableConfig:
    return self._table_config

  @property
  def learning_rate_fns(self) -> list[LearningRate]:
    return self._learning_rate_fns

  @property
  def learning_rate_tensor(self) -> tf.Tensor | None:
    """The tensor set last; None before."""
    return self._learning_rate_tensor

  def set_learning_rate_tensor(self, learning_rate_tensor: tf.Tensor) -> None:
    self._learning_rate_tensor = learning_rate_tensor

  @property
  def extra_restore_names(self) -> list[str]:
    """A copy."""
    return list(self._extra_restore_names)

  def call_learning_rate_fns(self) -> tf.Tensor:
    """Returns the current rates, float32 `[slices]`.

    Raises:
      ValueError: there are none.
    """
    rates = self.call_learning_rate_fns_fewer_ops()
    return tf.stack([tf.cast(rate, tf.float32) for rate in rates])

  def call_learning_rate_fns_fewer_ops(self) -> list[Any]:
    """Returns the current rates, functions called and numbers as they are.

    Raises:
      ValueError: there are none.
    """
    if not self._learning_rate_fns:
      raise ValueError("HashTableConfigInstance: learning_rate_fns is empty; give one number or function a slice.")
    return [fn() if callable(fn) else fn for fn in self._learning_rate_fns]
