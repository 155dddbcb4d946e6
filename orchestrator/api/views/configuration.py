"""ConfigMaps and Secrets as those who use their values see them."""

from __future__ import annotations

from orchestrator.api.views.meta import ObjectMeta, View


class ConfigMap(View, frozen=True):
    """A ConfigMap; `binary_data` decodes from base64."""

    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = {}
    binary_data: dict[str, bytes] = {}


class Secret(View, frozen=True):
    """A Secret; its values decode from base64."""

    metadata: ObjectMeta = ObjectMeta()
    type: str = "Opaque"
    data: dict[str, bytes] = {}
