# SPDX-License-Identifier: Apache-2.0
"""The register: every public layer, activation, initializer, loss and dense optimizer, once or once a setting.

What is public and not here fails register_test.py. What is here runs through all of the suite; see `cases` for what an
entry says. Losses of no example are finite, layers take a batch of no rows, optimizers continue from a checkpoint: an
exception is written down here, with the reason beside it.
"""

from __future__ import annotations

from conformance.cases import Input, activation, initializer, layer, loss, optimizer

from monolith.core import mixed_emb_op_comb_nws as mixed
from monolith.native_training import entry
from monolith.native_training import layers
from monolith.native_training.layers import norms
from monolith.native_training.losses import ltr_losses
from monolith.native_training.losses.batch_softmax_loss import batch_softmax_loss
from monolith.native_training.losses.inbatch_auc_loss import inbatch_auc_loss
from monolith.native_training.optimizers.adamom import AdamomOptimizer
from monolith.native_training.optimizers.rmsprop import RmspropOptimizer
from monolith.native_training.optimizers.shampoo import ShampooOptimizer

import tensorflow as tf  # isort: skip

# Classes that are public for others to derive from, and layers that cannot be called on example inputs alone.
ABSTRACT = {"Pooling": "a subclass says how tensors become one"}

# Dense, MLP.
layer("Dense", lambda: layers.Dense(3), (4, 6))
layer("Dense-normalized", lambda: layers.Dense(3, "tanh", allow_kernel_norm=True, kernel_norm_trainable=True), (4, 6))
layer("Dense-rank3", lambda: layers.Dense(3, kernel_regularizer="l2", bias_regularizer="l2"), (4, 5, 6))
layer("Dense-monitor", lambda: layers.Dense(3, "relu", inactive_relu_monitor=True), (4, 6))
layer("MLP", lambda: layers.MLP([8, 4, 1], "tanh"), (4, 6))
layer(
  "MLP-many",
  lambda: layers.MLP([8, 4, 4, 3], ["leakyrelu", "prelu", "sigmoid2", "softmax"], ["ones", None]),
  (4, 6),
  slow=True,
)
layer(
  "MLP-batchnorm",
  lambda: layers.MLP([4, 2], "tanh", enable_batch_normalization=True),
  (4, 6),
  call=lambda mlp, x: mlp(x, training=True),
  mixes_rows=True,
  no_gradient=["BatchNorm/in/beta", "dense_0/bias"],  # the next normalization takes a shift away
  slow=True,
)

# Norms.
layer("BatchNorm", lambda: norms.BatchNorm(), (4, 6), mixes_rows=True)
layer("BatchNorm-rank3", lambda: norms.BatchNorm(regularizer="l2"), (4, 5, 6), mixes_rows=True, slow=True)
layer(
  "BatchNorm-global",
  lambda: norms.BatchNorm(training_use_global_dist=True, global_dist_momentum=0.9),
  (4, 6),
  mixes_rows=True,
)
layer("BatchNorm-eval", lambda: norms.BatchNorm(mode="eval"), (4, 6))
layer("LayerNorm", lambda: norms.LayerNorm(None), (4, 6))
layer("LayerNorm-rank3", lambda: norms.LayerNorm("uniform", "l2"), (4, 5, 6))

# Losses of several tasks, here sums of two inputs; the other inputs are their gradients by what they share.
layer(
  "GradNorm",
  lambda: norms.GradNorm(["a", "b"]),
  [(4, 6)] * 4,
  call=lambda norm, i: norm([tf.reduce_sum(i[0]), tf.reduce_sum(i[1])], gradients=[[i[2]], [i[3]]]),
  mixes_rows=True,
)
layer(
  "GradNorm-relative",
  lambda: norms.GradNorm(["a", "b"], scale=2.0, loss_pow=1.5, relative_diff=True),
  [(4, 6)] * 4,
  call=lambda norm, i: norm([tf.reduce_sum(i[0]), tf.reduce_sum(i[1])], gradients=[[i[2]], [i[3]]]),
  mixes_rows=True,
)

# Logits.
layer("LogitCorrection", lambda: layers.LogitCorrection(), [(4,), Input((4,), 0.1, 1.0)])
layer("LogitCorrection-bias", lambda: layers.LogitCorrection("sigmoid", True), [(4, 1), Input((4, 1), 0.1, 1.0)])
layer("LogitCorrection-one", lambda: layers.LogitCorrection(sample_bias=True), (4, 2))

# Biases and pools.
layer("AddBias", lambda: layers.AddBias(), (4, 6))
layer("AddBias-rank4", lambda: layers.AddBias("glorot_normal", "l2"), (4, 2, 3, 2))
layer("SumPooling", lambda: layers.SumPooling(), [(4, 6)] * 3)
# A Keras model writes a list of one tensor down as the tensor.
layer("SumPooling-one", lambda: layers.SumPooling(), [(4, 5, 6)], skip=["keras_model_round_trip"])
layer("AvgPooling", lambda: layers.AvgPooling(), [(4, 6)] * 3)
layer("MaxPooling", lambda: layers.MaxPooling(), [(4, 6)] * 3)

# Towers of several inputs and several tasks.
layer("LHUCTower", lambda: layers.LHUCTower([5, 2]), (4, 6))
layer(
  "LHUCTower-pair",
  lambda: layers.LHUCTower((5, 2), lhuc_output_dims=[3], activations=["prelu", "tanh"], lhuc_use_bias=False),
  [(4, 6), (4, 3)],
  slow=True,
)
layer(
  "LHUCTower-batchnorm",
  lambda: layers.LHUCTower([4, 2], activations="tanh", enable_batch_normalization=True),
  (4, 6),
  call=lambda tower, x: tower(x, training=True),
  mixes_rows=True,
  slow=True,
)
layer("MMoE", lambda: layers.MMoE(2, [5, 3], "tanh", num_experts=3), (4, 6))
layer(
  "MMoE-pair",
  lambda: layers.MMoE(2, [[4, 3], [3]], [["prelu", "tanh"], "tanh"], ["ones", None]),
  [(4, 6), (4, 2)],
  slow=True,
)
# Large inputs, so that no gates are so close that half precision would swap them.
layer(
  "MMoE-topk",
  lambda: layers.MMoE(2, [3], "tanh", gate_type="topk", top_k=2, num_experts=3),
  Input((4, 6), -20, 20),
)
layer(
  "MMoE-noise_topk",
  lambda: layers.MMoE(2, [3], "tanh", gate_type="noise_topk", top_k=2, num_experts=3),
  (4, 6),
  random=True,
  slow=True,
)
layer("SNR", lambda: layers.SNR(3, 4, mode="infer"), [(4, 6), (4, 6)])
layer("SNR-train", lambda: layers.SNR(3, 4, use_ste=True), [(4, 6), (4, 6)], random=True)
layer("SNR-aver", lambda: layers.SNR(2, 6, snr_type="aver", mode="eval"), [(4, 6), (4, 6), (4, 6)])

# Sequences.
# A cell takes its inputs one by one, and Keras infers shapes of one argument.
layer(
  "AGRUCell",
  lambda: layers.AGRUCell(5),
  [(4, 6), (4, 5), Input((4, 1), 0, 1)],
  call=lambda cell, i: cell(*i),
  skip=["output_shape_is_inferred"],
)
layer(
  "AGRUCell-augru",
  lambda: layers.AGRUCell(5, "AUGRU", regularizer="l2"),
  [(4, 6), (4, 5), Input((4, 1), 0, 1)],
  call=lambda cell, i: cell(*i),
  skip=["output_shape_is_inferred"],
)
layer(
  "AGRUCell-no_score",
  lambda: layers.AGRUCell(5),
  [(4, 6), (4, 5)],
  call=lambda cell, i: cell(*i),
  skip=["output_shape_is_inferred"],
)
layer("DIN", lambda: layers.DIN([5, 3, 1], "prelu"), [(4, 6), (4, 5, 6)])
layer("DIN-elementwise", lambda: layers.DIN([4, 1], "tanh", mode="elementwise", decay=True), [(4, 6), (4, 5, 6)])
layer(
  "DIN-mask",
  lambda: layers.DIN([4, 1], "sigmoid", regularizer="l2"),
  [(4, 6), (4, 5, 6), Input((4, 5), 0, 2, "int32")],
  call=lambda din, i: din(i[:2], mask=i[2]),
  slow=True,
)
layer("DIEN", lambda: layers.DIEN(6, activation="tanh"), [(4, 6), (4, 5, 3)])
layer("DIEN-augru", lambda: layers.DIEN(6, "AUGRU", "tanh", regularizer="l2"), [(4, 6), (4, 5, 3)], slow=True)
layer("DMR_U2I", lambda: layers.DMR_U2I(4), [(4, 6), (4, 5, 3)], no_gradient=["DMR_U2I/bias"])
layer("DMR_U2I-relu", lambda: layers.DMR_U2I(4, "tanh"), [(4, 6), (4, 5, 3)], no_gradient=["DMR_U2I/bias"])

# Crosses.
layer("GroupInt", lambda: layers.GroupInt(), [[(4, 3), (4, 3)], [(4, 3)]])
layer("GroupInt-dot", lambda: layers.GroupInt("dot", out_type=None), [[(4, 3)], [(4, 3), (4, 3)]])
layer(
  "GroupInt-attention",
  lambda: layers.GroupInt(use_attention=True, attention_units=[4, 1], activation="tanh", out_type="stack"),
  [[(4, 3), (4, 3)], [(4, 3), (4, 3)]],
  slow=True,
)
layer("AllInt", lambda: layers.AllInt(2), (4, 5, 3))
layer("AllInt-list", lambda: layers.AllInt(2, "ones", "l2", use_bias=False, out_type=None), (4, 5, 3))
layer("AllInt-stack", lambda: layers.AllInt(2, out_type="stack", keep_list=True), (4, 5, 3))
layer("CDot", lambda: layers.CDot(2, [4], "tanh"), (4, 5, 3))
layer("CAN", lambda: layers.CAN(activation="tanh"), [(4, 5, 3), (4, 24)])
layer("CAN-one", lambda: layers.CAN(activation="tanh", is_stacked=False), [(4, 3), (4, 24)])
layer("CAN-seq", lambda: layers.CAN(1, is_seq=True), [(4, 2, 5, 3), (4, 12)])
layer("CAN-one_seq", lambda: layers.CAN(1, is_seq=True, is_stacked=False), [(4, 5, 3), (4, 12)])
layer("DCN", lambda: layers.DCN(2), (4, 6))
layer("DCN-vector", lambda: layers.DCN(2, "vector", regularizer="l2"), (4, 5, 6))
layer("DCN-mixed", lambda: layers.DCN(2, "mixed", num_experts=2, low_rank=3), (4, 6))
layer(
  "DCN-normalized", lambda: layers.DCN(2, "mixed", num_experts=2, low_rank=3, allow_kernel_norm=True), (4, 6), slow=True
)
layer("DCN-dropout", lambda: layers.DCN(2, use_dropout=True, keep_prob=0.8), (4, 6), random=True)
layer("CIN", lambda: layers.CIN([4, 3]), (4, 5, 3))
layer("CIN-tanh", lambda: layers.CIN([4, 2, 3], "tanh", regularizer="l2"), (4, 5, 3))

# Transforms of features.
layer("AutoInt", lambda: layers.AutoInt(), (4, 5, 3))
layer("AutoInt-list", lambda: layers.AutoInt(2, out_type=None), (4, 5, 3))
layer("iRazor", lambda: layers.iRazor([0, 1, 3], t=1.0), (4, 5, 3))
layer(
  "iRazor-loss", lambda: layers.iRazor([0, 1, 3], t=1.0, feature_weight=[0.1, 0.2, 0.3, 0.4, 0.5], out_type="stack"),
  (4, 5, 3),
)  # fmt: skip
layer("SeNet", lambda: layers.SeNet(5, 4), (4, 5, 3))
layer("SeNet-list", lambda: layers.SeNet(3, 4, on_gpu=True, out_type=None), [(4, 3), (4, 2), (4, 1)], slow=True)
layer("SeNet-means", lambda: layers.SeNet(2, None), [(4, 3), (4, 2)])

# Search for widths. These layers of `core` are made by their constructors alone, not by params.
layer(
  "MixedEmbedOpComb",
  lambda: mixed.MixedEmbedOpComb(["a", "b"], [[0, 2], [1, 3]], warmup_steps=0, pretraining_steps=10),
  (4, 6),
  random=True,
  mixes_rows=True,
  skip=["params_round_trip"],
)
# One choice leaves nothing to learn about it. A name is among the outputs, which is no tensor.
layer(
  "MixedEmbedOpComb-teacher",
  lambda: mixed.MixedEmbedOpComb(["a", "b"], [[2], [4]], 0, 10, [3, 2], distillation_mask=True),
  [(4, 6), (4, 5)],
  call=lambda mix, i: list(mix(i)[:2]),
  mixes_rows=True,
  no_gradient=["arch_embedding_weights"],
  skip=["params_round_trip", "keras_model_round_trip", "output_shape_is_inferred"],
)
layer(
  "TeacherEmbeddingTransform",
  lambda: mixed.TeacherEmbeddingTransform([3, 1], [2, 4]),
  (4, 6),
  skip=["params_round_trip"],
)

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
