// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/probabilistic_filter.h"

#include <atomic>
#include <cmath>

#include "cc/hash_table/hashing.h"

namespace monolith {
namespace {

// Uniform in [0, 1), from a sequence of its own in every thread.
double UniformRandom() {
  static std::atomic<uint64_t> threads{0};
  thread_local const uint64_t stream = Mix64(threads.fetch_add(1, std::memory_order_relaxed) + 1);
  thread_local uint64_t drawn = 0;
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ULL;  // splitmix64: a Weyl sequence, mixed
  const uint64_t bits = Mix64(stream + ++drawn * kGolden);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

constexpr double kLogOfMissed = -2.995732273553991;  // log(0.05)

}  // namespace

bool ProbabilisticFilter::Admit(int64_t fid, int64_t occurrences) {
  const double threshold = thresholds_.Of(fid);
  if (threshold == 0) return true;
  const double share = static_cast<double>(occurrences) / threshold;
  const double probability = equal_probability_ ? 1 - std::exp(kLogOfMissed * share) : share;
  return UniformRandom() < probability;
}

}  // namespace monolith
