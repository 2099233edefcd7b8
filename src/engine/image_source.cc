#include "engine/image_source.h"

#include "oci/image/images.h"
#include "oci/image/reference.h"

namespace proa::engine {

namespace im = oci::image;

struct ImageSource::Inside {
  im::Images images;
  std::optional<im::Lease> lease;
  std::optional<im::Image> found;
};

ImageSource::ImageSource(std::string root) : root_(std::move(root)) {}
ImageSource::ImageSource(ImageSource&&) noexcept = default;
ImageSource::~ImageSource() = default;

Result<> ImageSource::open() {
  if (inside_) return {};
  im::Store store = TRY_CTX(im::Store::open({.root = root_}), "image store");
  inside_ = std::make_unique<Inside>(im::Images(std::move(store)));
  return {};
}

std::string ImageSource::host_platform() { return im::Platform::host().text(); }

Result<ImageFacts> ImageSource::find(const std::string& name, const std::string& platform) {
  TRY(open());
  std::optional<im::Platform> wanted;
  if (!platform.empty()) wanted = TRY_CTX(im::Platform::parse(platform), "--platform");
  inside_->lease.emplace(TRY(inside_->images.store().lease()));
  inside_->found = TRY(inside_->images.find(name, wanted));
  const im::Image& image = *inside_->found;
  const im::Platform& own = image.config.platform;
  if (wanted && !own.empty() && im::match(*wanted, own) == 0)
    return Failure(Error(cat("image with reference ", name, " was found but its platform (", own.text(),
                             ") does not match the specified platform (", wanted->text(), ")"),
                         ENOENT));
  TRY(inside_->images.hold(*inside_->lease, image.target));
  const im::ContainerConfig& config = image.config.config;
  ImageFacts out{.id = image.id.text(),
                 .name = name,
                 .entrypoint = config.entrypoint,
                 .cmd = config.cmd,
                 .env = config.env,
                 .exposed_ports = config.exposed_ports,
                 .volumes = config.volumes,
                 .working_dir = config.working_dir,
                 .user = config.user,
                 .stop_signal = config.stop_signal,
                 .labels = {config.labels.begin(), config.labels.end()},
                 .health = {},
                 .stop_timeout = config.stop_timeout};
  if (!own.empty() && im::match(im::Platform::host(), own) == 0) out.foreign = own.text();
  if (const auto& h = config.healthcheck)
    out.health = {h->test, h->interval, h->timeout, h->start_period, h->start_interval, h->retries};
  return out;
}

Result<> ImageSource::prepare(const std::string& snapshot) {
  if (!inside_ || !inside_->found) return fail("no image was found before");
  const im::Chain chain = TRY_CTX(inside_->images.unpack(*inside_->lease, *inside_->found), "unpack");
  return im::prepare_snapshot(inside_->images.store(), snapshot, chain);
}

Result<Fd> ImageSource::mount(const std::string& snapshot, int user_namespace) {
  TRY(open());
  return im::mount_snapshot(inside_->images.store(), snapshot, {.user_namespace = user_namespace});
}

Result<> ImageSource::remove(const std::string& snapshot) {
  TRY(open());
  auto removed = im::remove_snapshot(inside_->images.store(), snapshot);
  if (!removed && removed.error().code() == ENOENT) return {};
  return removed;
}

Result<std::vector<std::pair<char, std::string>>> ImageSource::changes(const std::string& snapshot) {
  TRY(open());
  std::vector<std::pair<char, std::string>> out;
  for (const im::Change& change : TRY(im::snapshot_changes(inside_->images.store(), snapshot)))
    out.emplace_back(static_cast<char>(change.kind), change.path);
  return out;
}

Result<uint64_t> ImageSource::usage(const std::string& snapshot) {
  TRY(open());
  return TRY(im::snapshot_usage(inside_->images.store(), snapshot)).bytes;
}

Result<std::string> ImageSource::commit(const Container& container, const CommitRequest& request) {
  TRY(open());
  im::CreateOptions options;
  options.base = container.resolved.image_id;
  options.author = request.author;
  options.message = request.message;
  const Resolved& r = container.resolved;
  options.changes.env = r.env;
  options.changes.labels = {r.labels.begin(), r.labels.end()};
  options.changes.exposed_ports = r.exposed_ports;
  const auto middle = r.args.begin() + static_cast<long>(r.entrypoint_size);
  options.changes.entrypoint = Strings(r.args.begin(), middle);
  options.changes.cmd = Strings(middle, r.args.end());
  if (!r.working_dir.empty()) options.changes.working_dir = r.working_dir;
  if (!r.user.empty()) options.changes.user = r.user;
  for (const std::string& line : request.changes) TRY_CTX(im::add_instruction(options.changes, line), "--change");
  return TRY(inside_->images.commit(container.resolved.snapshot, request.name, options)).id.text();
}

}  // namespace proa::engine
