// proa-shim: holds one container. See docs/shim.md.
#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>

#include "shim/create.h"
#include "shim/init.h"
#include "shim/monitor.h"
#include "shim/options.h"
#include "shim/process.h"
#include "shim/state.h"
#include "shim/sys.h"

namespace {

using namespace proa::shim;

void print(int fd, std::string_view text) { sys::write_all(fd, text.data(), text.size()); }

void print_error(std::string_view text) {
  print(2, "proa-shim: ");
  print(2, text);
  print(2, "\n");
}

// The caller's process waits for this to exit: 'k' and what the runtime said, or 'e' and what failed.
struct Outcome {
  int reader = -1, writer = -1;
};

class Shim {
 public:
  Shim(const Options& options, const char* const* env) : options_(options), monitor_(options, origin_) {
    origin_.env = env;
  }

  Result<> prepare();
  // Comes back in the background process; the caller's process ends with the outcome.
  Result<> go_to_background();
  Result<> create();
  // Tells the caller, on --sync-fd and by the exit of the process that it started.
  void report(const Result<>& created);
  void give_up();
  [[noreturn]] void hold_and_end();

 private:
  [[noreturn]] void await_outcome(long child);
  void record(std::string_view line);

  const Options& options_;
  Origin origin_;
  StateDir state_;
  Path log_path_;
  Outcome outcome_;
  int children_ = -1;
  Container container_;
  Monitor monitor_;
};

Result<> Shim::prepare() {
  origin_.folder = sys::open(AT_FDCWD, ".", O_PATH | O_DIRECTORY);
  if (origin_.folder < 0) return fail_with(origin_.folder, "the current folder");
  origin_.preserve_fds = options_.preserve_fds;
  if (options_.log != nullptr) {
    if (Result<> done = make_absolute(options_.log, &log_path_); !done) return done;
  }
  if (Result<> done = state_.prepare(options_.state); !done) return done;
  Result<> done = monitor_.listen();
  if (done && options_.log != nullptr) {
    monitor_.log().set_format(options_.log_format);
    if (options_.log_attrs != nullptr) monitor_.log().set_attrs(options_.log_attrs);
    monitor_.log().file().run_when_rotated(origin_, options_.log_rotated);
    done = monitor_.log().file().open(log_path_.view(), options_.log_max_size, options_.log_max_files,
                                      options_.log_format != LogFormat::raw);
  }
  if (!done) give_up();
  return done;
}

Result<> Shim::go_to_background() {
  int ends[2];
  long error = sys::pipe(ends);
  if (error == 0) error = sys::fork();
  if (error < 0) {
    give_up();
    return fail_with(error, "fork");
  }
  outcome_ = {ends[0], ends[1]};
  if (error > 0) await_outcome(error);
  sys::new_session();
  // Not a session's leader any more: a terminal that is opened cannot become its own.
  if (sys::fork() != 0) sys::quit(0);
  sys::close(outcome_.reader);
  if (options_.first_client) monitor_.expect(sys::duplicate_above(0, 3));
  const int null = sys::open(AT_FDCWD, "/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) sys::duplicate(null, fd);
  sys::close(null);
  return {};
}

void Shim::await_outcome(long child) {
  sys::close(outcome_.writer);
  siginfo_t info;
  sys::wait(P_PID, static_cast<id_t>(child), &info, 0);  // the one between; a caller may be a reaper of orphans
  Text<8192> text;
  char bytes[512];
  for (long got; (got = sys::read(outcome_.reader, bytes, sizeof bytes)) > 0;)
    text << std::string_view(bytes, static_cast<size_t>(got));
  if (text.size() == 0)
    print_error("the shim was killed");
  else if (text.size() > 1)
    print_error({text.c_str() + 1, text.size() - 1});
  sys::quit(text.view().starts_with('k') ? 0 : 1);
}

Result<> Shim::create() {
  sys::default_action(SIGCHLD);  // ignored by some callers, and then no status could be had
  origin_.signal_mask = sys::block_signals();
  sys::set_option(PR_SET_CHILD_SUBREAPER, 1);
  children_ = sys::signal_fd(SIGCHLD);
  if (children_ < 0) return fail_with(children_, "signalfd");
  protect_from_oom(&origin_);
  if (Result<> done = state_.write_shim_pid(); !done) return done;
  if (options_.log_buffer != 0) {
    if (Result<> done = monitor_.buffer_log(options_.log_buffer); !done) return done;
  }
  if (Result<> done = create_container(options_, origin_, state_, children_, &container_); !done) return done;
  return monitor_.take(container_, children_);
}

void Shim::report(const Result<>& created) {
  Text<8192> line;
  if (created) {
    line << "{\"pid\":" << container_.pid << ",\"shim\":" << sys::process_id();
    if (container_.warning.size() != 0) line << ",\"warning\":", line.json(container_.warning.view());
  } else {
    line << "{\"error\":";
    line.json(created.error().text.view());
  }
  line << "}\n";
  if (options_.sync_fd >= 0) {
    print(options_.sync_fd, line.view());
    sys::close(options_.sync_fd);
  }
  if (outcome_.writer < 0) return;
  print(outcome_.writer, created ? "k" : "e");
  print(outcome_.writer, created ? container_.warning.view() : created.error().text.view());
  sys::close(outcome_.writer);
}

void Shim::give_up() {
  monitor_.log().file().discard_if_new();
  state_.discard();
}

void Shim::record(std::string_view line) {
  // If the disk refuses the record, the folder has to read as that of a shim that was killed.
  state_.retire(write_file(state_.fd(), kExitName, line, true).has_value());
}

void Shim::hold_and_end() {
  sys::close(origin_.folder);
  origin_.folder = -1;
  if (origin_.preserve_fds != 0) sys::close_range(3, 2 + origin_.preserve_fds, 0);
  origin_.preserve_fds = 0;
  const Ending ending = monitor_.hold();

  Text<8192> line;
  write_ending(ending, options_.id, line);
  record(line.view());
  monitor_.tell(line.view());
  const int root = sys::open(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  sys::change_dir(root);
  if (options_.exit_command != nullptr && monitor_.busy()) {
    origin_.folder = root;
    spawn(origin_, options_.exit_command, {0, 1, 2});
  }
  const bool begun = monitor_.busy();
  monitor_.serve_rest(line.view());
  if (options_.exit_command != nullptr && !begun) become(origin_, options_.exit_command);
  sys::quit(0);
}

[[noreturn]] void run(const Options& options, const char* const* env) {
  static Shim shim(options, env);
  Result<> done = shim.prepare();
  if (done) done = shim.go_to_background();
  if (!done) {
    shim.report(done);
    print_error(done.error().text.view());
    sys::quit(1);
  }
  done = shim.create();
  if (!done) shim.give_up();
  shim.report(done);
  if (!done) sys::quit(1);
  shim.hold_and_end();
}

// Descriptors 0 to 2 are there, and of the others only what the command line names.
void close_strangers(const Options& options) {
  while (true) {
    const int fd = sys::open(AT_FDCWD, "/dev/null", O_RDWR);
    if (fd > 2 || fd < 0) {
      sys::close(fd);
      break;
    }
  }
  const unsigned first = 3 + options.preserve_fds;
  if (options.sync_fd < 0) return sys::close_range(first, ~0U, 0);
  const auto kept = static_cast<unsigned>(options.sync_fd);
  if (kept > first) sys::close_range(first, kept - 1, 0);
  sys::close_range(kept + 1, ~0U, 0);
  sys::keep_on_exec(options.sync_fd, false);
}

}  // namespace

int main(int count, char** argv, char** env) {
  // docker-init -- PROGRAM ARG...: bound into containers under that name.
  if (count > 2 && std::string_view(argv[0]).ends_with("/docker-init") && std::string_view(argv[1]) == "--")
    run_init(argv + 2, env);
  // The only program of a sandbox's holder.
  if (count == 1 && std::string_view(argv[0]) == "/pause") hold_namespaces();
  static Options options;
  Result<> done = parse_options(argv, &options);
  if (done) {
    switch (options.action) {
      case Options::Action::help: print(1, help_text()); return 0;
      case Options::Action::version: print(1, "proa-shim " PROA_VERSION "\n"); return 0;
      case Options::Action::cleanup: done = clean_up(options.state, options.log); break;
      case Options::Action::monitor: close_strangers(options); run(options, env);
    }
  }
  if (done) return 0;
  if (options.sync_fd >= 0) {
    Text<8192> line("{\"error\":");
    line.json(done.error().text.view()) << "}\n";
    print(options.sync_fd, line.view());
  }
  print_error(done.error().text.view());
  return 1;
}
