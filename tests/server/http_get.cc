#include "tests/server/http_get.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace antidiffusion {

HttpReply HttpGet(int port, const std::string& path) {
  const int connection = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    if (send(connection, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
      char buffer[4096];
      ssize_t received = 0;
      while ((received = recv(connection, buffer, sizeof(buffer), 0)) > 0) {
        answer.append(buffer, static_cast<size_t>(received));
      }
    }
  }
  close(connection);
  HttpReply reply;
  const size_t end = answer.find("\r\n\r\n");
  if (answer.size() < 12 || end == std::string::npos) return reply;
  reply.code = std::atoi(answer.c_str() + 9);  // behind "HTTP/1.1 "
  reply.head = answer.substr(0, end);
  reply.body = answer.substr(end + 4);
  return reply;
}

}  // namespace antidiffusion
