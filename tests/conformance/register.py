# SPDX-License-Identifier: Apache-2.0
"""The register: every public layer, activation, initializer, loss and dense optimizer, once or once a setting.

What is public and not here fails register_test.py. What is here runs through all of the suite; see `cases` for what an
entry says. Losses of no example are finite, layers take a batch of no rows, optimizers continue from a checkpoint: an
exception is written down here, with the reason beside it.
"""

from __future__ import annotations

from conformance.cases import Input, activation, initializer, layer, loss, optimizer

from monolith.native_training import entry
from monolith.native_training import layers
from monolith.native_training.layers import norms
from monolith.native_training.losses import ltr_losses
from monolith.native_training.losses.batch_softmax_loss import batch_softmax_loss
from monolith.native_training.losses.inbatch_auc_loss import inbatch_auc_loss
from monolith.native_training.optimizers.adamom import AdamomOptimizer
from monolith.native_training.optimizers.rmsprop import RmspropOptimizer
from monolith.native_training.optimizers.shampoo import ShampooOptimizer

# Classes that are public for others to derive from, and layers that cannot be called on example inputs alone.
ABSTRACT: dict[str, str] = {}

# Dense, MLP.
layer("Dense", lambda: layers.Dense(3), (4, 6))
layer("Dense-normalized", lambda: layers.Dense(3, "tanh", allow_kernel_norm=True, kernel_norm_trainable=True), (4, 6))
layer("Dense-rank3", lambda: layers.Dense(3, kernel_regularizer="l2", bias_regularizer="l2"), (4, 5, 6))
layer("Dense-monitor", lambda: layers.Dense(3, "relu", inactive_relu_monitor=True), (4, 6))
layer("MLP", lambda: layers.MLP([8, 4, 1], "tanh"), (4, 6))
layer(
  "MLP-many", lambda: layers.MLP([8, 4, 4, 3], ["leakyrelu", "prelu", "sigmoid2", "softmax"], ["ones", None]), (4, 6)
)
layer(
  "MLP-batchnorm",
  lambda: layers.MLP([4, 2], "tanh", enable_batch_normalization=True),
  (4, 6),
  call=lambda mlp, x: mlp(x, training=True),
  mixes_rows=True,
  no_gradient=["BatchNorm/in/beta", "dense_0/bias"],  # the next normalization takes a shift away
)

# Norms.
layer("BatchNorm", lambda: norms.BatchNorm(), (4, 6), mixes_rows=True)
layer("BatchNorm-rank3", lambda: norms.BatchNorm(regularizer="l2"), (4, 5, 6), mixes_rows=True)
layer(
  "BatchNorm-global",
  lambda: norms.BatchNorm(training_use_global_dist=True, global_dist_momentum=0.9),
  (4, 6),
  mixes_rows=True,
)
layer("BatchNorm-eval", lambda: norms.BatchNorm(mode="eval"), (4, 6))

# Logits.
layer("LogitCorrection", lambda: layers.LogitCorrection(), [(4,), Input((4,), 0.1, 1.0)])
layer("LogitCorrection-bias", lambda: layers.LogitCorrection("sigmoid", True), [(4, 1), Input((4, 1), 0.1, 1.0)])
layer("LogitCorrection-one", lambda: layers.LogitCorrection(sample_bias=True), (4, 2))

# Activations.
activation("relu")
activation("leakyrelu")
activation("elu")
activation("prelu")
activation("thresholdedrelu")
activation("softmax")
activation("exponential")
activation("gelu")
activation("hard_sigmoid")
activation("hardsigmoid")
activation("linear")
activation("selu")
activation("sigmoid")
activation("sigmoid2")
activation("softplus")
activation("softsign")
activation("swish")
activation("tanh")

# Losses.
loss("inbatch_auc_loss", inbatch_auc_loss, [Input((6,), -1, 2, "int32"), (6,)], differentiable=[1])
loss(
  "batch_softmax_loss",
  batch_softmax_loss,
  [(5, 3), (5, 3), Input((5,), 0, 9), Input((5,), 0.1, 2)],
  differentiable=[0, 1],
)


def _ranking_loss(key: str) -> None:
  """A ranking loss: lists of five items with labels -1, for an invalid item, to 2."""
  loss(key, ltr_losses.make_loss_fn(key, seed=1), [Input((4, 5), -1, 3, "int32"), (4, 5)], differentiable=[1])


_ranking_loss("pairwise_hinge_loss")
_ranking_loss("pairwise_logistic_loss")
_ranking_loss("pairwise_soft_zero_one_loss")
_ranking_loss("softmax_loss")
_ranking_loss("sigmoid_cross_entropy_loss")
_ranking_loss("mean_squared_loss")
_ranking_loss("approx_ndcg_loss")
# Its order of equal labels is random: no two items of a list have one label.
loss("list_mle_loss", ltr_losses.make_loss_fn("list_mle_loss"), [Input((4, 5), 0, 2), (4, 5)], differentiable=[1])

# Dense optimizers.
optimizer("AdamomOptimizer", lambda rate: AdamomOptimizer(rate, mom_decay=0.9))
optimizer("AdamomOptimizer-v2", lambda rate: AdamomOptimizer(rate, mom_decay=0.9, weight_decay=1e-3, use_v2=True))
optimizer("RmspropOptimizer", lambda rate: RmspropOptimizer(rate, beta1=0.9, beta2=0.9))
optimizer("RmspropOptimizer-v2", lambda rate: RmspropOptimizer(rate, beta1=0.9, beta2=0.9, use_v2=True))
optimizer("ShampooOptimizer", lambda rate: ShampooOptimizer(rate, warmup=2, tau_1=2, tau_2=1))
optimizer(
  "ShampooOptimizer-cut",
  lambda rate: ShampooOptimizer(rate, beta_2=0.9, warmup=0, tau_1=1, tau_2=2, eigen_head=1, eigen_tail=1),
)

# Initializers of table slices.
initializer("ZerosInitializer", lambda: entry.ZerosInitializer(), 0, 0)
initializer("ConstantsInitializer", lambda: entry.ConstantsInitializer(0.25), 0.25, 0.25)
initializer("RandomUniformInitializer", lambda: entry.RandomUniformInitializer(-0.5, 1.5), -0.5, 1.5)
initializer("BatchSoftmaxInitializer", lambda: entry.BatchSoftmaxInitializer(3.0), 3, 3)
