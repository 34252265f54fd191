#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Removes what the PF Status Relay Operator of OpenShift leaves in the way of ours, and nothing that
# its users made: PFLACPMonitors and their DaemonSets stay, and are adopted.
#
#   examples/kubernetes/from-reference.sh [--dry-run]
#
# $KUBECTL names the client (kubectl, or oc).
set -eu
KUBECTL=${KUBECTL:-kubectl}
NAMESPACE=openshift-pf-status-relay-operator
dry=
case ${1:-} in
"") ;;
--dry-run) dry=--dry-run=server ;;
*)
    echo "usage: $0 [--dry-run]" >&2
    exit 2
    ;;
esac

remove() { # remove KIND NAME [ARGUMENTS]
    # shellcheck disable=SC2086
    "$KUBECTL" delete --ignore-not-found $dry "$@"
}

# OLM gives the configuration's name a suffix, so it is known by what it is for. Left behind without
# its server and with failurePolicy Fail, it refuses every write of a PFLACPMonitor.
webhooks=$("$KUBECTL" get validatingwebhookconfigurations -o go-template='
{{- range .items}}{{$name := .metadata.name}}
  {{- range .webhooks}}{{range .rules}}{{range .apiGroups}}
    {{- if eq . "pfstatusrelay.openshift.io"}}{{$name}}{{"\n"}}{{end}}
  {{- end}}{{end}}{{end}}
{{- end}}' | sort -u)
for name in $webhooks; do
    remove validatingwebhookconfiguration "$name"
done

# A Deployment whose selector differs cannot be applied over; ours has the reference's own.
for name in webhook-service controller-manager-metrics-service; do
    remove service "pf-status-relay-operator-$name" -n "$NAMESPACE"
done
remove rolebinding pf-status-relay-operator-leader-election-rolebinding -n "$NAMESPACE"
remove role pf-status-relay-operator-leader-election-role -n "$NAMESPACE"
remove clusterrolebinding pf-status-relay-operator-manager-clusterrolebinding
remove clusterrole pf-status-relay-operator-manager-role
# Its agents were privileged. Ours need an SCC of their own, which the overlay brings.
remove rolebinding pf-status-relay-operator-pf-status-relay -n "$NAMESPACE"
remove role pf-status-relay-operator-pf-status-relay -n "$NAMESPACE"
