// The store's readers of bytes from elsewhere: etcd's answers, and backups.
#include "fuzz.h"
#include "kube/store/backup.h"
#include "kube/store/etcd/messages.h"
#include "kube/store/wire.h"

namespace {

using namespace proa;
using namespace proa::kube::store;

void check(const RangeResult& result) {
  for (const RecordPtr& record : result.records) {
    FUZZ_CHECK(!record->key().empty());
    FUZZ_CHECK(record->mod_revision() > 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text = as_text(data + 1, size - 1);
  const etcd::Annotate annotate = [](std::string_view key, std::string_view value) {
    return key.size() + value.size();
  };
  switch (data[0] % 6) {
    case 0:
      if (const auto result = etcd::decode_range(text, annotate)) check(*result);
      break;
    case 1:
      if (const auto result = etcd::decode_txn(text, annotate))
        for (const auto& part : result->parts) check(part.found);
      break;
    case 2:
      if (const auto result = etcd::decode_watch(text, annotate))
        for (const RecordPtr& record : result->records) FUZZ_CHECK(record->mod_revision() > 0);
      break;
    case 3:
      static_cast<void>(etcd::decode_lease(text));
      static_cast<void>(etcd::decode_leases(text));
      break;
    case 4: static_cast<void>(etcd::decode_status(text)); break;
    case 5:
      static_cast<void>(read_blocks(text, {.record = [](const RecordPtr& record) -> Result<> {
                                             FUZZ_CHECK(!record->key().empty());
                                             return {};
                                           },
                                           .lease = [](LeaseId, int64_t) -> Result<> { return {}; }}));
      break;
  }
  return 0;
}
