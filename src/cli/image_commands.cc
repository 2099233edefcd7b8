#include "cli/image_commands.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>

#include "base/clock.h"
#include "base/ids.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/documents.h"
#include "cli/human.h"
#include "cli/image_documents.h"
#include "cli/print.h"
#include "cli/prune.h"
#include "cli/template.h"
#include "kernel/file.h"
#include "oci/image/images.h"
#include "oci/image/reference.h"

namespace proa::cli {
namespace {

namespace bj = boost::json;
namespace im = oci::image;

// /var/lib/proa, or a user's own.
std::string default_root() {
  if (const char* root = std::getenv("PROA_ROOT"); root != nullptr && *root != '\0') return root;
  if (::geteuid() == 0) return "/var/lib/proa";
  const char* data = std::getenv("XDG_DATA_HOME");
  if (data != nullptr && *data == '/') return cat(data, "/proa");
  const char* home = std::getenv("HOME");
  return cat(home == nullptr ? "" : home, "/.local/share/proa");
}

Result<im::Image> find_one(const im::Images& images, const Invocation& in) {
  const auto platform = TRY(platform_of(in));
  return images.find(in.argument(0), platform);
}

Result<im::ListFilter> filter_of(const Invocation& in) {
  im::ListFilter out;
  for (const std::string& each : in.texts("filter")) TRY_CTX(add_filter(out, each), "--filter");
  return out;
}

Result<> show_lines(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return print_text(out);
}

std::string shown_name(const std::string& name) {
  const auto reference = im::Reference::parse(name);
  return reference ? reference->familiar() : name;
}

Result<> show_removed(const im::Removed& removed) {
  std::vector<std::string> lines;
  lines.reserve(removed.untagged.size() + removed.deleted.size());
  for (const std::string& name : removed.untagged) lines.push_back("Untagged: " + shown_name(name));
  for (const auto& id : removed.deleted) lines.push_back("Deleted: " + id.text());
  return show_lines(lines);
}

// "-" and "" are stdin; a terminal there is a mistake.
Result<Fd> open_input(const std::string& path) {
  if (!path.empty() && path != "-") return kernel::open(path.c_str(), O_RDONLY);
  if (::isatty(STDIN_FILENO) != 0)
    return fail("will not read an archive from a terminal").hint("name a file, or pipe one in");
  const int copy = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
  return copy < 0 ? Result<Fd>(fail_errno(errno, "stdin")) : Result<Fd>(Fd(copy));
}

// A file that is written aside and appears when it is whole, or stdout.
class Output {
 public:
  static Result<Output> open(const std::string& path) {
    Output out;
    if (path.empty() || path == "-") {
      if (::isatty(STDOUT_FILENO) != 0)
        return fail("will not write an archive to a terminal").hint("use --output FILE, or pipe it on");
      out.fd_ = Fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
      return out;
    }
    struct stat info{};
    const bool special = ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
    out.path_ = path;
    if (!special) out.aside_ = cat(path, ".", ::getpid(), ".tmp");
    out.fd_ = TRY(kernel::open((special ? path : out.aside_).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
    return out;
  }
  Output(Output&& other) noexcept
      : path_(std::move(other.path_)), aside_(std::exchange(other.aside_, {})), fd_(std::move(other.fd_)) {}
  Output& operator=(Output&&) = delete;
  ~Output() {
    if (!aside_.empty()) ::unlink(aside_.c_str());
  }
  int fd() const { return fd_.get(); }
  Result<> done() {
    if (!aside_.empty() && ::rename(aside_.c_str(), path_.c_str()) != 0) return fail_errno(errno, "write ", path_);
    aside_.clear();
    return {};
  }

 private:
  Output() = default;
  std::string path_, aside_;
  Fd fd_;
};

bool is_folder(const std::string& path) {
  struct stat info{};
  return !path.empty() && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Result<bool> confirmed(std::string_view question) {
  TRY(print_text(cat("WARNING! ", question, "\nAre you sure you want to continue? [y/N] ")));
  char answer[8] = {};
  const ssize_t got = ::read(STDIN_FILENO, answer, sizeof answer);
  return got > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}

// Whose containers may run on the images.
Result<engine::Engine> engine_of(const Invocation& in) {
  engine::Folders folders = engine::Folders::standard();
  if (const std::string root = in.text("root"); !root.empty()) folders.data = root;
  return engine::Engine::open(folders);
}

}  // namespace

Result<im::Images> open_images(const Invocation& in) {
  const std::string root = in.text("root");
  return im::Images(TRY(im::Store::open({.root = cat(root.empty() ? default_root() : root, "/images")})));
}

Result<std::optional<im::Platform>> platform_of(const Invocation& in) {
  const std::string text = in.text("platform");
  if (text.empty()) return std::nullopt;
  return TRY_CTX(im::Platform::parse(text), "--platform");
}

namespace {

// `image ls --tree`: below each image what it is for each platform. DISK USAGE is that of blobs and unpacked files,
// CONTENT SIZE that of the blobs, EXTRA says U where a container uses it.
Result<int> show_tree(const Invocation& in, const im::Images& images, const std::vector<im::Image>& found) {
  for (const char* flag : {"digests", "format", "quiet", "no-trunc"})
    if (in.is_set(flag)) return fail("--", flag, " is not yet supported with --tree");
  engine::Engine engine = TRY(engine_of(in));
  const auto containers = TRY(engine.list());
  const auto used = [&](const im::Image& image) {
    return std::ranges::any_of(containers, [&](const auto& container) { return uses_image(container, image); });
  };
  std::vector<ImageTree> trees;
  for (const im::Image& image : found) {
    ImageTree& tree =
        trees.emplace_back(ImageTree{.image = &image, .variants = TRY(images.variants(image.target)), .used = {}});
    for (const im::Variant& each : tree.variants) tree.used.push_back(each.image && used(*each.image));
  }
  const auto [document, table] = tree_of(trees);
  TRY(print_document(in.text("output"), document, table));
  return 0;
}

}  // namespace

Result<int> image_ls(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  im::ListFilter filter = TRY(filter_of(in));
  if (const std::string name = in.argument(0); !name.empty()) filter.references.push_back(name);
  const std::vector<im::Image> found = TRY(images.list(filter));
  if (in.on("tree")) return show_tree(in, images, found);
  const auto rows = rows_of(found);
  const bool whole = in.on("no-trunc");
  if (in.on("quiet")) {
    std::vector<std::string> lines;
    lines.reserve(rows.size());
    for (const ImageRow& row : rows)
      lines.push_back(whole ? row.image->id.text() : std::string(short_id(row.image->id.hex())));
    TRY(show_lines(lines));
    return 0;
  }
  const bool digests = in.on("digests");
  Table table{{"REPOSITORY", "TAG"}, {}};
  if (digests) table.header.emplace_back("DIGEST");
  for (const char* each : {"IMAGE ID", "CREATED", "SIZE"}) table.header.emplace_back(each);
  std::vector<bj::value> documents;
  for (const ImageRow& row : rows) {
    documents.push_back(row_document(row, whole));
    const bj::value& document = documents.back();
    const auto cell = [&](const char* field) { return std::string(document.at(field).get_string()); };
    std::vector<std::string> cells{row.repository, row.tag};
    if (digests) cells.push_back(cell("Digest"));
    for (const char* each : {"ID", "CreatedSince", "Size"}) cells.push_back(cell(each));
    table.rows.push_back(std::move(cells));
  }
  TRY(print_rows(in.text("format"), in.text("output"), documents, table));
  return 0;
}

Result<int> image_inspect(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  const auto platform = TRY(platform_of(in));
  std::vector<bj::value> documents;
  for (const std::string& name : in.arguments()) {
    const im::Image image = TRY(images.find(name, platform));
    documents.push_back(inspect_document(image));
  }
  const std::string format = in.text("format");
  if (format.empty()) {
    TRY(print_document(in.text("output"), bj::array(documents.begin(), documents.end()), {}));
    return 0;
  }
  TRY(print_rows(format, "json", documents, {}));
  return 0;
}

Result<int> image_tag(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  TRY(images.tag(in.argument(0), in.argument(1)));
  return 0;
}

namespace {

// What is to go: the image, or of those for several platforms the chosen ones.
Result<std::vector<im::Platform>> platforms_of(const Invocation& in) {
  std::vector<im::Platform> out;
  for (const std::string& text : in.texts("platform"))
    for (const std::string_view each : split(text, ','))
      out.push_back(TRY_CTX(im::Platform::parse(each), "--platform"));
  return out;
}

Result<im::Removed> remove_one(const im::Images& images, const std::vector<engine::Container>& containers,
                               const std::string& name, const im::RemoveOptions& options) {
  // Also what is damaged can be removed.
  if (options.platforms.empty()) {
    if (const auto image = images.find(name)) TRY(check_unused(containers, *image, name, options.force));
  }
  for (const im::Platform& platform : options.platforms)
    if (const auto image = images.find(name, platform)) TRY(check_unused(containers, *image, name, options.force));
  return images.remove(name, options);
}

}  // namespace

Result<int> image_rm(const Invocation& in) {
  const im::RemoveOptions options{
      .force = in.on("force"), .no_prune = in.on("no-prune"), .platforms = TRY(platforms_of(in))};
  const im::Images images = TRY(open_images(in));
  engine::Engine engine = TRY(engine_of(in));
  const auto containers = TRY(engine.list());
  int status = 0;
  for (const std::string& name : in.arguments()) {
    const auto removed = remove_one(images, containers, name, options);
    if (removed) {
      TRY(show_removed(*removed));
      continue;
    }
    if (in.on("force") && removed.error().code() == ENOENT) continue;
    if (in.arguments().size() == 1) return std::unexpected(removed.error());
    print_error(removed.error());
    status = 1;
  }
  return status;
}

Result<int> image_prune(const Invocation& in) {
  const bool all = in.on("all");
  if (!in.on("force")) {
    const bool sure = TRY(confirmed(all ? "This will remove all images that no container uses."
                                        : "This will remove all images without a name."));
    if (!sure) return 0;
  }
  engine::Engine engine = TRY(engine_of(in));
  const Pruned pruned = TRY(prune_images(engine, all, in.texts("filter")));
  TRY(print_pruned(pruned));
  return 0;
}

Result<Pruned> prune_images(engine::Engine& engine, bool all, const Filters& filters) {
  const im::Images images(TRY(im::Store::open({.root = engine.folders().images()})));
  im::ListFilter filter;
  for (const std::string& each : filters) TRY_CTX(add_filter(filter, each), "--filter");
  const auto containers = TRY(engine.list());
  const auto in_use = [&](const im::Image& image) {
    return std::ranges::any_of(containers, [&](const auto& container) { return uses_image(container, image); });
  };
  const im::Removed removed = TRY(images.prune({.all = all, .filter = filter, .in_use = in_use}));
  Pruned out{.text = {}, .bytes = removed.bytes};
  for (const std::string& name : removed.untagged) out.text += cat("Untagged: ", shown_name(name), "\n");
  for (const auto& id : removed.deleted) out.text += cat("Deleted: ", id.text(), "\n");
  if (!out.text.empty()) out.text = cat("Deleted Images:\n", out.text, "\n");
  return out;
}

Result<int> image_save(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  const std::string format = in.text("format"), path = in.text("output");
  const auto platform = TRY(platform_of(in));
  if (format == "oci-dir") {
    if (path.empty()) return fail("--output: must name the folder");
    TRY(images.save_layout(in.arguments(), path, platform));
    return 0;
  }
  Output output = TRY_CTX(Output::open(path), "--output");
  im::FdSink sink(output.fd());
  TRY(images.save(in.arguments(), format == "oci-archive" ? im::ArchiveFormat::kOci : im::ArchiveFormat::kDocker, sink,
                  platform));
  TRY(output.done());
  return 0;
}

Result<int> image_load(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  const std::string path = in.text("input");
  const auto platform = TRY(platform_of(in));
  std::vector<im::Image> loaded;
  if (is_folder(path)) {
    loaded = TRY(images.load_layout(path, platform));
  } else {
    const Fd input = TRY_CTX(open_input(path), "--input");
    im::FdReader reader(input.get());
    loaded = TRY(images.load(reader, platform));
  }
  std::vector<std::string> lines;
  for (const im::Image& image : loaded) {
    if (in.on("quiet")) continue;
    if (image.names.empty()) lines.push_back("Loaded image ID: " + image.id.text());
    for (const std::string& name : image.names) lines.push_back("Loaded image: " + shown_name(name));
  }
  TRY(show_lines(lines));
  return 0;
}

Result<int> image_export(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  const im::Image image = TRY(find_one(images, in));
  Output output = TRY_CTX(Output::open(in.text("output")), "--output");
  im::FdSink file(output.fd());
  im::BufferedSink sink([&](std::span<const std::byte> bytes) { return file.write(bytes); });
  TRY(images.export_files(image, sink));
  TRY(sink.flush());
  TRY(output.done());
  return 0;
}

Result<int> image_history(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  const im::Image image = TRY(find_one(images, in));
  const bool whole = in.on("no-trunc"), human = in.on("human");
  std::vector<bj::value> documents;
  Table table{{"IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"}, {}};
  std::vector<std::string> ids;
  for (const im::HistoryLine& line : TRY(images.history(image))) {
    const std::string id =
        documents.empty() ? (whole ? image.id.text() : std::string(short_id(image.id.hex()))) : "<missing>";
    ids.push_back(id);
    documents.push_back(history_document(line, id, human, whole));
    const auto cell = [&](const char* field) { return std::string(documents.back().at(field).get_string()); };
    table.rows.push_back({id, cell("CreatedSince"), cell("CreatedBy"), cell("Size"), cell("Comment")});
  }
  if (in.on("quiet")) {
    TRY(show_lines(ids));
    return 0;
  }
  TRY(print_rows(in.text("format"), in.text("output"), documents, table));
  return 0;
}

Result<int> image_tree(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  const im::Image image = TRY(find_one(images, in));
  // Which names end at which layer.
  std::map<im::Digest, std::vector<std::string>> tops;
  for (const im::Image& each : TRY(images.list())) {
    const auto chain = chain_ids(each.config.diff_ids);
    if (chain.empty()) continue;
    for (const std::string& name : each.names) tops[chain.back()].push_back(shown_name(name));
  }
  std::vector<std::string> tags;
  tags.reserve(image.names.size());
  for (const std::string& name : image.names) tags.push_back(shown_name(name));
  const auto listed = [](const std::vector<std::string>& names) {
    std::string out;
    for (const std::string& name : names) out += (out.empty() ? "" : " ") + name;
    return cat("[", out, "]");
  };
  std::vector<std::string> lines{cat("Image ID: ", short_id(image.id.hex())), "Tags:     " + listed(tags),
                                 "Size:     " + human_size(image.size), "Platform: " + image.config.platform.text(),
                                 "Image Layers"};
  const auto chain = chain_ids(image.config.diff_ids);
  auto history = TRY(images.history(image));
  std::erase_if(history, [](const im::HistoryLine& line) { return line.diff_id.empty(); });
  std::ranges::reverse(history);
  for (size_t i = 0; i < chain.size() && i < history.size(); ++i) {
    std::string line = cat(i + 1 == chain.size() ? "└── " : "├── ", "ID: ", short_id(image.config.diff_ids[i].hex()),
                           " Size: ", human_size(history[i].size));
    if (const auto names = tops.find(chain[i]); names != tops.end()) line += " Top Layer of: " + listed(names->second);
    lines.push_back(std::move(line));
  }
  TRY(show_lines(lines));
  return 0;
}

Result<int> image_diff(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  std::vector<bj::value> documents;
  std::vector<std::string> lines;
  for (const im::Change& change : TRY(images.diff(in.argument(0), in.argument(1)))) {
    const std::string kind(1, static_cast<char>(change.kind));
    lines.push_back(cat(kind, " ", change.path));
    documents.push_back(bj::object{{"Type", kind}, {"Path", change.path}});
  }
  const std::string format = in.text("format"), output = in.text("output");
  if (format.empty() && output == "table")
    TRY(show_lines(lines));
  else
    TRY(print_rows(format, output, documents, {}));
  return 0;
}

namespace {

// A command line as JSON's array, or the words of a shell's.
Result<std::vector<std::string>> command_of(const Invocation& in, std::string_view flag) {
  const std::string text = in.text(flag);
  if (text.empty()) return std::vector<std::string>();
  if (!text.starts_with('[')) return std::vector<std::string>{"/bin/sh", "-c", text};
  const bj::value document = TRY_CTX(json::parse(text), "--", flag);
  std::vector<std::string> out;
  const bool good = document.is_array() && std::ranges::all_of(document.get_array(), [&](const bj::value& each) {
                      if (each.is_string()) out.emplace_back(each.get_string());
                      return each.is_string();
                    });
  if (!good) return fail("--", flag, ": must be a JSON array of strings");
  return out;
}

Result<im::HealthCheck> healthcheck_of(const Invocation& in) {
  im::HealthCheck out;
  const std::string command = in.text("health-cmd");
  out.test =
      in.on("no-healthcheck") ? std::vector<std::string>{"NONE"} : std::vector<std::string>{"CMD-SHELL", command};
  const auto nanoseconds = [&](std::string_view flag) {
    return static_cast<int64_t>(in.seconds(flag).value_or(0) * 1e9);
  };
  out.interval = nanoseconds("health-interval");
  out.timeout = nanoseconds("health-timeout");
  out.start_period = nanoseconds("health-start-period");
  out.start_interval = nanoseconds("health-start-interval");
  out.retries = static_cast<int64_t>(in.whole("health-retries").value_or(0));
  return out;
}

Result<> read_config_flags(const Invocation& in, im::ConfigChanges& changes) {
  if (in.is_set("entrypoint")) changes.entrypoint = TRY(command_of(in, "entrypoint"));
  if (in.is_set("cmd")) changes.cmd = TRY(command_of(in, "cmd"));
  if (in.is_set("user")) changes.user = in.text("user");
  if (in.is_set("workdir")) changes.working_dir = in.text("workdir");
  if (in.is_set("stop-signal")) changes.stop_signal = in.text("stop-signal");
  if (const auto seconds = in.seconds("stop-timeout")) changes.stop_timeout = static_cast<int64_t>(*seconds);
  for (const std::string& each : in.texts("env")) changes.env.push_back(each);
  for (const std::string& each : in.texts("expose")) changes.exposed_ports.push_back(each);
  for (const std::string& each : in.texts("volume")) changes.volumes.push_back(each);
  for (const std::string& each : in.texts("label")) {
    const size_t equals = each.find('=');
    changes.labels[each.substr(0, equals)] = equals == std::string::npos ? "" : each.substr(equals + 1);
  }
  if (in.is_set("health-cmd") || in.on("no-healthcheck")) changes.healthcheck = TRY(healthcheck_of(in));
  return {};
}

Result<im::CreateOptions> create_options(const Invocation& in) {
  im::CreateOptions out;
  for (const std::string& line : in.texts("change")) TRY_CTX(add_instruction(out.changes, line), "--change");
  out.platform = TRY(platform_of(in));
  out.message = in.text("message");
  const auto compression = im::compression_named(in.text("compression"));
  out.compression = compression.value_or(im::Compression::kGzip);
  // Builds that are to be the same again set it (reproducible-builds.org).
  if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH"); epoch != nullptr && *epoch != '\0') {
    char* end = nullptr;
    const long long seconds = std::strtoll(epoch, &end, 10);
    if (*end != '\0' || seconds < 0) return fail("SOURCE_DATE_EPOCH: must be a number of seconds");
    out.pack.latest_mtime = seconds;
    out.created = format_rfc3339(WallTime(std::chrono::seconds(seconds)));
  }
  return out;
}

Result<im::Image> from_input(const im::Images& images, const std::string& source, const std::string& name,
                             const im::CreateOptions& options) {
  if (is_folder(source)) return images.create_from_folder(source, name, options);
  const Fd input = TRY(open_input(source));
  im::FdReader reader(input.get());
  return images.create_from_tar(reader, name, options);
}

}  // namespace

Result<int> image_create(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  im::CreateOptions options = TRY(create_options(in));
  TRY(read_config_flags(in, options.changes));
  options.base = in.text("from");
  options.author = in.text("author");
  options.created_by = "proa image create";
  if (const auto uid = in.whole("uid")) options.pack.uid = static_cast<uint32_t>(*uid);
  if (const auto gid = in.whole("gid")) options.pack.gid = static_cast<uint32_t>(*gid);
  const im::Image image = TRY(from_input(images, in.argument(0), in.argument(1), options));
  TRY(print_text(image.id.text() + "\n"));
  return 0;
}

Result<int> image_import(const Invocation& in) {
  const im::Images images = TRY(open_images(in));
  im::CreateOptions options = TRY(create_options(in));
  if (options.message.empty()) options.message = cat("Imported from ", in.argument(0));
  const im::Image image = TRY(from_input(images, in.argument(0), in.argument(1), options));
  TRY(print_text(image.id.text() + "\n"));
  return 0;
}

}  // namespace proa::cli
