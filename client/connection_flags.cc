#include "client/connection_flags.h"

namespace antidiffusion {

void AddConnectionFlags(CLI::App& app, ConnectionSettings& settings) {
  CredentialSettings& credentials = settings.credentials;
  app.add_option("--server", settings.server, "Where the service listens")
      ->envname("ANTIDIFFUSION_SERVER")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app.add_option("--api-key", credentials.api_key,
                 "Names the caller to a server that asks for keys. Others on this machine can read "
                 "it from the list of processes: better in the environment or a file")
      ->envname("ANTIDIFFUSION_API_KEY")
      ->type_name("KEY");
  app.add_option("--api-key-file", credentials.api_key_file,
                 "File that holds the key; wins over --api-key")
      ->type_name("FILE");
  CLI::Option* tls = app.add_flag("--tls", credentials.tls, "Encrypt, and check the server");
  app.add_option("--ca", credentials.ca_file,
                 "PEM file of the authorities that may vouch for the server; default: the system's")
      ->type_name("FILE")
      ->needs(tls);
  app.add_option("--cert", credentials.certificate_file,
                 "PEM file of the client's own certificate, for mutual TLS; with --key")
      ->type_name("FILE")
      ->needs(tls);
  app.add_option("--key", credentials.key_file, "PEM file of its private key")
      ->type_name("FILE")
      ->needs(tls);
}

}  // namespace antidiffusion
