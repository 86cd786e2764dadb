// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_SEEDED_UNIFORM_H_
#define CC_KERNELS_SEEDED_UNIFORM_H_

#include <atomic>
#include <cstdint>

#include "cc/data/record_step.h"
#include "tensorflow/core/lib/random/philox_random.h"
#include "tensorflow/core/util/guarded_philox_random.h"

namespace monolith {

// Draws that a seed determines, as TensorFlow's own random ops do it: two seeds of 0 stand for one that nobody chose.
class SeededUniform : public data::UniformSource {
 public:
  SeededUniform(int64_t seed, int64_t seed2) { random_.Init(seed, seed2); }

  double Next() override {
    ++draws_;
    const auto bits = random_.ReserveSamples128(1)();
    const uint64_t word = static_cast<uint64_t>(bits[0]) << 32 | bits[1];
    return static_cast<double>(word >> 11) * 0x1p-53;
  }

  // How many numbers were drawn, for iterators that are saved.
  int64_t draws() const { return draws_; }
  // Passes over numbers.
  void Skip(int64_t draws) {
    draws_ += draws;
    random_.ReserveSamples128(draws);
  }

 private:
  ::tensorflow::GuardedPhiloxRandom random_;
  std::atomic<int64_t> draws_{0};
};

}  // namespace monolith

#endif  // CC_KERNELS_SEEDED_UNIFORM_H_
