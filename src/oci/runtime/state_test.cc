#include "oci/runtime/state.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "kernel/temp_folder_test.h"

namespace proa::oci::runtime {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class State : public testing::Test {
 protected:
  State() { globals.root = folder / "root"; }
  // A container of which nothing is on the host.
  static ContainerState small(const std::string& id) {
    return {.id = id, .oci_version = "1.3.0", .no_cgroup = true, .annotations = {}, .cgroup = {}};
  }
  StateFolder create(const std::string& id) const {
    StateFolder made = StateFolder::create(globals, id).value();
    EXPECT_TRUE(made.begin(small(id), "-"));
    return made;
  }
  // ... complete, and its creator gone.
  void finish(const std::string& id) const { EXPECT_TRUE(create(id).finish(false)); }
  StateFolder open(const std::string& id, bool lock = false) const {
    return StateFolder::open(globals, id, lock).value();
  }
  std::vector<std::string> ids() const { return container_ids(globals).value(); }
  bool exists(const std::string& id) const { return fs::exists(cat(globals.root, "/", id)); }

  TempFolder folder;
  Globals globals;
};

TEST_F(State, EveryFieldComesBack) {
  ContainerState state = small("box");
  state.bundle = "/b \"quoted\"";
  state.rootfs = "/r/ö";
  state.created = "2026-01-02T03:04:05Z";
  state.started = true;
  state.pid = 4711;
  state.start_time = UINT64_MAX;
  state.owner = UINT32_MAX;
  state.rootless = true;
  state.no_new_keyring = true;
  state.systemd_cgroup = true;
  state.no_cgroup = true;
  state.host_mount = 77;
  state.resctrl_group = "/sys/fs/resctrl/box";
  state.resctrl_monitor = "/sys/fs/resctrl/mon_groups/box";
  state.annotations = {{"a.b/c", "1"}, {"", "\n"}};
  state.cgroup = {.hierarchies = {{.controllers = "cpu,cpuacct", .path = "/sys/fs/cgroup/cpu/box", .made = 2},
                                  {.controllers = "", .path = "/sys/fs/cgroup/unified/box", .made = 1}},
                  .systemd_unit = "proa-box.scope",
                  .systemd_user_manager = true,
                  .rootless = true};
  const StateFolder made = StateFolder::create(globals, "box").value();
  ASSERT_TRUE(made.begin(small("box"), ""));
  ASSERT_TRUE(made.save(state));
  const ContainerState read = open("box").load().value();
  EXPECT_EQ(read.id, state.id);
  EXPECT_EQ(read.oci_version, state.oci_version);
  EXPECT_EQ(read.bundle, state.bundle);
  EXPECT_EQ(read.rootfs, state.rootfs);
  EXPECT_EQ(read.created, state.created);
  EXPECT_EQ(read.started, state.started);
  EXPECT_EQ(read.pid, state.pid);
  EXPECT_EQ(read.start_time, state.start_time);
  EXPECT_EQ(read.owner, state.owner);
  EXPECT_EQ(read.rootless, state.rootless);
  EXPECT_EQ(read.no_new_keyring, state.no_new_keyring);
  EXPECT_EQ(read.systemd_cgroup, state.systemd_cgroup);
  EXPECT_EQ(read.no_cgroup, state.no_cgroup);
  EXPECT_EQ(read.host_mount, state.host_mount);
  EXPECT_EQ(read.resctrl_group, state.resctrl_group);
  EXPECT_EQ(read.resctrl_monitor, state.resctrl_monitor);
  EXPECT_EQ(read.annotations, state.annotations);
  ASSERT_EQ(read.cgroup.hierarchies.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read.cgroup.hierarchies[i].controllers, state.cgroup.hierarchies[i].controllers);
    EXPECT_EQ(read.cgroup.hierarchies[i].path, state.cgroup.hierarchies[i].path);
    EXPECT_EQ(read.cgroup.hierarchies[i].made, state.cgroup.hierarchies[i].made);
  }
  EXPECT_EQ(read.cgroup.systemd_unit, state.cgroup.systemd_unit);
  EXPECT_EQ(read.cgroup.systemd_user_manager, state.cgroup.systemd_user_manager);
  EXPECT_EQ(read.cgroup.rootless, state.cgroup.rootless);
  EXPECT_TRUE(read.creating);
}

TEST_F(State, CreatingEndsWithFinish) {
  const StateFolder made = create("box");
  EXPECT_EQ(current_status(made, made.load().value()).value(), Status::kCreating);
  ASSERT_TRUE(made.finish(false));
  EXPECT_FALSE(made.load().value().creating);
  EXPECT_FALSE(made.load().value().traced);
  ASSERT_TRUE(made.finish(true));
  EXPECT_FALSE(made.load().value().creating);
  EXPECT_TRUE(made.load().value().traced);
  EXPECT_EQ(current_status(made, made.load().value()).value(), Status::kStopped);
}

TEST_F(State, OtherVersionsAreRefused) {
  const StateFolder made = create("box");
  const std::string file = made.path() + "/record";
  const std::string text = kernel::read_file(file.c_str()).value();
  const auto load_with = [&](std::string_view from, std::string_view to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    EXPECT_TRUE(kernel::write_file_at(AT_FDCWD, file.c_str(), changed + std::string(64, ' ')));
    auto loaded = made.load();
    return loaded ? Error("none") : loaded.error();
  };
  const Error version = load_with("\"version\":1", "\"version\":9");
  EXPECT_EQ(version.message(), file + ": version 9 is not known");
  EXPECT_THAT(version.hint(), HasSubstr("another release"));
  EXPECT_THAT(load_with("\"pid\":0", "\"pid\":{}").message(), HasSubstr("record: "));
  EXPECT_THAT(load_with("\"owner\":", "\"onwer\":").message(), HasSubstr("record: "));
  EXPECT_THAT(load_with("{", "[").message(), HasSubstr("record: "));
}

TEST_F(State, ConfigurationIsKept) {
  const StateFolder made = StateFolder::create(globals, "box").value();
  ASSERT_TRUE(made.begin(small("box"), R"({"ociVersion":"1.0.0","root":{"path":"r"},"hostname":""})"));
  ASSERT_TRUE(made.save(small("box")));
  EXPECT_EQ(made.load_config().value().root->path, "r");
  EXPECT_FALSE(made.begin(small("box"), "{}")) << "there is one beginning";
  ASSERT_TRUE(made.replace(small("box"), R"({"ociVersion":"1.0.0","root":{"path":"s"},"hostname":""})"));
  EXPECT_EQ(made.load_config().value().root->path, "s");
  struct stat info{};
  ASSERT_EQ(::stat((made.path() + "/record").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u) << "environments hold secrets";
}

// --- names and places

TEST_F(State, UnknownContainer) {
  for (const bool lock : {false, true}) {
    const auto none = StateFolder::open(globals, "none", lock);
    ASSERT_FALSE(none);
    EXPECT_THAT(none.error().message(), HasSubstr("container does not exist: none"));
    EXPECT_EQ(none.error().code(), ENOENT);
  }
  EXPECT_THAT(ids(), IsEmpty()) << "no container, no state root";
}

TEST_F(State, IdsStayInTheFolder) {
  for (const char* id : {"", ".", "..", "a/b", "../x", "a b"}) {
    EXPECT_FALSE(StateFolder::create(globals, id)) << id;
    EXPECT_FALSE(StateFolder::open(globals, id, false)) << id;
  }
  fs::create_directories(folder / "elsewhere");
  fs::create_directory(globals.root);
  fs::create_directory_symlink(folder / "elsewhere", cat(globals.root, "/link"));
  EXPECT_FALSE(StateFolder::open(globals, "link", false)) << "a link is no container";
  EXPECT_THAT(ids(), IsEmpty());
}

TEST(StateRoot, IsTheUsersOwnWithoutPrivileges) {
  Globals globals{.root = {}, .rootless = Rootless::kYes};
  ::setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
  EXPECT_EQ(state_root(globals).value(), "/run/user/7/proa/runtime");
  ::unsetenv("XDG_RUNTIME_DIR");
  EXPECT_EQ(state_root(globals).value(), cat("/tmp/proa-", ::geteuid(), "/runtime"));
  globals.rootless = Rootless::kNo;
  EXPECT_EQ(state_root(globals).value(), "/run/proa/runtime");
  globals.root = "/mine";
  EXPECT_EQ(state_root(globals).value(), "/mine");
}

TEST_F(State, TakenIds) {
  finish("done");
  const StateFolder creating = create("creating");
  for (const char* id : {"done", "creating"}) {
    const auto again = StateFolder::create(globals, id);
    ASSERT_FALSE(again) << id;
    EXPECT_THAT(again.error().message(), HasSubstr(cat("container with given ID already exists: ", id)));
    EXPECT_EQ(again.error().code(), EEXIST);
  }
  EXPECT_THAT(ids(), ElementsAre("creating", "done"));
}

// --- creators that die

TEST_F(State, WhatADeadCreatorLeftIsTakenAway) {
  create("saved");
  (void)StateFolder::create(globals, "empty").value();
  finish("kept");
  EXPECT_THAT(ids(), ElementsAre("kept"));
  EXPECT_FALSE(exists("saved"));
  EXPECT_FALSE(exists("empty"));
}

TEST_F(State, FirstWordOfACreatorIsReplacedByTheState) {
  const StateFolder made = StateFolder::create(globals, "box").value();
  ContainerState state = small("box");
  ASSERT_TRUE(made.begin(state, "-"));
  EXPECT_EQ(made.load().value().oci_version, "1.3.0");
  state.pid = 7;
  ASSERT_TRUE(made.save(state));
  EXPECT_EQ(made.load().value().pid, 7);
}

TEST_F(State, CreatorThatDiedInItsFirstWord) {
  for (const std::string_view text : {"", "7", "7\n{}", "2\n{}\n", "2\n{}\n{\"version\":1"}) {
    {
      const StateFolder made = StateFolder::create(globals, "box").value();
      const Fd file = kernel::open((made.path() + "/record").c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600).value();
      ASSERT_TRUE(kernel::write_all(file.get(), text));
    }
    EXPECT_THAT(ids(), IsEmpty()) << text;
    EXPECT_FALSE(exists("box")) << text;
  }
}

TEST_F(State, IdOfADeadCreatorIsFree) {
  create("box");
  const auto again = StateFolder::create(globals, "box");
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->load().error().code(), ENOENT) << "nothing of the first is left";
}

TEST_F(State, ProcessOfADeadCreatorIsKilled) {
  kernel::Child child = kernel::clone_process(0).value();
  if (child.pid == 0)
    for (;;) ::pause();
  {
    const StateFolder made = create("box");
    ContainerState state = small("box");
    state.pid = child.pid;
    state.start_time = kernel::process_start_time(child.pid).value();
    ASSERT_TRUE(made.save(state));
  }
  EXPECT_THAT(ids(), IsEmpty());
  EXPECT_EQ(kernel::wait_child(child.pid).value(), 128 + SIGKILL);
}

TEST_F(State, NumberThatPassedToAnotherProcessIsNotKilled) {
  kernel::Child child = kernel::clone_process(0).value();
  if (child.pid == 0)
    for (;;) ::pause();
  {
    const StateFolder made = create("box");
    ContainerState state = small("box");
    state.pid = child.pid;
    state.start_time = kernel::process_start_time(child.pid).value() - 1;
    ASSERT_TRUE(made.save(state));
  }
  EXPECT_THAT(ids(), IsEmpty());
  EXPECT_EQ(::waitpid(child.pid, nullptr, WNOHANG), 0) << "it is no process of the container";
  ASSERT_TRUE(kernel::send_signal(child.pidfd.get(), SIGKILL));
  ASSERT_TRUE(kernel::wait_child(child.pid));
}

TEST_F(State, HalfWrittenFilesGoToo) {
  const StateFolder made = create("box");
  kernel::open((made.path() + "/record.77.tmp").c_str(), O_CREAT | O_WRONLY, 0600).value().reset();
  StateFolder again = open("box");
  ASSERT_TRUE(again.remove());
  EXPECT_FALSE(exists("box"));
  EXPECT_TRUE(again.remove()) << "once more is fine";
}

// --- waiting for the start

TEST_F(State, CreatedWhileSomethingListens) {
  const StateFolder made = create("box");
  ContainerState state = small("box");
  state.creating = false;
  state.pid = ::getpid();
  state.start_time = kernel::process_start_time(state.pid).value();
  EXPECT_EQ(made.connect().error().code(), ENOENT);
  EXPECT_EQ(current_status(made, state).value(), Status::kRunning);
  {
    const Fd listener = made.listen().value();
    EXPECT_TRUE(made.connect());
    EXPECT_EQ(current_status(made, state).value(), Status::kCreated);
    state.started = true;
    EXPECT_EQ(current_status(made, state).value(), Status::kRunning) << "the order was given";
    state.started = false;
  }
  EXPECT_EQ(made.connect().error().code(), ECONNREFUSED);
  EXPECT_EQ(current_status(made, state).value(), Status::kRunning);
  made.forget_start();
  EXPECT_EQ(made.connect().error().code(), ENOENT);
}

TEST_F(State, SocketInAPathOfAnyLength) {
  globals.root = cat(folder.path(), "/", std::string(200, 'd'));
  const StateFolder made = create(std::string(200, 'i'));
  const Fd listener = made.listen().value();
  EXPECT_TRUE(made.connect());
}

// --- locks

TEST_F(State, OneChangesItAtATime) {
  finish("box");
  const StateFolder first = open("box", true);
  const StateFolder looking = open("box");
  EXPECT_EQ(::flock(looking.fd(), LOCK_EX | LOCK_NB), -1);
  first.unlock();
  EXPECT_EQ(::flock(looking.fd(), LOCK_EX | LOCK_NB), 0);
  looking.unlock();
  EXPECT_TRUE(first.lock_again().value());
}

TEST_F(State, LockOfWhatWasRemoved) {
  finish("box");
  const StateFolder first = open("box", true);
  first.unlock();
  ASSERT_TRUE(open("box", true).remove());
  EXPECT_FALSE(first.lock_again().value());
}

// --- the document

TEST(StateDocument, HasWhatTheSpecificationWants) {
  ContainerState state{.id = "box", .oci_version = "1.3.0", .bundle = "/b", .annotations = {}, .cgroup = {}};
  EXPECT_EQ(state_document(state, Status::kCreated, 7),
            R"({"ociVersion":"1.3.0","id":"box","status":"created","pid":7,"bundle":"/b"})");
  state.annotations = {{"k", "v"}};
  EXPECT_EQ(state_document(state, Status::kStopped, 7),
            R"({"ociVersion":"1.3.0","id":"box","status":"stopped","bundle":"/b","annotations":{"k":"v"}})");
  for (const auto& [status, name] : {std::pair{Status::kCreating, "creating"}, std::pair{Status::kRunning, "running"},
                                     std::pair{Status::kPaused, "paused"}})
    EXPECT_EQ(status_name(status), name);
}

TEST(CgroupRequest, TakesTheSystemdProperties) {
  const ContainerState state{
      .id = "box", .oci_version = {}, .rootless = true, .systemd_cgroup = true, .annotations = {}, .cgroup = {}};
  Linux linux_;
  linux_.cgroups_path = "user.slice:proa:box";
  const auto request =
      cgroup_request(state, linux_, {{"org.systemd.property.TimeoutStopUSec", "uint64 5"}, {"other", "x"}});
  EXPECT_EQ(request.driver, kernel::cgroup::Driver::kSystemd);
  EXPECT_EQ(request.cgroups_path, "user.slice:proa:box");
  EXPECT_EQ(request.id, "box");
  EXPECT_TRUE(request.rootless);
  EXPECT_THAT(request.systemd_properties,
              ElementsAre(std::pair<std::string, std::string>("org.systemd.property.TimeoutStopUSec", "uint64 5")));
}

}  // namespace
}  // namespace proa::oci::runtime
