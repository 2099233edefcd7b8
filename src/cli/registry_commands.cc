#include "cli/registry_commands.h"

#include <termios.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "base/log.h"
#include "base/text.h"
#include "cli/human.h"
#include "cli/print.h"
#include "cli/registry_config.h"
#include "kernel/file.h"
#include "oci/image/reference.h"
#include "oci/registry/collect.h"
#include "oci/registry/passwords.h"
#include "oci/registry/repositories.h"
#include "oci/registry/route.h"
#include "oci/registry/server.h"

namespace proa::cli {
namespace {

namespace bj = boost::json;
namespace rg = oci::registry;
using oci::image::Digest;

// Looking must not make a registry.
Result<rg::Repositories> open_repositories(const Invocation& in) {
  const std::string root = registry_root(in);
  if (!kernel::path_exists(cat(root, "/oci-layout").c_str()))
    return fail("there is no registry in ", root).hint("name its folder with --root");
  return rg::Repositories::open(root);
}

Result<> check_name_there(const rg::Repositories& repositories, const std::string& name) {
  if (!rg::valid_repository(name)) return fail("\"", name, "\" is no repository name");
  if (!TRY(repositories.exists(name))) return fail("there is no repository ", name);
  return {};
}

// What `rm` is to remove: NAME:TAG, NAME@DIGEST or NAME.
struct Target {
  std::string name, tag;
  Digest digest;
};
Result<Target> target_of(const std::string& text) {
  Target out;
  if (const size_t at = text.find('@'); at != std::string::npos) {
    out.name = text.substr(0, at);
    out.digest = TRY(Digest::parse(std::string_view(text).substr(at + 1)));
  } else {
    const size_t colon = text.find(':');
    out.name = text.substr(0, colon);
    if (colon != std::string::npos) out.tag = text.substr(colon + 1);
    if (colon != std::string::npos && !oci::image::valid_tag(out.tag)) return fail("\"", out.tag, "\" is no tag");
  }
  return out;
}

Result<> remove_all(const rg::Repositories& repositories, const std::string& name) {
  for (const Digest& digest : TRY(repositories.manifests(name))) TRY(repositories.remove_manifest(name, digest));
  return {};
}

Result<> remove_target(const rg::Repositories& repositories, const Target& target, bool all) {
  TRY(check_name_there(repositories, target.name));
  if (!target.tag.empty()) {
    if (!TRY(repositories.remove_tag(target.name, target.tag)))
      return fail("repository ", target.name, " has no tag ", target.tag);
    return {};
  }
  if (!target.digest.empty()) {
    if (!TRY(repositories.remove_manifest(target.name, target.digest)))
      return fail("repository ", target.name, " has no manifest ", target.digest.text());
    return {};
  }
  if (!all) return fail("\"", target.name, "\" names a whole repository").hint("use --all to remove all that is in it");
  return remove_all(repositories, target.name);
}

// A line of stdin; not shown while it is typed.
Result<std::string> read_password() {
  termios shown{};
  const bool terminal = ::tcgetattr(STDIN_FILENO, &shown) == 0;
  if (terminal) {
    termios hidden = shown;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    constexpr std::string_view kPrompt = "Password: ";
    [[maybe_unused]] const ssize_t asked = ::write(STDERR_FILENO, kPrompt.data(), kPrompt.size());
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  }
  const Defer restore([&] {
    if (!terminal) return;
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    [[maybe_unused]] const ssize_t ended = ::write(STDERR_FILENO, "\n", 1);
  });
  std::string line;
  for (char c = 0; ::read(STDIN_FILENO, &c, 1) == 1 && c != '\n';) line += c;
  if (line.ends_with('\r')) line.pop_back();
  if (line.empty()) return fail("stdin: has no password");
  return line;
}

}  // namespace

Result<int> registry_serve(const Invocation& in) {
  rg::ServeSettings settings = TRY(registry_settings(in));
  const log::Format format = in.text("log-format") == "json" ? log::Format::kJson : log::Format::kText;
  TRY_CTX(
      log::configure(
          {.file = in.text("log"), .format = format, .level = in.on("debug") ? log::Level::kDebug : log::Level::kInfo}),
      "--log");
  TRY(rg::serve(std::move(settings)));
  return 0;
}

Result<int> registry_gc(const Invocation& in) {
  const rg::Repositories repositories = TRY(open_repositories(in));
  rg::CollectOptions options{.dry_run = in.on("dry-run")};
  options.warn = [](std::string_view text) { log::warning(text); };
  TRY(add_gc_flags(in, options));
  const rg::CollectReport report = TRY(rg::collect(repositories, options));
  const bj::object document{{"manifests", report.manifests},
                            {"links", report.links},
                            {"blobs", report.blobs},
                            {"uploads", report.uploads},
                            {"repositories", report.repositories},
                            {"bytes", report.bytes}};
  Table table{{"MANIFESTS", "LINKS", "BLOBS", "UPLOADS", "REPOSITORIES", "SPACE"}, {}};
  table.rows.push_back({cat(report.manifests), cat(report.links), cat(report.blobs), cat(report.uploads),
                        cat(report.repositories), human_size(report.bytes)});
  TRY(print_document(in.text("output"), document, table));
  return 0;
}

Result<int> registry_ls(const Invocation& in) {
  const rg::Repositories repositories = TRY(open_repositories(in));
  Table table{{"REPOSITORY", "TAGS", "MANIFESTS"}, {}};
  bj::array document;
  for (const std::string& name : TRY(repositories.names())) {
    const size_t tags = TRY(repositories.tags(name)).size(), manifests = TRY(repositories.manifests(name)).size();
    document.push_back({{"name", name}, {"tags", tags}, {"manifests", manifests}});
    table.rows.push_back({name, cat(tags), cat(manifests)});
  }
  TRY(print_document(in.text("output"), document, table));
  return 0;
}

Result<int> registry_tags(const Invocation& in) {
  const rg::Repositories repositories = TRY(open_repositories(in));
  const std::string name = in.argument(0);
  TRY(check_name_there(repositories, name));
  Table table{{"TAG", "DIGEST", "TYPE"}, {}};
  bj::array document;
  for (const std::string& tag : TRY(repositories.tags(name))) {
    const auto digest = TRY(repositories.find_tag(name, tag));
    if (!digest) continue;  // removed by now
    const std::string type = TRY(repositories.manifest_type(name, *digest)).value_or("");
    document.push_back({{"tag", tag}, {"digest", digest->text()}, {"mediaType", type}});
    table.rows.push_back({tag, digest->text(), type});
  }
  TRY(print_document(in.text("output"), document, table));
  return 0;
}

Result<int> registry_rm(const Invocation& in) {
  const rg::Repositories repositories = TRY(open_repositories(in));
  for (const std::string& text : in.arguments()) {
    const Target target = TRY_CTX(target_of(text), text);
    TRY(remove_target(repositories, target, in.on("all")));
  }
  return 0;
}

Result<int> registry_passwd(const Invocation& in) {
  const std::string password = TRY(read_password());
  const std::string line = TRY(rg::htpasswd_line(in.argument(0), password));
  TRY(print_text(line + "\n"));
  return 0;
}

}  // namespace proa::cli
