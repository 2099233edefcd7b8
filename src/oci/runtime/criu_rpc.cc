#include "oci/runtime/criu_rpc.h"

namespace proa::oci::runtime::criu {
namespace {

// Wire types (protobuf encoding): the low three bits of a tag.
enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kDelimited = 2, kFixed32 = 5 };

void flag(WireWriter& out, uint32_t field, bool value) { out.number(field, value ? 1 : 0); }

void text_if(WireWriter& out, uint32_t field, const std::string& value) {
  if (!value.empty()) out.text(field, value);
}

// ext_mount_map, join_namespace and cgroup_root are alike: two strings.
void pairs(WireWriter& out, uint32_t field, const Pairs& list) {
  for (const auto& [first, second] : list) {
    WireWriter entry;
    entry.text(1, first);
    entry.text(2, second);
    out.message(field, entry);
  }
}

void add_flags(WireWriter& out, const Options& options) {
  flag(out, 3, options.leave_running);
  flag(out, 4, options.ext_unix_sk);
  flag(out, 5, options.tcp_established);
  flag(out, 6, options.evasive_devices);
  flag(out, 7, options.shell_job);
  flag(out, 8, options.file_locks);
  flag(out, 12, options.notify_scripts);
  flag(out, 15, options.track_mem);
  flag(out, 16, options.auto_dedup);
  flag(out, 18, options.link_remap);
  flag(out, 24, true);  // manage_cgroups: releases that do not know the mode go by this
  flag(out, 26, options.rst_sibling);
  flag(out, 46, options.tcp_skip_in_flight);
  flag(out, 48, options.lazy_pages);
  flag(out, 50, options.orphan_pts_master);
}

void add_numbers(WireWriter& out, const Options& options) {
  out.number(1, options.images_dir_fd);
  if (options.pid > 0) out.number(2, options.pid);
  out.number(9, options.log_level);
  if (options.work_dir_fd >= 0) out.number(17, options.work_dir_fd);
  out.number(34, static_cast<int64_t>(options.cgroup_mode));
  if (options.empty_ns != 0) out.number(38, options.empty_ns);
  if (options.status_fd >= 0) out.number(49, options.status_fd);
}

void add_texts(WireWriter& out, const Options& options) {
  text_if(out, 10, options.log_file);
  text_if(out, 13, options.root);
  text_if(out, 14, options.parent_img);
  text_if(out, 44, options.freeze_cgroup);
  text_if(out, 51, options.config_file);
  text_if(out, 53, options.lsm_profile);
  text_if(out, 63, options.lsm_mount_context);
  for (const std::string& each : options.external) out.text(37, each);
  if (options.page_server_address.empty()) return;
  WireWriter server;
  server.text(1, options.page_server_address);
  server.number(2, options.page_server_port);
  out.message(11, server);
}

WireWriter encode_options(const Options& options) {
  WireWriter out;
  add_numbers(out, options);
  add_flags(out, options);
  add_texts(out, options);
  pairs(out, 23, options.ext_mnt);
  pairs(out, 25, options.cg_root);
  pairs(out, 39, options.join_ns);
  for (const auto& [key, fd] : options.inherit_fd) {
    WireWriter entry;
    entry.text(1, key);
    entry.number(2, fd);
    out.message(27, entry);
  }
  return out;
}

// Calls `take` for each field of a message.
template <typename Take>
Result<> each_field(std::string_view bytes, Take take) {
  WireReader reader(bytes);
  while (TRY(reader.next())) TRY(take(reader));
  return {};
}

Result<> read_features(std::string_view bytes, Features& out) {
  return each_field(bytes, [&](const WireReader& reader) -> Result<> {
    if (reader.field() == 1) out.mem_track = reader.number() != 0;
    if (reader.field() == 2) out.lazy_pages = reader.number() != 0;
    return {};
  });
}

Result<> read_version(std::string_view bytes, int& out) {
  return each_field(bytes, [&](const WireReader& reader) -> Result<> {
    if (reader.number() < 0 || reader.number() > 1000) return fail("impossible version number");
    const int number = static_cast<int>(reader.number());
    if (reader.field() == 1) out += number * 10000;
    if (reader.field() == 2) out += number * 100;
    if (reader.field() == 4) out += number;
    return {};
  });
}

Result<> read_notification(std::string_view bytes, Response& out) {
  return each_field(bytes, [&](const WireReader& reader) -> Result<> {
    if (reader.field() == 1) out.script = reader.text();
    if (reader.field() == 2) out.script_pid = static_cast<pid_t>(reader.number());
    return {};
  });
}

Result<> read_restored(std::string_view bytes, Response& out) {
  return each_field(bytes, [&](const WireReader& reader) -> Result<> {
    if (reader.field() == 1) out.restored = static_cast<pid_t>(reader.number());
    return {};
  });
}

Result<> read_response_field(const WireReader& reader, Response& out) {
  switch (reader.field()) {
    case 1: out.type = static_cast<RequestType>(reader.number()); return {};
    case 2: out.success = reader.number() != 0; return {};
    case 4: return read_restored(reader.text(), out);
    case 5: return read_notification(reader.text(), out);
    case 7: out.error = static_cast<int>(reader.number()); return {};
    case 8: return read_features(reader.text(), out.features);
    case 9: out.error_text = reader.text(); return {};
    case 10: return read_version(reader.text(), out.version);
    default: return {};
  }
}

}  // namespace

void WireWriter::varint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>((value & 0x7f) | 0x80));
  bytes_.push_back(static_cast<char>(value));
}

void WireWriter::number(uint32_t field, int64_t value) {
  varint(field << 3 | kVarint);
  varint(static_cast<uint64_t>(value));
}

void WireWriter::text(uint32_t field, std::string_view value) {
  varint(field << 3 | kDelimited);
  varint(value.size());
  bytes_ += value;
}

Result<uint64_t> WireReader::varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (left_.empty()) return fail("message is cut short");
    const auto byte = static_cast<unsigned char>(left_.front());
    left_.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return fail("message has a number of more than 64 bits");
}

Result<std::string_view> WireReader::take(uint64_t count) {
  if (count > left_.size()) return fail("message is cut short");
  const std::string_view taken = left_.substr(0, count);
  left_.remove_prefix(count);
  return taken;
}

Result<bool> WireReader::next() {
  if (left_.empty()) return false;
  const uint64_t tag = TRY(varint());
  if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return fail("message has an impossible field number");
  field_ = static_cast<uint32_t>(tag >> 3);
  number_ = 0;
  text_ = {};
  switch (tag & 7) {
    case kVarint: number_ = TRY(varint()); return true;
    case kDelimited: {
      const uint64_t length = TRY(varint());
      text_ = TRY(take(length));
      return true;
    }
    case kFixed64: TRY(take(8)); return true;
    case kFixed32: TRY(take(4)); return true;
    default: return fail("message has a field of unknown kind");
  }
}

Result<CgroupMode> parse_cgroup_mode(std::string_view text) {
  if (text == "soft" || text.empty()) return CgroupMode::kSoft;
  if (text == "full") return CgroupMode::kFull;
  if (text == "strict") return CgroupMode::kStrict;
  if (text == "ignore") return CgroupMode::kIgnore;
  return fail("--manage-cgroups-mode: '", text, "' is none of soft, full, strict, ignore");
}

std::string encode(const Request& request) {
  WireWriter out;
  out.number(1, static_cast<int64_t>(request.type));
  if (request.options != nullptr) out.message(2, encode_options(*request.options));
  if (request.notify_success) flag(out, 3, *request.notify_success);
  if (request.features) {
    WireWriter wanted;
    flag(wanted, 1, request.features->mem_track);
    flag(wanted, 2, request.features->lazy_pages);
    out.message(5, wanted);
  }
  return out.bytes();
}

Result<Response> decode_response(std::string_view bytes) {
  Response out;
  TRY_CTX(each_field(bytes, [&](const WireReader& reader) { return read_response_field(reader, out); }),
          "criu's answer");
  if (out.type == RequestType::kEmpty) return fail("criu's answer: says not to what");
  return out;
}

}  // namespace proa::oci::runtime::criu
