// SPDX-License-Identifier: Apache-2.0
// The product of all pairs with a kernel, against its definition.
#include "cc/layers/interaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/cc/layers/layer_test_util.h"

namespace monolith::layers {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;

struct Problem {
  InteractionShape shape;
  int64_t num_rows;
  Numbers x, x0, kernel, grad;

  Problem(const InteractionShape& shape, int64_t num_rows)
      : shape(shape),
        num_rows(num_rows),
        x(Random(num_rows * shape.num_x, 1)),
        x0(Random(num_rows * shape.num_x0, 2)),
        kernel(Random(shape.kernel_size(), 3)),
        grad(Random(num_rows * shape.units, 4)) {}
};

struct Results {
  Numbers output, x_grad, x0_grad, kernel_grad;

  explicit Results(const Problem& p)
      : output(p.grad.size()), x_grad(p.x.size()), x0_grad(p.x0.size()), kernel_grad(p.kernel.size()) {}
};

Results Compute(const Problem& p) {
  Results found(p);
  Interact(p.shape, p.num_rows, p.x.data(), p.x0.data(), p.kernel.data(), found.output.data());
  const int64_t num_chunks = p.shape.num_chunks(p.num_rows), size = p.shape.kernel_size();
  Numbers partials(num_chunks * size, -7);
  for (int64_t chunk = num_chunks; chunk-- > 0;) {
    InteractGradient(p.shape, chunk, p.num_rows, p.grad.data(), p.x.data(), p.x0.data(), p.kernel.data(),
                     found.x_grad.data(), found.x0_grad.data(), partials.data() + chunk * size);
  }
  SumPartials(partials.data(), num_chunks, size, 0, size, found.kernel_grad.data());
  return found;
}

Results Define(const Problem& p) {
  Results wanted(p);
  const auto& [num_x, num_x0, units] = p.shape;
  for (int64_t r = 0; r < p.num_rows; ++r) {
    for (int64_t pair = 0; pair < num_x * num_x0; ++pair) {
      const int64_t at = r * num_x + pair / num_x0, at0 = r * num_x0 + pair % num_x0;
      float pair_grad = 0;
      for (int64_t n = 0; n < units; ++n) {
        wanted.output[r * units + n] += p.x[at] * p.x0[at0] * p.kernel[pair * units + n];
        wanted.kernel_grad[pair * units + n] += p.x[at] * p.x0[at0] * p.grad[r * units + n];
        pair_grad += p.kernel[pair * units + n] * p.grad[r * units + n];
      }
      wanted.x_grad[at] += pair_grad * p.x0[at0];
      wanted.x0_grad[at0] += pair_grad * p.x[at];
    }
  }
  return wanted;
}

TEST(Interact, worked_case) {
  const Numbers x{1, 2}, x0{3, 4}, kernel{1, 0, 0, 10};
  Numbers output(1);
  Interact({2, 2, 1}, 1, x.data(), x0.data(), kernel.data(), output.data());
  EXPECT_THAT(output, ElementsAre(83));
}

class InteractSizes : public LevelsTest {};

TEST_P(InteractSizes, equal_the_definition) {
  for (const InteractionShape& shape :
       {InteractionShape{1, 1, 1}, {0, 3, 2}, {3, 0, 2}, {3, 5, 0}, {3, 5, 2}, {7, 4, 19}, {16, 9, 33}}) {
    for (int64_t num_rows : {0, 1, 15, 16, 17, 300}) {
      SCOPED_TRACE(testing::Message() << shape.num_x << " " << shape.num_x0 << " " << shape.units << ", " << num_rows);
      const Problem problem(shape, num_rows);
      const Results found = Compute(problem), wanted = Define(problem);
      EXPECT_THAT(found.output, IsNear(wanted.output));
      EXPECT_THAT(found.x_grad, IsNear(wanted.x_grad));
      EXPECT_THAT(found.x0_grad, IsNear(wanted.x0_grad));
      EXPECT_THAT(found.kernel_grad, Pointwise(FloatNear(1e-4f), wanted.kernel_grad));
    }
  }
}

TEST_P(InteractSizes, agree_at_every_level) {
  const Problem problem({7, 6, 19}, 1000);
  ASSERT_GT(problem.shape.num_chunks(1000), 4);
  const Results found = Compute(problem);
  SetSimdLevelForTest(SimdLevel::kBaseline);
  EXPECT_THAT(Compute(problem).kernel_grad, IsNear(found.kernel_grad));
}

INSTANTIATE_TEST_SUITE_P(AllLevels, InteractSizes, testing::ValuesIn(Levels()));

}  // namespace
}  // namespace monolith::layers
