# Shared by the scripts of this folder: sourced, never run.
# shellcheck shell=bash
# shellcheck disable=SC2034  # its variables are read by those scripts
set -euo pipefail

CALLER_DIR=$PWD
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
PYTHON=$VENV/bin/python
cd "$ROOT"
export PATH="$VENV/bin:$PATH"

say() { printf '==> %s\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# The head comment of the running script is its help text.
usage() {
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

# Whether this machine has an NVIDIA GPU that its driver can use.
has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU '; }

# preset_folder NAME: where a CMake preset builds.
preset_folder() {
  case $1 in
    default) echo build ;;
    asan | tsan | cuda | fuzz | lint) echo "build-$1" ;;
    *) die "no preset '$1': default, asan, tsan, cuda, fuzz or lint" ;;
  esac
}

# Parallel compiles: one a core, but at most one for each 1.5 GB of free memory (a translation unit
# that includes torch takes about 1 GB).
compile_jobs() {
  local cores memory_kb jobs
  cores=$(nproc)
  memory_kb=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  jobs=$((memory_kb / 1500000))
  ((jobs > cores)) && jobs=$cores
  ((jobs < 1)) && jobs=1
  echo "$jobs"
}
