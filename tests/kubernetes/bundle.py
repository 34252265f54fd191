"""Writes the OLM bundle from the manifests: `python tests/kubernetes/bundle.py`.

OLM takes the operator's Deployment, its role and the CRD. It takes neither an admission policy
nor SecurityContextConstraints: its agents use OpenShift's own `privileged` SCC, as the original's
do, and examples/kubernetes/components/admission is applied beside it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import yaml
from manifests import EXAMPLES, documents, read, rendered

VERSION = "5.0.0-pfstatus.0.1.0"
"""Above the original's, which it replaces; behind it, our own."""
ORIGINAL = "pf-status-relay-operator.v4.23.0"
NAME = "pf-status-relay-operator"
LICENSE = "# SPDX-License-Identifier: Apache-2.0\n"


def _named(found: list[dict], kind: str, name: str) -> dict:
    [one] = [doc for doc in found if (doc["kind"], doc["metadata"]["name"]) == (kind, name)]
    return one


def cluster_service_version() -> dict:
    """The operator, as OLM installs it."""
    found = documents(rendered("overlays/openshift"))
    deployment = _named(found, "Deployment", f"{NAME}-controller-manager")
    role = _named(found, "Role", f"{NAME}-manager-role")
    [sample] = read("scenario/pflacpmonitor.yaml")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {
            "name": f"{NAME}.v{VERSION}",
            "namespace": "placeholder",
            "annotations": {
                "alm-examples": json.dumps([sample], indent=2),
                "capabilities": "Seamless Upgrades",
                "categories": "Networking",
                "containerImage": image,
                "description": "Pods fail over when a switch dies and the cable stays up.",
                "support": "The pfstatus authors",
                "features.operators.openshift.io/disconnected": "true",
                "features.operators.openshift.io/fips-compliant": "false",
                "features.operators.openshift.io/proxy-aware": "false",
                "features.operators.openshift.io/tls-profiles": "false",
                "features.operators.openshift.io/token-auth-aws": "false",
                "features.operators.openshift.io/token-auth-azure": "false",
                "features.operators.openshift.io/token-auth-gcp": "false",
                "olm.skipRange": f">=4.3.0-0 <{VERSION}",
                "operatorframework.io/suggested-namespace": f"openshift-{NAME}",
            },
        },
        "spec": {
            "displayName": "PF Status Relay Operator (pfstatus)",
            "description": (
                "Watches LACP on the physical functions of SR-IOV NICs, and sets their virtual"
                " functions' link state to disable while LACP is down, so that pods fail over."
            ),
            "version": VERSION,
            "replaces": ORIGINAL,
            "maturity": "alpha",
            "minKubeVersion": "1.30.0",
            "keywords": ["pf-status-relay", "sriov", "lacp"],
            "maintainers": [{"name": "The pfstatus authors", "email": "pfstatus@pfstatus.example"}],
            "provider": {"name": "pfstatus"},
            "links": [{"name": "pfstatus", "url": "https://pfstatus.example"}],
            "installModes": [
                {"type": kind, "supported": kind == "OwnNamespace"}
                for kind in (
                    "OwnNamespace",
                    "SingleNamespace",
                    "MultiNamespace",
                    "AllNamespaces",
                )
            ],
            "customresourcedefinitions": {
                "owned": [
                    {
                        "name": "pflacpmonitors.pfstatusrelay.openshift.io",
                        "kind": "PFLACPMonitor",
                        "version": "v1alpha1",
                        "displayName": "PFLACPMonitor",
                        "description": "PFs whose LACP is watched, and the nodes where.",
                    }
                ]
            },
            "install": {
                "strategy": "deployment",
                "spec": {
                    "deployments": [
                        {
                            "name": deployment["metadata"]["name"],
                            "label": deployment["metadata"]["labels"],
                            "spec": deployment["spec"],
                        }
                    ],
                    "permissions": [
                        {
                            "serviceAccountName": f"{NAME}-controller-manager",
                            "rules": role["rules"],
                        }
                    ],
                },
            },
        },
    }


def files() -> dict[str, str]:
    """Every file of the bundle, by path."""
    [crd] = read("base/crd.yaml")
    account = f"{NAME}-pf-status-relay"
    privileged = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": account},
        "rules": [
            {
                "apiGroups": ["security.openshift.io"],
                "resources": ["securitycontextconstraints"],
                "resourceNames": ["privileged"],
                "verbs": ["use"],
            }
        ],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": account},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": account,
        },
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": f"openshift-{NAME}"}],
    }
    agent = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": account},
        "automountServiceAccountToken": False,
    }
    annotations = {
        "annotations": {
            "operators.operatorframework.io.bundle.mediatype.v1": "registry+v1",
            "operators.operatorframework.io.bundle.manifests.v1": "manifests/",
            "operators.operatorframework.io.bundle.metadata.v1": "metadata/",
            "operators.operatorframework.io.bundle.package.v1": NAME,
            "operators.operatorframework.io.bundle.channels.v1": "stable",
            "operators.operatorframework.io.bundle.channel.default.v1": "stable",
            "com.redhat.openshift.versions": "v4.17",
        }
    }
    found = {
        f"manifests/{NAME}.clusterserviceversion.yaml": cluster_service_version(),
        "manifests/pfstatusrelay.openshift.io_pflacpmonitors.yaml": crd,
        f"manifests/{account}_serviceaccount.yaml": agent,
        f"manifests/{account}_role.yaml": privileged,
        f"manifests/{account}_rolebinding.yaml": binding,
        "metadata/annotations.yaml": annotations,
    }
    return {
        path: LICENSE + yaml.safe_dump(content, sort_keys=False, width=100)
        for path, content in found.items()
    }


if __name__ == "__main__":
    for path, text in files().items():
        target = EXAMPLES / "bundle" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
