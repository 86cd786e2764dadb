// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_OPTIMIZER_H_
#define CC_HASH_TABLE_OPTIMIZER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cc/hash_table/table_config.h"

namespace monolith {

// How an optimizer's state is written into a saved entry: which member of SingleOptimizerDump, and its fields.
struct StateField {
  enum class Type { kRepeatedFloat, kFloat, kInt64 };
  int number;  // field number in the optimizer's dump message
  Type type;
  int offset;  // bytes from the start of the slice's state
  int count;   // values; 1 unless repeated
};

struct StateSchema {
  int member;  // field number in SingleOptimizerDump
  std::vector<StateField> fields;
};

// What a step takes beside the entry and its gradient.
struct StepContext {
  float learning_rate;
  int64_t global_step;
  // The weights that the gradient was computed from; null unless the optimizer needs_looked_up().
  const float* looked_up = nullptr;
};

// An entry that takes a step, in memory that does not overlap.
struct EntryStep {
  float* weights;
  float* state;
  const float* gradient;
  const float* looked_up = nullptr;  // see StepContext
};

// The update rule of one slice. Stateless itself: the state lies in the entry, behind the embeddings.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // A multiple of 4.
  virtual int state_bytes() const = 0;
  // Null: the optimizer dumps nothing at all.
  virtual const StateSchema* schema() const = 0;
  virtual void InitState(float* state) const = 0;
  // True if a step depends on global_step, which then must not be negative.
  virtual bool needs_global_step() const { return false; }
  // True if a step takes StepContext::looked_up.
  virtual bool needs_looked_up() const { return false; }
  // One step. `weights`, `state` and `gradient` do not overlap.
  virtual void Step(float* weights, float* state, const float* gradient, const StepContext& context) const = 0;
  // One step of each of `n` distinct entries, one after another.
  virtual void StepEach(const EntryStep* steps, int n, const StepContext& context) const {
    for (int i = 0; i < n; ++i) {
      Step(steps[i].weights, steps[i].state, steps[i].gradient,
           {context.learning_rate, context.global_step, steps[i].looked_up});
    }
  }
};

using OptimizerFactory = std::function<std::unique_ptr<Optimizer>(const OptimizerConfig&, int dim)>;

// Adds an optimizer under the name that its member has in the OptimizerConfig message. For static initialisation.
bool RegisterOptimizer(const std::string& name, OptimizerFactory factory);

// Throws TableError for a name that is unset or unknown, or a setting that makes no sense.
std::unique_ptr<Optimizer> NewOptimizer(const OptimizerConfig& config, int dim);

}  // namespace monolith

#endif  // CC_HASH_TABLE_OPTIMIZER_H_
