#include "server/job_identity.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"

namespace antidiffusion {
namespace {

// Equal messages give equal bytes, whatever the order of their maps.
std::string Serialised(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

// Without image and request_id.
v1::ProtectRequest BodyOf(const v1::ProtectRequest& request) {
  v1::ProtectRequest body;
  body.set_model(request.model());
  if (request.has_options()) *body.mutable_options() = request.options();
  if (request.has_output()) *body.mutable_output() = request.output();
  *body.mutable_labels() = request.labels();
  body.set_priority(request.priority());
  if (request.has_timeout()) *body.mutable_timeout() = request.timeout();
  return body;
}

// What the result depends on of all models that it is made with: their weights, and what a sidecar
// or a config may say otherwise of the same weights. "" while one is not known.
std::string ModelsOf(const JobRequest& job, const ModelCatalogue& catalogue) {
  std::vector<std::string> names = {job.model};
  names.insert(names.end(), job.options.also.begin(), job.options.also.end());
  std::string all;
  for (const std::string& name : names) {
    const ModelInfo info = catalogue.InfoOf(name);
    if (info.digest.empty()) return "";
    absl::StrAppend(&all, info.digest, info.prediction_type, info.native_side, info.precision);
  }
  return all;
}

}  // namespace

void Identify(const v1::ProtectRequest& request, const std::string& image, bool result_cache,
              const ModelCatalogue& catalogue, JobRequest& job) {
  v1::ProtectRequest body = BodyOf(request);
  job.image_digest = Sha256Hex(image);
  job.body_hash = Sha256Hex(absl::StrCat(job.image_digest, Serialised(body)));
  body.set_model(job.model);  // a later start may have another default
  job.body = Serialised(body);
  if (result_cache) job.cache_key = CacheKeyOf(job, catalogue);
}

std::string CacheKeyOf(const JobRequest& job, const ModelCatalogue& catalogue) {
  const std::string models = ModelsOf(job, catalogue);
  v1::ProtectRequest body;
  if (models.empty() || !body.ParseFromString(job.body)) return "";
  return Sha256Hex(absl::StrCat(job.tenant, "\n", job.image_digest, models,
                                Serialised(body.options()), "\n", Serialised(body.output())));
}

}  // namespace antidiffusion
