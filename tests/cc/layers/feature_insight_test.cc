// SPDX-License-Identifier: Apache-2.0
// FeatureInsight against its definition, and its sums over the batch.
#include "cc/layers/feature_insight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "tests/cc/layers/layer_test_util.h"

namespace monolith::layers {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;

using Sizes = std::vector<int64_t>;

struct Gradients {
  Numbers input, weight;
};

Numbers Forward(const Sizes& sizes, int64_t units, int64_t batch, const Numbers& input, const Numbers& weight) {
  const FeatureInsight insight(sizes, units);
  Numbers output(batch * insight.output_width(), -7);
  insight.Forward(batch, input.data(), weight.data(), output.data());
  return output;
}

// Runs the chunks in any order, as threads would.
Gradients Gradient(const Sizes& sizes, int64_t units, int64_t batch, const Numbers& grad, const Numbers& input,
                   const Numbers& weight, bool backwards = false) {
  const FeatureInsight insight(sizes, units);
  const int64_t num_chunks = insight.num_chunks(batch), size = insight.weight_size();
  Numbers transposed(size), partials(num_chunks * size, -7);
  Gradients found{Numbers(input.size(), -7), Numbers(size, -7)};
  insight.TransposeWeight(weight.data(), transposed.data());
  for (int64_t i = 0; i < num_chunks; ++i) {
    const int64_t chunk = backwards ? num_chunks - 1 - i : i;
    insight.ChunkGradient(chunk, batch, grad.data(), input.data(), transposed.data(), found.input.data(),
                          partials.data() + chunk * size);
  }
  SumPartials(partials.data(), num_chunks, size, 0, size / 2, found.weight.data());
  SumPartials(partials.data(), num_chunks, size, size / 2, size, found.weight.data());
  return found;
}

struct Definition {
  Numbers output, input_grad, weight_grad;

  Definition(const Sizes& sizes, int64_t units, int64_t batch, const Numbers& grad, const Numbers& input,
             const Numbers& weight)
      : output(grad.size()), input_grad(input.size()), weight_grad(weight.size()) {
    const int64_t width = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
    for (int64_t b = 0; b < batch; ++b) {
      int64_t column = 0;
      for (size_t f = 0; f < sizes.size(); ++f) {
        for (int64_t j = 0; j < sizes[f]; ++j, ++column) {
          for (int64_t k = 0; k < units; ++k) {
            const int64_t at = (b * static_cast<int64_t>(sizes.size()) + static_cast<int64_t>(f)) * units + k;
            output[at] += input[b * width + column] * weight[column * units + k];
            input_grad[b * width + column] += grad[at] * weight[column * units + k];
            weight_grad[column * units + k] += grad[at] * input[b * width + column];
          }
        }
      }
    }
  }
};

TEST(FeatureInsight, worked_case) {
  EXPECT_THAT(Forward({2, 1}, 2, 1, {1, 2, 3}, {1, 2, 3, 4, 5, 6}), ElementsAre(7, 10, 15, 18));
}

class FeatureInsightSizes : public LevelsTest {};

TEST_P(FeatureInsightSizes, equal_the_definition) {
  struct Case {
    Sizes sizes;
    int64_t units, batch;
  };
  for (const Case& c : {Case{{1}, 1, 1}, Case{{3, 2, 4}, 2, 3}, Case{{0, 7, 1}, 23, 9}, Case{{16, 24}, 33, 130},
                        Case{{5}, 4, 700}, Case{{3, 2}, 4, 0}}) {
    SCOPED_TRACE(testing::Message() << "units " << c.units << ", batch " << c.batch);
    const int64_t width = std::accumulate(c.sizes.begin(), c.sizes.end(), int64_t{0});
    const Numbers input = Random(c.batch * width, 1), weight = Random(width * c.units, 2);
    const Numbers grad = Random(c.batch * static_cast<int64_t>(c.sizes.size()) * c.units, 3);
    const Definition wanted(c.sizes, c.units, c.batch, grad, input, weight);
    EXPECT_THAT(Forward(c.sizes, c.units, c.batch, input, weight), IsNear(wanted.output));
    const Gradients found = Gradient(c.sizes, c.units, c.batch, grad, input, weight);
    EXPECT_THAT(found.input, IsNear(wanted.input_grad));
    EXPECT_THAT(found.weight, Pointwise(FloatNear(1e-4f), wanted.weight_grad));
  }
}

TEST_P(FeatureInsightSizes, gradients_have_the_same_bits_in_any_order_of_chunks_and_agree_at_every_level) {
  const Sizes sizes{3, 17, 1};
  const int64_t units = 19, batch = 1000;
  const Numbers input = Random(batch * 21, 1), weight = Random(21 * units, 2), grad = Random(batch * 3 * units, 3);
  ASSERT_GT(FeatureInsight(sizes, units).num_chunks(batch), 4);
  const Gradients one = Gradient(sizes, units, batch, grad, input, weight);
  EXPECT_EQ(Gradient(sizes, units, batch, grad, input, weight, true).weight, one.weight);
  SetSimdLevelForTest(SimdLevel::kBaseline);
  const Gradients baseline = Gradient(sizes, units, batch, grad, input, weight);
  EXPECT_THAT(baseline.weight, IsNear(one.weight));
  EXPECT_THAT(baseline.input, IsNear(one.input));
}

INSTANTIATE_TEST_SUITE_P(AllLevels, FeatureInsightSizes, testing::ValuesIn(Levels()));

TEST(FeatureInsight, chunks_cost_no_more_memory_than_the_batch) {
  EXPECT_EQ(FeatureInsight({16, 16}, 64).num_chunks(2048), 16);
  EXPECT_EQ(FeatureInsight({16, 16}, 64).num_chunks(129), 2);
  EXPECT_EQ(FeatureInsight({5000}, 1024).num_chunks(2048), 1);
  EXPECT_EQ(FeatureInsight({3}, 4).num_chunks(0), 1);
  EXPECT_EQ(FeatureInsight({0}, 4).num_chunks(100), 1);
}

}  // namespace
}  // namespace monolith::layers
