// SPDX-License-Identifier: Apache-2.0
// FFM and its gradients against their definition, for widths that fill registers and widths that do not.
#include "cc/layers/ffm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>
#include <utility>
#include <vector>

#include "tests/cc/layers/layer_test_util.h"

namespace monolith::layers {
namespace {

using ::testing::ElementsAre;

struct Gradients {
  Numbers left, right;
};

// Where both groups lie.
enum class Storage {
  kMatrix,   // the vectors of a row side by side
  kVectors,  // each vector's rows in a matrix of its own
};

// A group of `num` vectors stored in either way; `values` are those of the joined matrix.
template <typename Float>
class Stored {
 public:
  Stored(Storage storage, Numbers values, int64_t num, int64_t dim)
      : storage_(storage), num_(num), dim_(dim), values_(std::move(values)) {
    if (storage == Storage::kVectors) values_ = Exchanged(Rows(), num_);
  }

  FfmGroup<Float> group() {
    if (storage_ == Storage::kMatrix) return FfmMatrix<Float>(values_.data(), num_, dim_);
    FfmGroup<Float> group{{}, dim_};
    for (int64_t i = 0; i < num_; ++i) group.vectors.push_back(values_.data() + i * Rows() * dim_);
    return group;
  }

  Numbers joined() const { return storage_ == Storage::kMatrix ? values_ : Exchanged(num_, Rows()); }

 private:
  int64_t Rows() const { return num_ * dim_ == 0 ? 0 : static_cast<int64_t>(values_.size()) / (num_ * dim_); }

  // The values as [outer, inner, dim], with the first two exchanged.
  Numbers Exchanged(int64_t outer, int64_t inner) const {
    Numbers exchanged;
    for (int64_t i = 0; i < inner; ++i) {
      for (int64_t j = 0; j < outer; ++j) {
        const auto from = values_.begin() + (j * inner + i) * dim_;
        exchanged.insert(exchanged.end(), from, from + dim_);
      }
    }
    return exchanged;
  }

  Storage storage_;
  int64_t num_, dim_;
  Numbers values_;
};

struct Problem {
  FfmKind kind;
  FfmShape shape;
  FfmRows rows;
  Storage storage = Storage::kMatrix;

  Numbers Forward(const Numbers& left, const Numbers& right) const {
    Stored<const float> lefts = Left(left), rights = Right(right);
    Numbers output(rows.end * shape.output_width(kind), -7);
    Ffm(kind, shape, rows, lefts.group(), rights.group(), output.data());
    return output;
  }

  Gradients Gradient(const Numbers& grad, const Numbers& left, const Numbers& right) const {
    Stored<const float> lefts = Left(left), rights = Right(right);
    Stored<float> left_grad(storage, Numbers(left.size(), -7), shape.num_left, shape.dim);
    Stored<float> right_grad(storage, Numbers(right.size(), -7), shape.num_right, shape.dim);
    FfmGradient(kind, shape, rows, grad.data(), lefts.group(), rights.group(), left_grad.group(), right_grad.group());
    return {left_grad.joined(), right_grad.joined()};
  }

  Stored<const float> Left(const Numbers& values) const { return {storage, values, shape.num_left, shape.dim}; }
  Stored<const float> Right(const Numbers& values) const { return {storage, values, shape.num_right, shape.dim}; }
};

// The definitions.
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
  for (Storage storage : {Storage::kMatrix, Storage::kVectors}) {
    EXPECT_THAT((Problem{FfmKind::kMultiply, shape, {0, 1}, storage}.Forward(left, right)),
                ElementsAre(5, 12, 7, 16, 15, 24, 21, 32));
    EXPECT_THAT((Problem{FfmKind::kDot, shape, {0, 1}, storage}.Forward(left, right)), ElementsAre(17, 23, 39, 53));
  }
}

class FfmSizes : public testing::WithParamInterface<std::tuple<SimdLevel, Storage>>, public testing::Test {
 protected:
  void SetUp() override { SetSimdLevelForTest(std::get<0>(GetParam())); }
  void TearDown() override { SetSimdLevelForTest(BestSimdLevel()); }
};

TEST_P(FfmSizes, equal_the_definition) {
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
      const Problem problem{kind, shape, {0, rows}, std::get<1>(GetParam())};
      EXPECT_THAT(problem.Forward(left, right), IsNear(definition.Output(left, right)));
      const Gradients found = problem.Gradient(grad, left, right), wanted = definition.Gradient(grad, left, right);
      EXPECT_THAT(found.left, IsNear(wanted.left));
      EXPECT_THAT(found.right, IsNear(wanted.right));
    }
  }
}

TEST_P(FfmSizes, other_rows_are_left_alone) {
  const FfmShape shape{3, 5, 6};
  const int64_t rows = 12, begin = 4, end = 9;
  const Numbers left = Random(rows * shape.left_width(), 1), right = Random(rows * shape.right_width(), 2);
  const auto expect_rows = [&](const Numbers& found, Numbers wanted, int64_t width) {
    wanted.resize(found.size());
    for (int64_t i = 0; i < static_cast<int64_t>(wanted.size()); ++i) {
      if (i < begin * width || i >= end * width) wanted[i] = -7;
    }
    EXPECT_THAT(found, IsNear(wanted));
  };
  for (FfmKind kind : {FfmKind::kMultiply, FfmKind::kDot}) {
    const Numbers grad = Random(rows * shape.output_width(kind), 3);
    const Definition definition{kind, shape, rows};
    const Problem problem{kind, shape, {begin, end}, std::get<1>(GetParam())};
    expect_rows(problem.Forward(left, right), definition.Output(left, right), shape.output_width(kind));
    const Gradients found = problem.Gradient(grad, left, right), wanted = definition.Gradient(grad, left, right);
    expect_rows(found.left, wanted.left, shape.left_width());
    expect_rows(found.right, wanted.right, shape.right_width());
  }
}

INSTANTIATE_TEST_SUITE_P(AllLevels, FfmSizes,
                         testing::Combine(testing::ValuesIn(Levels()),
                                          testing::Values(Storage::kMatrix, Storage::kVectors)));

TEST(Ffm, no_rows) {
  const FfmShape shape{2, 3, 4};
  for (FfmKind kind : {FfmKind::kMultiply, FfmKind::kDot}) {
    EXPECT_TRUE((Problem{kind, shape, {0, 0}}.Forward({}, {}).empty()));
    EXPECT_TRUE((Problem{kind, shape, {0, 0}}.Gradient({}, {}, {}).left.empty()));
  }
}

}  // namespace
}  // namespace monolith::layers
