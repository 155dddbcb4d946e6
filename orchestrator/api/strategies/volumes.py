"""Volumes of pods: exactly one source each, and the rules of each source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.api import quantities
from orchestrator.api.problems import duplicate, forbidden, invalid, not_supported, required
from orchestrator.api.strategies.environment import VOLUME_FIELDS, validate_field_ref, validate_resource_ref
from orchestrator.api.strategies.metadata import validate_label_selector
from orchestrator.api.strategies.rules import (
    Problems,
    descending_path,
    file_mode,
    is_label,
    label,
    no_backsteps,
    projected_path,
    supported_if_set,
)

_ONE_TYPE = "may not specify more than 1 volume type"
_HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_TOKEN_SECONDS_MIN = 10 * 60
_TOKEN_SECONDS_MAX = 2**32
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
# Sources of other storage systems: what each needs at the least. Nothing here runs them; they are only kept.
_NEEDED = {
    "nfs": ("server", "path"),
    "persistentVolumeClaim": ("claimName",),
    "csi": ("driver",),
    "iscsi": ("targetPortal", "iqn"),
    "glusterfs": ("endpoints", "path"),
    "rbd": ("monitors", "image"),
    "cephfs": ("monitors",),
    "cinder": ("volumeID",),
    "awsElasticBlockStore": ("volumeID",),
    "gcePersistentDisk": ("pdName",),
    "azureFile": ("secretName", "shareName"),
    "azureDisk": ("diskName", "diskURI"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "flexVolume": ("driver",),
    "quobyte": ("registry", "volume"),
    "scaleIO": ("gateway", "system", "volumeName"),
    "storageos": (),
    "flocker": (),
    "fc": (),
}


def validate_volumes(volumes: Sequence[Mapping[str, Any]], path: str) -> tuple[dict[str, Any], Problems]:
    """The valid volumes by name (mounts may only name these), and what is wrong with the others."""
    by_name: dict[str, Any] = {}
    problems: Problems = []
    for index, volume in enumerate(volumes):
        name = volume.get("name", "")
        faults = _source(volume, f"{path}[{index}]")
        if not name:
            faults.append(required(f"{path}[{index}].name"))
        elif is_label(name):
            faults += label(f"{path}[{index}].name", name)
        if name in by_name:
            faults.append(duplicate(f"{path}[{index}].name", name))
        if faults:
            problems += faults
        else:
            by_name[name] = volume
    return by_name, problems


def _source(volume: Mapping[str, Any], path: str) -> Problems:
    given = [kind for kind, source in volume.items() if source is not None and kind != "name"]
    if not given:
        return [required(path, "must specify a volume type")]
    problems = _check(given[0], volume[given[0]], path) if len(given) == 1 else []
    if len(given) > 1:
        first, *others = sorted(given, key=_rank)
        problems = _check(first, volume[first], path)
        problems += [forbidden(f"{path}.{kind}", _ONE_TYPE) for kind in others]
    return problems


def _check(kind: str, source: Mapping[str, Any], path: str) -> Problems:
    field = f"{path}.{kind}"
    if check := _CHECKS.get(kind):
        return check(source, field)
    return [required(f"{field}.{name}") for name in _NEEDED.get(kind, ()) if not source.get(name)]


def _empty_dir(source: Mapping[str, Any], path: str) -> Problems:
    if (size := source.get("sizeLimit")) is not None and quantities.parse(size).nano < 0:
        return [forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def _host_path(source: Mapping[str, Any], path: str) -> Problems:
    if not source.get("path"):
        return [required(f"{path}.path")]
    problems = no_backsteps(f"{path}.path", source["path"])
    return problems + supported_if_set(f"{path}.type", source.get("type"), _HOST_PATH_TYPES)


def _keys_to_paths(items: Sequence[Mapping[str, Any]], path: str) -> Problems:
    problems: Problems = []
    for index, item in enumerate(items):
        field = f"{path}.items[{index}]"
        problems += [required(f"{field}.{name}") for name in ("key", "path") if not item.get(name)]
        problems += projected_path(f"{field}.path", item.get("path", ""))
        problems += file_mode(f"{field}.mode", item.get("mode"))
    return problems


def _secret(source: Mapping[str, Any], path: str) -> Problems:
    problems = [] if source.get("secretName") else [required(f"{path}.secretName")]
    problems += file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    return problems + _keys_to_paths(source.get("items") or (), path)


def _config_map(source: Mapping[str, Any], path: str) -> Problems:
    problems = [] if source.get("name") else [required(f"{path}.name")]
    problems += file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    return problems + _keys_to_paths(source.get("items") or (), path)


def _downward(source: Mapping[str, Any], path: str) -> Problems:
    problems = file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    for item in source.get("items") or ():
        problems += _downward_file(item, path)
    return problems


def _downward_file(item: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    if not item.get("path"):
        problems.append(required(f"{path}.path"))
    problems += projected_path(f"{path}.path", item.get("path", ""))
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        problems += validate_field_ref(field, VOLUME_FIELDS, f"{path}.fieldRef")
        if resource is not None:
            words = "fieldRef and resourceFieldRef can not be specified simultaneously"
            problems.append(invalid(path, "resource", words))
    elif resource is not None:
        problems += validate_resource_ref(resource, f"{path}.resourceFieldRef", in_volume=True)
    else:
        problems.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    return problems + file_mode(f"{path}.mode", item.get("mode"))


def _projected(source: Mapping[str, Any], path: str) -> Problems:
    problems = file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    taken: set[str] = set()
    for index, part in enumerate(source.get("sources") or ()):
        field = f"{path}.sources[{index}]"
        given = [kind for kind, projection in part.items() if projection is not None]
        for kind in given:
            problems += _projection(kind, part[kind], f"{field}.{kind}", path, taken)
        if len(given) > 1:
            problems.append(forbidden(field, _ONE_TYPE))
    return problems


def _projection(kind: str, source: Mapping[str, Any], path: str, volume_path: str, taken: set[str]) -> Problems:
    """One source of a projected volume. Its token's path is reported on the volume, as Kubernetes does."""
    problems: Problems = []
    match kind:
        case "secret" | "configMap":
            name = source.get("name", "")
            if not name:
                problems.append(required(f"{path}.name"))
            items = source.get("items") or ()
            problems += _keys_to_paths(items, path)
            for item in items:
                problems += _taken(item.get("path", ""), name, volume_path, taken)
        case "downwardAPI":
            for item in source.get("items") or ():
                problems += _downward_file(item, path)
                problems += _taken(item.get("path", ""), item.get("path", ""), volume_path, taken)
        case "serviceAccountToken":
            problems += _token(source, path, volume_path)
        case "clusterTrustBundle":
            problems += _trust_bundle(source, path)
            problems += _taken(source.get("path", ""), source.get("path", ""), volume_path, taken)
    return problems


def _taken(path: str, shown: str, volume_path: str, taken: set[str]) -> Problems:
    if not path or path not in taken:
        taken.add(path)
        return []
    return [invalid(volume_path, shown, "conflicting duplicate paths")]


def _token(source: Mapping[str, Any], path: str, volume_path: str) -> Problems:
    problems: Problems = []
    seconds = source.get("expirationSeconds", 0)
    if seconds < _TOKEN_SECONDS_MIN:
        words = "may not specify a duration less than 10 minutes"
        problems.append(invalid(f"{path}.expirationSeconds", seconds, words))
    if seconds > _TOKEN_SECONDS_MAX:
        words = "may not specify a duration larger than 2^32 seconds"
        problems.append(invalid(f"{path}.expirationSeconds", seconds, words))
    if not source.get("path"):
        problems.append(required(f"{volume_path}.path"))
    else:
        problems += projected_path(f"{volume_path}.path", source["path"])
    return problems


def _trust_bundle(source: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    match source.get("name"), source.get("signerName"):
        case None, None:
            problems.append(required(path, "either name or signerName must be specified"))
        case str(), str():
            problems.append(invalid(path, source, "only one of name and signerName may be used"))
        case "", None:
            problems.append(required(f"{path}.name", "must be a valid object name"))
        case str(), None:
            if source.get("labelSelector") is not None:
                words = "labelSelector must be unset if name is specified"
                problems.append(invalid(f"{path}.labelSelector", source["labelSelector"], words))
        case None, "":
            problems.append(required(f"{path}.signerName", "must be a valid signer name"))
        case _:
            problems += validate_label_selector(source.get("labelSelector"), f"{path}.labelSelector")
    if not source.get("path"):
        problems.append(required(f"{path}.path"))
    return problems + projected_path(f"{path}.path", source.get("path", ""))


def _git_repo(source: Mapping[str, Any], path: str) -> Problems:
    problems = [] if source.get("repository") else [required(f"{path}.repository")]
    return problems + descending_path(f"{path}.directory", source.get("directory", ""))


def _image(source: Mapping[str, Any], path: str) -> Problems:
    problems = [] if source.get("reference") else [required(f"{path}.reference")]
    policy = source.get("pullPolicy")
    if policy and policy not in _PULL_POLICIES:
        problems.append(not_supported(f"{path}.pullPolicy", policy, _PULL_POLICIES))
    return problems


def _ephemeral(source: Mapping[str, Any], path: str) -> Problems:
    template = source.get("volumeClaimTemplate")
    if template is None:
        return [required(f"{path}.volumeClaimTemplate")]
    spec_path = f"{path}.volumeClaimTemplate.spec"
    return validate_claim_spec(template.get("spec") or {}, spec_path)


_ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def validate_claim_spec(spec: Mapping[str, Any], path: str) -> Problems:
    """The rules of a persistent volume claim's spec that the templates of other kinds carry."""
    problems: Problems = []
    modes = spec.get("accessModes") or ()
    if not modes:
        problems.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    for mode in modes:
        problems += supported_if_set(f"{path}.accessModes", mode, _ACCESS_MODES)
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    field = f"{path}.resources[storage]"
    if storage is None:
        problems.append(required(field))
    elif quantities.parse(storage).nano <= 0:
        problems.append(invalid(field, str(storage), "must be greater than zero"))
    return problems


_CHECKS: dict[str, Callable[[Mapping[str, Any], str], Problems]] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "gitRepo": _git_repo,
    "secret": _secret,
    "downwardAPI": _downward,
    "configMap": _config_map,
    "projected": _projected,
    "ephemeral": _ephemeral,
    "image": _image,
}
# The order in which Kubernetes looks at the sources: the first one counts, the others are too many.
_ORDER = (
    "emptyDir",
    "hostPath",
    "gitRepo",
    "secret",
    "nfs",
    "iscsi",
    "persistentVolumeClaim",
    "downwardAPI",
    "configMap",
)


def _rank(kind: str) -> tuple[int, str]:
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), kind)
