package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/verifier"
)

// asRejection returns the verifier's error in err, or nil.
func asRejection(err error) *verifier.Error {
	var e *verifier.Error
	errors.As(err, &e)
	return e
}

// printRejection shows a verifier error.
func printRejection(w io.Writer, e *verifier.Error) { fmt.Fprint(w, e.Report()) }

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "explain [CODE]",
		Short:   "Say what an error code of the verifier means; without a code, list them",
		Example: "  skep explain E_PKT_BOUNDS",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				for _, c := range verifier.Codes {
					fmt.Fprintf(a.out, "%-24s%s\n", c.Code, c.Meaning)
				}
				return nil
			}
			c, ok := verifier.Lookup(verifier.Code(args[0]))
			if !ok {
				return fmt.Errorf("unknown code %q; \"skep explain\" lists them", args[0])
			}
			fmt.Fprintf(a.out, "%s: %s.\nWhat to do: %s.\n", c.Code, c.Meaning, c.Hint)
			return nil
		},
	}
}
