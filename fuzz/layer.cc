// Layers onto the disk: whatever the archive says, nothing outside the target changes.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "fuzz.h"
#include "kernel/file.h"
#include "oci/image/unpack.h"

namespace {

using namespace proa;
using namespace proa::oci::image;

// PLACE/root is the target, PLACE/outside must stay as it is.
class Place {
 public:
  Place() {
    char pattern[] = "/dev/shm/proa-fuzz.XXXXXX";
    FUZZ_CHECK(::mkdtemp(pattern) != nullptr);
    path_ = pattern;
    fd_ = *kernel::open(pattern, O_RDONLY | O_DIRECTORY);
    FUZZ_CHECK(kernel::replace_file(path_ + "/outside", "kept", 0600));
  }
  ~Place() { static_cast<void>(kernel::remove_tree(path_)); }

  void unpack(std::string_view text, LayerForm form) {
    FUZZ_CHECK(kernel::make_dir_at(fd_.get(), "root", 0755));
    const Fd target = *kernel::open_at(fd_.get(), "root", O_RDONLY | O_DIRECTORY);
    MemoryReader reader(text);
    BufferedSource source(reader);
    UnpackOptions options{.form = form, .rootless = true};
    options.limits = {.most_bytes = 1u << 20, .most_entries = 200, .longest_header = 64u << 10};
    const auto unpacked = unpack_layer(source, target.get(), options);
    if (unpacked) static_cast<void>(take_from_below(target.get(), {target.get()}, *unpacked, options));
    const auto removed = remove_any_tree(fd_.get(), "root");
    FUZZ_CHECK(removed.has_value());
    check();
  }

 private:
  void check() const {
    struct stat info{};
    FUZZ_CHECK(::fstatat(fd_.get(), "outside", &info, AT_SYMLINK_NOFOLLOW) == 0);
    FUZZ_CHECK(S_ISREG(info.st_mode) && info.st_nlink == 1 && info.st_size == 4 && (info.st_mode & 07777) == 0600);
    FUZZ_CHECK(::fstat(fd_.get(), &info) == 0 && info.st_nlink == 2);
  }
  std::string path_;
  Fd fd_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Place place;
  if (size == 0) return 0;
  place.unpack(as_text(data + 1, size - 1), (data[0] & 1) != 0 ? LayerForm::kPlain : LayerForm::kOverlay);
  return 0;
}
