// SPDX-License-Identifier: Apache-2.0
// A tf.train.Example as an Example.
#ifndef CC_DATA_TF_EXAMPLE_H_
#define CC_DATA_TF_EXAMPLE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace monolith {
namespace data {

struct TfExampleConfig {
  std::vector<std::string> sparse_names;
  std::vector<int64_t> sparse_slots;  // of each, in [1, 32768), no two alike
  std::vector<std::string> dense_names;
  std::string label, instance_weight;  // names of features; empty: none
};

// Sparse features become fids of version 2: an integer v has the signature v, a float v the signature int(log2(|v| + 1)).
// Dense ones keep their values. Features that are not named are dropped; those that are missing make no columns.
class TfExampleReader {
 public:
  // Throws DataError (kInvalidArgument) where a name is there twice or a slot cannot be.
  explicit TfExampleReader(const TfExampleConfig& config);

  // Throws DataError (kInvalidArgument) where the bytes are no tf.train.Example, or a feature has values of a kind that it
  // cannot have.
  void Convert(std::string_view bytes, std::string* example) const;

 private:
  enum class Use { kSparse, kDense, kLabel, kWeight };
  struct Feature {
    std::string name;
    Use use;
    uint64_t slot;
  };

  void Add(const std::string& name, Use use, int64_t slot);
  std::vector<std::string> Collect(std::string_view bytes) const;
  static void Put(const Feature& feature, std::string_view value, std::string* example);

  std::vector<Feature> features_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_TF_EXAMPLE_H_
