#include "kube/store/wire.h"

#include "kube/store/errors.h"

namespace proa::kube::store {

namespace {
constexpr uint64_t kLargestField = (1u << 29) - 1;
}

bool WireReader::varint(uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (rest_.empty()) return false;
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    if (shift == 63 && byte > 1) return false;
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool WireReader::skip(size_t size) {
  if (rest_.size() < size) return false;
  rest_.remove_prefix(size);
  return true;
}

bool WireReader::next() {
  if (rest_.empty() || failed_) return false;
  uint64_t tag = 0;
  failed_ = true;
  number_ = 0;
  bytes_ = {};
  if (!varint(tag) || tag >> 3 == 0 || tag >> 3 > kLargestField) return false;
  field_ = static_cast<uint32_t>(tag >> 3);
  uint64_t size = 0;
  switch (tag & 7) {
    case 0:
      if (!varint(number_)) return false;
      break;
    case 1:
      if (!skip(8)) return false;
      break;
    case 2:
      if (!varint(size) || size > rest_.size()) return false;
      bytes_ = rest_.substr(0, size);
      rest_.remove_prefix(size);
      break;
    case 5:
      if (!skip(4)) return false;
      break;
    default: return false;
  }
  failed_ = false;
  return true;
}

Result<> WireReader::check(std::string_view what) const {
  if (failed_) return fail_as(Code::kCorrupt, what, " is not a protobuf message");
  return {};
}

}  // namespace proa::kube::store
