// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_CC_FUZZ_MESSAGE_ORACLE_H_
#define TESTS_CC_FUZZ_MESSAGE_ORACLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace monolith {
namespace testing {

// Messages as objects, decoded in the plainest way: every field into a list of its own first, then by the schema. It shares
// no code with cc/data. Lists are merged and values replaced as protobuf does.

struct WireField {
  uint32_t number = 0;
  int type = 0;
  uint64_t number_value = 0;  // of varints and fixed widths
  std::string bytes;          // of length-delimited fields
};

// Nothing if the bytes are no message.
std::optional<std::vector<WireField>> DecodeFields(const std::string& bytes);

struct OracleLineId {
  uint64_t uid = 0;
  int64_t chnid = 0;
  std::vector<int32_t> actions;
  float sample_rate = 1;
  std::string device_type;
  bool is_draw = false;
};

struct OracleFeature {
  uint32_t kind = 0;  // the member of the oneof that is set
  std::vector<uint64_t> fids;
  std::vector<float> floats;
  std::vector<double> doubles;
  std::vector<int64_t> ints;
  std::vector<std::string> strings;
};

struct OracleRow {
  std::map<std::string, OracleFeature> columns;  // the last of a name
  OracleLineId line_id;
  std::vector<float> labels;
  std::vector<uint64_t> v1_fids;  // of an Instance
  std::optional<float> weight;
};

struct OracleBatch {
  std::map<std::string, std::vector<OracleFeature>> columns;  // the last of a name
  std::map<std::string, bool> shared;
  int32_t batch_size = 0;
};

// Nothing if protobuf would refuse the bytes. Special columns are columns.
std::optional<OracleRow> DecodeExample(const std::string& bytes);
std::optional<OracleBatch> DecodeExampleBatch(const std::string& bytes);
// Features of an Instance by kind of an Example: 2 fids, then those of the list kinds; 3 floats; 5 ints; 6 strings. All of
// them are kept, `kind` is 0.
std::optional<OracleRow> DecodeInstance(const std::string& bytes);
std::optional<OracleLineId> DecodeLineId(const std::string& bytes);

}  // namespace testing
}  // namespace monolith

#endif  // TESTS_CC_FUZZ_MESSAGE_ORACLE_H_
