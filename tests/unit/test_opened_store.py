"""The API server's store as its process opens it: a cluster whose store is gone does not begin anew in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator.config import BadConfig, Config
from orchestrator.machinery.clock import SystemClock
from orchestrator.serve.api_server import opened_store


async def test_a_cluster_whose_whole_store_is_gone_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    config = Config(state_dir=tmp_path)
    config.pki_dir.mkdir(parents=True)
    async with opened_store(config, SystemClock()) as store:
        await store.put("/registry/core/configmaps/default/a", b"1", expect_revision=0)
    async with opened_store(config, SystemClock()) as store:
        assert await store.get("/registry/core/configmaps/default/a") is not None
    shutil.rmtree(config.store_path.parent)
    with pytest.raises(BadConfig, match="all of its store is gone") as refused:
        async with opened_store(config, SystemClock()):
            pass
    assert "wherry store restore" in str(refused.value)
    (config.pki_dir / "store-made").unlink()
    async with opened_store(config, SystemClock()) as store:
        assert await store.get("/registry/core/configmaps/default/a") is None
