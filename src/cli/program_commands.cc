#include "cli/program_commands.h"

#include <boost/json.hpp>

#include "cli/completion.h"
#include "cli/help.h"
#include "cli/print.h"
#include "cli/tables.h"
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

Result<int> program_version(const Invocation& in) {
  const boost::json::object document{{"version", kVersion},
                                     {"commit", kCommit},
                                     {"ociRuntimeSpec", kSpecVersion},
                                     {"compiler", "clang " __clang_version__},
                                     {"platform", PROA_PLATFORM}};
  Table table{{"PROPERTY", "VALUE"}, {}};
  for (const auto& member : document)
    table.rows.push_back({std::string(member.key()), std::string(member.value().get_string())});
  TRY(print_document(in.text("output"), document, table));
  return 0;
}

}  // namespace proa::cli
