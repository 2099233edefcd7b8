#include "cli/program.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/values.h"
#include "cli/container_commands.h"
#include "cli/foreign_flags.h"
#include "cli/help.h"
#include "cli/invocation.h"
#include "cli/print.h"
#include "cli/runtime_commands.h"
#include "cli/tables.h"
#include "cli/version.h"
#include "fabric/dns/process.h"

namespace proa::cli {
namespace {

constexpr Program kProa{.name = "proa", .root = &kProaRoot, .usage_status = 2, .as_runc = false};
constexpr Program kProaRuntime{.name = "proa-runtime", .root = &kRuntimeRoot, .usage_status = 1, .as_runc = true};

// The networks' resolver, which fabric/ starts: nothing for users.
constexpr std::string_view kResolverRole = "__dns";

void to_stderr(std::string_view text) {
  // Nothing is left to do about a stderr that cannot be written.
  [[maybe_unused]] const ssize_t wrote = ::write(STDERR_FILENO, text.data(), text.size());
}

void report_plainly(const Error& error) { print_error(error); }

// As runc: into the log, and when that is a file to stderr too. Callers (conmon, containerd, docker)
// show their users the `msg` of the log's last line, so the hint goes into it.
void report_to_log(const Error& error) {
  const std::string text = error.hint().empty() ? error.message() : cat(error.message(), " (", error.hint(), ")");
  log::error(text);
  if (!log::to_stderr()) to_stderr(cat(text, "\n"));
}

bool in_runtime(const Invocation& invocation) {
  return std::ranges::find(invocation.path(), &kRuntimeRoot) != invocation.path().end();
}

Result<int> show(Result<> printed) {
  TRY(std::move(printed));
  return 0;
}

bool version_wanted(const Invocation& in, const Command& root) {
  const std::string* given = in.last_of(root, "version");
  return in.path().size() <= 2 && given != nullptr && parse_bool(*given).value_or(false);
}

// For this process and those that it starts.
Result<> use_globals(const Invocation& in) {
  for (const auto& [flag, variable] : {std::pair("root", "PROA_ROOT"), std::pair("config", "DOCKER_CONFIG")})
    if (const std::string* text = in.last_of(kProaRoot, flag); text != nullptr && !text->empty())
      ::setenv(variable, text->c_str(), 1);
  return use_docker_globals(in, kProaRoot);
}

Result<int> run(const Invocation& in) {
  if (in.help_wanted()) return show(print_text(help_text(in.program().name, in.path())));
  if (in_runtime(in) && version_wanted(in, kRuntimeRoot)) return show(print_text(runc_version_text("proa-runtime")));
  if (version_wanted(in, kProaRoot)) return show(print_text(cat("proa version ", kVersion, "\n")));
  if (in.command().handler == nullptr) return show(print_text(help_text(in.program().name, in.path())));
  return in.command().handler(in);
}

// What shims call; not for users.
constexpr Argument kIdArgument[] = {{"ID", "the container's id"}};
constexpr Argument kEndedArguments[] = {{"ID", "the container's id"}, {"EXEC", "which of its execs", false}};
constexpr Command kExitedCommand{.name = "__exited", .arguments = kEndedArguments, .handler = engine_exited};
constexpr Command kHealthCommand{.name = "__health", .arguments = kIdArgument, .handler = engine_health};
constexpr Flag kLogsFlags[] = {{"last", "", Kind::kBool, "", "try once, as the container is to be removed"}};
constexpr Command kLogsCommand{
    .name = "__logs", .flags = kLogsFlags, .arguments = kIdArgument, .handler = engine_forward_log};
constexpr Argument kPathArgument[] = {{"FILE", "the file"}};
constexpr Command kCompressCommand{.name = "__compress", .arguments = kPathArgument, .handler = engine_compress};
constexpr const Command* kInternalCommands[] = {&kExitedCommand, &kHealthCommand, &kLogsCommand, &kCompressCommand};
constexpr Command kInternalRoot{.name = "proa", .commands = kInternalCommands};
constexpr Program kInternal{.name = "proa", .root = &kInternalRoot, .usage_status = 2, .as_runc = false};

const Program& program_called(std::span<char*> words) {
  std::string_view name = words.empty() ? std::string_view() : std::string_view(words[0]);
  name.remove_prefix(std::min(name.rfind('/') + 1, name.size()));
  if (name == kProaRuntime.name) return kProaRuntime;
  return words.size() > 1 && std::string_view(words[1]).starts_with("__") ? kInternal : kProa;
}

}  // namespace

int run_program(std::span<char*> words) {
  if (words.size() == 4 && words[1] == kResolverRole)
    return fabric::dns::run({.state = words[2], .run = words[3]}).value_or(1);
  const Program& program = program_called(words);

  Invocation invocation(program);
  Result<> parsed = parse(words.subspan(words.empty() ? 0 : 1), invocation);
  const bool runtime = in_runtime(invocation);
  if (runtime) {
    if (const Result<> logging = configure_runtime_log(invocation); !logging) {
      report_to_log(logging.error());
      return 1;
    }
  }
  const auto report = runtime ? report_to_log : report_plainly;
  if (!parsed) {
    report(parsed.error());
    if (runtime) return kProaRuntime.usage_status;
    // Those who exit with a program's status have one number for all that is not the program's.
    const int own = invocation.command().error_status;
    return own == 1 ? program.usage_status : own;
  }
  const auto globals = invocation.path().front() == &kProaRoot ? use_globals(invocation) : Result<>();
  const Result<int> status = globals ? run(invocation) : Result<int>(std::unexpected(globals.error()));
  if (status) return *status;
  report(status.error());
  return invocation.command().error_status;
}

}  // namespace proa::cli
