package fuzz

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
)

// DigestLine is how a peer reports what a program did; ReadDigest reads it.
func DigestLine(l Level, seed, digest uint64) string {
	return fmt.Sprintf("%s %d %016x", l, seed, digest)
}

type digestKey struct {
	level Level
	seed  uint64
}

func parseDigest(line string) (k digestKey, digest uint64, err error) {
	words := strings.Fields(line)
	if len(words) != 3 {
		return k, 0, fmt.Errorf("peer: no digest: %q", line)
	}
	levels, err := Levels(words[0])
	if err != nil || len(levels) != 1 {
		return k, 0, fmt.Errorf("peer: no level: %q", line)
	}
	seed, err1 := strconv.ParseUint(words[1], 10, 64)
	digest, err2 := strconv.ParseUint(words[2], 16, 64)
	return digestKey{levels[0], seed}, digest, errors.Join(err1, err2)
}

// RunPeer is Run, here and in a process that argv starts, which is to write a DigestLine for each program of the same seeds:
// skep for another architecture. What differs is a finding, not made smaller: each side has made smaller what its own
// engines disagree about. compared counts the programs that both did. o.Count must be set.
func RunPeer(ctx context.Context, o Options, argv []string) (r *Report, compared uint64, err error) {
	ours := map[digestKey]uint64{}
	o.Digest = func(l Level, seed, digest uint64) { ours[digestKey{l, seed}] = digest }
	var out, talk bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Start(); err != nil {
		return nil, 0, fmt.Errorf("peer: %w", err)
	}
	r, err = Run(ctx, o)
	ended := cmd.Wait()
	if err != nil {
		return r, 0, err
	}
	more, compared, err := compareDigests(ours, &out, o.Command)
	r.Findings = append(r.Findings, more...)
	said := strings.TrimSpace(talk.String())
	var exit *exec.ExitError
	switch {
	case err != nil || ended == nil || ctx.Err() != nil:
	case errors.As(ended, &exit) && exit.ExitCode() == 1: // as skep fuzz ends when it has findings
		r.Findings = append(r.Findings, &Finding{Level: r.level(), LevelName: r.level().String(), Seed: o.Seed,
			Problem: "the other machine's engines disagree: " + said, Reproduce: strings.Join(argv, " ")})
	default:
		err = fmt.Errorf("peer: %w: %s", ended, said)
	}
	return r, compared, err
}

// level is the first of the report's levels.
func (r *Report) level() Level {
	for l := Bytes; l < numLevels; l++ {
		if r.Levels[l] != nil {
			return l
		}
	}
	return Bytes
}

func compareDigests(ours map[digestKey]uint64, theirs io.Reader, command string) (found []*Finding, compared uint64, err error) {
	lines := bufio.NewScanner(theirs)
	for lines.Scan() {
		k, digest, err := parseDigest(lines.Text())
		if err != nil {
			return found, compared, err
		}
		want, ok := ours[k]
		if !ok {
			continue
		}
		compared++
		if digest != want && len(found) < maxFindings {
			found = append(found, &Finding{Level: k.level, LevelName: k.level.String(), Seed: k.seed,
				Problem:   "another machine does something else",
				Reproduce: fmt.Sprintf("%s --seed %d --count 1 --level %s", command, k.seed, k.level)})
		}
	}
	return found, compared, lines.Err()
}
