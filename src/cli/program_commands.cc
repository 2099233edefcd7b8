#include "cli/program_commands.h"

#include <sys/utsname.h>

#include <boost/json.hpp>

#include "cli/completion.h"
#include "cli/help.h"
#include "cli/print.h"
#include "cli/tables.h"
#include "cli/template.h"
#include "cli/version.h"

namespace proa::cli {

Result<int> program_completion(const Invocation& in) {
  TRY(print_text(completion_script(in.argument(0))));
  return 0;
}

// `help` stands in a group; the words after it are looked up from that group.
Result<int> program_help(const Invocation& in) {
  if (in.path().front() == &kProaRoot && in.path().size() == 2 && in.on("markdown")) {
    TRY(print_text(help_markdown("proa", kProaRoot)));
    return 0;
  }
  std::vector<std::string> names;
  for (size_t i = 1; i + 1 < in.path().size(); ++i) names.emplace_back(in.path()[i]->name);
  names.insert(names.end(), in.arguments().begin(), in.arguments().end());
  const auto path = TRY(find_command(in.program().name, *in.path().front(), names));
  TRY(print_text(help_text(in.program().name, path)));
  return 0;
}

namespace {

// In Docker's form, for --format: client and server are one program here, and there is no API between them.
boost::json::value versions(const boost::json::object& own) {
  struct utsname kernel{};
  ::uname(&kernel);
  const std::string_view machine = kernel.machine;
  boost::json::object side{{"Version", own.at("version")},
                           {"GitCommit", own.at("commit")},
                           {"Os", "linux"},
                           {"Arch", machine == "x86_64" ? "amd64" : machine}};
  boost::json::object out = own;
  out["Client"] = side;
  side["KernelVersion"] = std::string_view(kernel.release);
  side["Platform"] = boost::json::object{{"Name", "Proa"}};
  out["Server"] = std::move(side);
  return out;
}

}  // namespace

Result<int> program_version(const Invocation& in) {
  const boost::json::object document{{"version", kVersion},
                                     {"commit", kCommit},
                                     {"ociRuntimeSpec", kSpecVersion},
                                     {"compiler", "clang " __clang_version__},
                                     {"platform", PROA_PLATFORM}};
  if (const std::string format = in.text("format"); !format.empty()) {
    TRY(print_rows(format, "json", {versions(document)}, {}));
    return 0;
  }
  Table table{{"PROPERTY", "VALUE"}, {}};
  for (const auto& member : document)
    table.rows.push_back({std::string(member.key()), std::string(member.value().get_string())});
  TRY(print_document(in.text("output"), document, table));
  return 0;
}

}  // namespace proa::cli
