// pull, push, login, logout.
#include "cli/image_remote.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "cli/foreign_flags.h"
#include "cli/image_commands.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "kernel/file.h"
#include "oci/image/remote/remote.h"

namespace proa::cli {
namespace {

namespace bj = boost::json;
namespace im = oci::image;
namespace remote = oci::image::remote;

constexpr size_t kLongestSecret = 64u << 10;

void say(std::string_view text) {
  [[maybe_unused]] const ssize_t wrote = ::write(STDERR_FILENO, text.data(), text.size());
}

Result<remote::Access> access_of(const Invocation& in) {
  TRY(refuse_content_trust(in));
  remote::Access out;
  out.verify_tls = in.on("tls-verify");
  const std::string given = in.text("creds");
  if (given.empty()) return out;
  const size_t colon = given.find(':');
  if (colon == 0 || colon == std::string::npos) return fail("--creds: must be USER:PASSWORD");
  out.credential = remote::Credential{.user = given.substr(0, colon), .password = given.substr(colon + 1)};
  return out;
}

// What a command was told to be called, with "latest" said aloud where that was left out.
Result<im::Reference> reference_of(const Invocation& in, TransferView& view) {
  const std::string name = in.argument(0);
  im::Reference bare = TRY(im::Reference::parse_bare(name));
  if (in.on("all-tags")) {
    if (!bare.tag.empty() || !bare.digest.empty()) return fail("--all-tags: ", name, " has a tag or a digest already");
    return bare;
  }
  if (bare.tag.empty() && bare.digest.empty()) view.line("Using default tag: latest");
  return im::Reference::parse(name);
}

Result<> print_result(const Invocation& in, bj::array results) {
  if (results.size() == 1) return print_document(in.text("output"), results.front(), {});
  return print_document(in.text("output"), results, {});
}

bool as_document(const Invocation& in) { return in.is_set("output") && in.text("output") != "table"; }

std::string wanted(const im::Reference& reference) {
  return reference.digest.empty() ? reference.tag : reference.digest.text();
}

Result<bj::object> pull_one(const im::Images& images, const im::Reference& reference, const Invocation& in,
                            const remote::Access& access, bool silent) {
  TransferView view(TransferView::Kind::kPull, STDOUT_FILENO, silent || in.on("quiet"));
  view.line(cat(wanted(reference), ": Pulling from ",
                reference.domain == "docker.io" ? reference.path : reference.repository()));
  remote::PullOptions options;
  options.all_platforms = in.on("all-platforms");
  options.platform = TRY(platform_of(in));
  options.progress = &view;
  const remote::Pulled pulled = TRY(remote::pull_image(images, reference, options, access));
  const std::string familiar = reference.familiar();
  const std::string status =
      pulled.fresh ? cat("Downloaded newer image for ", familiar) : cat("Image is up to date for ", familiar);
  view.line(cat("Digest: ", pulled.target.digest.text(), "\nStatus: ", status));
  return bj::object{{"Name", pulled.name},
                    {"Digest", pulled.target.digest.text()},
                    {"MediaType", pulled.target.media_type},
                    {"Status", status}};
}

Result<bj::object> push_one(const im::Images& images, const im::Reference& name, const Invocation& in,
                            const remote::Access& access, bool silent) {
  TransferView view(TransferView::Kind::kPush, STDOUT_FILENO, silent || in.on("quiet"));
  view.line(cat("The push refers to repository [", name.repository(), "]"));
  remote::PushOptions options;
  options.all_platforms = in.on("all-platforms");
  options.platform = TRY(platform_of(in));
  options.chunk = static_cast<uint64_t>(std::max<int64_t>(in.bytes("chunk-size").value_or(0), 0));
  options.progress = &view;
  const remote::Pushed pushed = TRY(remote::push_image(images, name, options, access));
  if (pushed.partial)
    say(cat("Of ", name.familiar(), " not all platforms are here: the image for this one was pushed alone.\n"));
  view.line(cat(wanted(name), ": digest: ", pushed.target.digest.text(), " size: ", pushed.target.size));
  return bj::object{{"Name", name.text()},
                    {"Digest", pushed.target.digest.text()},
                    {"MediaType", pushed.target.media_type},
                    {"Size", pushed.target.size}};
}

// The names here of a repository.
Result<std::vector<im::Reference>> tags_here(const im::Images& images, const im::Reference& repository) {
  std::vector<im::Reference> out;
  for (const im::Ref& ref : TRY(images.store().refs())) {
    auto each = im::Reference::parse(ref.name);
    if (!ref.unnamed() && each && !each->tag.empty() && each->repository() == repository.repository())
      out.push_back(std::move(*each));
  }
  if (out.empty())
    return fail_errno(ENOENT, "no image of ", repository.familiar_repository())
        .hint("'proa images' lists what is here");
  return out;
}

// --- login

// A line from the terminal, without echo for secrets.
Result<std::string> ask(std::string_view question, bool secret) {
  const Fd tty = TRY_CTX(kernel::open("/dev/tty", O_RDWR | O_NOCTTY), "ask for ", question);
  TRY(kernel::write_all(tty.get(), cat(question, ": ")));
  termios before{};
  const bool hidden = secret && ::tcgetattr(tty.get(), &before) == 0;
  const Defer restore([&] {
    if (!hidden) return;
    ::tcsetattr(tty.get(), TCSAFLUSH, &before);
    static_cast<void>(kernel::write_all(tty.get(), "\n"));
  });
  if (hidden) {
    termios silent = before;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(tty.get(), TCSAFLUSH, &silent);
  }
  std::string line;
  char each = 0;
  while (line.size() < kLongestSecret && ::read(tty.get(), &each, 1) == 1 && each != '\n') line += each;
  return line;
}

Result<std::string> password_from_stdin() {
  std::string text = TRY_CTX(kernel::read_all(STDIN_FILENO, kLongestSecret), "--password-stdin");
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  return text;
}

Result<remote::Credential> credential_of(const Invocation& in) {
  remote::Credential out{.user = in.text("username"), .password = in.text("password")};
  if (in.on("password-stdin")) {
    if (in.is_set("password")) return fail("--password and --password-stdin are mutually exclusive");
    if (out.user.empty()) return fail("must provide --username with --password-stdin");
    out.password = TRY(password_from_stdin());
    if (out.password.empty()) return fail("password is empty");
    return out;
  }
  if (!out.password.empty()) say("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
  if ((out.user.empty() || out.password.empty()) && ::isatty(STDIN_FILENO) == 0)
    return fail("cannot ask for user name and password without a terminal")
        .hint("give --username and --password-stdin");
  if (out.user.empty()) out.user = TRY(ask("Username", false));
  if (out.user.empty()) return fail("username is empty");
  if (out.password.empty()) out.password = TRY(ask("Password", true));
  if (out.password.empty()) return fail("password is empty");
  return out;
}

}  // namespace

Result<int> image_pull(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  const bool silent = as_document(in);
  const remote::Access access = TRY(access_of(in));
  TransferView heading(TransferView::Kind::kPull, STDOUT_FILENO, silent || in.on("quiet"));
  std::vector<im::Reference> references{TRY(reference_of(in, heading))};
  if (in.on("all-tags")) {
    const im::Reference repository = references.front();
    references.clear();
    for (std::string& tag : TRY(remote::list_tags(repository, access))) {
      references.push_back(repository);
      references.back().tag = std::move(tag);
    }
    if (references.empty()) return fail(repository.familiar_repository(), ": has no tags");
  }
  bj::array results;
  for (const im::Reference& each : references) {
    results.push_back(TRY(pull_one(images, each, in, access, silent)));
    if (!silent) TRY(print_text(cat(std::string_view(results.back().at("Name").as_string()), "\n")));
  }
  if (silent) TRY(print_result(in, std::move(results)));
  return 0;
}

Result<int> image_push(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  const bool silent = as_document(in);
  const remote::Access access = TRY(access_of(in));
  TransferView heading(TransferView::Kind::kPush, STDOUT_FILENO, silent || in.on("quiet"));
  std::vector<im::Reference> references{TRY(reference_of(in, heading))};
  if (in.on("all-tags")) references = TRY(tags_here(images, references.front()));
  bj::array results;
  for (const im::Reference& each : references) {
    results.push_back(TRY(push_one(images, each, in, access, silent)));
    if (!silent && in.on("quiet")) TRY(print_text(cat(each.text(), "\n")));
  }
  if (silent) TRY(print_result(in, std::move(results)));
  return 0;
}

Result<int> program_login(const Invocation& in) {
  const std::string domain = remote::registry_named(in.argument(0));
  const remote::Access access{.verify_tls = in.on("tls-verify"), .credential = {}};
  if (!in.is_set("username") && !in.is_set("password") && !in.on("password-stdin")) {
    const remote::Credential known = TRY(remote::known_credential(domain));
    if (!known.empty()) {
      TRY(print_text("Authenticating with existing credentials...\n"));
      if (const auto done = remote::log_in(domain, known, access)) {
        TRY(print_text("Login Succeeded\n"));
        return 0;
      } else if (done.error().code() != EACCES) {
        return std::unexpected(done.error());
      }
      TRY(print_text("Login did not succeed; asking for others\n"));
    }
  }
  const remote::Credential credential = TRY(credential_of(in));
  const std::string where = TRY(remote::log_in(domain, credential, access));
  if (where.find('/') != std::string::npos)
    say(cat("The password is kept unencrypted in ", where, "; a credential helper (credsStore) keeps it better.\n"));
  TRY(print_text("Login Succeeded\n"));
  return 0;
}

Result<int> program_logout(const Invocation& in) {
  const std::string domain = remote::registry_named(in.argument(0));
  const bool known = TRY(remote::log_out(domain));
  TRY(print_text(cat(known ? "Removing login credentials for " : "Not logged in to ", domain, "\n")));
  return 0;
}

Result<> pull_for_run(const std::string& image, const std::string& platform, const std::string& store, bool quiet) {
  const im::Reference reference = TRY(im::Reference::parse(image));
  const im::Images images(TRY_CTX(im::Store::open({.root = store}), "image store"));
  remote::PullOptions options;
  if (!platform.empty()) options.platform = TRY_CTX(im::Platform::parse(platform), "--platform");
  TransferView view(TransferView::Kind::kPull, STDERR_FILENO, quiet);
  view.line(cat(wanted(reference), ": Pulling from ",
                reference.domain == "docker.io" ? reference.path : reference.repository()));
  options.progress = &view;
  const remote::Pulled pulled = TRY(remote::pull_image(images, reference, options));
  view.line(cat("Digest: ", pulled.target.digest.text(), "\nStatus: ",
                pulled.fresh ? "Downloaded newer image for " : "Image is up to date for ", reference.familiar()));
  return {};
}

}  // namespace proa::cli
