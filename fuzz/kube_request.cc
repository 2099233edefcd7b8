// Requests to the API server: "METHOD TARGET\0COOKIE": paths, options of lists, writes and deletions, continue tokens,
// web tokens, and the look into stored bytes without parsing.
#include "fuzz.h"
#include "kube/apiserver/access/tokens/jwt.h"
#include "kube/apiserver/registry/cursor.h"
#include "kube/apiserver/registry/scan.h"
#include "kube/apiserver/request/info.h"
#include "kube/apiserver/request/options.h"
#include "kube/object/json.h"

namespace {

using namespace proa::kube;
using namespace proa::kube::api;

void check_error(const ApiError& error) { FUZZ_CHECK(error.code >= 400 && error.code < 600 && !error.message.empty()); }

void request(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return;
  const std::string_view target = line.substr(space + 1);
  const RequestInfo info = parse_request(line.substr(0, space), target);
  FUZZ_CHECK(!info.is_resource || !info.resource.empty());
  FUZZ_CHECK(!info.is_resource || info.prefix == "api" || info.prefix == "apis");
  const size_t mark = target.find('?');
  const std::string_view query = mark == std::string_view::npos ? "" : target.substr(mark + 1);
  if (const auto list = parse_list_options(query); !list) check_error(list.error());
  for (const WriteKind kind : {WriteKind::kCreate, WriteKind::kUpdate, WriteKind::kPatch, WriteKind::kApply})
    if (const auto write = parse_write_options(query, kind); !write) check_error(write.error());
  if (const auto deletion = parse_delete_options(query, Value()); !deletion) check_error(deletion.error());
}

void cursor(std::string_view text) {
  const auto read = read_cursor(text);
  if (!read) return check_error(read.error());
  const auto again = read_cursor(write_cursor(*read));
  FUZZ_CHECK(again && again->revision == read->revision && again->start == read->start);
}

// Finds what the parser finds in bytes of the server's own making.
void scan(std::string_view text) {
  const auto document = read_json(text);
  if (!document || !document->root.is_object()) return;
  const std::string json = write_json(document->root);
  size_t members = 0;
  for (MemberScan member(json); member.next();) ++members;
  FUZZ_CHECK(members == document->root.members().size());
  static_cast<void>(scan_path(json, "metadata.name"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text(data, size);
  const size_t split = text.find('\0');
  request(text.substr(0, split));
  if (split == std::string_view::npos) return 0;
  const std::string_view rest = text.substr(split + 1);
  cursor(rest);
  static_cast<void>(Jwt::parse(rest));
  scan(rest);
  return 0;
}
