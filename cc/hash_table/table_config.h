// SPDX-License-Identifier: Apache-2.0
// What a table is made of, as plain values. cc/kernels/table_config_from_proto.h makes them from the saved messages.
#ifndef CC_HASH_TABLE_TABLE_CONFIG_H_
#define CC_HASH_TABLE_TABLE_CONFIG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace monolith {

// A configuration or a saved entry that cannot be used; the message names the thing, the value and the remedy.
class TableError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

struct InitializerConfig {
  enum class Kind { kUnset, kConstant, kRandomUniform };
  Kind kind = Kind::kUnset;
  float constant = 0;  // zeros and ones are constants
  float minval = 0;    // inclusive
  float maxval = 0;    // exclusive
};

struct OptimizerConfig {
  // Of every optimizer the member that its message has; see cc/hash_table/optimizers/ for the arithmetic.
  std::string name;  // "sgd", "adagrad", ...; empty: unset
  float initial_accumulator_value = 0;
  float weight_decay_factor = 0;
  float beta = 0;
  float beta1 = 0;
  float beta2 = 0;
  float epsilon = 0;
  float l1_regularization_strength = 0;
  float l2_regularization_strength = 0;
  float momentum = 0;
  float averaging_ratio = 0;
  float lambda = 0;
  std::shared_ptr<const OptimizerConfig> base;  // what dc decorates; null: nothing
  bool use_nesterov = false;
  bool decouple_weight_decay = false;
  bool enable_dynamic_wd = false;
  bool stochastic_rounding_float16 = false;  // any optimizer; see optimizers/stochastic_rounding.cc
};

struct CompressorConfig {
  // The storage form of a serving slice, and how reads of a training slice anticipate it (retriever.h).
  std::string name;       // "fp32", "fp16", "fixed_r8", "one_bit"; empty: unset
  float r = 0;            // fixed_r8: half width of the range
  int64_t step_size = 0;  // one_bit: steps between refreshes of the scale
  float init_scale = 0;
  float max_scale = 0;
  float amplitude = 0;
};

// A slice: a part of every entry's embedding with its own initializer and optimizer.
struct SliceConfig {
  int dim = 0;
  InitializerConfig initializer;
  OptimizerConfig optimizer;
  CompressorConfig compressor;
};

struct ExpireConfig {
  static constexpr uint32_t kDefaultDays = 36500;
  std::map<uint32_t, uint32_t> days_by_slot;
  uint32_t default_days = kDefaultDays;

  uint32_t DaysOf(uint32_t slot) const {
    const auto it = days_by_slot.find(slot);
    return it == days_by_slot.end() ? default_days : it->second;
  }
};

struct TableConfig {
  enum class EntryType { kTraining, kServing };
  std::string name;  // as the user knows it; used in messages
  EntryType entry_type = EntryType::kTraining;
  std::vector<SliceConfig> slices;
  uint64_t initial_capacity = 1;  // entries to make room for
  ExpireConfig expire;
  bool skip_zero_embedding = false;  // serving only
  // Whether expired entries are removed in the background (eviction_thread.h), and how often; at least 1.
  bool enable_feature_eviction = false;
  int feature_evict_every_n_hours = 240;
  uint64_t seed = 0;  // of random initial values
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_TABLE_CONFIG_H_
