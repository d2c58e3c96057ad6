package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

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
	var log string
	cmd := &cobra.Command{
		Use:   "explain [CODE | MESSAGE]",
		Short: "Say what an error of the verifier, or of a kernel's, means and what to do",
		Long: `Explain shows what a code of skep's verifier means, with a program that is rejected so, what is said of it, and the program
corrected. Instead of a code it takes a message of a kernel's verifier, as it stands in the kernel's log, or a part of it. With
--log it reads a whole log of a kernel, also inside of what a loader prints, and explains its last error. Without any of these
it lists the codes.`,
		Example: "  skep explain E_PKT_BOUNDS\n  skep explain \"R0 invalid mem access 'map_value_or_null'\"\n" +
			"  bpftool prog load -d a.o /sys/fs/bpf/a 2>&1 | skep explain --log -",
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case log != "" && len(args) > 0:
				return fmt.Errorf("--log takes the place of a code or message")
			case log != "":
				return a.explainLog(log)
			case len(args) == 0:
				a.listCodes()
				return nil
			}
			return a.explainWords(strings.Join(args, " "))
		},
	}
	cmd.Flags().StringVar(&log, "log", "", "a file with a kernel's log, - for standard input")
	return cmd
}

// listCodes prints all codes by group.
func (a *app) listCodes() {
	for i, group := range verifier.Groups {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		fmt.Fprintf(a.out, "%s:\n", group)
		for _, c := range verifier.Codes {
			if row, _ := verifier.Lookup(c.Code); row.Group == group {
				fmt.Fprintf(a.out, "  %-22s%s\n", row.Code, row.Meaning)
			}
		}
	}
}

// explainWords explains a code, or the codes that a message may belong to.
func (a *app) explainWords(words string) error {
	if c, ok := verifier.Lookup(verifier.Code(strings.ToUpper(words))); ok {
		explainCode(a.out, &c)
		return nil
	}
	if strings.HasPrefix(words, "E_") {
		return fmt.Errorf("unknown code %q; \"skep explain\" lists them", words)
	}
	found := verifier.Match(words)
	if len(found) == 0 {
		found = verifier.Search(words)
	}
	if len(found) == 0 {
		return fmt.Errorf("no code for the message %q; \"skep explain\" lists all", words)
	}
	explainCodes(a.out, found)
	return nil
}

// explainLog explains the last error of a kernel's log.
func (a *app) explainLog(file string) error {
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	last, err := lastKernelError(in)
	if err != nil {
		return err
	}
	if len(last.message) == 0 {
		return fmt.Errorf("%s: no error of a verifier that skep knows", file)
	}
	fmt.Fprintln(a.out, "the log's last error:")
	for _, line := range last.message {
		fmt.Fprintf(a.out, "  %s\n", line)
	}
	if last.insn != "" {
		fmt.Fprintf(a.out, "at %s\n", last.insn)
	}
	if last.source != "" {
		fmt.Fprintf(a.out, "of %s\n", last.source)
	}
	fmt.Fprintln(a.out)
	explainCodes(a.out, verifier.Match(strings.Join(last.message, "\n")))
	return nil
}

// explainCodes explains one code at length, several in short.
func explainCodes(w io.Writer, rows []verifier.CodeRow) {
	if len(rows) == 1 {
		explainCode(w, &rows[0])
		return
	}
	fmt.Fprintln(w, "One of these; skep verify tells which, and where it began:")
	for i := range rows {
		fmt.Fprintf(w, "\n%s: %s.\n  What to do: %s.\n", rows[i].Code, rows[i].Meaning, rows[i].Hint)
	}
}

// explainCode explains a code, with its example.
func explainCode(w io.Writer, c *verifier.CodeRow) {
	fmt.Fprintf(w, "%s: %s.\nWhat to do: %s.\n", c.Code, c.Meaning, c.Hint)
	section := func(title, text string) {
		if text != "" {
			fmt.Fprintf(w, "\n%s\n    %s\n", title, strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    "))
		}
	}
	section("The kernel's words (* is what differs):", strings.Join(c.Kernel, "\n"))
	section("Rejected"+inParens(c.Given)+":", c.Example)
	section("What is said of it:", c.Report)
	section("Accepted"+inParens(c.FixedGiven)+":", c.Fixed)
}

func inParens(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}
