#include "tests/server/tracing/collector.h"

#include <utility>

namespace antidiffusion {

class Collector::Handler : public CivetHandler {
 public:
  explicit Handler(Collector& collector) : collector_(collector) {}

  bool handlePost(CivetServer* /*server*/, mg_connection* connection) override {
    const mg_request_info* info = mg_get_request_info(connection);
    const char* type = mg_get_header(connection, "Content-Type");
    Request request{info->local_uri, type == nullptr ? "" : type, ""};
    char buffer[4096];
    int received = 0;
    while ((received = mg_read(connection, buffer, sizeof(buffer))) > 0) {
      request.body.append(buffer, static_cast<size_t>(received));
    }
    const Answer answer = collector_.Take(std::move(request));
    std::string text = "HTTP/1.1 " + std::to_string(answer.code) + " Said\r\n";
    if (!answer.header.empty()) text += answer.header + "\r\n";
    text +=
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(answer.body.size()) +
        "\r\n\r\n" + answer.body;
    mg_write(connection, text.data(), text.size());
    return true;
  }

 private:
  Collector& collector_;
};

Collector::Collector()
    : handler_(std::make_unique<Handler>(*this)),
      server_(std::make_unique<CivetServer>(
          std::vector<std::string>{"listening_ports", "127.0.0.1:0", "num_threads", "2"})) {
  server_->addHandler("/", handler_.get());
}

Collector::~Collector() { Release(); }

std::string Collector::endpoint() const {
  return "http://127.0.0.1:" + std::to_string(server_->getListeningPorts().front()) + "/v1/traces";
}

void Collector::Clear() {
  MutexLock lock(mutex_);
  requests_.clear();
  answers_.clear();
  hold_ = false;
  changed_.NotifyAll();
}

void Collector::WillAnswer(std::vector<Answer> answers) {
  MutexLock lock(mutex_);
  answers_.assign(answers.begin(), answers.end());
}

void Collector::Hold() {
  MutexLock lock(mutex_);
  hold_ = true;
}

void Collector::Release() {
  MutexLock lock(mutex_);
  hold_ = false;
  changed_.NotifyAll();
}

Collector::Answer Collector::Take(Request request) {
  MutexLock lock(mutex_);
  requests_.push_back(std::move(request));
  changed_.NotifyAll();
  while (hold_) changed_.Wait(lock);
  if (answers_.empty()) return {};
  Answer answer = std::move(answers_.front());
  answers_.pop_front();
  return answer;
}

std::vector<Collector::Request> Collector::WaitForRequests(size_t count) {
  MutexLock lock(mutex_);
  while (requests_.size() < count) changed_.Wait(lock);
  return requests_;
}

std::vector<nlohmann::json> Collector::spans() {
  std::vector<nlohmann::json> spans;
  MutexLock lock(mutex_);
  for (const Request& request : requests_) {
    const auto body = nlohmann::json::parse(request.body);
    for (const auto& of_resource : body.at("resourceSpans")) {
      for (const auto& of_scope : of_resource.at("scopeSpans")) {
        for (const auto& span : of_scope.at("spans")) spans.push_back(span);
      }
    }
  }
  return spans;
}

}  // namespace antidiffusion
