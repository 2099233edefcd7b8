#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"
#include "oci/image/types.h"

namespace proa::oci::image {
namespace {

struct OtherName {
  std::string_view name, architecture, variant;
};
constexpr OtherName kOtherNames[] = {
    {"x86_64", "amd64", ""},   {"x86-64", "amd64", ""}, {"aarch64", "arm64", ""},   {"arm64", "arm64", ""},
    {"armhf", "arm", "v7"},    {"armel", "arm", "v6"},  {"armv7l", "arm", "v7"},    {"armv6l", "arm", "v6"},
    {"i386", "386", ""},       {"i686", "386", ""},     {"ppc64el", "ppc64le", ""}, {"mips64el", "mips64le", ""},
    {"armv5tel", "arm", "v5"}, {"x86", "386", ""},
};

// What an absent variant means.
std::string_view usual_variant(std::string_view architecture) {
  if (architecture == "arm") return "v7";
  if (architecture == "arm64") return "v8";
  if (architecture == "amd64") return "v1";
  return "";
}

// "v8.1" is 801; not a version: -1.
int variant_number(std::string_view variant) {
  if (!variant.starts_with('v')) return -1;
  variant.remove_prefix(1);
  const std::string_view major = cut(variant, '.');
  const auto first = parse_number<int>(major);
  const auto second = variant.empty() ? std::optional<int>(0) : parse_number<int>(variant);
  if (!first || !second || *first > 1000 || *second > 99) return -1;
  return *first * 100 + *second;
}

int match_variant(const Platform& wanted, const Platform& offered) {
  if (wanted.variant == offered.variant) return 1000;
  const int want = variant_number(wanted.variant), offer = variant_number(offered.variant);
  if (want < 0 || offer < 0 || offer > want) return 0;
  return std::max(1, 900 - (want - offer) / 10);
}

// The first three numbers name a Windows version; containers need those of their host.
bool match_os_version(const Platform& wanted, const Platform& offered) {
  if (wanted.os_version.empty() || offered.os_version.empty()) return true;
  std::string_view a = wanted.os_version, b = offered.os_version;
  for (int i = 0; i < 3; ++i)
    if (cut(a, '.') != cut(b, '.')) return false;
  return true;
}

}  // namespace

std::string Platform::text() const {
  std::string out = cat(os, "/", architecture);
  if (!variant.empty()) out += "/" + variant;
  return out;
}

Platform Platform::normalised() const {
  Platform out = *this;
  std::ranges::transform(out.os, out.os.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (out.os == "macos") out.os = "darwin";
  for (const OtherName& other : kOtherNames)
    if (out.architecture == other.name) {
      out.architecture = other.architecture;
      if (out.variant.empty()) out.variant = other.variant;
    }
  if (!out.variant.empty() && out.variant.front() >= '0' && out.variant.front() <= '9')
    out.variant.insert(out.variant.begin(), 'v');
  if (out.variant.empty()) out.variant = usual_variant(out.architecture);
  return out;
}

Result<Platform> Platform::parse(std::string_view text) {
  const auto parts = split(text, '/');
  if (parts.empty() || parts.size() > 3 || text.starts_with('/') || text.ends_with('/'))
    return fail("platform \"", text, "\": must be OS/ARCHITECTURE[/VARIANT]").hint("for instance linux/arm64");
  Platform out;
  out.os = parts[0];
  if (parts.size() == 1) {
    const Platform here = host();
    out.architecture = here.architecture;
    out.variant = here.variant;
    const bool known = out.os == "linux" || out.os == "windows" || out.os == "freebsd" || out.os == "darwin";
    if (!known) {  // an architecture alone, as Docker takes it
      out.architecture = out.os;
      out.os = here.os;
      out.variant.clear();
    }
  } else {
    out.architecture = parts[1];
    if (parts.size() == 3) out.variant = parts[2];
  }
  return out.normalised();
}

Platform Platform::host() {
  struct utsname name{};
  Platform out;
  out.os = "linux";
  out.architecture = ::uname(&name) == 0 ? name.machine : "x86_64";
  return out.normalised();
}

int match(const Platform& wanted, const Platform& offered) {
  const Platform want = wanted.normalised(), offer = offered.normalised();
  if (want.os != offer.os || !match_os_version(want, offer)) return 0;
  for (const std::string& feature : offer.os_features)
    if (std::ranges::find(want.os_features, feature) == want.os_features.end() && !want.os_features.empty()) return 0;
  if (want.architecture == offer.architecture) return match_variant(want, offer);
  // A 64-bit ARM host also runs 32-bit programs, an x86-64 host i386 ones: better than nothing.
  if (want.architecture == "arm64" && offer.architecture == "arm") {
    Platform arm = want;
    arm.variant = "v8";
    return match_variant(arm, offer) / 100;
  }
  return want.architecture == "amd64" && offer.architecture == "386" ? 1 : 0;
}

}  // namespace proa::oci::image
