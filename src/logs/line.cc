#include "logs/line.h"

#include <algorithm>
#include <cstdint>

namespace proa::logs {
namespace {

constexpr std::string_view kHead = "{\"log\":\"", kStream = "\",\"stream\":\"";
constexpr std::string_view kTime = ",\"time\":\"", kDetails = "\",\"attrs\":";

void append_rune(uint32_t rune, std::string& out) {
  if (rune < 0x80) {
    out += static_cast<char>(rune);
  } else if (rune < 0x800) {
    out += static_cast<char>(0xc0 | rune >> 6);
    out += static_cast<char>(0x80 | (rune & 0x3f));
  } else {
    out += static_cast<char>(0xe0 | rune >> 12);
    out += static_cast<char>(0x80 | (rune >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (rune & 0x3f));
  }
}

}  // namespace

// {"log":"text\n","stream":"stdout","time":"..."}, or with "attrs":{...} before the time. The text is escaped, so
// that a quote and a comma within it never look like the end of it.
bool parse_json_line(std::string_view line, Line& to) {
  if (!line.starts_with(kHead) || !line.ends_with("\"}")) return false;
  line.remove_prefix(kHead.size());
  line.remove_suffix(2);
  const size_t time = line.rfind(kTime);
  if (time == std::string_view::npos || time == 0) return false;
  to.time = line.substr(time + kTime.size());
  const bool details = line[time - 1] == '}';
  line = line.substr(0, details ? time : time - 1);
  const size_t stream = details ? line.find(kStream) : line.rfind(kStream);
  if (stream == std::string_view::npos) return false;
  to.text = line.substr(0, stream);
  std::string_view rest = line.substr(stream + kStream.size());
  to.details = {};
  if (const size_t at = details ? rest.find(kDetails) : std::string_view::npos; at != std::string_view::npos) {
    to.details = rest.substr(at + kDetails.size());
    rest = rest.substr(0, at);
  }
  to.error = rest == "stderr";
  to.partial = !to.text.ends_with("\\n");
  return true;
}

// TIME stdout F text
bool parse_cri_line(std::string_view line, Line& to) {
  const size_t time = line.find(' ');
  if (time == std::string_view::npos || line.size() < time + 10) return false;
  to.time = line.substr(0, time);
  to.details = {};
  line.remove_prefix(time + 1);
  to.error = line.starts_with("stderr");
  to.partial = line[7] == 'P';
  to.text = line.substr(9);
  return true;
}

void unescape(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const size_t at = text.find('\\');
    out += text.substr(0, at);
    if (at == std::string_view::npos || at + 1 >= text.size()) return;
    const char c = text[at + 1];
    text.remove_prefix(at + 2);
    switch (c) {
      case 'n': out += '\n'; break;
      case 't': out += '\t'; break;
      case 'r': out += '\r'; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'u': {
        uint32_t rune = 0;
        for (size_t i = 0; i < 4 && i < text.size(); ++i) {
          const char digit = text[i];
          rune = rune << 4 | static_cast<uint32_t>(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
        }
        text.remove_prefix(std::min<size_t>(4, text.size()));
        append_rune(rune, out);
        break;
      }
      default: out += c;
    }
  }
}

}  // namespace proa::logs
