package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/jit"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and which engines this machine has",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			engines := "interp, checked"
			if jit.Available() {
				engines += ", jit"
			}
			fmt.Fprintf(a.out, "skep %s %s/%s %s\nengines: %s\n", version(), runtime.GOOS, runtime.GOARCH, runtime.Version(), engines)
			return nil
		},
	}
}

// version is that of the module, as the build knows it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
