#include "logs/details.h"

#include <re2/re2.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>

#include "base/ids.h"
#include "base/json.h"
#include "base/template.h"
#include "base/text.h"

namespace proa::logs {
namespace {

namespace bj = boost::json;

std::string_view option(const StringMap& options, const char* name) {
  const auto found = options.find(name);
  return found == options.end() ? std::string_view() : std::string_view(found->second);
}

bj::object object_of(const StringMap& map) {
  bj::object out;
  for (const auto& [name, value] : map) out[name] = value;
  return out;
}

std::string without_algorithm(const std::string& digest) { return digest.substr(digest.find(':') + 1); }

// The names that Docker's templates have.
bj::object document_of(const Subject& s, const StringMap& options) {
  std::array<char, 256> host{};
  (void)::gethostname(host.data(), host.size() - 1);
  const std::string image = without_algorithm(s.image_id);
  bj::array arguments(s.args.begin() + (s.args.empty() ? 0 : 1), s.args.end());
  return {{"ID", short_id(s.id)},
          {"FullID", s.id},
          {"Name", s.name},
          {"ImageID", short_id(image)},
          {"ImageFullID", s.image_id},
          {"ImageName", s.image_name},
          {"DaemonName", "proa"},
          {"Hostname", host.data()},
          {"Command", s.command()},
          {"ContainerID", s.id},
          {"ContainerName", "/" + s.name},
          {"ContainerEntrypoint", s.args.empty() ? std::string() : s.args.front()},
          {"ContainerArgs", std::move(arguments)},
          {"ContainerImageID", s.image_id},
          {"ContainerImageName", s.image_name},
          {"ContainerCreated", s.created},
          {"ContainerEnv", bj::array(s.env.begin(), s.env.end())},
          {"ContainerLabels", object_of(s.labels)},
          {"LogPath", s.log_path},
          {"Config", object_of(options)}};
}

StringMap variables(const Subject& subject) {
  StringMap out;
  for (const std::string& line : subject.env) {
    std::string_view rest = line;
    const std::string name(cut(rest, '='));
    if (name.size() != line.size()) out[name] = rest;
  }
  return out;
}

// Those that the list or the expression names.
Result<> take(const StringMap& from, std::string_view list, std::string_view expression, StringMap& to) {
  for (const std::string_view name : split(list, ','))
    if (const auto found = from.find(std::string(name)); found != from.end()) to[found->first] = found->second;
  if (expression.empty()) return {};
  TRY(check_regex(expression));
  const re2::RE2 wanted(re2::StringPiece(expression.data(), expression.size()), re2::RE2::Quiet);
  for (const auto& [name, value] : from)
    if (re2::RE2::PartialMatch(name, wanted)) to[name] = value;
  return {};
}

void escape(std::string_view text, std::string& out) {
  static constexpr std::string_view kPlain = "-_.~", kHex = "0123456789ABCDEF";
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    const auto byte = static_cast<unsigned char>(c);
    if (letter || kPlain.find(c) != std::string_view::npos)
      out += c;
    else if (c == ' ')
      out += '+';
    else
      out.append({'%', kHex[byte >> 4], kHex[byte & 15]});
  }
}

}  // namespace

std::string Subject::command() const {
  std::string out;
  for (const std::string& word : args) out += cat(out.empty() ? "" : " ", word);
  return out;
}

Result<std::string> tag_of(const Subject& subject, const StringMap& options, std::string_view tag) {
  const std::string_view given = option(options, "tag");
  const std::string_view text = given.empty() ? tag : given;
  if (text.empty()) return std::string();
  const Template shape = TRY_CTX(Template::parse(text), "log opt tag");
  return TRY_CTX(shape.render(document_of(subject, options)), "log opt tag");
}

Result<StringMap> extras_of(const Subject& subject, const StringMap& options) {
  StringMap out;
  TRY(take(subject.labels, option(options, "labels"), option(options, "labels-regex"), out));
  const std::string_view env = option(options, "env"), expression = option(options, "env-regex");
  if (!env.empty() || !expression.empty()) TRY(take(variables(subject), env, expression, out));
  return out;
}

Result<StringMap> attributes_of(const Subject& subject, const StringMap& options) {
  StringMap out = TRY(extras_of(subject, options));
  if (std::string tag = TRY(tag_of(subject, options, "")); !tag.empty()) out["tag"] = std::move(tag);
  return out;
}

std::string details_text(const StringMap& attributes) {
  std::string out;
  for (const auto& [name, value] : attributes) {
    if (!out.empty()) out += ',';
    escape(name, out);
    out += '=';
    escape(value, out);
  }
  return out;
}

std::string details_text(std::string_view text) {
  const auto parsed = json::parse(text);
  if (!parsed || !parsed->is_object()) return {};
  StringMap attributes;
  for (const auto& member : parsed->get_object())
    if (member.value().is_string())
      attributes[std::string(std::string_view(member.key()))] = std::string_view(member.value().get_string());
  return details_text(attributes);
}

std::string details_json(const StringMap& attributes) { return json::to_line(object_of(attributes)); }

Result<> check_tag(std::string_view format) {
  const Template shape = TRY_CTX(Template::parse(format), "log opt tag");
  // A field that is not there shows with any container.
  TRY_CTX(shape.render(document_of({}, {})), "log opt tag");
  return {};
}

Result<> check_regex(std::string_view text) {
  const re2::RE2 expression(re2::StringPiece(text.data(), text.size()), re2::RE2::Quiet);
  if (!expression.ok()) return fail("error parsing regexp: ", expression.error(), ": `", text, "`");
  return {};
}

}  // namespace proa::logs
