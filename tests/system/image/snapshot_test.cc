// Layers and snapshots on real overlayfs.
#include "oci/image/snapshot.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "kernel/file.h"
#include "kernel/in_child.h"
#include "kernel/temp_folder_test.h"
#include "oci/image/tar_writer.h"

namespace proa::oci::image {
namespace {

namespace fs = std::filesystem;

class SnapshotTest : public testing::Test {
 protected:
  void SetUp() override {
    PROA_NEEDS_ROOT();
    store_.emplace(*Store::open({.root = folder_ / "images", .sync = Sync::kNone}));
    lease_.emplace(*store_->lease());
  }

  using Write = std::function<void(TarWriter&)>;
  LayerBlob layer(const Write& write, Compression compression = Compression::kGzip) {
    const auto packed = add_layer(*store_, *lease_, compression, [&](Sink& sink) -> Result<> {
      TarWriter tar(sink);
      write(tar);
      return tar.finish();
    });
    EXPECT_TRUE(packed) << packed.error().message();
    return {packed->descriptor.digest, packed->diff_id};
  }
  static void put(TarWriter& tar, TarEntry entry) {
    if (entry.mode == 0) entry.mode = entry.type == EntryType::kDirectory ? 0755 : 0644;
    ASSERT_TRUE(tar.add(entry));
  }
  Chain unpack(const std::vector<LayerBlob>& layers, const UnpackOptions& options = {}) {
    auto chain = unpack_layers(*store_, *lease_, layers, options);
    EXPECT_TRUE(chain) << chain.error().message();
    return *chain;
  }
  // Paths through a detached mount's descriptor.
  static std::string in(const Fd& mounted, std::string_view path) {
    return cat(kernel::FdPath(mounted.get()).c_str(), "/", path);
  }
  static std::string read(const Fd& mounted, std::string_view path) {
    return kernel::read_file(in(mounted, path).c_str()).value_or("(none)");
  }
  static void write(const Fd& mounted, std::string_view path, std::string_view text) {
    const auto file = kernel::open(in(mounted, path).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_TRUE(file) << file.error().message();
    ASSERT_TRUE(kernel::write_all(file->get(), text));
  }
  std::vector<std::string> changes(const std::string& id) {
    std::vector<std::string> out;
    const auto found = snapshot_changes(*store_, id);
    EXPECT_TRUE(found) << found.error().message();
    for (const Change& each : *found) out.push_back(cat(static_cast<char>(each.kind), " ", each.path));
    return out;
  }

  TempFolder folder_;
  std::optional<Store> store_;
  std::optional<Lease> lease_;
};

TEST_F(SnapshotTest, LayersLieUponEachOther) {
  const auto lower = layer([](TarWriter& tar) {
    put(tar, {.type = EntryType::kDirectory, .path = "tmp", .mode = 01777});
    put(tar, {.type = EntryType::kDirectory, .path = "etc", .mode = 0755});
    ASSERT_TRUE(tar.add_file("etc/a", "lower"));
    ASSERT_TRUE(tar.add_file("etc/b", "lower"));
    ASSERT_TRUE(tar.add_file("opt/x", "lower"));
  });
  const auto upper = layer(
      [](TarWriter& tar) {
        ASSERT_TRUE(tar.add_file("tmp/file", "upper"));  // tmp has no entry here
        ASSERT_TRUE(tar.add_file("etc/a", "upper"));
        ASSERT_TRUE(tar.add_file("etc/.wh.b", ""));
        ASSERT_TRUE(tar.add_file("opt/.wh..wh..opq", ""));
        put(tar, {.type = EntryType::kHardlink, .path = "etc/linked", .link = "opt/x"});
      },
      Compression::kZstd);
  const Chain chain = unpack({lower, upper});
  const auto mounted = mount_chain(*store_, chain);
  ASSERT_TRUE(mounted) << mounted.error().message();
  EXPECT_EQ(read(*mounted, "etc/a"), "upper");
  EXPECT_EQ(read(*mounted, "etc/b"), "(none)");
  EXPECT_EQ(read(*mounted, "opt/x"), "(none)");
  EXPECT_EQ(read(*mounted, "etc/linked"), "lower") << "a hardlink whose target is in the layer below";
  EXPECT_EQ(fs::status(in(*mounted, "tmp")).permissions(), static_cast<fs::perms>(01777))
      << "a folder that the upper layer only implies keeps its mode";
  EXPECT_NE(::creat(in(*mounted, "new").c_str(), 0644), 0);
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(unpack({lower, upper}).ids, chain.ids) << "again: nothing to do";
}

TEST_F(SnapshotTest, KeepsOwnersDevicesAndCapabilities) {
  vfs_cap_data capability{};
  capability.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
  capability.data[0].permitted = 1u << CAP_NET_RAW;
  const std::string bytes(reinterpret_cast<const char*>(&capability), XATTR_CAPS_SZ_2);
  const auto one = layer([&](TarWriter& tar) {
    put(tar, {.type = EntryType::kCharDevice, .path = "dev/null", .mode = 0666, .major = 1, .minor = 3});
    put(tar, {.path = "ping", .mode = 0755, .uid = 5, .gid = 70000, .xattrs = {{"security.capability", bytes}}});
    put(tar, {.path = "suid", .mode = 04755, .uid = 7});
  });
  const Chain plain = unpack({one});
  const Fd mounted = *mount_chain(*store_, plain);
  struct stat info{};
  ASSERT_EQ(::stat(in(mounted, "dev/null").c_str(), &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3));
  ASSERT_EQ(::stat(in(mounted, "ping").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 5u);
  EXPECT_EQ(info.st_gid, 70000u);
  char value[64];
  EXPECT_EQ(::getxattr(in(mounted, "ping").c_str(), "security.capability", value, sizeof value), XATTR_CAPS_SZ_2);
  ASSERT_EQ(::stat(in(mounted, "suid").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 04755u);

  UnpackOptions shifted;
  shifted.uids.ranges = shifted.gids.ranges = {{0, 100000, 80000}};
  const Chain moved = unpack({one}, shifted);
  const Fd other = *mount_chain(*store_, moved);
  ASSERT_EQ(::stat(in(other, "ping").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 100005u);
  EXPECT_EQ(info.st_gid, 170000u);
}

TEST_F(SnapshotTest, ChangesBecomeALayer) {
  const auto base = layer([](TarWriter& tar) {
    put(tar, {.type = EntryType::kDirectory, .path = "etc"});
    put(tar, {.type = EntryType::kDirectory, .path = "var/cache"});
    ASSERT_TRUE(tar.add_file("etc/keep", "1"));
    ASSERT_TRUE(tar.add_file("etc/change", "1"));
    ASSERT_TRUE(tar.add_file("etc/remove", "1"));
    ASSERT_TRUE(tar.add_file("var/cache/old", "1"));
  });
  const Chain chain = unpack({base});
  ASSERT_TRUE(prepare_snapshot(*store_, "box", chain));
  EXPECT_EQ(prepare_snapshot(*store_, "box", chain).error().code(), EEXIST);
  {
    const auto mounted = mount_snapshot(*store_, "box");
    ASSERT_TRUE(mounted) << mounted.error().message();
    write(*mounted, "etc/change", "22");
    write(*mounted, "etc/new", "new");
    fs::remove(in(*mounted, "etc/remove"));
    fs::remove_all(in(*mounted, "var/cache"));
    fs::create_directory(in(*mounted, "var/cache"));
    write(*mounted, "var/cache/fresh", "2");
    fs::create_hard_link(in(*mounted, "etc/new"), in(*mounted, "etc/same"));
  }
  EXPECT_EQ(changes("box"),
            (std::vector<std::string>{"C /etc", "C /etc/change", "A /etc/new", "D /etc/remove", "A /etc/same", "C /var",
                                      "C /var/cache", "A /var/cache/fresh", "D /var/cache/old"}));
  const auto usage = snapshot_usage(*store_, "box");
  ASSERT_TRUE(usage);
  EXPECT_GT(usage->bytes, 0u);
  const auto first = commit_snapshot(*store_, *lease_, "box", Compression::kGzip);
  const auto second = commit_snapshot(*store_, *lease_, "box", Compression::kNone);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->diff_id, second->diff_id) << "deterministic";
  ASSERT_TRUE(remove_snapshot(*store_, "box"));
  EXPECT_EQ(remove_snapshot(*store_, "box").error().code(), ENOENT);

  const Chain both = unpack({base, {first->descriptor.digest, first->diff_id}});
  const Fd mounted = *mount_chain(*store_, both);
  EXPECT_EQ(read(mounted, "etc/keep"), "1");
  EXPECT_EQ(read(mounted, "etc/change"), "22");
  EXPECT_EQ(read(mounted, "etc/remove"), "(none)");
  EXPECT_EQ(read(mounted, "var/cache/old"), "(none)");
  EXPECT_EQ(read(mounted, "var/cache/fresh"), "2");
  EXPECT_EQ(fs::hard_link_count(in(mounted, "etc/same")), 2u);
  EXPECT_EQ(chain_changes(*store_, chain, both)->size(), 9u);
  EXPECT_TRUE(chain_changes(*store_, both, both)->empty());
}

TEST_F(SnapshotTest, SnapshotsKeepTheirLayers) {
  const Chain chain = unpack({layer([](TarWriter& tar) { ASSERT_TRUE(tar.add_file("a", "1")); })});
  ASSERT_TRUE(prepare_snapshot(*store_, "box", chain));
  lease_.reset();
  EXPECT_EQ(store_->collect()->layers, 0u);
  EXPECT_TRUE(mount_snapshot(*store_, "box"));
  ASSERT_TRUE(remove_snapshot(*store_, "box"));
  EXPECT_EQ(store_->collect()->layers, 1u);
}

// More layers than one mount string of paths holds, both ways of mounting.
TEST_F(SnapshotTest, MountsManyLayers) {
  std::vector<LayerBlob> layers;
  for (int i = 0; i < 300; ++i)
    layers.push_back(
        layer([&](TarWriter& tar) { ASSERT_TRUE(tar.add_file(cat("f", i), cat(i))); }, Compression::kNone));
  const Chain chain = unpack(layers);
  for (const bool one_string : {false, true}) {
    const std::string id = one_string ? "old" : "new";
    ASSERT_TRUE(prepare_snapshot(*store_, id, chain));
    const auto mounted = mount_snapshot(*store_, id, {.one_string = one_string});
    ASSERT_TRUE(mounted) << mounted.error().message();
    for (const int i : {0, 150, 299}) EXPECT_EQ(read(*mounted, cat("f", i)), cat(i));
    write(*mounted, "f7", "changed");
    EXPECT_EQ(changes(id), std::vector<std::string>{"C /f7"});
  }
}

TEST_F(SnapshotTest, RefusesWrongContent) {
  auto one = layer([](TarWriter& tar) { ASSERT_TRUE(tar.add_file("a", "1")); });
  one.diff_id = Digest::of("other");
  const auto chain = unpack_layers(*store_, *lease_, {one}, {});
  ASSERT_FALSE(chain);
  EXPECT_NE(chain.error().message().find("diff id"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(folder_ / "images/layers"));
}

TEST_F(SnapshotTest, ManyUnpackTheSameAtOnce) {
  std::vector<LayerBlob> layers;
  for (int i = 0; i < 6; ++i)
    layers.push_back(layer([&](TarWriter& tar) { ASSERT_TRUE(tar.add_file("same", cat(i))); }));
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) threads.emplace_back([&] { EXPECT_TRUE(unpack_layers(*store_, *lease_, layers, {})); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "images/layers"), {}), 6);
  EXPECT_EQ(read(*mount_chain(*store_, unpack(layers)), "same"), "5");
}

}  // namespace
}  // namespace proa::oci::image
