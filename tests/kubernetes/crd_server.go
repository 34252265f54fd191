// SPDX-License-Identifier: Apache-2.0

// The CRD half of the cluster that `make cluster-test` runs: the server of k8s.io/apiextensions-apiserver,
// which Debian packages as a library without a program.
package main

import (
	"os"

	"k8s.io/apiextensions-apiserver/pkg/cmd/server"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/cli"
)

func main() {
	ctx := genericapiserver.SetupSignalContext()
	os.Exit(cli.Run(server.NewServerCommand(ctx, os.Stdout, os.Stderr)))
}
