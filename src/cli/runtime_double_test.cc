#include "cli/runtime_double.h"

namespace proa::cli {

RuntimeDouble& runtime_double() {
  static RuntimeDouble instance;
  return instance;
}

}  // namespace proa::cli

namespace proa::oci::runtime {
namespace {

cli::RuntimeDouble& note(const std::string& call) {
  cli::RuntimeDouble& to = cli::runtime_double();
  to.call += cat(to.call.empty() ? "" : "; ", call);
  return to;
}
cli::RuntimeDouble& note(const Globals& globals, const std::string& call) {
  cli::runtime_double().globals = globals;
  return note(call);
}
template <typename T>
Result<T> answer(T value) {
  if (cli::runtime_double().failure) return fail(*cli::runtime_double().failure).hint("a hint");
  return value;
}
Result<> answer() {
  TRY(answer(0));
  return {};
}

}  // namespace

Result<> create(const Globals& g, const std::string& id, const CreateOptions& o) {
  note(g, cat("create ", id)).create = o;
  return answer();
}
Result<> start(const Globals& g, const std::string& id) { return note(g, cat("start ", id)), answer(); }
Result<int> run(const Globals& g, const std::string& id, const CreateOptions& o) {
  note(g, cat("run ", id)).create = o;
  return answer(cli::runtime_double().status);
}
Result<int> exec(const Globals& g, const std::string& id, const ExecOptions& o) {
  note(g, cat("exec ", id)).exec = o;
  return answer(cli::runtime_double().status);
}
Result<std::string> state(const Globals& g, const std::string& id) { return answer(note(g, cat("state ", id)).text); }
Result<> kill(const Globals& g, const std::string& id, std::string_view signal, bool all) {
  return note(g, cat("kill ", id, " ", signal, all ? " all" : "")), answer();
}
Result<> remove(const Globals& g, const std::string& id, bool force) {
  return note(g, cat("remove ", id, force ? " force" : "")), answer();
}
Result<> pause(const Globals& g, const std::string& id) { return note(g, cat("pause ", id)), answer(); }
Result<> resume(const Globals& g, const std::string& id) { return note(g, cat("resume ", id)), answer(); }
Result<> update(const Globals& g, const std::string& id, const UpdateOptions& o) {
  note(g, cat("update ", id)).update = o;
  return answer();
}
Result<> events(const Globals& g, const std::string& id, bool once, double interval) {
  return note(g, cat("events ", id, once ? " once " : " ", static_cast<int>(interval * 1000))), answer();
}
Result<std::string> ps(const Globals& g, const std::string& id, bool json, const std::vector<std::string>& args) {
  std::string call = cat("ps ", id, json ? " json" : "");
  for (const std::string& arg : args) call += cat(" ", arg);
  return answer(note(g, call).text);
}
Result<std::string> list(const Globals& g, const ListOptions& o) {
  return answer(note(g, cat("list", o.quiet ? " quiet" : "", o.json ? " json" : "")).text);
}
Result<> write_template(const std::string& bundle, bool rootless) {
  return note(cat("spec ", bundle, rootless ? " rootless" : "")), answer();
}
std::string features() { return "{}\n"; }
Result<> checkpoint(const Globals& g, const std::string& id, const CheckpointOptions& o) {
  note(g, cat("checkpoint ", id)).checkpoint = o;
  return answer();
}
Result<int> restore(const Globals& g, const std::string& id, const CreateOptions& o, const CheckpointOptions& c) {
  cli::RuntimeDouble& to = note(g, cat("restore ", id));
  to.create = o;
  to.checkpoint = c;
  return answer(to.status);
}

}  // namespace proa::oci::runtime
