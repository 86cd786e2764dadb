// SPDX-License-Identifier: Apache-2.0
#include "cc/data/line_id.h"

#include "cc/data/data_error.h"

namespace monolith {
namespace data {

const LineIdField& FindLineIdField(const std::string& name) {
  using Kind = LineIdField::Kind;
  static const LineIdField fields[] = {
      {"uid", 2, Kind::kFixed64, false, 0},         {"req_time", 3, Kind::kInt64, false, 0},
      {"item_id", 4, Kind::kFixed64, false, 0},     {"actions", 6, Kind::kInt32, true, 0},
      {"chnid", 19, Kind::kInt64, false, 0},        {"pre_actions", 23, Kind::kInt32, true, 0},
      {"sample_rate", 27, Kind::kFloat, false, 1},  {"special_strategies", 39, Kind::kInt32, true, 0},
      {"device_type", 41, Kind::kString, false, 0}, {"cid", 48, Kind::kString, false, 0},
      {"user_id", 49, Kind::kString, false, 0},     {"is_draw", 87, Kind::kBool, false, 0},
      {"rank", 145, Kind::kInt32, false, 0},        {"data_source_name", 235, Kind::kString, false, 0},
  };
  std::string known;
  for (const LineIdField& field : fields) {
    if (name == field.name) return field;
    known += (known.empty() ? "" : ", ") + std::string(field.name);
  }
  throw DataError(DataError::Code::kNotFound,
                  "extra feature '" + name + "' is not in line id, which has " + known + ".");
}

}  // namespace data
}  // namespace monolith
