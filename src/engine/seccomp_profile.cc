#include "engine/seccomp_profile.h"

#include <optional>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/text.h"
#include "engine/data/data.h"
#include "kernel/capability.h"

namespace proa::engine {
namespace {

using Words = std::vector<std::string_view>;

bool has(uint64_t capabilities, std::string_view name) {
  const std::optional<int> number = kernel::capability_number(name);
  return number && (capabilities >> *number & 1) != 0;
}

Result<uint64_t> number(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x")) text.remove_prefix(2), base = 16;
  uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (ec != std::errc() || end != text.data() + text.size()) return fail("'", text, "' is not a number");
  return value;
}

class Profile {
 public:
  explicit Profile(uint64_t capabilities) : capabilities_(capabilities) {}

  Result<> line(const Words& words) {
    const std::string_view verb = words[0];
    if (verb == "default" && words.size() == 3) {
      default_errno_ = TRY(number(words[2]));
    } else if (verb == "allow") {
      for (size_t i = 1; i < words.size(); ++i) allow(words[i]);
    } else if (verb == "with" && words.size() > 2) {
      if (!has(capabilities_, words[1])) return {};
      for (size_t i = 2; i < words.size(); ++i) allow(words[i]);
    } else if (verb == "when" && words.size() >= 5) {
      return compare(words);
    } else if (verb == "refuse" && words.size() == 5) {
      if (has(capabilities_, words[4])) return {};
      rules_ += cat(",{\"names\":[", json::quote(words[1]),
                    "],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":", TRY(number(words[2])), "}");
    } else {
      return fail("seccomp.txt: cannot read the line that begins with ", verb);
    }
    return {};
  }

  std::string finish() const {
    return cat(
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":", default_errno_,
        ",\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],\"syscalls\":[{\"names\":[",
        names_, "],\"action\":\"SCMP_ACT_ALLOW\"}", rules_, "]}");
  }

 private:
  void allow(std::string_view name) {
    if (!names_.empty()) names_ += ',';
    names_ += json::quote(name);
  }

  // when NAME INDEX OP VALUE [MASK] [unless CAP]
  Result<> compare(const Words& words) {
    if (words.size() > 6 && words[words.size() - 2] == "unless" && has(capabilities_, words.back())) return {};
    const bool masked = words[3] == "masked";
    const uint64_t value = TRY(number(words[4]));
    const uint64_t mask = masked ? TRY(number(words[5])) : 0;
    const std::string_view op = masked ? "SCMP_CMP_MASKED_EQ" : words[3] == "==" ? "SCMP_CMP_EQ" : "SCMP_CMP_NE";
    rules_ +=
        cat(",{\"names\":[", json::quote(words[1]), "],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":", words[2],
            ",\"value\":", masked ? mask : value, ",\"valueTwo\":", masked ? value : 0, ",\"op\":\"", op, "\"}]}");
    return {};
  }

  uint64_t capabilities_;
  uint64_t default_errno_ = 1;
  std::string names_, rules_;
};

}  // namespace

Result<std::string> default_seccomp(uint64_t capabilities) {
  Profile profile(capabilities);
  std::string_view text = seccomp_data();
  while (!text.empty()) {
    const std::string_view line = cut(text, '\n');
    if (line.empty() || line.front() == '#') continue;
    TRY(profile.line(split(line, ' ')));
  }
  return profile.finish();
}

}  // namespace proa::engine
