// Package kver names Linux kernel versions, for the tables that say since when the kernel knows a thing.
package kver

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version is a kernel release, major.minor. The zero value is older than every release: "always there".
type Version struct{ Major, Minor uint8 }

// V is short for a Version literal in tables.
func V(major, minor uint8) Version { return Version{major, minor} }

// AtLeast reports whether v is w or newer.
func (v Version) AtLeast(w Version) bool {
	return v.Major > w.Major || v.Major == w.Major && v.Minor >= w.Minor
}

// Compare is negative when v is older than w, 0 when they are the same, positive when v is newer.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor))
}

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Parse reads "6.12", "v6.12" or "6.12.3"; anything after the minor number is ignored.
func Parse(s string) (Version, error) {
	parts := strings.SplitN(strings.TrimPrefix(s, "v"), ".", 3)
	if len(parts) < 2 {
		return Version{}, fmt.Errorf("kernel version %q: want MAJOR.MINOR", s)
	}
	major, err1 := strconv.ParseUint(parts[0], 10, 8)
	minor, err2 := strconv.ParseUint(parts[1], 10, 8)
	if err1 != nil || err2 != nil {
		return Version{}, fmt.Errorf("kernel version %q: want MAJOR.MINOR", s)
	}
	return Version{uint8(major), uint8(minor)}, nil
}
