#include "cli/container_filter.h"

#include <fnmatch.h>
#include <regex.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/yaml.h"
#include "cli/container_flags.h"
#include "cli/print.h"
#include "cli/template.h"
#include "oci/image/reference.h"

namespace proa::cli {
namespace {

using engine::Container;

constexpr std::string_view kKnown[] = {"ancestor", "before",    "exited", "expose", "health", "id",
                                       "is-task",  "isolation", "label",  "label!", "name",   "network",
                                       "publish",  "sandbox",   "since",  "status", "until",  "volume"};

bool regex_matches(const std::string& pattern, const std::string& text) {
  regex_t compiled;
  if (::regcomp(&compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB) != 0)
    return text.find(pattern) != std::string::npos;
  const bool found = ::regexec(&compiled, text.c_str(), 0, nullptr, 0) == 0;
  ::regfree(&compiled);
  return found;
}

bool same_image(const std::string& wanted, const Container& container) {
  if (container.resolved.image_id.find(wanted) == 0 || container.resolved.image_id.find("sha256:" + wanted) == 0)
    return true;
  const auto a = oci::image::Reference::parse(wanted), b = oci::image::Reference::parse(container.config.image);
  return a && b &&
         (a->text() == b->text() || (wanted.find(':') == std::string::npos && a->repository() == b->repository()));
}

bool has_port(const std::vector<std::string>& ports, const std::string& wanted) {
  const std::string whole = wanted.find('/') == std::string::npos ? wanted + "/tcp" : wanted;
  return std::ranges::find(ports, whole) != ports.end();
}

}  // namespace

bool matches_labels(const engine::StringMap& labels, const std::string& wanted) {
  const size_t at = wanted.find('=');
  const auto found = labels.find(wanted.substr(0, at));
  return found != labels.end() && (at == std::string::npos || found->second == wanted.substr(at + 1));
}

Result<ContainerFilter> ContainerFilter::parse(const std::vector<std::string>& filters) {
  ContainerFilter out;
  for (const std::string& text : filters) {
    size_t at = text.find('=');
    if (at == std::string::npos) return fail("--filter ", text, ": bad format of filter (expected name=value)");
    const std::string name = text.substr(0, at);
    if (std::ranges::find(kKnown, name) == std::end(kKnown)) return fail("invalid filter '", name, "'");
    out.filters_.emplace_back(name, text.substr(at + 1));
  }
  return out;
}

bool ContainerFilter::wants_stopped() const {
  return std::ranges::any_of(filters_, [](const auto& f) { return f.first == "status" || f.first == "exited"; });
}

Result<bool> ContainerFilter::matches(engine::Engine& engine, const Container& c) const {
  // Of one name any value will do, but for labels, of which all must match.
  std::vector<std::pair<std::string, bool>> seen;
  const auto note = [&](const std::string& name, bool matched) {
    if (name == "label" || name == "label!") return seen.emplace_back(name, matched), void();
    const auto found = std::ranges::find(seen, name, [](const auto& s) { return s.first; });
    if (found == seen.end())
      seen.emplace_back(name, matched);
    else
      found->second |= matched;
  };
  for (const auto& filter : filters_) {
    const auto& name = filter.first;
    const auto& value = filter.second;
    bool yes = true;
    if (name == "id")
      yes = c.id.starts_with(value);
    else if (name == "name")
      yes = regex_matches(value, c.name) || regex_matches(value, "/" + c.name);
    else if (name == "label")
      yes = matches_labels(c.resolved.labels, value);
    else if (name == "label!")
      yes = !matches_labels(c.resolved.labels, value);
    else if (name == "status")
      yes = c.state.status == value;
    else if (name == "exited")
      yes = c.state.status == "exited" && std::to_string(c.state.exit_code) == value;
    else if (name == "ancestor")
      yes = same_image(value, c);
    else if (name == "before" || name == "since") {
      const std::string other_id = TRY(engine.records().resolve(value));
      const Container other = TRY(engine.records().load(other_id));
      yes = name == "before" ? c.created < other.created : c.created > other.created;
    } else if (name == "until") {
      const WallTime until = TRY_CTX(parse_when(value), "--filter until");
      const WallTime made = TRY(parse_rfc3339(c.created));
      yes = made < until;
    } else if (name == "volume")
      yes =
          std::ranges::any_of(c.resolved.mounts, [&](const auto& m) { return m.source == value || m.target == value; });
    else if (name == "network")
      yes = c.config.network_mode == value ||
            std::ranges::any_of(c.config.networks, [&](const auto& n) { return n.name == value; });
    else if (name == "sandbox")
      yes = c.config.sandbox == TRY(engine.inspect_sandbox(value)).holder.id;
    else if (name == "health") {
      const std::string status = engine.health(c).status;
      yes = status == value || (value == "none" && status.empty());
    } else if (name == "expose")
      yes = has_port(c.resolved.exposed_ports, value);
    else if (name == "publish") {
      std::vector<std::string> ports;
      ports.reserve(c.config.ports.size());
      for (const auto& port : c.config.ports) ports.push_back(cat(port.container_port, "/", port.protocol));
      yes = has_port(ports, value);
    }
    note(name, yes);
  }
  return std::ranges::all_of(seen, [](const auto& s) { return s.second; });
}

Result<> print_documents(const Invocation& in, const boost::json::array& documents) {
  const std::string format = in.text("format");
  if (format.empty()) return print_document(in.text("output"), documents, {});
  if (format == "json") {
    for (const auto& document : documents) TRY(print_text(json::to_line(document) + "\n"));
    return {};
  }
  const Template shape = TRY_CTX(Template::parse(format), "--format");
  for (const auto& document : documents) {
    const std::string text = TRY_CTX(shape.render(document), "--format");
    TRY(print_text(text + "\n"));
  }
  return {};
}

}  // namespace proa::cli
