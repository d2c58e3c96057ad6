package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// table is text in columns. Columns from right on are aligned to the right.
type table struct {
	rows [][]string
	// right says which columns are numbers.
	right map[int]bool
	// paint may wrap a cell in colour, for terminals; nil: none.
	paint func(cell string) (color string)
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table with two spaces between columns.
func (t *table) print(w io.Writer) {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	color := t.paint != nil && isTerminal(w) && os.Getenv("NO_COLOR") == ""
	for _, row := range t.rows {
		var line strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if color && t.paint(c) != "" {
				c = t.paint(c) + c + "\x1b[0m"
			}
			if t.right[i] {
				c, pad = pad+c, ""
			}
			line.WriteString(c + pad + "  ")
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}
