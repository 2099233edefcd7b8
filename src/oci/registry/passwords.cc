#include "oci/registry/passwords.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include <algorithm>
#include <array>

#include "base/ids.h"
#include "base/openssl.h"
#include "base/text.h"
#include "kernel/file.h"
#include "net/auth.h"
#include "net/crypto.h"

namespace proa::oci::registry {
namespace {

// bcrypt looks at no more; longer ones would be cut unseen.
constexpr size_t kLongestPassword = 512;
constexpr size_t kMostFailures = 20'000;
constexpr unsigned kFreeTries = 5;            // of one user from one address
constexpr unsigned kFreeTriesOfAddress = 30;  // of any users
constexpr std::chrono::seconds kLongestWait(300);
constexpr std::array<std::string_view, 6> kMethods = {"$2y$", "$2b$", "$2a$", "$5$", "$6$", "$y$"};
// Of a random password: who asks for an unknown user waits as long as for a known one.
constexpr const char* kNobody = "$2y$10$LbhwqXm8NfqHWyQTJ0VbeOPCrBlhLYqrfKqDUGJU3bGHvXtqLN8kK";

std::string crypt_text(const std::string& password, const char* setting) {
  auto data = std::make_unique<crypt_data>();
  const char* text = ::crypt_r(password.c_str(), setting, data.get());
  std::string out = text == nullptr || *text == '*' ? std::string() : std::string(text);
  ::explicit_bzero(data.get(), sizeof *data);
  return out;
}

}  // namespace

Result<std::unique_ptr<Passwords>> Passwords::load(const std::string& path, const Clock& clock) {
  net::crypto::prepare();
  std::unique_ptr<Passwords> out(new Passwords(path, clock, TRY(random_hex(32))));
  TRY(out->reload());
  return out;
}

Result<> Passwords::reload() {
  const std::string text = TRY_CTX(kernel::read_file(path_.c_str()), "htpasswd");
  auto hashes = std::make_shared<Hashes>();
  std::string_view rest = text;
  for (size_t number = 1; !rest.empty(); ++number) {
    std::string_view line = cut(rest, '\n');
    while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    std::string_view hash = line;
    const std::string_view user = cut(hash, ':');
    if (user.empty() || hash.empty()) return fail("htpasswd ", path_, ": line ", number, ": must be USER:HASH");
    hash = hash.substr(0, hash.find(':'));
    const bool known = std::ranges::any_of(kMethods, [&](std::string_view each) { return hash.starts_with(each); });
    if (!known)
      return fail("htpasswd ", path_, ": line ", number, ": the password of \"", user, "\" is hashed by a weak method")
          .hint("make the line with 'proa registry passwd USER' or 'htpasswd -B'");
    (*hashes)[std::string(user)] = hash;
  }
  const std::lock_guard lock(mutex_);
  hashes_ = std::move(hashes);
  known_.clear();
  return {};
}

std::string Passwords::proof(const std::string& hash, const std::string& user, const std::string& password) const {
  const std::string text = cat(hash, "\n", user, "\n", password);
  prepare_tls();
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), out, &size);
  return {reinterpret_cast<const char*>(out), size};
}

int64_t Passwords::still_waits(const std::string& address, const std::string& user) {
  const MonotonicTime now = clock_.monotonic();
  int64_t wait = 0;
  for (const std::string& key : {address, cat(address, "\n", user)})
    if (const auto found = failures_.find(key); found != failures_.end() && found->second.until > now)
      wait = std::max<int64_t>(wait, std::chrono::ceil<std::chrono::seconds>(found->second.until - now).count());
  return wait;
}

void Passwords::record(const std::string& key, bool right, unsigned free_tries) {
  if (right) {
    failures_.erase(key);
    return;
  }
  const MonotonicTime now = clock_.monotonic();
  // An attacker with many addresses must not fill the memory; who waits is remembered longest.
  if (failures_.size() >= kMostFailures)
    std::erase_if(failures_, [&](const auto& each) { return each.second.until < now; });
  if (failures_.size() >= kMostFailures) failures_.clear();
  Failures& failures = failures_[key];
  if (++failures.count < free_tries) return;
  const unsigned doublings = std::min(failures.count - free_tries, 16u);
  failures.until = now + std::min<std::chrono::seconds>(std::chrono::seconds(1u << doublings), kLongestWait);
}

Passwords::Checked Passwords::check(const std::string& user, const std::string& password, const std::string& address) {
  std::string hash = kNobody;
  bool exists = false;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = hashes_->find(user); found != hashes_->end()) {
      hash = found->second;
      exists = true;
    }
    if (const auto known = known_.find(user);
        exists && known != known_.end() && net::equals_secret(known->second, proof(hash, user, password)))
      return {Verdict::kRight};
    if (const int64_t wait = still_waits(address, user); wait > 0) return {Verdict::kTooMany, wait};
  }
  const bool fits = password.size() <= kLongestPassword && password.find('\0') == std::string::npos;
  const std::string made = crypt_text(fits ? password : std::string(), hash.c_str());
  const bool right = exists && fits && net::equals_secret(made, hash);
  const std::lock_guard lock(mutex_);
  record(cat(address, "\n", user), right, kFreeTries);
  if (!right) record(address, false, kFreeTriesOfAddress);
  if (right) known_[user] = proof(hash, user, password);
  return {right ? Verdict::kRight : Verdict::kWrong};
}

Result<std::string> htpasswd_line(std::string_view user, const std::string& password) {
  const bool plain =
      std::ranges::none_of(user, [](char c) { return c == ':' || static_cast<unsigned char>(c) <= ' '; });
  if (user.empty() || !plain) return fail("user name: must not be empty, nor have spaces or colons");
  if (password.empty()) return fail("password: must not be empty");
  if (password.size() > 72) return fail("password: must not be longer than 72 bytes, for bcrypt uses no more");
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (::crypt_gensalt_rn("$2y$", 10, nullptr, 0, setting, sizeof setting) == nullptr)
    return fail_errno(errno, "salt for bcrypt");
  const std::string hash = crypt_text(password, setting);
  if (hash.empty()) return fail("bcrypt failed");
  return cat(user, ":", hash);
}

}  // namespace proa::oci::registry
