"""Stand-ins for well-known images, built from Debian packages where no image registry can be reached.

Each is the real server from Debian in the layout that the real image has, under a label that says it is a stand-in.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.archives import Image, Layer, LayerWriter, RunSettings, image_of
from orchestrator.lab.network import CommandFailed
from orchestrator.lab.processes import MARK_LAB, MARK_NAME
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

LABEL = "dev.wherry.stand-in"
DOWNLOAD_TIMEOUT_S = 300

_C_LIBRARY = ("libc6",)
_TLS = ("libssl3", "zlib1g")
_NGINX = ("nginx", "nginx-common", "libcrypt1", "libpcre2-8-0", *_TLS)
_REDIS = (
    *("redis-tools", "libatomic1", "libjemalloc2", "liblzf1", "libsystemd0", "libcap2", "libgcrypt20"),
    *("libgpg-error0", "liblz4-1", "liblzma5", "libzstd1", "libgcc-s1", "libstdc++6", "libssl3"),
)
PACKAGES = tuple(dict.fromkeys(("busybox-static", *_C_LIBRARY, *_NGINX, *_REDIS)))

# What a server never reads at run time, and most of the size.
_LEFT_OUT = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bash-completion"),
    *("usr/share/vim", "usr/share/apport", "usr/share/i18n", "usr/share/libc-bin", "etc/init.d", "etc/logrotate.d"),
    *("etc/ufw", "lib/systemd", "usr/lib/systemd", "usr/bin/redis-benchmark", "etc/nginx"),
)
_PASSWD = b"""root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/bin/false
nginx:x:101:101:nginx:/nonexistent:/bin/false
redis:x:999:999:redis:/data:/bin/false
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
_GROUP = b"root:x:0:\nwww-data:x:33:\nnginx:x:101:\nredis:x:999:\nnogroup:x:65534:\n"
_NSSWITCH = b"passwd: files\ngroup: files\nhosts: files dns\n"
_NGINX_CONFIG = b"""user nginx;
worker_processes 1;
error_log /dev/stderr warn;
pid /var/run/nginx.pid;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /dev/stdout;
    sendfile on;
    keepalive_timeout 65;
    include /etc/nginx/conf.d/*.conf;
}
"""
_NGINX_SITE = b"""server {
    listen 80;
    server_name localhost;
    location / {
        root /usr/share/nginx/html;
        index index.html index.htm;
    }
}
"""
_HELLO_SITE = b"""server {
    listen 8080;
    location / {
        default_type text/plain;
        return 200 "Hello from $hostname\\n";
    }
}
"""
_MIME_TYPES = b"""types {
    text/html html htm;
    text/css css;
    text/plain txt;
    application/javascript js;
    application/json json;
    image/png png;
    image/svg+xml svg;
    image/x-icon ico;
}
"""


@dataclass(frozen=True, slots=True)
class Packages:
    """Downloaded Debian packages, by name."""

    files: dict[str, Path]
    architecture: str

    def version(self, name: str) -> str:
        """The Debian version, from the file's name."""
        return self.files[name].name.split("_")[1].replace("%3a", ":")


NAMES = ("nginx:1.16", "redis:3.2", "busybox:1.36", "gugucone/hello:v2.1")
"""The images there are stand-ins for."""


def download(state_dir: Path) -> Packages:
    """Fetch the packages that the lab in `state_dir` lacks. Raises `CommandFailed` if Debian is out of reach too."""
    directory = state_dir / "images"
    directory.mkdir(parents=True, exist_ok=True)
    present = _present(directory)
    wanting = [name for name in PACKAGES if name not in present]
    if wanting:
        # `apt-get download` asks no lock and changes nothing on the machine; run as root it need not drop to `_apt`.
        command = ("apt-get", "--option", "APT::Sandbox::User=root", "--quiet", "download", *wanting)
        # It bears the lab's marks: if we are killed meanwhile, what stops the lab ends it too.
        _run(command, cwd=directory, marks={MARK_LAB: str(state_dir), MARK_NAME: "download"})
        present = _present(directory)
    architecture = _run(("dpkg", "--print-architecture")).decode().strip()
    return Packages({name: present[name] for name in PACKAGES}, architecture)


def build(packages: Packages) -> tuple[Image, ...]:
    """All stand-ins. They share their layers where they can, as real images do."""
    base = _base_layer(packages)
    libraries = _package_layer(packages, _C_LIBRARY)
    nginx = _nginx_layer(packages)
    hello = _files_layer({"etc/nginx/conf.d/default.conf": _HELLO_SITE})
    redis = _redis_layer(packages)
    serve = ("nginx", "-g", "daemon off;")

    def image(name: str, layers: Sequence[Layer], package: str, **settings: object) -> Image:
        described = f"stand-in for {name}: {package} {packages.version(package)} from Debian"
        labels = {LABEL: "true", "org.opencontainers.image.description": described}
        run_settings = RunSettings(labels=labels, **settings)  # type: ignore[arg-type]  # names checked by the dataclass
        return image_of(name, layers, run_settings, architecture=packages.architecture)

    return (
        image("busybox:1.36", (base,), "busybox-static", command=("sh",)),
        image("nginx:1.16", (base, libraries, nginx), "nginx", command=serve, ports=(80,)),
        image("gugucone/hello:v2.1", (base, libraries, nginx, hello), "nginx", command=serve, ports=(8080,)),
        image(
            "redis:3.2",
            (base, libraries, redis),
            "redis-tools",
            command=("redis-server", "--protected-mode", "no", "--dir", "/data"),
            ports=(6379,),
            working_dir="/data",
        ),
    )


def _base_layer(packages: Packages) -> Layer:
    """A shell and the usual commands, users, and the directories everybody expects."""
    writer = LayerWriter()
    busybox = b""
    for entry, content in _files_of(packages.files["busybox-static"]):
        if entry.name.removeprefix("./") in ("bin/busybox", "usr/bin/busybox"):
            busybox = content
    writer.file("bin/busybox", busybox, mode=0o755)
    for applet in _applets(busybox):
        writer.link(f"bin/{applet}", "busybox")
    for directory in ("dev", "proc", "sys", "root", "home", "mnt", "etc", "usr/bin", "usr/sbin", "sbin", "var/run"):
        writer.directory(directory)
    writer.directory("tmp", mode=0o1777)
    writer.file("etc/passwd", _PASSWD)
    writer.file("etc/group", _GROUP)
    writer.file("etc/nsswitch.conf", _NSSWITCH)
    return writer.finish()


def _nginx_layer(packages: Packages) -> Layer:
    files = {
        "etc/nginx/nginx.conf": _NGINX_CONFIG,
        "etc/nginx/mime.types": _MIME_TYPES,
        "etc/nginx/conf.d/default.conf": _NGINX_SITE,
    }
    directories = ("var/lib/nginx", "var/log/nginx", "var/cache/nginx")
    return _package_layer(packages, _NGINX, files=files, directories=directories)


def _redis_layer(packages: Packages) -> Layer:
    # Debian ships one binary under two names; which server it is, it learns from the name it is called by.
    links = {"usr/bin/redis-server": "redis-check-rdb", "usr/local/bin/redis-server": "/usr/bin/redis-check-rdb"}
    return _package_layer(packages, _REDIS, directories=("data",), links=links)


def _package_layer(
    packages: Packages,
    names: Sequence[str],
    *,
    files: dict[str, bytes] | None = None,
    directories: Sequence[str] = (),
    links: dict[str, str] | None = None,
) -> Layer:
    writer = LayerWriter()
    for path, content in (files or {}).items():
        writer.file(path, content)
    for name in names:
        for entry, content in _files_of(packages.files[name]):
            path = entry.name.removeprefix("./")
            if path.startswith(_LEFT_OUT) or "/gconv" in path or "/audit/" in path:
                continue
            if entry.issym() or entry.islnk():
                writer.link(path, entry.linkname)
            else:
                writer.file(path, content, mode=entry.mode)
    for path, target in (links or {}).items():
        writer.link(path, target)
    for path in directories:
        writer.directory(path)
    return writer.finish()


def _files_layer(files: dict[str, bytes]) -> Layer:
    writer = LayerWriter()
    for path, content in files.items():
        writer.file(path, content)
    return writer.finish()


def _files_of(package: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """The files and links of one package, without unpacking it to disk."""
    with tarfile.open(fileobj=io.BytesIO(_run(("dpkg-deb", "--fsys-tarfile", str(package))))) as tar:
        for entry in tar:
            if entry.isfile():
                stream = tar.extractfile(entry)
                yield entry, stream.read() if stream else b""
            elif entry.issym() or entry.islnk():
                yield entry, b""


def _applets(busybox: bytes) -> tuple[str, ...]:
    """The commands that this busybox can be called as."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        program = Path(directory) / "busybox"
        program.write_bytes(busybox)
        program.chmod(0o755)
        names = _run((str(program), "--list")).decode().split()
    return tuple(name for name in names if name != "busybox")


def _present(directory: Path) -> dict[str, Path]:
    return {path.name.split("_")[0]: path for path in sorted(directory.glob("*.deb"))}


def _run(command: Sequence[str], *, cwd: Path | None = None, marks: Mapping[str, str] | None = None) -> bytes:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            timeout=DOWNLOAD_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C", **(marks or {})},
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CommandFailed(f"cannot run '{' '.join(command[:4])}': {exc}") from exc
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-256:]
        raise CommandFailed(f"'{' '.join(command[:5])}' ended with {done.returncode}: {said}")
    return done.stdout
