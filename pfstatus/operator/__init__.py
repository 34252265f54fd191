"""The operator: PFLACPMonitor resources in a cluster become DaemonSets of the agent.

It imports nothing else of pfstatus, and nothing imports it. It needs the extra
``pfstatus[operator]``, and runs as ``python -m pfstatus.operator``.

==============  ===================================================================
``resource``    what a PFLACPMonitor and a DaemonSet say, as values
``conflict``    which resources would put two relays on one PF
``render``      the DaemonSet of a resource
``status``      what is said of a resource
``decide``      everything above: a LIST in, the cluster as it is to be out
``changes``     what has to be written to get there
``cluster``     the API server, by lightkube
``lease``       who may write
``watch``       what wakes the loop
``loop``        list, decide, write
``serving``     health and metrics
==============  ===================================================================
"""
