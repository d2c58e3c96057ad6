package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/verifier"
)

// asRejection returns the verifier's error in err, or nil.
func asRejection(err error) *verifier.Error {
	var e *verifier.Error
	errors.As(err, &e)
	return e
}

// printRejection shows a verifier error: the kernel's words, why, where in the source, how it got there, what to do.
func printRejection(w io.Writer, e *verifier.Error) {
	field := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %-8s%s\n", name, strings.ReplaceAll(text, "\n", "\n          "))
		}
	}
	if e.PC >= 0 {
		field("insn", fmt.Sprintf("%d: %s", e.PC, asm.Format(e.Insn, nil)))
	}
	field("kernel", e.Kernel)
	field("reason", e.Reason)
	if l := e.Line; l != nil {
		field("source", fmt.Sprintf("%s:%d:%d", l.File, l.Line, l.Col))
		text := strings.TrimLeft(l.Text, " \t")
		fmt.Fprintf(w, "          | %s\n", text)
		if caret := l.Col - 1 - (len(l.Text) - len(text)); caret >= 0 && caret <= len(text) {
			fmt.Fprintf(w, "          | %s^\n", strings.Repeat(" ", caret))
		}
	}
	field("state", e.State)
	for i, s := range e.Path {
		name := ""
		if i == 0 {
			name = "path"
		}
		fmt.Fprintf(w, "  %-8s%s\n", name, pathLine(s))
	}
	field("hint", e.Hint)
	if e.Code != "" {
		field("code", string(e.Code)+"  (skep explain "+string(e.Code)+")")
	}
}

func pathLine(s verifier.Step) string {
	taken := "not taken"
	if s.Taken {
		taken = "taken"
	}
	line := fmt.Sprintf("%d: %s  %s", s.PC, s.Text, taken)
	if s.Line != nil {
		line += fmt.Sprintf("  %s:%d", s.Line.File, s.Line.Line)
	}
	return line
}

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
