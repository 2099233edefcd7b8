// The socket below a TLS session: OpenSSL reads and writes through it, and it remembers whether more is to be had.
#pragma once

struct bio_st;
struct ssl_st;

namespace proa::net {

struct TlsSocket {
  int fd = -1;
  // The last read got less than it had room for: the kernel has nothing left, and will tell when it has.
  bool drained = false;
};

// `socket` stays where it is until `ssl` ends, and is closed by whoever owns the descriptor. False: no memory.
bool use_socket(ssl_st* ssl, TlsSocket& socket);

}  // namespace proa::net
