# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Ranking's losses from their published formulas, one list and one pair at a time, in float64.

Every function takes labels and scores `[batch, list]` (a negative label is invalid) and weights that broadcast to them,
and returns (losses, weights) as flat lists; `reduce_nonzero` makes one number of them.
"""

import itertools
import math

import numpy as np


def reduce_nonzero(losses, weights):
  losses, weights = np.array(losses, np.float64), np.array(weights, np.float64)
  count = np.count_nonzero(weights)
  return (losses * weights).sum() / count if count else 0.0


def _valid(labels, scores, weights):
  """Yields the valid items of each list as (label, score, weight)."""
  weights = np.broadcast_to(weights, labels.shape)
  for row in zip(labels, scores, weights):
    yield [(float(label), float(score), float(weight)) for label, score, weight in zip(*row) if label >= 0]


def gain(label):
  return 2.0**label - 1


def discount(rank):
  return 1 / math.log(1 + rank)


def _ideal_dcg(labels, topn):
  best = sorted(labels, reverse=True)[:topn]
  return sum(gain(label) * discount(rank) for rank, label in enumerate(best, 1))


def ndcg_pair_weight(items, i, j, topn=None, smooth=0.0):
  """LambdaLoss mixed with LambdaMART, for positions i and j (from 1) of the items in the order of their scores."""
  longest = topn or 10**9
  ideal = _ideal_dcg([item[0] for item in items], topn)
  if min(i, j) > longest or ideal == 0:
    return 0.0
  apart = abs(min(i, longest + 1) - min(j, longest + 1))
  relative = abs(discount(apart) - discount(apart + 1)) if apart else 0.0
  absolute = abs((discount(i) if i <= longest else 0) - (discount(j) if j <= longest else 0))
  change = abs(gain(items[i - 1][0]) - gain(items[j - 1][0])) / ideal
  return change * ((1 - smooth) * relative + smooth * absolute)


def pairwise(loss, labels, scores, weights=1.0, pair_weight=None, scale=True):
  losses, found = [], []
  for items in _valid(labels, scores, weights):
    items = sorted(items, key=lambda item: -item[1])
    for (i, better), (j, worse) in itertools.permutations(enumerate(items, 1), 2):
      if better[0] <= worse[0]:
        continue
      losses.append(loss(better[1] - worse[1]))
      if pair_weight is None:
        found.append(better[2] * (better[0] - worse[0]))
      else:
        found.append(better[2] * pair_weight(items, i, j) * (labels.shape[1] if scale else 1))
  return losses, found


def hinge(d):
  return max(0.0, 1 - d)


def logistic(d):
  return math.log1p(math.exp(-d)) if d > -30 else -d


def soft_zero_one(d):
  return 1 / (1 + math.exp(d))


def softmax(labels, scores, weights=1.0, ndcg=False, topn=None):
  losses, found = [], []
  for items in _valid(labels, scores, weights):
    items = sorted(items, key=lambda item: -item[1])
    targets = [label * weight for label, _, weight in items]
    if ndcg:
      ideal = _ideal_dcg([item[0] for item in items], topn)
      targets = [
        gain(label) / ideal * discount(rank) * weight if ideal else 0
        for rank, (label, _, weight) in enumerate(items, 1)
      ]
    if sum(targets) <= 0:
      continue
    total = sum(math.exp(score) for _, score, _ in items)
    losses.append(-sum(t / sum(targets) * math.log(math.exp(s) / total) for t, (_, s, _) in zip(targets, items)))
    found.append(sum(targets))
  return losses, found


def sigmoid_cross_entropy(labels, scores, weights=1.0):
  items = [item for row in _valid(labels, scores, weights) for item in row]
  return [math.log1p(math.exp(s)) - label * s for label, s, _ in items], [w for _, _, w in items]


def mean_squared(labels, scores, weights=1.0):
  items = [item for row in _valid(labels, scores, weights) for item in row]
  return [(label - s) ** 2 for label, s, _ in items], [w for _, _, w in items]


def list_mle(labels, scores, weights=1.0, rank_weight=lambda rank: 1.0):
  """Where labels differ; ties are broken by chance. `weights` is one a list, [batch, 1]."""
  losses = []
  for items in _valid(labels, scores, 1.0):
    order = [score for _, score, _ in sorted(items, key=lambda item: -item[0])]
    missing = labels.shape[1] - len(order)
    cost = sum(
      rank_weight(k) * (math.log(sum(math.exp(s) for s in order[k - 1 :])) - order[k - 1])
      for k in range(1, len(order) + 1)
    )
    cost += sum(rank_weight(len(order) + k) * math.log(missing - k + 1) for k in range(1, missing + 1))
    losses.append(cost)
  return losses, np.broadcast_to(weights, (len(labels), 1)).ravel()


def approx_ndcg(labels, scores, weights=1.0, alpha=10.0):
  losses, found = [], []
  for items, weight in zip(_valid(labels, scores, 1.0), np.broadcast_to(weights, (len(labels), 1)).ravel()):
    ideal = _ideal_dcg([item[0] for item in items], None)
    if ideal == 0:
      continue
    dcg = 0.0
    for i, (label, score, _) in enumerate(items):
      others = [s for j, (_, s, _) in enumerate(items) if j != i]
      rank = 1 + sum(1 / (1 + math.exp(-alpha * (s - score))) for s in others)
      dcg += gain(label) * discount(rank)
    losses.append(-dcg / ideal)
    found.append(weight)
  return losses, found
