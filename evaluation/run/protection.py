"""Protection of photographs through the running service, by its command line client; kept by content."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

METHODS: dict[str, list[str]] = {
    "none": [],
    "noise": ["--method", "noise"],
    "advdm": ["--method", "advdm"],
    "photoguard": ["--method", "photoguard"],
    "mist": ["--method", "mist"],
    "anti-dreambooth": ["--method", "anti-dreambooth"],
    "sds": ["--method", "sds"],
    "released": ["--mode", "released"],
    "paper": [],
    "paper-no-pt": ["--method", "anti-diffusion-no-pt"],
    "paper-no-sdl": ["--method", "anti-diffusion-no-sdl"],
    "paper-no-tuning": ["--method", "anti-diffusion-no-tuning"],
}

# What was published was measured without a limit of what can be seen; a variant with one says it.
UNLIMITED = ["--visibility", "0"]

STAGES = ("prompt_tuning", "pgd", "surrogate_tuning")


@dataclass(frozen=True)
class Protected:
    """One photograph as it would be published."""

    path: Path
    seconds: float  # of the optimiser's steps, without the wait in the queue, codecs and the way there
    unet_passes: int


class Protection:
    """A client of one server. Results are kept in `cache` by photograph, flags and the model's digest."""

    def __init__(self, client: Path, server: str, cache: Path, flags: list[str], model: str = "") -> None:
        self.client, self.server, self.cache = client, server, cache
        self.flags = [*flags, *(["--model", model] if model else [])]
        self.digest = self._digest(model)
        cache.mkdir(parents=True, exist_ok=True)

    def _digest(self, model: str) -> str:
        done = subprocess.run([self.client, "models", "--server", self.server, "--json"], stdout=subprocess.PIPE,
                              text=True, check=True)
        entries = [json.loads(line) for line in done.stdout.splitlines()]
        return next(e["digest"] for e in entries if (e["name"] == model if model else e["default"]))

    def _key(self, photo: Path, flags: list[str]) -> str:
        content = hashlib.sha256(photo.read_bytes()).hexdigest()
        return hashlib.sha256("\n".join([content, self.digest, *flags]).encode()).hexdigest()[:24]

    def protect(self, photo: Path, method: str, extra: list[str]) -> Protected:
        """The photograph protected; `none` gives it as it is. RuntimeError: the client failed."""
        if method == "none":
            return Protected(photo, 0.0, 0)
        flags = [*METHODS[method], *self.flags, *extra]
        key = self._key(photo, flags)
        told = self.cache / f"{key}.json"
        if not told.exists():
            self._run(photo, key, flags)
        line = json.loads(told.read_text())
        seconds = sum(line["stage_seconds"].get(stage, 0.0) for stage in STAGES)
        return Protected(self.cache / f"{key}.png", seconds, line["unet_passes"])

    def _run(self, photo: Path, key: str, flags: list[str]) -> None:
        limit = [] if "--visibility" in flags else UNLIMITED
        with tempfile.TemporaryDirectory(dir=self.cache) as folder:
            command = [self.client, "protect", "--server", self.server, "--json", "--output", folder, *limit, *flags, photo]
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
            if not done.stdout:
                raise RuntimeError(f"{photo}: the client ended with {done.returncode}: {done.stderr.strip()}")
            line = json.loads(done.stdout.splitlines()[-1])
            if line["status"] != "OK":
                raise RuntimeError(f"{photo}: {line['status']}: {line['message']}")
            shutil.move(line["output"], self.cache / f"{key}.png")
            record = Path(folder) / "record.json"  # last, and whole
            record.write_text(json.dumps(line))
            record.replace(self.cache / f"{key}.json")
