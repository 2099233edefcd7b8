#include "oci/runtime/hooks.h"

#include <climits>
#include <optional>

#include "base/log.h"
#include "kernel/process.h"

namespace proa::oci::runtime {
namespace {

// Length of the valid UTF-8 sequence at the start of `text`, 0 when there is none (RFC 3629, section 4).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const size_t length = lead < 0x80                   ? 1
                        : lead >= 0xc2 && lead < 0xe0 ? 2
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xf0 && lead < 0xf5 ? 4
                                                      : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  // Sequences longer than they need to be, halves of surrogate pairs, what is beyond the last character.
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool no_character = (lead == 0xed && byte(1) > 0x9f) || (lead == 0xf4 && byte(1) > 0x8f);
  return overlong || no_character ? 0 : length;
}

// The kernel counts in milliseconds and up to some 24 days; that is for ever.
std::optional<int> timeout_ms(const Hook& hook) {
  if (!hook.timeout) return std::nullopt;
  return *hook.timeout > INT_MAX / 1000 ? INT_MAX : *hook.timeout * 1000;
}

kernel::Command command_of(const Hook& hook, std::string_view state) {
  return {.path = hook.path,
          .argv = hook.args.empty() ? std::vector{hook.path} : hook.args,
          .env = hook.env,
          .input = state,
          .timeout_ms = timeout_ms(hook),
          .cwd = {}};
}

Result<> run_hook(const Hook& hook, const kernel::Command& command) {
  const kernel::CommandResult result = TRY(kernel::run_command(command));
  if (result.timed_out) return fail(hook.path, ": no end after ", *hook.timeout, " s, killed");
  if (result.status == 0) return {};
  const std::string output = summarize_output(result.output);
  return fail(hook.path, ": exit status ", result.status, output.empty() ? "" : ": ", output);
}

}  // namespace

std::string summarize_output(std::string_view output, size_t limit) {
  if (output.size() > limit) output.remove_prefix(output.size() - limit);
  std::string line;
  bool gap = false;
  while (!output.empty()) {
    const size_t length = utf8_length(output);
    const auto first = static_cast<unsigned char>(output[0]);
    const bool printable = length > 1 || (length == 1 && first > 0x20 && first != 0x7f);
    // C1 controls (U+0080 to U+009F) steer terminals too.
    const bool control = length == 2 && first == 0xc2 && static_cast<unsigned char>(output[1]) < 0xa0;
    if (printable && !control) {
      if (gap && !line.empty()) line += ' ';
      line += output.substr(0, length);
      gap = false;
    } else {
      gap = true;
    }
    output.remove_prefix(length == 0 ? 1 : length);
  }
  return line;
}

Result<> run_hooks(std::string_view name, const std::vector<Hook>& hooks, std::string_view state) {
  for (size_t i = 0; i < hooks.size(); ++i)
    TRY_CTX(run_hook(hooks[i], command_of(hooks[i], state)), "hooks.", name, "[", i, "]");
  return {};
}

Result<> run_hook_by_stage(const Hook& hook, std::string_view state, int program, int plan) {
  kernel::Command command = command_of(hook, state);
  command.argv = {"proa-stage", std::to_string(plan)};
  command.env.clear();  // the plan has the hook's
  command.program_fd = program;
  command.kept_fd = plan;
  return run_hook(hook, command);
}

void run_hooks_warning(std::string_view name, const std::vector<Hook>& hooks, std::string_view state) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    const auto done = run_hook(hooks[i], command_of(hooks[i], state));
    if (!done) log::warning("hooks.", name, "[", i, "]: ", done.error().message());
  }
}

}  // namespace proa::oci::runtime
