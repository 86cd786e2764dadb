// SPDX-License-Identifier: Apache-2.0
#include "cc/distribution/deal_fids.h"

#include <algorithm>
#include <string>

#include "cc/data/data_error.h"
#include "cc/hash_table/distinct_fids.h"
#include "cc/hash_table/hashing.h"

namespace monolith::distribution {
namespace {

[[noreturn]] void RefuseMessage(int server, const std::string& why) {
  throw DataError(DataError::Code::kInvalidArgument, "the fids of server " + std::to_string(server) + " " + why +
                                                         "; pass what MonolithDealFids made, for as many tables.");
}

}  // namespace

std::vector<std::vector<int64_t>> DealTable(const std::vector<FidsToDeal>& features, int num_servers) {
  int64_t num_fids = 0;
  for (const FidsToDeal& feature : features) num_fids += feature.fids.size;
  DistinctFids distinct(num_fids);
  std::vector<int64_t> place_of;  // of the distinct fids
  place_of.reserve(num_fids);
  std::vector<std::vector<int64_t>> dealt(num_servers);
  for (const FidsToDeal& feature : features) {
    for (int64_t i = 0; i < feature.fids.size; ++i) {
      const int64_t fid = feature.fids[i];
      const int32_t number = distinct.Add(fid);
      if (number == static_cast<int32_t>(place_of.size())) {
        const auto server = static_cast<int64_t>(ShardOfFid(fid, num_servers));
        place_of.push_back(PlaceOf(server, static_cast<int64_t>(dealt[server].size())));
        dealt[server].push_back(fid);
      }
      feature.places[i] = place_of[number];
    }
  }
  return dealt;
}

int64_t MessageSize(const std::vector<std::vector<std::vector<int64_t>>>& tables, int server) {
  auto size = static_cast<int64_t>(tables.size()) + 1;
  for (const auto& dealt : tables) size += static_cast<int64_t>(dealt[server].size());
  return size;
}

void WriteMessage(const std::vector<std::vector<std::vector<int64_t>>>& tables, int server, int64_t* message) {
  int64_t* const fids = message + tables.size() + 1;
  int64_t begin = 0;
  for (size_t t = 0; t < tables.size(); ++t) {
    message[t] = begin;
    std::copy(tables[t][server].begin(), tables[t][server].end(), fids + begin);
    begin += static_cast<int64_t>(tables[t][server].size());
  }
  message[tables.size()] = begin;
}

void CheckMessage(Span<const int64_t> message, int num_tables, int server) {
  if (message.size < num_tables + 1) {
    RefuseMessage(server, "are " + std::to_string(message.size) + " numbers, too few for the row splits of " +
                              std::to_string(num_tables) + " tables");
  }
  const int64_t num_fids = message.size - num_tables - 1;
  if (message[0] != 0 || message[num_tables] != num_fids) {
    RefuseMessage(server, "have row splits from " + std::to_string(message[0]) + " to " +
                              std::to_string(message[num_tables]) + ", but there are " + std::to_string(num_fids));
  }
  for (int t = 0; t < num_tables; ++t) {
    if (message[t + 1] < message[t]) {
      RefuseMessage(server, "have row splits that decrease at table " + std::to_string(t));
    }
  }
}

}  // namespace monolith::distribution
