"""The composition roots of the control plane's processes: the only builders of the real clock, store and client.

`python -m orchestrator.serve PROCESS [settings]`, where PROCESS is api-server, controllers or scheduler.
"""
