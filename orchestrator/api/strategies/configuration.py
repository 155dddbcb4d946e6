"""ConfigMaps, Secrets and ServiceAccounts: keys, sizes, what each type of secret must hold, immutability."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

from orchestrator.api import codec, names
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, invalid, required, too_long
from orchestrator.api.strategies.rules import SIZE_MAX, Problems, each, immutable, unchanged_if_immutable
from orchestrator.api.strategies.spec_status import Named

_OPAQUE = "Opaque"
_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_REDACTED = "<secret contents redacted>"
_CONFIG_KEYS = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}


class _ConfigMaps(Named):
    has_generation = False
    changes_first = True

    def rules(self, obj: Object) -> Sequence[Problem]:
        problems: Problems = []
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        size = 0
        for key, value in data.items():
            problems += each(f"data[{key}]", key, names.is_config_map_key(key))
            if key in binary:
                problems.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
            size += len(value) if value.isascii() else len(value.encode())
        for key, value in binary.items():
            problems += each(f"binaryData[{key}]", key, names.is_config_map_key(key))
            size += _decoded_size(value)
        if size > SIZE_MAX:
            # It is the object as a whole that is too large; so Go prints the path to it.
            problems.append(too_long("[]", SIZE_MAX))
        return problems

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        return unchanged_if_immutable(obj, old, ("data", "binaryData"))


class _Secrets(Named):
    has_generation = False
    changes_first = True

    def prepare_create(self, obj: Object) -> None:
        obj["type"] = obj.get("type") or _OPAQUE

    def prepare_update(self, obj: Object, old: Object) -> None:
        # No default: an update that leaves the type out means the type it has.
        obj["type"] = obj.get("type") or old.get("type") or _OPAQUE

    def default(self, obj: Object) -> None:
        plain = obj.pop("stringData", None)
        if plain:
            data = obj["data"] = dict(obj.get("data") or {})
            data.update((key, base64.b64encode(value.encode()).decode()) for key, value in plain.items())

    def rules(self, obj: Object) -> Sequence[Problem]:
        problems: Problems = []
        data = obj.get("data") or {}
        size = 0
        for key, value in data.items():
            problems += each(f"data[{key}]", key, names.is_config_map_key(key))
            size += _decoded_size(value)
        if size > SIZE_MAX:
            problems.append(too_long("data", SIZE_MAX))
        return problems + _secret_type(obj, data)

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        problems = immutable("type", obj.get("type"), old.get("type"))
        return problems + unchanged_if_immutable(obj, old, ("data",))

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return {"type": obj.get("type") or ""}


class _ServiceAccounts(Named):
    has_generation = False


def _decoded_size(value: str) -> int:
    return len(value) * 3 // 4 - value[-2:].count("=")


def _secret_type(obj: Object, data: Mapping[str, str]) -> Problems:
    """What a secret of this type must hold."""
    match obj.get("type"):
        case "kubernetes.io/service-account-token":
            annotations = (obj.get("metadata") or {}).get("annotations") or {}
            if not annotations.get(_ACCOUNT_NAME):
                return [required(f"metadata.annotations[{_ACCOUNT_NAME}]")]
        case "kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson" as kind:
            return _registry_credentials(_CONFIG_KEYS[kind], data)
        case "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                return [required("data[username]"), required("data[password]")]
        case "kubernetes.io/ssh-auth":
            if not data.get("ssh-privatekey"):
                return [required("data[ssh-privatekey]")]
        case "kubernetes.io/tls":
            return [required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]
    return []


def _registry_credentials(key: str, data: Mapping[str, str]) -> Problems:
    field = f"data[{key}]"
    if key not in data:
        return [required(field)]
    try:
        content = codec.decode_any(base64.b64decode(data[key]))
    except (codec.Malformed, binascii.Error) as exc:
        return [invalid(field, _REDACTED, str(exc))]
    if not isinstance(content, dict):
        kind = {list: "array", str: "string", bool: "bool", int: "number", float: "number"}.get(type(content), "null")
        words = f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        return [invalid(field, _REDACTED, words)]
    return []


CONFIGMAPS_STRATEGY = _ConfigMaps()
SECRETS_STRATEGY = _Secrets()
SERVICEACCOUNTS_STRATEGY = _ServiceAccounts()
