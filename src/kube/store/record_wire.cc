#include "kube/store/record_wire.h"

#include "kube/store/errors.h"
#include "kube/store/wire.h"

namespace proa::kube::store {

std::string encode_record(const Record& record) {
  return WireWriter()
      .bytes(1, record.key())
      .number(2, record.create_revision())
      .number(3, record.mod_revision())
      .number(4, record.version())
      .bytes(5, record.value())
      .number(6, record.lease())
      .number(7, static_cast<int64_t>(record.note()))
      .take();
}

Result<RecordFields> decode_record(std::string_view message) {
  RecordFields fields;
  WireReader in(message);
  while (in.next()) switch (in.field()) {
      case 1: fields.key = in.bytes(); break;
      case 2: fields.stamp.create_revision = in.number(); break;
      case 3: fields.stamp.mod_revision = in.number(); break;
      case 4: fields.stamp.version = in.number(); break;
      case 5: fields.value = in.bytes(); break;
      case 6: fields.stamp.lease = in.number(); break;
      case 7: fields.note = static_cast<uint64_t>(in.number()); break;
      default: break;
    }
  TRY(in.check("a record"));
  if (fields.key.empty() || fields.stamp.mod_revision <= 0)
    return fail_as(Code::kCorrupt, "a record has no key, or no revision");
  return fields;
}

}  // namespace proa::kube::store
