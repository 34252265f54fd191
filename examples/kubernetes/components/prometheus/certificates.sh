#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Certificates for the agents' metrics: two Secrets, of the agents and of Prometheus, by a CA whose key
# is thrown away. Good for DAYS (825); to renew them is to run this again.
#
#   sh certificates.sh [DAYS] | kubectl apply -n openshift-pf-status-relay-operator -f -
#
# A cert-manager Certificate with these secretNames and dnsNames does as well, and renews by itself.
set -eu
umask 077
days=${1:-825}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
new="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"

openssl req -x509 $new -days "$days" -subj "/CN=pf-status-relay metrics" -keyout ca.key -out ca.crt 2>log ||
	{ cat log >&2; exit 1; }

for name in pf-status-relay-metrics pf-status-relay-metrics-client; do
	case $name in
	*-client) usage=clientAuth ;;
	*) usage=serverAuth ;;
	esac
	printf 'subjectAltName=DNS:%s\nextendedKeyUsage=%s\n' "$name" "$usage" >extensions
	{
		openssl req $new -subj "/CN=$name" -keyout tls.key -out request &&
			openssl x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" \
				-extfile extensions -out tls.crt
	} 2>log || { cat log >&2; exit 1; }
	printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\ntype: kubernetes.io/tls\ndata:\n' "$name"
	for file in tls.crt tls.key ca.crt; do
		printf '  %s: %s\n' "$file" "$(base64 <"$file" | tr -d '\n')"
	done
done
