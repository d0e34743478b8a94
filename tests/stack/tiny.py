"""An image of one program, made on the spot: /bin/sleep and the libraries it needs, as `docker save` would write it.

Both engines take such an archive: `docker load`, `ctr images import`.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import re
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

PROGRAM = "/bin/sleep"
COMMAND = (PROGRAM, "1000")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def save_image(target: Path, reference: str, labels: Mapping[str, str]) -> str:
    """Write the archive; returns the image's id. ``reference`` is NAME:TAG."""
    layer = _layer()
    config = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Cmd": list(COMMAND), "Labels": dict(labels), "Env": ["SECRET=of-the-image"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    image_id = hashlib.sha256(config).hexdigest()
    manifest = [{"Config": f"{image_id}.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    with tarfile.open(target, "w") as archive:
        for name, content in (
            ("layer.tar", layer),
            (f"{image_id}.json", config),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            _add(archive, name, content, 0o644)
    return f"sha256:{image_id}"


def _layer() -> bytes:
    listed = subprocess.run(["ldd", PROGRAM], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", listed)
    assert libraries, listed
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for folder in ("etc", "dev", "proc", "sys", "tmp"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            layer.addfile(info)
        for path in (PROGRAM, *libraries):
            _add(layer, path.lstrip("/"), Path(path).read_bytes(), 0o755)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    archive.addfile(info, io.BytesIO(content))
