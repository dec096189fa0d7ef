"""Writes the seeds of the fuzz corpus: small valid inputs, one for each thing that a format can hold.

The corpus holds, beside these, what fuzzing added (names are hashes, as libFuzzer gives them) and
inputs that once were findings (finding-*). Seeds are named seed-*, and written anew by this script;
the image targets read tests/core/image/testdata, too.

usage: make_seeds.py   (needs protoc and googleapis-common-protos: scripts/setup)
"""

import glob
import hashlib
import json
import struct
import subprocess
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus"
GOLDEN = ROOT / "tests/golden/models"
IMAGES = ROOT / "tests/core/image/testdata"


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(data if isinstance(data, bytes) else data.encode())


# --- safetensors ---
def safetensors():
    def framed(header, data_bytes):
        return struct.pack("<H", data_bytes) + json.dumps(header, separators=(",", ":")).encode()

    def whole(header, data):
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data

    sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
             "U8": 1, "BOOL": 1}
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for dtype, size in sizes.items():
        header[dtype] = {"dtype": dtype, "shape": [2, 1], "data_offsets": [end, end + 2 * size]}
        end += 2 * size
    write("safetensors_header", "all-dtypes", framed(header, end))
    write("safetensors_header", "whole-file", whole(header, bytes(end)))
    write("safetensors_header", "empty", framed({}, 0))
    write("safetensors_header", "scalar-and-nothing", framed(
        {"a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
         "b": {"dtype": "F32", "shape": [0, 9223372036854775807], "data_offsets": [4, 4]}}, 4))


# --- images ---
def tiff(order, tags, value_area=b"", ifd1=None):
    """IFD0 of (tag, type, count, value or offset); `ifd1`: (tags, bytes behind it)."""
    def ifd(entries, following):
        body = struct.pack(order + "H", len(entries))
        for tag, kind, count, value in entries:
            field = value if isinstance(value, bytes) else struct.pack(order + "I", value)
            body += struct.pack(order + "HHI", tag, kind, count) + field
        return body + struct.pack(order + "I", following)

    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    size = 8 + 2 + 12 * len(tags) + 4 + len(value_area)
    out = head + ifd(tags, size if ifd1 else 0) + value_area
    return out + (ifd(ifd1[0], 0) + ifd1[1] if ifd1 else b"")


def exif_blocks():
    short = {"<": lambda v: struct.pack("<HH", v, 0), ">": lambda v: struct.pack(">HH", v, 0)}
    for name, order in (("little", "<"), ("big", ">")):
        yield f"orientation-{name}", tiff(order, [(0x0112, 3, 1, short[order](6))])
        at = 8 + 2 + 2 * 12 + 4
        yield f"exif-ifd-{name}", tiff(
            order, [(0x0112, 3, 1, short[order](3)), (0x8769, 4, 1, at)],
            struct.pack(order + "H", 2)
            + struct.pack(order + "HHII", 0xA002, 4, 1, 20)
            + struct.pack(order + "HHII", 0xA003, 4, 1, 30) + bytes(4))
        thumbnail = b"\xff\xd8\xff\xdb" + bytes(300) + b"\xff\xd9"
        where = 8 + 2 + 12 + 4 + 2 + 3 * 12 + 4
        yield f"thumbnail-{name}", tiff(
            order, [(0x0112, 3, 1, short[order](1))],
            ifd1=([(0x0103, 3, 1, short[order](6)), (0x0201, 4, 1, where),
                   (0x0202, 4, 1, len(thumbnail))], thumbnail))
        makes = {"Canon": b"", "NIKON": b"Nikon\0\x02\x10\0\0", "OLYMPUS": b"OLYMPUS\0II\x03\0",
                 "FUJIFILM": b"FUJIFILM\x0c\0\0\0", "Panasonic": b"Panasonic\0\0\0",
                 "PENTAX": b"AOC\0MM", "SONY": b"SONY DSC \0\0\0", "SIGMA": b"SIGMA\0\0\0\x01\0"}
        for make, prefix in makes.items():
            note = prefix + struct.pack(order + "HHHII", 1, 0x0001, 3, 1, 5) + bytes(4)
            first = 8 + 2 + 2 * 12 + 4
            text = make.encode() + b"\0"
            sub = first + len(text)
            yield f"note-{make}-{name}", tiff(
                order, [(0x010F, 2, len(text), first if len(text) > 4 else text.ljust(4, b"\0")),
                        (0x8769, 4, 1, sub)],
                text + struct.pack(order + "H", 1)
                + struct.pack(order + "HHII", 0x927C, 7, len(note), sub + 18) + bytes(4) + note)


def icc(space, size=160):
    profile = bytearray(size)
    profile[0:4] = struct.pack(">I", size)
    profile[16:20] = space
    profile[20:24] = b"XYZ "
    profile[36:40] = b"acsp"
    return bytes(profile)


def png_chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data)))


def with_png_chunks(png, chunks):
    return png[:33] + chunks + png[33:]


def with_jpeg_segments(jpeg, segments):
    out = jpeg[:2]
    for marker, data in segments:
        out += bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data
    return out + jpeg[2:]


def webp(chunks):
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
                    for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def images():
    blocks = dict(exif_blocks())
    for name, block in blocks.items():
        write("image_metadata", name, bytes([19, 29]) + block)
    write("image_metadata", "icc-rgb", bytes(2) + icc(b"RGB "))
    write("image_metadata", "icc-gray", bytes(2) + icc(b"GRAY"))

    exif, profile = blocks["thumbnail-little"], icc(b"RGB ")
    prefixed = b"Exif\0\0" + exif
    text = b"\nexif\n%d\n%s\n" % (len(prefixed), prefixed.hex().encode())
    png, jpeg = (IMAGES / "rgb.png").read_bytes(), (IMAGES / "progressive.jpg").read_bytes()
    lossless = (IMAGES / "lossless.webp").read_bytes()
    files = {
        "exif.png": with_png_chunks(png, png_chunk(b"eXIf", exif)),
        "icc.png": with_png_chunks(png, png_chunk(
            b"iCCP", b"name\0\0" + zlib.compress(profile))),
        "raw-profile.png": with_png_chunks(png, png_chunk(
            b"tEXt", b"Raw profile type exif\0" + text)),
        "raw-profile-z.png": with_png_chunks(png, png_chunk(
            b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(text))),
        "metadata.jpg": with_jpeg_segments(jpeg, [
            (0xE1, prefixed), (0xE2, b"ICC_PROFILE\0\x01\x02" + profile[:80]),
            (0xE2, b"ICC_PROFILE\0\x02\x02" + profile[80:])]),
        "metadata.webp": webp([
            (b"VP8X", struct.pack("<I", 0x28) + struct.pack("<I", 71)[:3]
             + struct.pack("<I", 63)[:3]),
            (b"ICCP", profile), (b"VP8L", lossless[20:]), (b"EXIF", exif)]),
    }
    for name, data in files.items():
        for target in ("image_container", "image_codec"):
            write(target, name, data)


# --- requests ---
REQUESTS = {
    "empty": "",
    "model-only": 'model: "clothing" request_id: "a-1"',
    "everything": """
        image: "\\377\\330\\377" model: "sd-2-1" request_id: "0123456789" priority: PRIORITY_BATCH
        labels { key: "album" value: "7" } labels { key: "user" value: "\\303\\251" }
        options { method: MIST mode: RELEASED effort: STRONG budget_levels: 8.5 seed: 7
                  prompt: "a photo of sks person" report: FULL epochs: 2 prompt_steps: 3 pgd_steps: 10
                  tuning_steps: 0 step_size_levels: 1.25 prompt_lr: 0.001 tuning_lr: 1e-5 }
        output { format: WEBP quality: 80 }
        timeout { seconds: 600 nanos: 5 }""",
    "several-models": """
        model: "sd-1-5" options {
          objectives { objective: DENOISING } objectives { objective: SEMANTIC weight: 12.5 }
          objectives { objective: AWAY } random_start: false also: "sdxl" also: "flux"
          experimental { semantic_form: START_TOKEN semantic_layers: ALL semantic_heads: EACH texture: 0.5
                         frequency_power: 0.25 } }""",
    "out-of-range": """
        options { method: NOISE budget_levels: nan epochs: -1 step_size_levels: inf prompt_lr: 2 }
        output { format: JPEG quality: 101 } timeout { seconds: -315576000000 nanos: -1 }""",
}


def requests():
    protos = glob.glob(str(ROOT / ".venv/lib/python3*/site-packages"))[0]
    for name, text in REQUESTS.items():
        encoded = subprocess.run(
            ["protoc", f"-I{ROOT}/proto", f"-I{protos}", "--encode=antidiffusion.v1.ProtectRequest",
             "antidiffusion/v1/protection.proto"],
            input=text.encode(), capture_output=True, check=True)
        write("job_request", name, encoded.stdout)


# --- what else a caller says ---
def words():
    header = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    write("trace_context", "sampled", f"00-{header}")
    write("trace_context", "later-version", f"cc-{header}-what-the-future-brings")
    write("trace_context", "no-trace", f"00-{'0' * 32}-b7ad6b7169203331-00")
    write("log_line", "plain", "job-7")
    write("log_line", "forged", 'a","level":"error\n2026 error x=1 \\u0000\x00\x7f')
    write("log_line", "characters", "zß水🍌")
    write("log_line", "broken", b"\xc3\x28 \xed\xa0\x80 \xf4\x90\x80\x80 \xff")


# --- the key file ---
def key_files():
    key = hashlib.sha256(b"secret").hexdigest()
    everything = {
        "name": "acme", "key_sha256": [key, "0" * 64], "identities": ["spiffe://acme/upload", "acme"],
        "rights": ["protect", "jobs", "models"], "weight": 2.5, "max_running": 4, "max_waiting": 32,
        "max_waiting_bytes": 1 << 28, "requests_per_second": 5, "burst": 10, "bytes_per_day": 1 << 33}
    files = {
        "everything": [everything],
        "two": [{"name": "quiet", "key_sha256": [key.upper()], "rights": ["jobs"]},
                {"name": "loud", "identities": ["loud.example"], "requests_per_second": 0.5}],
        "twice": [{"name": "a", "key_sha256": [key]}, {"name": "b", "key_sha256": [key]}],
        "burst-alone": [{"name": "a", "key_sha256": [key], "burst": 3}],
    }
    for name, tenants in files.items():
        write("api_key_file", name, json.dumps({"tenants": tenants}))


# --- model folders ---
def tokenizer_folder(files):
    return "".join(f"== {name}\n{text}\n" for name, text in files.items())


def tokenizers():
    vocabulary = {"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab": 4, "ab</w>": 5,
                  "<|startoftext|>": 6, "<|endoftext|>": 7, "!": 8}
    token = {"content": "<|endoftext|>", "lstrip": False, "single_word": False}
    base = {"vocab.json": json.dumps(vocabulary), "merges.txt": "#version: 0.2\na b\na b</w>\n"}
    write("tokenizer_files", "smallest", tokenizer_folder(base))
    write("tokenizer_files", "old", tokenizer_folder(base | {
        "tokenizer_config.json": json.dumps({"tokenizer_class": "CLIPTokenizer"}),
        "special_tokens_map.json": json.dumps(
            {"bos_token": token | {"content": "<|startoftext|>"}, "eos_token": token,
             "unk_token": token, "pad_token": "!", "additional_special_tokens": ["<extra>"]}),
        "added_tokens.json": json.dumps({"<new>": 11})}))
    write("tokenizer_files", "decoder", tokenizer_folder(base | {
        "tokenizer_config.json": json.dumps(
            {"tokenizer_class": "CLIPTokenizer", "bos_token": "<|startoftext|>", "eos_token": token,
             "unk_token": token, "pad_token": "!",
             "added_tokens_decoder": {"0": token | {"content": "!"}, "7": token}})}))
    folder = GOLDEN.parent / "tokenizer_json/sd2-base-like"
    write("tokenizer_files", "one-file", tokenizer_folder(
        {name: (folder / name).read_text() for name in ("tokenizer.json", "tokenizer_config.json")}))
    prompts = {"plain": "a photo of sks person", "special": "<|startoftext|>x<|endoftext|> !",
               "apostrophes": "I'll say it's what they've done 2023", "cjk": "中文 日本語 한국어",
               "marks": "e\u0301 \u00c5ngstr\u00f6m \u017fs \u0345", "emoji": "👩‍👩‍👧 \u200b\u00ad"}
    for name, text in prompts.items():
        write("clip_text", name, text)
    write("clip_text", "broken", b"\xed\xa0\x80 \xf4\x90\x80\x80 \xc0\x80 \xe2\x82")


def configs():
    for model in ("sd1-like", "sd2-v-like"):
        for path in sorted((GOLDEN / model).glob("**/*config.json")):
            if "tokenizer" not in str(path):
                write("model_config", f"{model}-{path.parent.name}", path.read_bytes())
        write("model_config", f"{model}-index", (GOLDEN / model / "model_index.json").read_bytes())


def original_layouts():
    """Names and shapes out of the headers of single-file checkpoints."""
    for model in ("inpaint-like", "sd2-v-like", "sdxl-like"):
        data = (GOLDEN.parent / "single_files" / f"{model}.safetensors").read_bytes()
        header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
        write("original_layout", model, "".join(
            " ".join([name, *map(str, entry["shape"])]) + "\n"
            for name, entry in sorted(header.items())
            if name != "__metadata__" and ".decoder." not in name and not name.endswith(".bias")))


if __name__ == "__main__":
    for old in CORPUS.glob("*/seed-*"):
        old.unlink()
    safetensors()
    images()
    requests()
    words()
    key_files()
    tokenizers()
    configs()
    original_layouts()
