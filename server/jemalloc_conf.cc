// Settings of jemalloc, compiled into the program. glibc gives every large tensor's memory back and
// touches fresh pages for the next one; jemalloc keeps them, several times faster on a CPU. A long
// but finite decay, done by a thread of jemalloc's own: jobs of many sizes must not make the
// resident size grow without bound.
extern "C" {
// jemalloc looks this name up.
extern const char* malloc_conf;
const char* malloc_conf =
    "background_thread:true,dirty_decay_ms:10000,muzzy_decay_ms:10000,thp:always";
}
