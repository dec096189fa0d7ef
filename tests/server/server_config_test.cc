#include "server/server_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A variable of the environment for the length of a test.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~ScopedVariable() { unsetenv(name_); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
};

class ServerConfigTest : public ::testing::Test {
 protected:
  std::variant<ServerConfig, int> Parse(std::vector<const char*> flags) {
    flags.insert(flags.begin(), "antidiffusiond");
    return ParseServerConfig(static_cast<int>(flags.size()), flags.data(), out_, err_);
  }
  ServerConfig Config(std::vector<const char*> flags) {
    auto parsed = Parse(std::move(flags));
    EXPECT_TRUE(std::holds_alternative<ServerConfig>(parsed)) << err_.str();
    return std::get<ServerConfig>(parsed);
  }

  std::ostringstream out_;
  std::ostringstream err_;
  TempDir dir_;
};

TEST_F(ServerConfigTest, Defaults) {
  const ServerConfig config = Config({});
  EXPECT_EQ(config.grpc_port, 8001);
  EXPECT_EQ(config.metrics_port, 8002);
  EXPECT_TRUE(config.strict_readiness);
  EXPECT_EQ(config.max_image_bytes, 32 << 20);
  EXPECT_EQ(config.drain_timeout, absl::Seconds(120));
  EXPECT_EQ(config.grpc_keepalive_time, absl::Seconds(30));
  EXPECT_THAT(config.devices, ElementsAre("auto"));
  EXPECT_THAT(config.model_repository, HasSubstr("models"));
}

TEST_F(ServerConfigTest, EveryFlagArrives) {
  const ServerConfig config = Config({"--grpc-address=::1",
                                      "--metrics-address=10.0.0.7",
                                      "--grpc-port=1",
                                      "--metrics-port=2",
                                      "--port-file=p",
                                      "--model-repository=r",
                                      "--load-model=a",
                                      "--load-model=b",
                                      "--default-model=b",
                                      "--strict-readiness=false",
                                      "--device=cuda:0,cuda:1",
                                      "--precision=bf16",
                                      "--threads=3",
                                      "--max-queue-size=4",
                                      "--max-queue-bytes=5",
                                      "--max-image-bytes=6",
                                      "--max-image-pixels=7",
                                      "--max-job-passes=8",
                                      "--grpc-keepalive-time=8000",
                                      "--grpc-keepalive-timeout=9000",
                                      "--grpc-max-connection-age=0.5",
                                      "--log-format=json",
                                      "--log-level=debug",
                                      "--drain-timeout=1.5",
                                      "--otlp-endpoint=http://c:4318/v1/traces",
                                      "--trace-sample=0.25"});
  EXPECT_EQ(config.grpc_address, "::1");
  EXPECT_EQ(config.metrics_address, "10.0.0.7");
  EXPECT_EQ(config.grpc_port, 1);
  EXPECT_EQ(config.metrics_port, 2);
  EXPECT_EQ(config.port_file, "p");
  EXPECT_EQ(config.model_repository, "r");
  EXPECT_THAT(config.load_models, ElementsAre("a", "b"));
  EXPECT_EQ(config.default_model, "b");
  EXPECT_FALSE(config.strict_readiness);
  EXPECT_THAT(config.devices, ElementsAre("cuda:0", "cuda:1"));
  EXPECT_EQ(config.precision, "bf16");
  EXPECT_EQ(config.threads, 3);
  EXPECT_EQ(config.max_queue_size, 4);
  EXPECT_EQ(config.max_queue_bytes, 5);
  EXPECT_EQ(config.max_image_bytes, 6);
  EXPECT_EQ(config.max_image_pixels, 7);
  EXPECT_EQ(config.max_job_passes, 8);
  EXPECT_EQ(config.grpc_keepalive_time, absl::Seconds(8));
  EXPECT_EQ(config.grpc_keepalive_timeout, absl::Seconds(9));
  EXPECT_EQ(config.grpc_max_connection_age, absl::Milliseconds(500));
  EXPECT_EQ(config.log_format, LogFormat::kJson);
  EXPECT_EQ(config.log_level, "debug");
  EXPECT_EQ(config.drain_timeout, absl::Milliseconds(1500));
  EXPECT_EQ(config.otlp_endpoint, "http://c:4318/v1/traces");
  EXPECT_EQ(config.trace_sample, 0.25);
}

TEST_F(ServerConfigTest, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  const std::string file =
      dir_.Write("server.conf", "grpc-port=1000\nmetrics-port=1001\nthreads=5\n");
  const ScopedVariable port("ANTIDIFFUSION_GRPC_PORT", "2000");
  const ScopedVariable metrics_port("ANTIDIFFUSION_METRICS_PORT", "2001");
  const ServerConfig config = Config({"--config", file.c_str(), "--grpc-port", "3000"});
  EXPECT_EQ(config.grpc_port, 3000);
  EXPECT_EQ(config.metrics_port, 2001);
  EXPECT_EQ(config.threads, 5);
  EXPECT_EQ(config.max_queue_size, 64);
}

TEST_F(ServerConfigTest, TheFileCanBeNamedInTheEnvironment) {
  const ScopedVariable file("ANTIDIFFUSION_CONFIG", dir_.Write("server.conf", "threads=5\n"));
  EXPECT_EQ(Config({}).threads, 5);
  const std::string other = dir_.Write("other.conf", "threads=6\n");
  EXPECT_EQ(Config({"--config", other.c_str()}).threads, 6);
}

TEST_F(ServerConfigTest, AMissingFileNamedInTheEnvironmentIsAnError) {
  const ScopedVariable file("ANTIDIFFUSION_CONFIG", dir_.File("none"));
  const auto parsed = Parse({});
  ASSERT_TRUE(std::holds_alternative<int>(parsed));
  EXPECT_NE(std::get<int>(parsed), 0);
  EXPECT_THAT(err_.str(), HasSubstr("none"));
}

TEST_F(ServerConfigTest, ListsFromTheEnvironmentAreReplacedByFlags) {
  const ScopedVariable models("ANTIDIFFUSION_LOAD_MODEL", "a,b");
  EXPECT_THAT(Config({}).load_models, ElementsAre("a", "b"));
  EXPECT_THAT(Config({"--load-model", "c"}).load_models, ElementsAre("c"));
}

TEST_F(ServerConfigTest, PrintedConfigurationReadsBackTheSame) {
  const auto parsed = Parse({"--print-config", "--grpc-port=1234", "--log-format=json",
                             "--load-model=a", "--load-model=b", "--drain-timeout=7"});
  ASSERT_EQ(std::get<int>(parsed), 0);
  const std::string file = dir_.Write("server.conf", out_.str());
  const ServerConfig config = Config({"--config", file.c_str()});
  EXPECT_EQ(config.grpc_port, 1234);
  EXPECT_EQ(config.log_format, LogFormat::kJson);
  EXPECT_THAT(config.load_models, ElementsAre("a", "b"));
  EXPECT_EQ(config.drain_timeout, absl::Seconds(7));
  EXPECT_THAT(config.devices, ElementsAre("auto"));
}

TEST_F(ServerConfigTest, WrongValuesAreAnErrorThatNamesTheFlag) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"--grpc-port", "65536"},  {"--grpc-port", "x"},
      {"--precision", "fp8"},    {"--log-format", "xml"},
      {"--log-level", "chatty"}, {"--max-queue-size", "0"},
      {"--drain-timeout", "-1"}, {"--threads", "-1"},
      {"--log-format", "2"},     {"--max-queue-bytes", "17592186044417"},
      {"--trace-sample", "1.5"},
  };
  for (const auto& [flag, value] : cases) {
    err_.str("");
    const auto parsed = Parse({flag, value});
    ASSERT_TRUE(std::holds_alternative<int>(parsed)) << flag << " " << value;
    EXPECT_NE(std::get<int>(parsed), 0);
    EXPECT_THAT(err_.str(), HasSubstr(flag)) << value;
  }
}

TEST_F(ServerConfigTest, UnknownFlagsAndKeysAreErrors) {
  EXPECT_TRUE(std::holds_alternative<int>(Parse({"--no-such-flag"})));
  const std::string file = dir_.Write("server.conf", "no-such-key=1\n");
  EXPECT_TRUE(std::holds_alternative<int>(Parse({"--config", file.c_str()})));
  EXPECT_TRUE(std::holds_alternative<int>(Parse({"--config", dir_.File("none").c_str()})));
}

TEST_F(ServerConfigTest, HelpNamesEveryFlag) {
  EXPECT_EQ(std::get<int>(Parse({"--help"})), 0);
  for (const char* flag : {"--grpc-port", "--metrics-port", "--model-repository", "--load-model",
                           "--strict-readiness", "--drain-timeout", "--print-config", "--config"}) {
    EXPECT_THAT(out_.str(), HasSubstr(flag));
  }
}

TEST_F(ServerConfigTest, TlsNeedsItsFiles) {
  const auto expect_refused = [&](std::vector<const char*> flags, const char* missing) {
    err_.str("");
    const auto parsed = Parse(std::move(flags));
    ASSERT_TRUE(std::holds_alternative<int>(parsed)) << missing;
    EXPECT_GE(std::get<int>(parsed), 100);
    EXPECT_THAT(err_.str(), HasSubstr(missing));
  };
  expect_refused({"--grpc-use-ssl=true", "--grpc-server-key=k"}, "--grpc-server-cert");
  expect_refused({"--grpc-use-ssl=true", "--grpc-server-cert=c"}, "--grpc-server-key");
  expect_refused({"--grpc-use-ssl-mutual=true", "--grpc-server-cert=c", "--grpc-server-key=k"},
                 "--grpc-root-cert");
  const ServerConfig config =
      Config({"--grpc-use-ssl", "true", "--grpc-use-ssl-mutual", "true", "--grpc-server-cert", "c",
              "--grpc-server-key", "k", "--grpc-root-cert", "r", "--api-key-file", "f"});
  EXPECT_TRUE(config.grpc_use_ssl && config.grpc_use_ssl_mutual);
  EXPECT_EQ(config.grpc_server_cert, "c");
  EXPECT_EQ(config.grpc_server_key, "k");
  EXPECT_EQ(config.grpc_root_cert, "r");
  EXPECT_EQ(config.api_key_file, "f");
}

TEST_F(ServerConfigTest, NewApiKeyPrintsAKeyAndItsHash) {
  const auto parsed = Parse({"--new-api-key"});
  EXPECT_EQ(std::get<int>(parsed), 0);
  EXPECT_THAT(out_.str(), ::testing::MatchesRegex("key adk_[0-9a-f]{64}\nsha256 [0-9a-f]{64}\n"));
}

}  // namespace
}  // namespace antidiffusion
