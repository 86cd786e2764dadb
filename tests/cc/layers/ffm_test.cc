// SPDX-License-Identifier: Apache-2.0
// FFM and its gradients against their definition, for widths that fill registers and widths that do not.
#include "cc/layers/ffm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/cc/layers/layer_test_util.h"

namespace monolith::layers {
namespace {

using ::testing::ElementsAre;

struct Gradients {
  Numbers left, right;
};

Numbers Forward(FfmKind kind, const FfmShape& shape, int64_t num_rows, const Numbers& left, const Numbers& right) {
  Numbers output(num_rows * shape.output_width(kind), -7);
  Ffm(kind, shape, num_rows, left.data(), right.data(), output.data());
  return output;
}

Gradients Gradient(FfmKind kind, const FfmShape& shape, int64_t num_rows, const Numbers& grad, const Numbers& left,
                   const Numbers& right) {
  Gradients found{Numbers(left.size(), -7), Numbers(right.size(), -7)};
  FfmGradient(kind, shape, num_rows, grad.data(), left.data(), right.data(), found.left.data(), found.right.data());
  return found;
}

// The definitions, in the order in which the library promises to add.
struct Definition {
  FfmKind kind;
  FfmShape shape;
  int64_t num_rows;

  template <typename Body>
  void ForEach(const Body& body) const {
    const auto& [num_left, num_right, dim] = shape;
    for (int64_t b = 0; b < num_rows; ++b) {
      for (int64_t l = 0; l < num_left; ++l) {
        for (int64_t r = 0; r < num_right; ++r) {
          for (int64_t k = 0; k < dim; ++k) {
            const int64_t pair = (b * num_left + l) * num_right + r;
            body((b * num_left + l) * dim + k, (b * num_right + r) * dim + k,
                 kind == FfmKind::kDot ? pair : pair * dim + k);
          }
        }
      }
    }
  }

  Numbers Output(const Numbers& left, const Numbers& right) const {
    Numbers output(num_rows * shape.output_width(kind));
    ForEach([&](int64_t l, int64_t r, int64_t o) { output[o] += left[l] * right[r]; });
    return output;
  }

  Gradients Gradient(const Numbers& grad, const Numbers& left, const Numbers& right) const {
    Gradients sums{Numbers(left.size()), Numbers(right.size())};
    ForEach([&](int64_t l, int64_t r, int64_t o) {
      sums.left[l] += grad[o] * right[r];
      sums.right[r] += grad[o] * left[l];
    });
    return sums;
  }
};

TEST(Ffm, worked_cases) {
  const FfmShape shape{2, 2, 2};
  const Numbers left{1, 2, 3, 4}, right{5, 6, 7, 8};
  EXPECT_THAT(Forward(FfmKind::kMultiply, shape, 1, left, right), ElementsAre(5, 12, 7, 16, 15, 24, 21, 32));
  EXPECT_THAT(Forward(FfmKind::kDot, shape, 1, left, right), ElementsAre(17, 23, 39, 53));
}

class FfmSizes : public LevelsTest {};

TEST_P(FfmSizes, equal_the_definition_to_the_bit) {
  for (const FfmShape& shape : {FfmShape{1, 1, 1},
                                {3, 5, 3},
                                {5, 2, 8},
                                {9, 4, 16},
                                {4, 13, 23},
                                {13, 18, 32},
                                {13, 13, 16},
                                {2, 8, 3},
                                {1, 3, 2},
                                {0, 3, 4},
                                {3, 0, 4}}) {
    for (FfmKind kind : {FfmKind::kMultiply, FfmKind::kDot}) {
      SCOPED_TRACE(testing::Message() << shape.num_left << " " << shape.num_right << " " << shape.dim);
      const int64_t rows = 19;
      const Numbers left = Random(rows * shape.left_width(), 1), right = Random(rows * shape.right_width(), 2);
      const Numbers grad = Random(rows * shape.output_width(kind), 3);
      const Definition definition{kind, shape, rows};
      EXPECT_EQ(Forward(kind, shape, rows, left, right), definition.Output(left, right));
      const Gradients found = Gradient(kind, shape, rows, grad, left, right);
      const Gradients wanted = definition.Gradient(grad, left, right);
      EXPECT_EQ(found.left, wanted.left);
      EXPECT_EQ(found.right, wanted.right);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllLevels, FfmSizes, testing::ValuesIn(Levels()));

TEST(Ffm, no_rows) {
  const FfmShape shape{2, 3, 4};
  for (FfmKind kind : {FfmKind::kMultiply, FfmKind::kDot}) {
    EXPECT_TRUE(Forward(kind, shape, 0, {}, {}).empty());
    EXPECT_TRUE(Gradient(kind, shape, 0, {}, {}, {}).left.empty());
  }
}

}  // namespace
}  // namespace monolith::layers
