// What makes a request the same as another, and its result the same as another's.
#pragma once

#include <string>

#include "antidiffusion/v1/protection.pb.h"
#include "server/job.h"
#include "server/model_catalogue.h"

namespace antidiffusion {

// Fills in body, hashes and, with `result_cache`, the cache key of `job`, whose model and tenant
// are known. Hashes the image, which takes a millisecond a megabyte or two.
void Identify(const v1::ProtectRequest& request, const std::string& image, bool result_cache,
              const ModelCatalogue& catalogue, JobRequest& job);

// The key of a request whose body and image digest are known, with the models as they are now. "":
// one of them is not known.
std::string CacheKeyOf(const JobRequest& job, const ModelCatalogue& catalogue);

}  // namespace antidiffusion
