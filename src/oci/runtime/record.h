// The file a container is remembered by, "record" in its state folder:
//
//   LENGTH '\n' config.json, LENGTH bytes, as it was at create '\n'
//   state '\n'                         one line of JSON: what the creator knew before it made anything
//   '\n' state '\n' ...                ... and after every change; the last whole line counts
//
// One file that only grows, for on some file systems each further file of a start costs more than all its
// mounts. An append that is cut short (a killed process, a full disk) leaves a line without an end, which the
// line break before the next one sets apart.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace proa::oci::runtime {

struct Record {
  std::string_view config, state;  // parts of the text that was read
};

std::string first_record(std::string_view config, std::string_view state);
std::string next_record(std::string_view state);
// ENOENT: whoever wrote the first one was killed at it, and had made nothing yet.
Result<Record> read_record(std::string_view text);

}  // namespace proa::oci::runtime
