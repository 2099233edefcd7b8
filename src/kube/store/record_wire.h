// A record as a protobuf message: mvccpb.KeyValue's fields, and the note as field 7, which etcd does not have.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "kube/store/record.h"

namespace proa::kube::store {

std::string encode_record(const Record& record);

// Views into the message. The stamp lacks what the message does not say: deleted, order.
struct RecordFields {
  std::string_view key;
  std::string_view value;
  uint64_t note = 0;
  Draft::Stamp stamp;
};
// kCorrupt: no message, or one without key or revision.
Result<RecordFields> decode_record(std::string_view message);

}  // namespace proa::kube::store
