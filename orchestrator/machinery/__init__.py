"""How components talk and run: client, informers, queues, workers, logs, metrics, certificates."""
