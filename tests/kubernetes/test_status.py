"""What a pod's status says of its node."""

from __future__ import annotations

import pytest

from pfstatus.operator.status import Trouble, trouble_of, troubled


def pod(*, ready=False, node="w0", conditions=(), deleting=False, **status):
    return {
        "metadata": {"deletionTimestamp": "now"} if deleting else {},
        "spec": {"nodeName": node} if node else {},
        "status": {
            "conditions": [
                {"type": "Ready", "status": "True" if ready else "False", "message": "why"},
                *conditions,
            ],
            **status,
        },
    }


@pytest.mark.parametrize(
    ("found", "trouble"),
    [
        pytest.param(pod(ready=True), None, id="ready"),
        pytest.param(pod(deleting=True), None, id="going"),
        pytest.param(pod(), Trouble("w0", "NotReady", "why"), id="probe fails"),
        pytest.param(
            pod(
                containerStatuses=[
                    {
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                        "lastState": {"terminated": {"message": "no CAP_NET_ADMIN\n"}},
                    }
                ]
            ),
            Trouble("w0", "CrashLoopBackOff", "no CAP_NET_ADMIN"),
            id="crashing: the log's end says why",
        ),
        pytest.param(
            pod(
                node="",
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes are available",
                    }
                ],
            ),
            Trouble("", "Unschedulable", "0/3 nodes are available"),
            id="unschedulable",
        ),
        pytest.param({"metadata": {}}, None, id="just made: no node yet"),
        pytest.param(
            {"metadata": {}, "spec": {"nodeName": "w0"}},
            Trouble("w0", "NotReady", ""),
            id="nothing known",
        ),
    ],
)
def test_a_pod_says_what_troubles_its_node(found, trouble):
    assert trouble_of(found) == trouble


def test_at_most_20_nodes_are_named_in_one_order():
    troubles = [Trouble(f"w{number:02}", "NotReady", "") for number in range(30)]
    assert troubled(troubles) == troubled(reversed(troubles))
    assert len(troubled(troubles)) == 20
