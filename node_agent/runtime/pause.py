"""The pause image, made here: one static program that sleeps, reaps orphans and ends on SIGTERM or SIGINT.

It holds a pod's namespaces while the pod's containers come and go. As the first process of a shared PID namespace it
must reap what is left to it: it ignores SIGCHLD, and the kernel then does. No registry and no compiler are needed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile

PAUSE_IMAGE = "wherry/pause:1"

_LOAD_ADDRESS = 0x400000
_HEADERS_SIZE = 64 + 56
_SIGINT, _SIGTERM, _SIGCHLD = 2, 15, 17
_SIG_IGN = 1
# x86-64 delivers no signal to a handler without a restorer, even to one that never returns.
_SA_RESTORER = 0x04000000
_MACHINES = {"amd64": 62, "arm64": 183}
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def pause_program(architecture: str) -> bytes:
    """The program as an ELF file for `amd64` or `arm64`."""
    code = {"amd64": _amd64, "arm64": _arm64}[architecture]()
    size = _HEADERS_SIZE + len(code)
    entry = _LOAD_ADDRESS + _HEADERS_SIZE
    header = b"\x7fELF" + bytes((2, 1, 1, 0)) + bytes(8)
    header += struct.pack("<HHIQQQIHHHHHH", 2, _MACHINES[architecture], 1, entry, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000)
    return header + segment + code


def pause_archive(machine: str) -> bytes:
    """The image as a `docker save` archive, for a machine as the engine names it (`x86_64`, `aarch64`)."""
    architecture = _ARCHITECTURES.get(machine)
    if architecture is None:
        raise ValueError(f"no pause program for the architecture {machine!r}")
    layer = _tar({"pause": pause_program(architecture)}, mode=0o755)
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "Labels": {"io.wherry.image": "pause"}},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
            "history": [{"created_by": "wherry"}],
        },
        sort_keys=True,
    ).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]).encode()
    return gzip.compress(_tar({config_name: config, "layer.tar": layer, "manifest.json": manifest}), mtime=0)


def _tar(files: dict[str, bytes], *, mode: int = 0o644) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _amd64() -> bytes:
    """rt_sigaction (13) three times, then pause (34) for ever; the handler calls exit (60)."""
    ignoring, handling = 0, 32  # offsets of two kernel sigactions within the data after the code

    def assemble(data_at: int, handler_at: int) -> bytes:
        code = b""
        for number, action in ((_SIGCHLD, ignoring), (_SIGTERM, handling), (_SIGINT, handling)):
            code += b"\xb8" + struct.pack("<I", 13)  # mov eax, rt_sigaction
            code += b"\xbf" + struct.pack("<I", number)  # mov edi, number
            displacement = data_at + action - (len(code) + 7)
            code += b"\x48\x8d\x35" + struct.pack("<i", displacement)  # lea rsi, [rip + action]
            code += b"\x31\xd2"  # xor edx, edx
            code += b"\x41\xba" + struct.pack("<I", 8)  # mov r10d, 8: the size of a signal set
            code += b"\x0f\x05"  # syscall
        code += b"\xb8" + struct.pack("<I", 34) + b"\x0f\x05" + b"\xeb\xf7"  # mov eax, pause; syscall; jmp back
        handler = len(code)
        code += b"\xb8" + struct.pack("<I", 60) + b"\x31\xff" + b"\x0f\x05"  # mov eax, exit; xor edi, edi; syscall
        code += bytes(-len(code) % 8)
        address = _LOAD_ADDRESS + _HEADERS_SIZE + handler_at
        data = struct.pack("<QQQQ", _SIG_IGN, _SA_RESTORER, address, 0)
        data += struct.pack("<QQQQ", address, _SA_RESTORER, address, 0)
        assembled_at.update(data=len(code), handler=handler)
        return code + data

    assembled_at: dict[str, int] = {}
    assemble(0, 0)  # the first pass finds where things lie
    return assemble(assembled_at["data"], assembled_at["handler"])


def _arm64() -> bytes:
    """rt_sigaction (134) three times, then ppoll (73) without end; the handler calls exit (93)."""
    ignoring, handling = 0, 32

    def move(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    def assemble(data_at: int, handler_at: int) -> bytes:
        code: list[int] = []
        for number, action in ((_SIGCHLD, ignoring), (_SIGTERM, handling), (_SIGINT, handling)):
            code += [move(8, 134), move(0, number)]
            distance = data_at + action - 4 * len(code)
            code.append(0x10000000 | (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5 | 1)  # adr x1, action
            code += [move(2, 0), move(3, 8), 0xD4000001]  # svc #0
        loop = len(code)
        code += [move(register, 0) for register in range(5)] + [move(8, 73), 0xD4000001]
        code.append(0x14000000 | (loop - len(code)) & 0x3FFFFFF)  # b loop
        handler = 4 * len(code)
        code += [move(0, 0), move(8, 93), 0xD4000001]
        if len(code) % 2:
            code.append(0xD503201F)  # nop
        address = _LOAD_ADDRESS + _HEADERS_SIZE + handler_at
        data = struct.pack("<QQQQ", _SIG_IGN, 0, 0, 0) + struct.pack("<QQQQ", address, 0, 0, 0)
        assembled_at.update(data=4 * len(code), handler=handler)
        return struct.pack(f"<{len(code)}I", *code) + data

    assembled_at: dict[str, int] = {}
    assemble(0, 0)
    return assemble(assembled_at["data"], assembled_at["handler"])
