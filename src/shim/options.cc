#include "shim/options.h"

namespace proa::shim {

namespace {

constexpr uint64_t kLongestTimer = uint64_t{1000} * 60 * 60 * 24 * 365;

constexpr std::string_view kHelp =
    "Hold a container: its stdio, terminal, log file and exit status\n"
    "\n"
    "Usage: proa-shim --runtime PATH --bundle DIR --id ID --state DIR [FLAGS]\n"
    "       proa-shim --runtime PATH --exec FILE --id ID --state DIR [FLAGS]\n"
    "       proa-shim --cleanup --state DIR [--log FILE]\n"
    "\n"
    "Creates the container with the runtime and goes to the background, where it stays as long as the\n"
    "container does. Exits with 0 once the container is created (start it with the runtime), or 1 with\n"
    "the runtime's message.\n"
    "\n"
    "      --runtime PATH         OCI runtime: a path, or a name to be found in $PATH\n"
    "      --root DIR             the runtime's state folder\n"
    "      --systemd-cgroup       let the runtime make cgroups through systemd\n"
    "      --runtime-arg ARG      one more argument before the runtime's command; repeatable\n"
    "      --bundle DIR           folder holding config.json\n"
    "      --id ID                the container's id\n"
    "      --exec FILE            run one more process in the running container, as FILE (the runtime's\n"
    "                             --process) says, and hold that; without --bundle\n"
    "      --first-client         standard input is a connected socket: it is served as the first client\n"
    "                             of attach.sock, before any output is read\n"
    "      --state DIR            the shim's own folder; made if missing\n"
    "      --pid-file FILE        write the container's process id to FILE as well\n"
    "      --terminal             receive the container's terminal (process.terminal is true)\n"
    "      --stdin                give the container a standard input that clients can write\n"
    "      --stdin-once           ... and close it when the first client that writes ends\n"
    "      --log FILE             log the output to FILE\n"
    "      --log-format FORMAT    json-file, cri (also called k8s-file) or raw (default: json-file)\n"
    "      --log-max-size SIZE    rotate at SIZE bytes; k, m and g are understood (default: never)\n"
    "      --log-max-files N      keep N log files, the current one included (default: 1)\n"
    "      --log-buffer SIZE      keep SIZE bytes of output while the log's disk is slow, and drop what is\n"
    "                             beyond (default: the container waits)\n"
    "      --log-attrs JSON       with json-file, this object in each record, as attrs\n"
    "      --log-rotated-arg ARG  one word of a command that is run for each rotated file, whose name\n"
    "                             is added, and may replace it by FILE.gz; repeatable\n"
    "      --sync-fd N            write the outcome of create to descriptor N as a line of JSON\n"
    "      --preserve-fds N       pass N more descriptors, from 3 on, to the container\n"
    "      --timer MS             run a command each MS milliseconds, from the end of one to the next\n"
    "      --timer-arg ARG        one more word of that command; the first is a path; repeatable\n"
    "      --companion-arg ARG    one word of a command that is to run as long as the container does: a\n"
    "                             second after its end it is run again; repeatable\n"
    "      --exit-command PROGRAM [ARG...]\n"
    "                             run PROGRAM, a path, after the container's end; must come last\n"
    "      --cleanup              remove what a shim that has ended left in its folder\n"
    "      --version              show the version\n"
    "  -h, --help                 show this help\n"
    "\n"
    "Files and sockets in the state folder: docs/shim.md.\n";

// The arguments that are left, and the flag being read.
struct Reader {
  const char* const* next;
  std::string_view name;
  const char* joined = nullptr;  // the value in --name=value

  const char* value() {
    if (joined != nullptr) return joined;
    return *next != nullptr ? *next++ : nullptr;
  }
};

bool is_id(std::string_view id) {
  if (id.empty() || id.size() > 1024 || id == "." || id == "..") return false;
  for (const char c : id) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && c != '_' && c != '+' && c != '-' && c != '.') return false;
  }
  return id.front() != '-';
}

Result<> set_text(Reader& reader, const char** to) {
  *to = reader.value();
  if (*to == nullptr || **to == 0) return fail(reader.name, ": needs a value");
  return {};
}

Result<> set_number(Reader& reader, uint64_t least, uint64_t most, auto* to) {
  const char* text = reader.value();
  uint64_t value = 0;
  if (text == nullptr) return fail(reader.name, ": needs a number");
  if (!parse_number(text, most, &value) || value < least)
    return fail(reader.name, ": '", text, "' is not a number from ", least, " to ", most);
  *to = static_cast<std::remove_pointer_t<decltype(to)>>(value);
  return {};
}

Result<> set_format(Reader& reader, LogFormat* to) {
  const char* text = nullptr;
  if (Result<> read = set_text(reader, &text); !read) return read;
  const std::string_view name = text;
  if (name == "json-file")
    *to = LogFormat::json_file;
  else if (name == "cri" || name == "k8s-file")
    *to = LogFormat::cri;
  else if (name == "raw")
    *to = LogFormat::raw;
  else
    return fail(reader.name, ": '", name, "' is none of json-file, cri, k8s-file, raw");
  return {};
}

Result<> set_size(Reader& reader, uint64_t* to) {
  const char* text = nullptr;
  if (Result<> read = set_text(reader, &text); !read) return read;
  if (!parse_size(text, to)) return fail(reader.name, ": '", text, "' is not a size such as 65536, 512k or 10m");
  return {};
}

Result<> set_runtime_arg(Reader& reader, Options* to) {
  if (to->runtime_arg_count == kMaxRuntimeArgs) return fail(reader.name, ": more than ", kMaxRuntimeArgs);
  return set_text(reader, &to->runtime_args[to->runtime_arg_count++]);
}

Result<> set_exit_command(Reader& reader, Options* to) {
  if (reader.joined != nullptr) return fail(reader.name, ": give the program as the next argument");
  to->exit_command = reader.next;
  if (*reader.next == nullptr || **reader.next != '/')
    return fail(reader.name, ": needs the absolute path of a program");
  while (*reader.next != nullptr) ++reader.next;
  return {};
}

Result<> add_word(Reader& reader, CommandArgs* to) {
  if (to->count == kMaxCommandArgs) return fail(reader.name, ": more than ", kMaxCommandArgs);
  return set_text(reader, &to->words[to->count++]);
}

Result<> set_attrs(Reader& reader, const char** to) {
  if (Result<> read = set_text(reader, to); !read) return read;
  const std::string_view text = *to;
  if (text.size() > kMaxAttrs) return fail(reader.name, ": longer than ", kMaxAttrs, " bytes");
  if (!text.starts_with('{') || !text.ends_with('}')) return fail(reader.name, ": not a JSON object");
  return {};
}

Result<> set_flag(Reader& reader, bool* to) {
  if (reader.joined != nullptr) return fail(reader.name, ": takes no value");
  *to = true;
  return {};
}

Result<> set_action(Reader& reader, Options::Action action, Options* to) {
  bool given = false;
  to->action = action;
  return set_flag(reader, &given);
}

Result<> read_flag(Reader& reader, Options* to) {
  const std::string_view name = reader.name;
  if (name == "--runtime") return set_text(reader, &to->runtime);
  if (name == "--root") return set_text(reader, &to->root);
  if (name == "--bundle") return set_text(reader, &to->bundle);
  if (name == "--exec") return set_text(reader, &to->exec);
  if (name == "--first-client") return set_flag(reader, &to->first_client);
  if (name == "--id") return set_text(reader, &to->id);
  if (name == "--state") return set_text(reader, &to->state);
  if (name == "--pid-file") return set_text(reader, &to->pid_file);
  if (name == "--log") return set_text(reader, &to->log);
  if (name == "--log-format") return set_format(reader, &to->log_format);
  if (name == "--log-max-size") return set_size(reader, &to->log_max_size);
  if (name == "--log-max-files") return set_number(reader, 1, 1000, &to->log_max_files);
  if (name == "--log-buffer") return set_size(reader, &to->log_buffer);
  if (name == "--terminal") return set_flag(reader, &to->terminal);
  if (name == "--stdin") return set_flag(reader, &to->in);
  if (name == "--stdin-once") return to->in = true, set_flag(reader, &to->in_once);
  if (name == "--systemd-cgroup") return set_flag(reader, &to->systemd_cgroup);
  if (name == "--runtime-arg") return set_runtime_arg(reader, to);
  if (name == "--sync-fd") return set_number(reader, 3, 1 << 20, &to->sync_fd);
  if (name == "--preserve-fds") return set_number(reader, 0, 1 << 16, &to->preserve_fds);
  if (name == "--timer") return set_number(reader, 1, kLongestTimer, &to->timer);
  if (name == "--timer-arg") return add_word(reader, &to->timer_args);
  if (name == "--companion-arg") return add_word(reader, &to->companion);
  if (name == "--log-rotated-arg") return add_word(reader, &to->log_rotated);
  if (name == "--log-attrs") return set_attrs(reader, &to->log_attrs);
  if (name == "--exit-command") return set_exit_command(reader, to);
  if (name == "--cleanup") return set_action(reader, Options::Action::cleanup, to);
  if (name == "--version") return set_action(reader, Options::Action::version, to);
  if (name == "--help" || name == "-h") return set_action(reader, Options::Action::help, to);
  return fail("unknown flag '", name, "'; see proa-shim --help");
}

Result<> check(const Options& options) {
  if (options.action == Options::Action::help || options.action == Options::Action::version) return {};
  if (options.state == nullptr) return fail("--state: is required");
  if (options.action == Options::Action::cleanup) return {};
  if ((options.timer != 0) != (options.timer_args.count != 0))
    return fail("--timer and --timer-arg: one needs the other");
  if (options.runtime == nullptr) return fail("--runtime: is required");
  if (options.bundle == nullptr && options.exec == nullptr) return fail("--bundle: is required");
  if (options.bundle != nullptr && options.exec != nullptr) return fail("--exec and --bundle: one excludes the other");
  if (options.id == nullptr) return fail("--id: is required");
  if (!is_id(options.id)) return fail("--id: '", options.id, "' is not an id (letters, digits and _+-.)");
  if (options.log_rotated.count != 0 && (options.log == nullptr || options.log_max_files < 2))
    return fail("--log-rotated-arg: needs --log and --log-max-files of 2 or more");
  if (options.log == nullptr && options.log_max_size != 0) return fail("--log-max-size: needs --log");
  if (options.log == nullptr && options.log_buffer != 0) return fail("--log-buffer: needs --log");
  if (options.sync_fd >= 0 && static_cast<unsigned>(options.sync_fd) < 3 + options.preserve_fds)
    return fail("--sync-fd: ", options.sync_fd, " is one of the descriptors that --preserve-fds passes on");
  return {};
}

}  // namespace

std::string_view help_text() { return kHelp; }

bool parse_size(std::string_view text, uint64_t* to) {
  unsigned shift = 0;
  if (!text.empty()) {
    switch (text.back() | 0x20) {
      case 'k': shift = 10; break;
      case 'm': shift = 20; break;
      case 'g': shift = 30; break;
      default: break;
    }
  }
  if (shift != 0) text.remove_suffix(1);
  if (!parse_number(text, uint64_t{INT64_MAX} >> shift, to)) return false;
  *to <<= shift;
  return true;
}

Result<> parse_options(const char* const* argv, Options* to) {
  Reader reader{.next = *argv != nullptr ? argv + 1 : argv, .name = {}};
  while (*reader.next != nullptr) {
    const char* argument = *reader.next++;
    const char* end = argument;
    while (*end != 0 && *end != '=') ++end;
    reader.name = {argument, static_cast<size_t>(end - argument)};
    reader.joined = *end == '=' ? end + 1 : nullptr;
    if (Result<> read = read_flag(reader, to); !read) return read;
  }
  return check(*to);
}

}  // namespace proa::shim
