// One record of a log file (docs/shim.md, "Logs"): parsed in place.
#pragma once

#include <string>
#include <string_view>

namespace proa::logs {

struct Line {
  std::string_view text;     // json-file: still escaped
  std::string_view time;     // RFC 3339
  std::string_view details;  // json-file: the object "attrs", empty when there is none
  bool error = false;        // of standard error
  bool partial = false;      // the line goes on in the next record of its stream
};

// False: it is none, as a killed shim may have left it.
bool parse_json_line(std::string_view record, Line& to);
bool parse_cri_line(std::string_view record, Line& to);
inline bool parse_line(bool cri, std::string_view record, Line& to) {
  return cri ? parse_cri_line(record, to) : parse_json_line(record, to);
}

// What a JSON string's inside stands for, appended.
void unescape(std::string_view text, std::string& out);

}  // namespace proa::logs
