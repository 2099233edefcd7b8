#include "oci/image/reference.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"

namespace proa::oci::image {
namespace {

constexpr std::string_view kDefaultDomain = "docker.io";
constexpr std::string_view kOfficial = "library/";
constexpr size_t kLongestName = 255;
constexpr size_t kLongestTag = 128;

bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return lower(c) || (c >= 'A' && c <= 'Z'); }
bool lower_or_digit(char c) { return lower(c) || digit(c); }
bool alphanumeric(char c) { return letter(c) || digit(c); }

// Separators between the words of a path component: ".", "_", "__" or any number of "-".
size_t separator_length(std::string_view text) {
  if (text.starts_with("__")) return 2;
  if (text.starts_with('.') || text.starts_with('_')) return 1;
  return std::min(text.find_first_not_of('-'), text.size());
}

bool valid_component(std::string_view text) {
  for (;;) {
    const size_t word = static_cast<size_t>(std::ranges::find_if_not(text, lower_or_digit) - text.begin());
    if (word == 0) return false;
    text.remove_prefix(word);
    if (text.empty()) return true;
    const size_t separator = separator_length(text);
    if (separator == 0) return false;
    text.remove_prefix(separator);
  }
}

bool valid_label(std::string_view text) {
  return !text.empty() && text.front() != '-' && text.back() != '-' &&
         std::ranges::all_of(text, [](char c) { return alphanumeric(c) || c == '-'; });
}

bool valid_domain(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos || end < 3) return false;
    const auto in_address = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0 || c == ':'; };
    if (!std::ranges::all_of(text.substr(1, end - 1), in_address)) return false;
    text.remove_prefix(end + 1);
    if (text.empty()) return true;
  } else {
    std::string_view host = text.substr(0, text.find(':'));
    text.remove_prefix(host.size());
    if (host.empty()) return false;
    while (!host.empty()) {
      const bool more = host.find('.') != std::string_view::npos;
      if (!valid_label(cut(host, '.')) || (more && host.empty())) return false;
    }
    if (text.empty()) return true;
  }
  if (!text.starts_with(':')) return false;
  text.remove_prefix(1);
  return !text.empty() && text.size() <= 5 && std::ranges::all_of(text, digit);
}

// Whether the words before the first slash name a registry rather than the first part of a path.
bool is_domain(std::string_view first) {
  return first.find_first_of(".:") != std::string_view::npos || first == "localhost" ||
         std::ranges::any_of(first, [](char c) { return letter(c) && !lower(c); });
}

bool is_image_id(std::string_view name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Failure bad(std::string_view text, std::string_view why) { return fail("image reference \"", text, "\": ", why); }

Result<> split_name(std::string_view text, std::string_view name, Reference& out) {
  const size_t slash = name.find('/');
  if (slash != std::string_view::npos && is_domain(name.substr(0, slash))) {
    out.domain = name.substr(0, slash);
    out.path = name.substr(slash + 1);
    if (out.domain == "index.docker.io") out.domain = kDefaultDomain;
  } else {
    out.domain = kDefaultDomain;
    out.path = name;
  }
  if (out.domain == kDefaultDomain && out.path.find('/') == std::string::npos) out.path = cat(kOfficial, out.path);
  if (!valid_domain(out.domain)) return bad(text, cat("\"", out.domain, "\" is no registry's HOST[:PORT]"));
  if (out.repository().size() > kLongestName) return bad(text, cat("longer than ", kLongestName, " characters"));
  for (std::string_view rest = out.path;;) {
    const bool last = rest.find('/') == std::string_view::npos;
    const std::string_view component = cut(rest, '/');
    if (!valid_component(component)) {
      if (std::ranges::any_of(component, [](char c) { return letter(c) && !lower(c); }))
        return bad(text, "repository name must be lowercase");
      return bad(text, cat("\"", component, "\" must be of a-z and 0-9, parted by '.', '_', '__' or '-'"));
    }
    if (last) return {};
  }
}

}  // namespace

bool valid_tag(std::string_view text) {
  return !text.empty() && text.size() <= kLongestTag && (alphanumeric(text[0]) || text[0] == '_') &&
         std::ranges::all_of(text, [](char c) { return alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

Result<Reference> Reference::parse_bare(std::string_view text) {
  if (text.empty()) return fail("image reference: must not be empty");
  Reference out;
  std::string_view name = text;
  if (const size_t at = name.find('@'); at != std::string_view::npos) {
    out.digest = TRY_CTX(Digest::parse(name.substr(at + 1)), "image reference \"", text, "\"");
    name = name.substr(0, at);
  }
  const size_t colon = name.rfind(':');
  if (colon != std::string_view::npos && name.find('/', colon) == std::string_view::npos) {
    out.tag = name.substr(colon + 1);
    name = name.substr(0, colon);
    if (!valid_tag(out.tag))
      return bad(text,
                 cat("tag \"", out.tag, "\" must be at most 128 letters, digits and _ . -, not beginning with . or -"));
  }
  if (name.empty()) return bad(text, "has no repository name");
  if (is_image_id(name)) return bad(text, "64 hex digits are an image id, not a name");
  TRY(split_name(text, name, out));
  return out;
}

Result<Reference> Reference::parse(std::string_view text) {
  Reference out = TRY(parse_bare(text));
  if (out.tag.empty() && out.digest.empty()) out.tag = "latest";
  return out;
}

std::string Reference::familiar_repository() const {
  if (domain != kDefaultDomain) return repository();
  std::string_view name = path;
  if (name.starts_with(kOfficial) && name.find('/', kOfficial.size()) == std::string_view::npos)
    name.remove_prefix(kOfficial.size());
  // Without the registry some would be read as another's, or as an id.
  const size_t slash = name.find('/');
  const bool misread = slash != std::string_view::npos && is_domain(name.substr(0, slash));
  return misread || is_image_id(name) ? repository() : std::string(name);
}

std::string Reference::suffix() const {
  std::string out;
  if (!tag.empty()) out += ":" + tag;
  if (!digest.empty()) out += "@" + digest.text();
  return out;
}

}  // namespace proa::oci::image
