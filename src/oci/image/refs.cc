// Names of images.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/clock.h"
#include "base/json.h"
#include "kernel/file.h"
#include "oci/image/json_fields.h"
#include "oci/image/store.h"
#include "oci/image/store_folder.h"

namespace proa::oci::image {

using detail::FileLock;

namespace {

namespace bj = boost::json;

constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";

// A name may be longer than a file's.
std::string ref_path(std::string_view name) { return cat("refs/", Digest::of(name).hex().substr(0, 32)); }

std::string to_text(const Ref& ref) {
  return json::to_line(bj::object{
      {"name", ref.name}, {"tagged", ref.tagged}, {"target", json::parse(emit(ref.target)).value_or(bj::value())}});
}

Result<Ref> parse_ref(std::string_view text) {
  const bj::value document = TRY(json::parse(text));
  const Fields in = TRY(Fields::of(document, ""));
  Ref out;
  out.name = TRY(in.text("name"));
  out.tagged = TRY(in.text("tagged"));
  const bj::value* target = in.find("target");
  if (target == nullptr) return fail("target: missing");
  out.target = TRY(parse_descriptor(json::to_line(*target)));
  return out;
}

Result<std::optional<Ref>> read_ref(const Store& store, const std::string& path) {
  const auto text = kernel::read_file_at(store.root_fd(), path.c_str());
  if (!text && text.error().code() == ENOENT) return std::nullopt;
  if (!text) return std::unexpected(text.error());
  return TRY_CTX(parse_ref(*text), "image store: ", path);
}

// For other tools: what is in refs/, as image-layout.md has it.
std::string index_text(const std::vector<Ref>& refs) {
  Index index;
  index.media_type = media::kIndex;
  for (const Ref& ref : refs) {
    Descriptor entry = ref.target;
    if (!ref.unnamed()) entry.annotations[std::string(kRefName)] = ref.name;
    index.manifests.push_back(std::move(entry));
  }
  return emit(index);
}

Result<> write_index(const detail::StoreFolder& folder, const std::vector<Ref>& refs) {
  return detail::place_file(folder, "index.json", index_text(refs));
}

bool points_to(const std::vector<Ref>& refs, const Digest& digest) {
  return std::ranges::any_of(refs, [&](const Ref& each) { return each.target.digest == digest; });
}

std::string unnamed_ref(const Digest& digest) { return cat("@", digest.text()); }

}  // namespace

Result<std::vector<Ref>> Store::refs() const {
  std::vector<Ref> out;
  for (const std::string& name : TRY(detail::list_folder(root_fd(), "refs")))
    if (auto ref = TRY(read_ref(*this, cat("refs/", name)))) out.push_back(std::move(*ref));
  std::ranges::sort(out, {}, &Ref::name);
  return out;
}

Result<std::optional<Ref>> Store::find_ref(std::string_view name) const { return read_ref(*this, ref_path(name)); }

Result<> Store::put_ref(const std::string& name, const Descriptor& target) const {
  const FileLock lock = TRY(FileLock::shared(root_fd(), detail::kLock));
  const FileLock alone = TRY(FileLock::exclusive(root_fd(), detail::kRefsLock));
  if (!TRY(has(target.digest)))
    return fail("image ", name, ": blob ", target.digest.text(), " is not in the image store");

  const auto before = TRY(find_ref(name));
  const auto write = [&](const std::string& key, const Descriptor& to) {
    return detail::place_file(*folder_, ref_path(key), to_text({key, to, format_rfc3339(Clock::system().wall())}));
  };
  // The image that loses its name is kept, and that before it does; the one that has a name now needs no stand-in.
  if (before && before->target.digest != target.digest) {
    std::vector<Ref> others = TRY(refs());
    std::erase_if(others, [&](const Ref& each) { return each.name == name; });
    if (!points_to(others, before->target.digest)) TRY(write(unnamed_ref(before->target.digest), before->target));
  }
  TRY(write(name, target));
  if (!name.starts_with('@')) ::unlinkat(root_fd(), ref_path(unnamed_ref(target.digest)).c_str(), 0);
  TRY(detail::sync_folder(*folder_, "refs"));
  const std::vector<Ref> all = TRY(refs());
  return write_index(*folder_, all);
}

Result<bool> Store::remove_ref(std::string_view name, const Digest& expected) const {
  const FileLock lock = TRY(FileLock::shared(root_fd(), detail::kLock));
  const FileLock alone = TRY(FileLock::exclusive(root_fd(), detail::kRefsLock));
  const auto before = TRY(find_ref(name));
  if (!before || (!expected.empty() && before->target.digest != expected)) return false;
  if (::unlinkat(root_fd(), ref_path(name).c_str(), 0) != 0) return fail_errno(errno, "remove image name ", name);
  TRY(detail::sync_folder(*folder_, "refs"));
  const std::vector<Ref> all = TRY(refs());
  TRY(write_index(*folder_, all));
  return true;
}

Result<> Store::refresh_index() const {
  const std::vector<Ref> all = TRY(refs());
  const auto there = kernel::read_file_at(root_fd(), "index.json");
  return there && *there == index_text(all) ? Result<>() : write_index(*folder_, all);
}

}  // namespace proa::oci::image
