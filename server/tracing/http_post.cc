#include "server/tracing/http_post.h"

#include <curl/curl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace antidiffusion {
namespace {

constexpr size_t kMaxBody = 64 << 10;

size_t Keep(const char* data, size_t /*one*/, size_t size, void* reply) {
  std::string& body = static_cast<HttpPost::Reply*>(reply)->body;
  body.append(data, std::min(size, kMaxBody - body.size()));
  return size;
}

int AskWhetherOver(void* is_over, curl_off_t /*to_get*/, curl_off_t /*got*/, curl_off_t /*to_put*/,
                   curl_off_t /*put*/) {
  return (*static_cast<const std::function<bool()>*>(is_over))() ? 1 : 0;
}

absl::Status CheckUrl(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), curl_url_cleanup);
  const CURLUcode code = curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0);
  char* scheme = nullptr;
  if (code == CURLUE_OK) curl_url_get(parsed.get(), CURLUPART_SCHEME, &scheme, 0);
  const std::string given = scheme == nullptr ? "" : scheme;
  curl_free(scheme);
  if (given == "http" || given == "https") return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(url, ": not an address of http or https"));
}

}  // namespace

// The handle and its headers. libcurl's own initialisation counts its users.
class HttpPost::Curl {
 public:
  Curl() : handle_(Init()) {
    headers_ = curl_slist_append(headers_, "Content-Type: application/json");
    headers_ = curl_slist_append(headers_, "Expect:");
  }
  ~Curl() {
    curl_slist_free_all(headers_);
    curl_easy_cleanup(handle_);
    curl_global_cleanup();
  }
  Curl(const Curl&) = delete;
  Curl& operator=(const Curl&) = delete;

  CURL* handle() { return handle_; }
  const curl_slist* headers() const { return headers_; }

 private:
  static CURL* Init() {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return curl_easy_init();
  }

  CURL* const handle_;
  curl_slist* headers_ = nullptr;
};

HttpPost::HttpPost(std::unique_ptr<Curl> curl) : curl_(std::move(curl)) {}
HttpPost::~HttpPost() = default;

absl::StatusOr<std::unique_ptr<HttpPost>> HttpPost::Create(const std::string& url) {
  auto curl = std::make_unique<Curl>();
  CURL* const handle = curl->handle();
  if (handle == nullptr) return absl::ResourceExhaustedError("libcurl does not start");
  if (absl::Status status = CheckUrl(url); !status.ok()) return status;
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_PROXY, "");
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_POST, 1L);
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, curl->headers());
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, AskWhetherOver);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, Keep);
  return std::unique_ptr<HttpPost>(new HttpPost(std::move(curl)));
}

absl::StatusOr<HttpPost::Reply> HttpPost::Send(const std::string& body, absl::Duration timeout,
                                               const std::function<bool()>& is_over) {
  CURL* const handle = curl_->handle();
  Reply reply;
  const int64_t milliseconds = std::max<int64_t>(1, absl::ToInt64Milliseconds(timeout));
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(milliseconds));
  curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &is_over);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &reply);
  const CURLcode code = curl_easy_perform(handle);
  if (code != CURLE_OK) return absl::UnavailableError(curl_easy_strerror(code));
  long response_code = 0;
  curl_off_t retry_after = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &response_code);
  curl_easy_getinfo(handle, CURLINFO_RETRY_AFTER, &retry_after);
  reply.code = static_cast<int>(response_code);
  reply.retry_after = absl::Seconds(retry_after);
  return reply;
}

}  // namespace antidiffusion
