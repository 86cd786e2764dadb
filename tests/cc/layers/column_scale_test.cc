// SPDX-License-Identifier: Apache-2.0
// Gradients of scaled columns, against their definition.
#include "cc/layers/column_scale.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "tests/cc/layers/layer_test_util.h"

namespace monolith::layers {
namespace {

using ::testing::FloatNear;
using ::testing::Pointwise;

struct Gradients {
  Numbers x, scale;
};

// Of some random numbers; the chunks in reverse.
Gradients Compute(int64_t rows, int64_t width) {
  const Numbers grad = Random(rows * width, 1), x = Random(rows * width, 2), scale = Random(width, 3);
  const int64_t num_chunks = ColumnScaleChunks(rows, width);
  Numbers partials(num_chunks * width, -7);
  Gradients found{Numbers(rows * width), Numbers(width)};
  for (int64_t chunk = num_chunks; chunk-- > 0;) {
    ColumnScaleGradient(chunk, rows, width, grad.data(), x.data(), scale.data(), found.x.data(),
                        partials.data() + chunk * width);
  }
  SumPartials(partials.data(), num_chunks, width, 0, width, found.scale.data());
  return found;
}

Gradients Define(int64_t rows, int64_t width) {
  const Numbers grad = Random(rows * width, 1), x = Random(rows * width, 2), scale = Random(width, 3);
  Gradients wanted{Numbers(rows * width), Numbers(width)};
  for (int64_t i = 0; i < rows * width; ++i) {
    wanted.x[i] = grad[i] * scale[i % width];
    wanted.scale[i % width] += grad[i] * x[i];
  }
  return wanted;
}

class ColumnScaleSizes : public LevelsTest {};

TEST_P(ColumnScaleSizes, equal_the_definition) {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{1, 1}, {0, 3}, {4, 0}, {5, 3}, {300, 61}, {3000, 16}}) {
    SCOPED_TRACE(testing::Message() << rows << " " << width);
    const Gradients found = Compute(rows, width), wanted = Define(rows, width);
    EXPECT_THAT(found.x, IsNear(wanted.x));
    EXPECT_THAT(found.scale, Pointwise(FloatNear(1e-4f), wanted.scale));
  }
}

TEST_P(ColumnScaleSizes, agree_at_every_level) {
  ASSERT_GT(ColumnScaleChunks(1000, 61), 4);
  const Gradients found = Compute(1000, 61);
  SetSimdLevelForTest(SimdLevel::kBaseline);
  EXPECT_THAT(Compute(1000, 61).scale, IsNear(found.scale));
}

INSTANTIATE_TEST_SUITE_P(AllLevels, ColumnScaleSizes, testing::ValuesIn(Levels()));

}  // namespace
}  // namespace monolith::layers
