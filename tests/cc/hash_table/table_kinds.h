// SPDX-License-Identifier: Apache-2.0
// Every kind of table that there is, with what it keeps of a value: what suites and fuzzers run over.
#ifndef TESTS_CC_HASH_TABLE_TABLE_KINDS_H_
#define TESTS_CC_HASH_TABLE_TABLE_KINDS_H_

#include <algorithm>
#include <cmath>
#include <ostream>
#include <string>
#include <vector>

#include "cc/hash_table/half.h"
#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace testing {

constexpr int kKindDim = 5;
constexpr float kGridRange = 64;  // of the fixed_r8 slices
constexpr float kAmplitude = 2;   // of the one_bit slices
constexpr float kSlope = 0.125f;  // of the one_bit slices that train: their first and last scale

struct TableKind {
  std::string name;
  TableConfig config;
  // What column d keeps of a value that is written to it, and what a lookup gives of what is kept.
  float (*stored)(int d, float x);
  float (*read)(int d, float kept);
  // What a gradient with respect to what was read is with respect to what is kept; null: the same.
  float (*passed_back)(float kept, float gradient) = nullptr;

  bool trains() const { return config.entry_type == TableConfig::EntryType::kTraining; }
  std::vector<float> Stored(std::vector<float> row) const {
    for (size_t d = 0; d < row.size(); ++d) row[d] = stored(static_cast<int>(d % kKindDim), row[d]);
    return row;
  }
  std::vector<float> Read(std::vector<float> row) const {
    for (size_t d = 0; d < row.size(); ++d) row[d] = read(static_cast<int>(d % kKindDim), row[d]);
    return row;
  }
  std::vector<float> PassedBack(const std::vector<float>& kept, std::vector<float> gradient) const {
    if (passed_back == nullptr) return gradient;
    for (size_t d = 0; d < gradient.size(); ++d) gradient[d] = passed_back(kept[d], gradient[d]);
    return gradient;
  }
};

inline std::ostream& operator<<(std::ostream& out, const TableKind& kind) { return out << kind.name; }

inline float AsIs(int, float x) { return x; }
inline float AsHalf(int, float x) { return HalfToFloat(FloatToHalf(x)); }
inline float AsSign(int, float x) { return x > 0 ? kAmplitude : -kAmplitude; }
// The grid of r / 128, by its definition.
inline float OnGrid(int, float x) {
  constexpr float kStep = kGridRange / 128;
  if (std::isnan(x)) return 0;
  const float nearest = std::trunc((x + (x >= 0 ? kStep / 2 : -kStep / 2)) / kStep);
  return std::clamp(nearest, -128.0f, 127.0f) * kStep + 0.0f;  // a code has no -0
}
// The several-slices table has its middle slice, columns 1 and 2, read from the grid.
inline float MiddleOnGrid(int d, float x) { return d == 1 || d == 2 ? OnGrid(d, x) : x; }

// Training anticipates the sign by a tanh.
inline float AsTanh(int, float x) { return kAmplitude * std::tanh(kSlope * x); }
inline float ThroughTanh(float x, float gradient) {
  const float hyperbolic = std::tanh(kSlope * x);
  return kAmplitude * kSlope * (1 - hyperbolic * hyperbolic) * gradient;
}

inline SliceConfig KindSlice(int dim, const std::string& optimizer, const CompressorConfig& compressor) {
  SliceConfig slice = DefaultSlice(dim, optimizer);
  slice.compressor = compressor;
  return slice;
}

inline std::vector<TableKind> AllTableKinds() {
  const CompressorConfig fp32{"fp32", 0, 0, 0, 0, 0}, fp16{"fp16", 0, 0, 0, 0, 0};
  const CompressorConfig grid{"fixed_r8", kGridRange, 0, 0, 0, 0}, sign{"one_bit", 0, 200, 1, 10000, kAmplitude};
  const CompressorConfig slope{"one_bit", 0, 200, kSlope, kSlope, kAmplitude};
  const auto serving = [](const CompressorConfig& compressor) {
    return ServingConfig({KindSlice(2, "sgd", compressor), KindSlice(3, "sgd", compressor)});
  };
  TableConfig skip_zero = serving(fp32);
  skip_zero.skip_zero_embedding = true;
  SliceConfig first = KindSlice(1, "sgd", fp32);
  first.initializer.constant = 7;
  return {
      {"TrainingOneSlice", MakeConfig({KindSlice(kKindDim, "adagrad", fp32)}), AsIs, AsIs},
      {"TrainingSlices", MakeConfig({first, KindSlice(2, "adagrad", grid), KindSlice(2, "adam", fp32)}), AsIs,
       MiddleOnGrid},
      {"ServingFp32", serving(fp32), AsIs, AsIs},
      {"ServingFp16", serving(fp16), AsHalf, AsIs},
      {"ServingFixedR8", serving(grid), OnGrid, AsIs},
      {"ServingOneBit", serving(sign), AsSign, AsIs},
      {"ServingSkipZero", skip_zero, AsIs, AsIs},
      {"TrainingOneBit", MakeConfig({KindSlice(2, "adagrad", slope), KindSlice(3, "adam", slope)}), AsIs, AsTanh,
       ThroughTanh},
  };
}

}  // namespace testing
}  // namespace monolith

#endif  // TESTS_CC_HASH_TABLE_TABLE_KINDS_H_
