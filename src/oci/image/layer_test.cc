// Tar streams and layers on the disk, as a user without rights: what needs root is in tests/system.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>

#include "kernel/file.h"
#include "kernel/temp_folder_test.h"
#include "oci/image/pack.h"
#include "oci/image/tar_format.h"
#include "oci/image/tar_writer.h"
#include "oci/image/text_sink_test.h"
#include "oci/image/unpack.h"

namespace proa::oci::image {
namespace {

namespace fs = std::filesystem;

// An archive, made entry by entry.
class Archive {
 public:
  Archive& add(EntryType type, std::string path, std::string content_or_link = "", mode_t mode = 0755) {
    TarEntry entry;
    entry.type = type;
    entry.path = std::move(path);
    entry.mode = mode;
    entry.uid = ::geteuid();
    entry.gid = ::getegid();
    entry.mtime = {1'700'000'000, 123'456'789};
    if (type == EntryType::kFile)
      entry.size = content_or_link.size();
    else
      entry.link = content_or_link;
    return add(entry, type == EntryType::kFile ? content_or_link : "");
  }
  Archive& add(const TarEntry& entry, const std::string& content = "") {
    EXPECT_TRUE(tar_.add(entry));
    if (!content.empty()) EXPECT_TRUE(tar_.write(std::string_view(content)));
    return *this;
  }
  Archive& file(std::string path, std::string content = "x", mode_t mode = 0644) {
    return add(EntryType::kFile, std::move(path), std::move(content), mode);
  }
  Archive& folder(std::string path, mode_t mode = 0755) {
    return add(EntryType::kDirectory, std::move(path), "", mode);
  }
  Archive& symlink(std::string path, std::string to) {
    return add(EntryType::kSymlink, std::move(path), std::move(to));
  }
  Archive& hardlink(std::string path, std::string to) {
    return add(EntryType::kHardlink, std::move(path), std::move(to));
  }
  std::string text() {
    EXPECT_TRUE(tar_.finish());
    return out_.text;
  }

 private:
  Text out_;
  TarWriter tar_{out_};
};

class LayerTest : public testing::Test {
 protected:
  LayerTest() {
    fs::create_directory(folder_ / "root");
    fs::create_directory(folder_ / "outside");
    folder_.write("outside/secret", "kept");
    root_ = *kernel::open((folder_ / "root").c_str(), O_RDONLY | O_DIRECTORY);
  }
  Result<Unpacked> unpack(const std::string& text, LayerForm form = LayerForm::kOverlay, TarLimits limits = {}) {
    MemoryReader reader(text);
    BufferedSource source(reader);
    return unpack_layer(source, root_.get(), {.form = form, .rootless = true, .limits = limits});
  }
  // The error of an archive that must be refused, and nothing outside touched.
  std::string refused(const std::string& text, TarLimits limits = {}) {
    const auto result = unpack(text, LayerForm::kOverlay, limits);
    EXPECT_EQ(folder_.read("outside/secret"), "kept");
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "outside"), {}), 1);
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 2);
    return result ? "" : result.error().message();
  }
  std::string at(const std::string& name) { return folder_ / ("root/" + name); }
  struct stat info(const std::string& name) {
    struct stat out{};
    EXPECT_EQ(::lstat(at(name).c_str(), &out), 0) << name;
    return out;
  }

  TempFolder folder_;
  Fd root_;
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST_F(LayerTest, UnpacksEveryKind) {
  const std::string long_name = std::string(120, 'd') + "/" + std::string(120, 'f');
  const auto result = unpack(Archive()
                                 .folder("etc", 0750)
                                 .file("etc/conf", "text", 04755)
                                 .hardlink("etc/same", "etc/conf")
                                 .symlink("etc/link", "/nowhere")
                                 .add(EntryType::kFifo, "etc/pipe", "", 0600)
                                 .file("./" + long_name)
                                 .text());
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->entries, 6u);
  EXPECT_EQ(folder_.read("root/etc/conf"), "text");
  EXPECT_EQ(info("etc/conf").st_mode & 07777, 04755u);
  EXPECT_EQ(info("etc/conf").st_mtim.tv_nsec, 123'456'789);
  EXPECT_EQ(info("etc").st_mtim.tv_sec, 1'700'000'000);
  EXPECT_EQ(info("etc").st_mode & 07777, 0750u);
  EXPECT_EQ(info("etc/same").st_ino, info("etc/conf").st_ino);
  EXPECT_EQ(fs::read_symlink(at("etc/link")), "/nowhere");
  EXPECT_TRUE(S_ISFIFO(info("etc/pipe").st_mode));
  EXPECT_TRUE(fs::exists(at(long_name)));
  EXPECT_EQ(result->implied, (std::vector<std::string>{std::string(120, 'd'), "."}));
}

TEST_F(LayerTest, WhiteoutsBecomeOverlayfs) {
  const auto result = unpack(Archive()
                                 .folder("a")
                                 .file("a/.wh.gone", "")
                                 .file("a/.wh..wh.plnk", "")
                                 .folder("b")
                                 .file("b/.wh..wh..opq", "")
                                 .file("c/.wh.d", "")
                                 .folder("c/d")
                                 .file("kept")
                                 .file(".wh.kept", "")
                                 .text());
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(S_ISCHR(info("a/gone").st_mode));
  EXPECT_EQ(info("a/gone").st_rdev, 0u);
  EXPECT_FALSE(fs::exists(at("a/.wh..wh.plnk")));
  char value = 0;
  EXPECT_EQ(::getxattr(at("b").c_str(), "user.overlay.opaque", &value, 1), 1);
  EXPECT_EQ(::getxattr(at("c/d").c_str(), "user.overlay.opaque", &value, 1), 1) << "replaced a lower one";
  EXPECT_EQ(folder_.read("root/kept"), "x");
}

TEST_F(LayerTest, WhiteoutsRemoveInPlainForm) {
  ASSERT_TRUE(unpack(Archive().folder("a").file("a/old").file("a/sub/old").file("b").text(), LayerForm::kPlain));
  ASSERT_TRUE(
      unpack(Archive().file("a/sub/new").file("a/.wh..wh..opq", "").file(".wh.b", "").file(".wh.absent", "").text(),
             LayerForm::kPlain));
  EXPECT_FALSE(fs::exists(at("a/old")));
  EXPECT_FALSE(fs::exists(at("a/sub/old")));
  EXPECT_TRUE(fs::exists(at("a/sub/new")));
  EXPECT_FALSE(fs::exists(at("b")));
}

TEST_F(LayerTest, LaterEntriesReplaceEarlierOnes) {
  const auto result = unpack(Archive()
                                 .folder("x")
                                 .file("x/in")
                                 .file("x", "now a file")
                                 .symlink("y", "x")
                                 .folder("y")
                                 .file("y/in", "1")
                                 .file("y/in", "2")
                                 .text());
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(folder_.read("root/x"), "now a file");
  EXPECT_TRUE(S_ISDIR(info("y").st_mode));
  EXPECT_EQ(folder_.read("root/y/in"), "2");
}

TEST_F(LayerTest, SymlinksStayInside) {
  EXPECT_EQ(refused(Archive()
                        .folder("there")
                        .symlink("abs", "/there")
                        .file("abs/secret", "changed")
                        .symlink("up", "../../../../../../..")
                        .file("up/secret", "changed")
                        .text()),
            std::string())
      << "contained: absolute and climbing symlinks end at the layer's root";
  EXPECT_EQ(folder_.read("root/there/secret"), "changed");
  EXPECT_EQ(folder_.read("root/secret"), "changed");
  EXPECT_TRUE(contains(refused(Archive().symlink("out", folder_ / "outside").file("out/secret", "changed").text()),
                       "\"out\" is a symlink to nothing"));
}

TEST_F(LayerTest, RefusesToLeave) {
  EXPECT_TRUE(contains(refused(Archive().file("../outside/secret", "changed").text()), "\"../outside/secret\""));
  EXPECT_TRUE(contains(refused(Archive().file("a/../../outside/secret", "changed").text()), "leaves"));
  EXPECT_TRUE(contains(refused(Archive().file("../.wh.outside", "").text()), "leaves"));
  EXPECT_TRUE(contains(refused(Archive().hardlink("h", "../outside/secret").text()), "leaves"));
  EXPECT_EQ(refused(Archive().file("/etc/abs", "inside").text()), "");
  EXPECT_EQ(folder_.read("root/etc/abs"), "inside");
}

TEST_F(LayerTest, HardlinksStayInside) {
  // Through a symlink out: its target is looked for inside, and is not there.
  const auto result = unpack(Archive().symlink("s", folder_ / "outside").hardlink("h", "s/secret").text());
  ASSERT_TRUE(result);
  EXPECT_EQ(result->outside_hardlinks.size(), 1u);
  EXPECT_FALSE(fs::exists(at("h")));
  // To a symlink: the link itself.
  ASSERT_TRUE(
      unpack(Archive().symlink("s2", folder_ / "outside/secret").hardlink("h2", "s2").file("h2", "new").text()));
  EXPECT_EQ(folder_.read("outside/secret"), "kept");
  EXPECT_TRUE(contains(refused(Archive().folder("d").hardlink("h3", "d").text()), "is a folder"));
  EXPECT_TRUE(contains(refused(Archive().hardlink("h4", "h4").text()), "itself"));
}

TEST_F(LayerTest, RefusesOddNames) {
  EXPECT_TRUE(contains(refused(Archive().file("d/.wh.", "").text()), "whiteout"));
  EXPECT_TRUE(contains(refused(Archive().file("d/.wh...", "").text()), "whiteout"));
  EXPECT_TRUE(contains(refused(Archive().file(std::string(300, 'n')).text()), "name too long"));
  EXPECT_TRUE(contains(refused(Archive().file("f").file("f/below").text()), "\"f\" is no folder"));
  EXPECT_TRUE(contains(refused(Archive().file(".", "x").text()), "root"));
  EXPECT_TRUE(contains(refused(Archive().symlink("loop", "loop").file("loop/x").text()), "loop"));
}

TEST_F(LayerTest, DropsOverlayfsAttributes) {
  TarEntry entry;
  entry.type = EntryType::kDirectory;
  entry.path = "d";
  entry.mode = 0755;
  entry.xattrs = {{"user.overlay.redirect", "/etc"}, {"user.fine", std::string("v\0v", 3)}};
  ASSERT_TRUE(unpack(Archive().add(entry).text()));
  char value[8];
  EXPECT_LT(::getxattr(at("d").c_str(), "user.overlay.redirect", value, sizeof value), 0);
  EXPECT_EQ(::getxattr(at("d").c_str(), "user.fine", value, sizeof value), 3);
}

TEST_F(LayerTest, KeepsBounds) {
  Archive many;
  for (int i = 0; i < 20; ++i) many.file(cat("f", i));
  EXPECT_TRUE(contains(refused(many.text(), {.most_entries = 10}), "10 entries"));
  EXPECT_TRUE(
      contains(refused(Archive().file("big", std::string(5000, 'x')).text(), {.most_bytes = 4096}), "4096 bytes"));
}

// Headers that only a hostile writer makes.
std::string header(char type, std::string_view name, std::string_view size) {
  std::string block(tar::kBlockSize, '\0');
  const auto put = [&](tar::Field field, std::string_view text) { block.replace(field.offset, text.size(), text); };
  put(tar::kName, name);
  put(tar::kMode, "0000644");
  put(tar::kUid, "0000000");
  put(tar::kGid, "0000000");
  put(tar::kSize, size);
  put(tar::kMtime, "00000000000");
  put(tar::kType, std::string_view(&type, 1));
  put(tar::kMagic, std::string_view("ustar\00000", 8));
  put(tar::kChecksum, "        ");
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  block.replace(tar::kChecksum.offset, 7, text, 7);
  return block;
}
std::string padded(std::string text) {
  text.append(tar::padding_of(text.size()), '\0');
  return text;
}

TEST_F(LayerTest, RefusesHostileHeaders) {
  std::string loop;
  for (int i = 0; i < 40; ++i) loop += header('x', "p", "00000000000");
  EXPECT_TRUE(contains(refused(loop), "extended headers in a row"));
  EXPECT_TRUE(contains(refused(header('x', "p", "77777777777")), "too large"));
  EXPECT_TRUE(contains(refused(header('0', "f", "77777777777")), "ends too early"));
  EXPECT_TRUE(contains(refused(header('0', "f", "99999999999")), "size"));
  EXPECT_TRUE(
      contains(refused(header('0', "f", std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12))), "size"));
  EXPECT_TRUE(contains(refused(header('Z', "f", "00000000000")), "unknown type 'Z'"));
  EXPECT_TRUE(contains(refused(std::string(512, 'g')), "checksum"));
  EXPECT_TRUE(contains(refused(header('x', "p", "00000000011") + padded("9999 a=b\n")), "record"));
  const auto sparse = [](const std::string& map) {
    const std::string pax = cat("22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n28 GNU.sparse.realsize=4096\n");
    char size[12], stored[12];
    std::snprintf(size, sizeof size, "%011zo", pax.size());
    const std::string data = padded(map);
    std::snprintf(stored, sizeof stored, "%011zo", data.size() + 4);
    return header('x', "p", size) + padded(pax) + header('0', "sparse", stored) + data + padded("abcd");
  };
  EXPECT_EQ(refused(sparse("1\n0\n4\n")), "");
  EXPECT_TRUE(contains(refused(sparse("1\n5000\n4\n")), "sparse map"));
  EXPECT_TRUE(contains(refused(sparse("2\n8\n2\n4\n2\n")), "sparse map"));
  EXPECT_TRUE(contains(refused(sparse("1\n0\n3\n")), "sparse map"));
  EXPECT_TRUE(contains(refused(sparse("99999999\n")), "sparse map"));
}

TEST_F(LayerTest, GlobalHeadersHoldForAllThatFollow) {
  const std::string pax = "34 SCHILY.xattr.user.global=every\n";
  char size[12];
  std::snprintf(size, sizeof size, "%011zo", pax.size());
  ASSERT_TRUE(
      unpack(header('g', "p", size) + padded(pax) + header('0', "a", "00000000000") + header('0', "b", "00000000000")));
  char value[8];
  EXPECT_EQ(::getxattr(at("b").c_str(), "user.global", value, sizeof value), 5);
}

TEST_F(LayerTest, TreesDeeperThanDescriptorsAreRemoved) {
  std::string path = "d";
  Archive archive;
  archive.folder(path);
  for (int i = 0; i < 1500; ++i) archive.folder(path += "/d");
  ASSERT_TRUE(unpack(archive.text()));
  const auto removed = remove_any_tree(root_.get(), "d");
  EXPECT_TRUE(removed) << removed.error().message();
  EXPECT_TRUE(fs::is_empty(folder_ / "root"));
}

TEST_F(LayerTest, PackedAgainItIsTheSame) {
  Archive archive;
  archive.folder("a/").file("a/.wh.gone", "").file("a/f", "text", 0640).hardlink("a/g", "a/f").symlink("a/l", "f");
  archive.folder("b/").file("b/.wh..wh..opq", "").add(EntryType::kFifo, "p", "", 0600).file("s/suid", "x", 04711);
  ASSERT_TRUE(unpack(archive.text()));
  Text first, second;
  ASSERT_TRUE(pack_tree(root_.get(), first, {.form = LayerForm::kOverlay}));
  ASSERT_TRUE(pack_tree(root_.get(), second, {.form = LayerForm::kOverlay}));
  EXPECT_EQ(first.text, second.text);
  MemoryReader reader(first.text);
  BufferedSource source(reader);
  TarReader tar(source);
  TarEntry entry;
  std::vector<std::string> paths;
  while (*tar.next(entry)) paths.push_back(entry.path + (entry.link.empty() ? "" : ">" + entry.link));
  EXPECT_EQ(paths, (std::vector<std::string>{"a/", "a/f", "a/g>a/f", "a/.wh.gone", "a/l>f", "b/", "b/.wh..wh..opq", "p",
                                             "s/", "s/suid"}));
}

TEST_F(LayerTest, SparseFilesStaySparse) {
  const Fd file = *kernel::open(at("hole").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::ftruncate(file.get(), 64 << 20), 0);
  ASSERT_EQ(::pwrite(file.get(), "data", 4, 32 << 20), 4);
  Text packed;
  ASSERT_TRUE(pack_tree(root_.get(), packed));
  EXPECT_LT(packed.text.size(), 1u << 20);
  fs::remove(at("hole"));
  const auto result = unpack(packed.text);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(info("hole").st_size, 64 << 20);
  EXPECT_LT(info("hole").st_blocks * 512, 1 << 20);
  char text[4];
  const Fd again = *kernel::open(at("hole").c_str(), O_RDONLY);
  ASSERT_EQ(::pread(again.get(), text, 4, 32 << 20), 4);
  EXPECT_EQ(std::string_view(text, 4), "data");
}

TEST(LayerIdMap, ShiftsBothWays) {
  const IdMap map{{{0, 100000, 1000}, {5000, 7, 1}}};
  EXPECT_EQ(*map.to_host(999, "uid"), 100999u);
  EXPECT_EQ(*map.to_host(5000, "uid"), 7u);
  EXPECT_FALSE(map.to_host(1000, "uid"));
  EXPECT_EQ(*map.to_container(100999, "uid"), 999u);
  EXPECT_FALSE(map.to_container(99999, "uid"));
}

}  // namespace
}  // namespace proa::oci::image
