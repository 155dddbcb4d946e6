"""Every field of the controllers' views is a field of the published schema: a misspelt one would never be filled."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.api import resources
from orchestrator.api.schema.definitions import schema_of
from orchestrator.api.views import cluster, workloads
from orchestrator.api.views.meta import LeaseView

_VIEWS = [
    (resources.PODS, workloads.Pod),
    (resources.REPLICASETS, workloads.ReplicaSet),
    (resources.DEPLOYMENTS, workloads.Deployment),
    (resources.STATEFULSETS, workloads.StatefulSet),
    (resources.CONTROLLERREVISIONS, workloads.ControllerRevision),
    (resources.NAMESPACES, cluster.Namespace),
    (resources.NODES, cluster.Node),
    (resources.SERVICES, cluster.Service),
    (resources.ENDPOINTS, cluster.Endpoints),
    (resources.ENDPOINTSLICES, cluster.EndpointSlice),
    (resources.LEASES, LeaseView),
]
# One view serves the conditions of every kind, and each kind has its own times.
_SHARED = {"lastUpdateTime", "lastHeartbeatTime", "observedGeneration"}


def unknown(view, schema, path=""):
    found = []
    for field in msgspec.structs.fields(view):
        name = field.encode_name
        known = schema.properties.get(name)
        if known is None:
            found += [] if name in _SHARED else [f"{path}.{name}"]
            continue
        while known.items is not None:
            known = known.items
        for struct in structs_in(msgspec.inspect.type_info(field.type)):
            found += unknown(struct, known, f"{path}.{name}")
    return found


def structs_in(info):
    match info:
        case msgspec.inspect.StructType(cls=cls):
            return [cls]
        case msgspec.inspect.VarTupleType(item_type=item):
            return structs_in(item)
        case msgspec.inspect.UnionType(types=types):
            return [cls for one in types for cls in structs_in(one)]
    return []


@pytest.mark.parametrize(("resource", "view"), [pytest.param(r, v, id=r.plural) for r, v in _VIEWS])
def test_views_read_fields_that_exist(resource, view):
    assert unknown(view, schema_of(resource)) == []
