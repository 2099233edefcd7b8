#include "oci/runtime/record.h"

#include "base/text.h"

namespace proa::oci::runtime {

std::string first_record(std::string_view config, std::string_view state) {
  return cat(config.size(), "\n", config, "\n", state, "\n");
}

std::string next_record(std::string_view state) { return cat("\n", state, "\n"); }

Result<Record> read_record(std::string_view text) {
  const auto cut_short = [] { return fail_errno(ENOENT, "its creator was killed while it began"); };
  const size_t header = text.find('\n');
  if (header == std::string_view::npos) return cut_short();
  const auto length = parse_number<size_t>(text.substr(0, header));
  if (!length) return fail("no length of a configuration in front");
  text.remove_prefix(header + 1);
  if (text.size() <= *length) return cut_short();
  Record record{.config = text.substr(0, *length), .state = {}};
  text.remove_prefix(*length);
  text = text.substr(0, text.rfind('\n') + 1);
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (text.empty()) return cut_short();
  record.state = text.substr(text.rfind('\n') + 1);
  return record;
}

}  // namespace proa::oci::runtime
