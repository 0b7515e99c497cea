#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace residua {

/// The other end of a connection has closed it, or the network has given it up.
class ConnectionLost : public Error {
 public:
  using Error::Error;
};

using Deadline = std::chrono::steady_clock::time_point;
/// The point in time that is so many seconds from now; far away if `seconds` is 0, or above 1e9.
Deadline deadline_in(double seconds);

/// A TCP connection, or a socket that waits for some. Never blocks longer than asked for. Every failed call throws Error, which
/// names the call.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket();
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;

  /// Neither end can send any more. Another thread may still use this object.
  void shut_down() const;
  bool open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  void close();

  /// Waits for connections at this port: of this machine only, if `address` is a loopback address, otherwise of any.
  static Socket listen(const std::string& address, int64_t port);
  /// The next connection; not open if there is none.
  Socket accept() const;
  /// Connects to an address; not open if nobody listens there yet, and then `why` says so.
  static Socket connect(const std::string& address, int64_t port, Deadline deadline, std::string& why);

  /// Sends all bytes. Throws ConnectionLost, or Error if that takes longer.
  void send(std::string_view bytes, Deadline deadline) const;
  /// Appends what has arrived, at most `most` bytes. Does not wait. Throws ConnectionLost at the end of the connection.
  void receive(std::string& bytes, size_t most) const;
  /// Waits until something arrives. Returns false if nothing does.
  bool wait_for_input(Deadline deadline) const;
  /// "10.0.0.2:4711", of the other end.
  std::string peer() const;
  /// The port that it listens at.
  int64_t port() const;

 private:
  int fd_ = -1;
};

}  // namespace residua
