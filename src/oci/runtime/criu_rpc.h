// The messages of criu's RPC (criu's rpc.proto, protocol buffers version 2), as much of them as a container
// runtime says and hears. Pure functions; any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace proa::oci::runtime::criu {

// Protocol buffers on the wire: fields as (number, value) in the order they are written.
class WireWriter {
 public:
  // int32, uint32, bool and enums; negative numbers are sign-extended to 64 bits, as the encoding asks.
  void number(uint32_t field, int64_t value);
  void text(uint32_t field, std::string_view value);
  void message(uint32_t field, const WireWriter& value) { text(field, value.bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(uint64_t value);
  std::string bytes_;
};

// Reads them one by one. Whatever the bytes are, reading ends, with an error if they are cut short.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : left_(bytes) {}
  // Takes the next field; false at the end.
  Result<bool> next();
  uint32_t field() const { return field_; }
  int64_t number() const { return static_cast<int64_t>(number_); }  // of a varint; 0 for the other kinds
  std::string_view text() const { return text_; }                   // of a string or message; else empty

 private:
  Result<uint64_t> varint();
  Result<std::string_view> take(uint64_t count);

  std::string_view left_;
  uint32_t field_ = 0;
  uint64_t number_ = 0;
  std::string_view text_;
};

enum class RequestType : uint32_t {
  kEmpty = 0,
  kDump = 1,
  kRestore = 2,
  kPreDump = 4,
  kNotify = 6,
  kFeatureCheck = 9,
  kVersion = 10
};

enum class CgroupMode : uint32_t { kIgnore = 0, kSoft = 3, kFull = 4, kStrict = 5 };
// "soft", "full", "strict", "ignore".
Result<CgroupMode> parse_cgroup_mode(std::string_view text);

using Pairs = std::vector<std::pair<std::string, std::string>>;

// criu_opts. Unset texts and numbers are not sent. Descriptors are criu's own (criu.h).
struct Options {
  int images_dir_fd = -1;
  int work_dir_fd = -1, status_fd = -1;
  pid_t pid = 0;
  bool leave_running = false, ext_unix_sk = false, tcp_established = false, evasive_devices = false, shell_job = false,
       file_locks = false, notify_scripts = true, track_mem = false, auto_dedup = false, link_remap = false,
       rst_sibling = false, tcp_skip_in_flight = false, lazy_pages = false, orphan_pts_master = true;
  int log_level = 4;
  std::string log_file, root, parent_img, freeze_cgroup, config_file, lsm_profile, lsm_mount_context;
  std::string page_server_address;  // with page_server_port
  int page_server_port = 0;
  CgroupMode cgroup_mode = CgroupMode::kSoft;
  uint32_t empty_ns = 0;              // CLONE_NEW*
  Pairs ext_mnt;                      // mount point and name (dump); name and host path (restore)
  Pairs cg_root;                      // controller and path below the hierarchy's root
  Pairs join_ns;                      // kind and file
  std::vector<std::string> external;  // "net[INODE]:KEY"
  std::vector<std::pair<std::string, int>> inherit_fd;
};

struct Features {
  bool mem_track = false, lazy_pages = false;
};

struct Request {
  RequestType type = RequestType::kEmpty;
  const Options* options = nullptr;
  std::optional<Features> features;    // those to look for
  std::optional<bool> notify_success;  // in the answer to a notification
};
std::string encode(const Request& request);

struct Response {
  RequestType type = RequestType::kEmpty;
  bool success = false;
  pid_t restored = 0;      // restore: the first process, in criu's pid namespace
  std::string script;      // notification: what criu is about to do, or has done
  pid_t script_pid = 0;    // ... and the process it is about
  int error = 0;           // errno, 0 when not known
  std::string error_text;  // criu's own, may be empty
  Features features;
  int version = 0;  // 31701 is 3.17.1
};
Result<Response> decode_response(std::string_view bytes);

}  // namespace proa::oci::runtime::criu
