#include <set>

#include "oci/image/store.h"

namespace proa::oci::image {
namespace {

// Indexes within indexes; deeper ones are nobody's and a loop cannot be (a digest would contain itself).
constexpr int kDeepest = 8;

class Walk {
 public:
  Walk(const Store& store, const std::function<Result<>(const Descriptor&)>& visit, const std::set<Digest>& without)
      : store_(store), visit_(visit), without_(without) {}

  Result<> blob(const Descriptor& target, int depth) {
    if (without_.contains(target.digest) || !TRY(store_.has(target.digest))) return {};
    TRY(visit_(target));
    if (!seen_.insert(target.digest).second || depth > kDeepest) return {};
    if (media::is_index(target.media_type)) return index(target, depth);
    if (media::is_manifest(target.media_type)) return manifest(target, depth);
    return {};
  }

 private:
  Result<> index(const Descriptor& target, int depth) {
    const std::string text = TRY(store_.read_blob(target.digest));
    const Index index = TRY_CTX(parse_index(text), target.digest.text());
    for (const Descriptor& each : index.manifests) TRY(blob(each, depth + 1));
    return {};
  }
  Result<> manifest(const Descriptor& target, int depth) {
    const std::string text = TRY(store_.read_blob(target.digest));
    const Manifest manifest = TRY_CTX(parse_manifest(text), target.digest.text());
    TRY(blob(manifest.config, depth + 1));
    for (const Descriptor& each : manifest.layers) TRY(blob(each, depth + 1));
    return {};
  }

  const Store& store_;
  const std::function<Result<>(const Descriptor&)>& visit_;
  const std::set<Digest>& without_;
  std::set<Digest> seen_;
};

}  // namespace

Result<> visit_closure(const Store& store, const Descriptor& root,
                       const std::function<Result<>(const Descriptor&)>& visit, const std::set<Digest>& without) {
  return Walk(store, visit, without).blob(root, 0);
}

}  // namespace proa::oci::image
