"""The relay that people run in production: what stands around the loop of ``pfstatus.relay``.

``config`` is its file, ``program`` runs it for systemd or Kubernetes, ``metrics`` and ``http`` tell
others how it does.
"""
