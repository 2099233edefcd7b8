#include "guest/program.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "guest/wire.h"
#include "shim/process.h"
#include "shim/state.h"
#include "shim/sys.h"

namespace proa::guest {

namespace sys = shim::sys;

namespace {

constexpr size_t kMostWords = 4096;

std::string_view cut(std::string_view* rest, char at) {
  size_t end = rest->find(at);
  if (end == std::string_view::npos) end = rest->size();
  const std::string_view part = shim::first(*rest, end);
  rest->remove_prefix(end < rest->size() ? end + 1 : end);
  return part;
}

// The line of a file like /etc/passwd whose field `column` is `value`.
bool find_line(const char* path, int column, std::string_view value, shim::Text<1024>* line) {
  static char content[256 << 10];
  const long size = shim::read_file(AT_FDCWD, path, content, sizeof content);
  std::string_view rest(content, size > 0 ? static_cast<size_t>(size) : 0);
  while (!rest.empty()) {
    const std::string_view candidate = cut(&rest, '\n');
    std::string_view fields = candidate, field;
    for (int i = 0; i <= column; ++i) field = cut(&fields, ':');
    if (field != value || field.empty()) continue;
    line->clear();
    *line << candidate;
    return true;
  }
  return false;
}

bool parse_id(std::string_view text, uint32_t* id) {
  uint64_t number = 0;
  if (!shim::parse_number(text, UINT32_MAX - 1, &number)) return false;
  *id = static_cast<uint32_t>(number);
  return true;
}

// name:password:uid:gid:comment:home:shell
void take_account(std::string_view line, User* user) {
  cut(&line, ':'), cut(&line, ':');
  parse_id(cut(&line, ':'), &user->uid);
  parse_id(cut(&line, ':'), &user->gid);
  cut(&line, ':');
  user->home.clear();
  user->home << cut(&line, ':');
}

shim::Result<> find_group(std::string_view text, User* user) {
  if (text.empty() || parse_id(text, &user->gid)) return {};
  shim::Text<1024> line;
  if (!find_line("/etc/group", 0, text, &line)) return shim::fail("user: the guest has no group ", text);
  std::string_view rest = line.view();
  cut(&rest, ':'), cut(&rest, ':');
  parse_id(cut(&rest, ':'), &user->gid);
  return {};
}

// The words of a program, as execve(2) wants them.
struct Words {
  const char* argv[kMostWords];
  const char* env[kMostWords];
  size_t args = 0, variables = 0;
};

bool has_variable(const Words& words, std::string_view name) {
  for (size_t i = 0; i < words.variables; ++i) {
    const std::string_view variable = words.env[i];
    if (variable.starts_with(name) && variable.size() > name.size() && variable.data()[name.size()] == '=') return true;
  }
  return false;
}

shim::Result<> find_words(std::string_view fields, Words* words) {
  bool fits = true;
  each_field(fields, [&](std::string_view key, std::string_view value) {
    const bool is_arg = key == "arg";
    if (!is_arg && key != "env") return;
    size_t& count = is_arg ? words->args : words->variables;
    fits = fits && count + 8 < kMostWords;
    if (fits) (is_arg ? words->argv : words->env)[count++] = value.data();
  });
  if (!fits) return shim::fail("too many arguments or variables");
  if (words->args == 0) return shim::fail("no program is named");
  return {};
}

[[noreturn]] void run(const Words& words, const User& user, std::string_view folder, const Streams& streams) {
  sys::new_session();
  if (streams.terminal) sys::control(streams.in, TIOCSCTTY, 0L);
  if (sys::duplicate(streams.in, 0) < 0 || sys::duplicate(streams.out, 1) < 0 || sys::duplicate(streams.err, 2) < 0)
    sys::quit(126);
  long error = 0;
  if (!folder.empty()) error = sys::call(SYS_chdir, reinterpret_cast<long>(folder.data()));
  if (user.uid != 0 || user.gid != 0) {
    const uint32_t group = user.gid;
    if (error == 0) error = sys::call(SYS_setgroups, 1, reinterpret_cast<long>(&group));
    if (error == 0) error = sys::call(SYS_setresgid, user.gid, user.gid, user.gid);
    if (error == 0) error = sys::call(SYS_setresuid, user.uid, user.uid, user.uid);
  }
  sys::default_action(SIGCHLD);
  sys::default_action(SIGPIPE);
  sys::set_signal_mask(0);
  if (error == 0) error = shim::execute(words.argv, words.env);
  const shim::Text<4200> message(words.argv[0], ": ", shim::error_text(error).view(), '\n');
  sys::write(2, message.c_str(), message.size());
  sys::quit(error == -ENOENT ? 127 : 126);
}

}  // namespace

shim::Result<User> find_user(std::string_view text) {
  User user;
  const std::string_view name = cut(&text, ':');
  shim::Text<1024> line;
  if (parse_id(name, &user.uid) || name.empty()) {
    const shim::Text<16> number(user.uid);
    if (find_line("/etc/passwd", 2, number.view(), &line)) take_account(line.view(), &user);
  } else if (find_line("/etc/passwd", 0, name, &line)) {
    take_account(line.view(), &user);
  } else {
    return shim::fail("user: the guest has no ", name);
  }
  if (user.home.size() == 0) user.home << (user.uid == 0 ? "/root" : "/");
  if (auto found = find_group(text, &user); !found) return std::unexpected(found.error());
  return user;
}

shim::Result<long> start_program(std::string_view fields, const Streams& streams) {
  static Words words;
  words = {};
  if (auto found = find_words(fields, &words); !found) return std::unexpected(found.error());
  const auto user = find_user(field(fields, "user"));
  if (!user) return std::unexpected(user.error());
  const shim::Text<300> home("HOME=", user->home.view());
  if (!has_variable(words, "PATH"))
    words.env[words.variables++] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  if (!has_variable(words, "HOME")) words.env[words.variables++] = home.c_str();
  if (streams.terminal && !has_variable(words, "TERM")) words.env[words.variables++] = "TERM=xterm";
  const long pid = sys::fork();
  if (pid == 0) run(words, *user, field(fields, "cwd"), streams);
  if (pid < 0) return shim::fail_with(pid, "fork");
  return pid;
}

uint32_t exit_status(int code, int status) { return static_cast<uint32_t>(code == CLD_EXITED ? status : 128 + status); }

}  // namespace proa::guest
