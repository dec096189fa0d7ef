# A server on loopback for the time of one script: sourced after lib.sh, never run.
# shellcheck shell=bash

server_work=
server=
server_address=

# shellcheck disable=SC2317  # called by the trap
stop_server() {
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" || true
  fi
  if [[ -n $server_work ]]; then rm -rf "$server_work"; fi
}

server_failed() {
  printf 'error: %s; its log:\n' "$1" >&2
  cat "$server_work/log" >&2
  exit 1
}

# start_server FLAG...: starts build/bin/antidiffusiond on free ports and waits until it is healthy;
# sets `server` (its pid) and `server_address`. It is stopped when the script ends.
start_server() {
  local tenths
  server_work=$(mktemp -d)
  trap stop_server EXIT
  trap 'exit 130' INT TERM
  build/bin/antidiffusiond --grpc-address 127.0.0.1 --grpc-port 0 --metrics-port 0 \
    --port-file "$server_work/ports" --model-repository "$ROOT/models" "$@" \
    >"$server_work/log" 2>&1 &
  server=$!
  for ((tenths = 0; tenths < 1200; tenths++)); do
    kill -0 "$server" 2>/dev/null || server_failed "the server ended"
    if [[ -z $server_address && -s $server_work/ports ]]; then
      server_address=127.0.0.1:$(sed -n 's/^GRPC_PORT=//p' "$server_work/ports")
    fi
    [[ -n $server_address ]] &&
      build/bin/antidiffusion health --server "$server_address" &>/dev/null && return
    sleep 0.1
  done
  server_failed "the server was not ready after two minutes"
}
