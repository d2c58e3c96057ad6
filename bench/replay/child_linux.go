package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/bench/kept"
	"github.com/skepvm/skep/bench/workloads"
	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/replay"
	"github.com/skepvm/skep/traffic"
)

// childEnv names, in the environment of this executable, what it does instead of measuring.
const childEnv = "SKEP_BENCH_CHILD"

// What a child does.
const (
	childMemory = "memory"
	childAllocs = "allocs"
)

// child is a process that measures what no other process can see.
func child(work string, args []string, out io.Writer) error {
	switch work {
	case childMemory:
		return memory(out)
	case childAllocs:
		packets, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return allocs(out, args[0], packets)
	}
	return fmt.Errorf("%s=%s: nothing is called that", childEnv, work)
}

// What memory measures: batches of so many frames, and how many batches.
const (
	batch   = 1024
	batches = 1000
)

// inMemory are programs that run on frames in memory, and the verdict that each of those gets.
var inMemory = []struct {
	work    string
	verdict string
}{{"drop", "XDP_DROP"}, {"tx_bounce", "XDP_TX"}, {"udp_rewrite", "XDP_TX"}}

// memory measures programs on frames of 64 bytes that are in memory, on one CPU. What it prints is of the middle one of many batches.
func memory(out io.Writer) error {
	frames, err := smallFrames()
	if err != nil {
		return err
	}
	for _, m := range inMemory {
		err := onEngines(m.work, func(v *skep.VM, name, function string) error {
			for _, f := range frames {
				res, err := v.Run(function, skep.Packet{Data: f, Input: prog.Input{Ifindex: 1}})
				if err != nil || res.Verdict != m.verdict {
					return fmt.Errorf("%s: a frame gets %s, not %s (%v)", m.work, res.Verdict, m.verdict, err)
				}
			}
			meter, err := v.NewMeter(function, frames)
			if err != nil {
				return err
			}
			defer meter.Close()
			times := make([]float64, batches)
			for i := range times {
				if times[i], err = meter.Batch(); err != nil {
					return err
				}
			}
			ns := skep.SpreadOf(times).Median
			_, err = fmt.Fprintf(out, "BenchmarkMemory/work=%s/engine=%s/batch=%d\t%d\t%.3f ns/op\t%.1f Mpackets/s\n", m.work, name, batch, batches, ns, 1000/ns)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// smallFrames are UDP over IPv4, of 64 bytes each.
func smallFrames() ([][]byte, error) {
	g, err := traffic.New(traffic.Spec{Packets: 2 * batch, Sizes: []traffic.Size{{Min: 64, Share: 1}}, Mix: traffic.Mix{Flows: 1}})
	if err != nil {
		return nil, err
	}
	var frames [][]byte
	for f, _ := g.Next(); f != nil && len(frames) < batch; f, _ = g.Next() {
		if len(f) == 64 && f[14] == 0x45 { // no IP options: the program rewrites only those
			frames = append(frames, slices.Clone(f))
		}
	}
	if len(frames) < batch {
		return nil, fmt.Errorf("only %d frames of 64 bytes", len(frames))
	}
	return frames, nil
}

// onEngines calls f with a workload's program on each engine.
func onEngines(work string, f func(v *skep.VM, engine, function string) error) error {
	w, err := workloads.ByName(work)
	if err != nil {
		return err
	}
	elf, err := w.Object()
	if err != nil {
		return err
	}
	for _, engine := range []string{skep.EngineInterp, skep.EngineJIT} {
		if engine == skep.EngineJIT && !jit.Available() {
			continue
		}
		v, err := skep.OpenBytes(elf, w.Name, skep.Options{Engine: engine})
		if err != nil {
			return err
		}
		err = f(v, engine, w.Func)
		if cerr := v.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allocs counts the allocations that a replay makes for a packet: what a longer replay has more than a shorter one.
func allocs(out io.Writer, file string, packets int) error {
	for i := range kept.Runs {
		r := &kept.Runs[i]
		var err error
		switch {
		case r.Tool != "skep":
			continue
		case r.Work == kept.None:
			err = printAllocs(out, r.Work, kept.None, packets, func(limit uint64) error {
				_, err := replay.Run(replay.Options{Files: []string{file}, Limit: limit})
				return err
			})
		case r.Work == "expr":
			err = allocsOfFilter(out, r, file, packets)
		default:
			err = onEngines(r.Work, func(v *skep.VM, engine, function string) error {
				return printAllocs(out, r.Work, engine, packets, func(limit uint64) error {
					_, err := v.Replay(function, replay.Options{Files: []string{file}, Limit: limit, CountChanged: true})
					return err
				})
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allocsOfFilter counts those of a replay through an expression.
func allocsOfFilter(out io.Writer, r *kept.Run, file string, packets int) error {
	for _, engine := range enginesOf(r) {
		err := printAllocs(out, r.Work, engine, packets, func(limit uint64) error { return replayFilter(engine, file, limit) })
		if err != nil {
			return err
		}
	}
	return nil
}

func replayFilter(engine, file string, limit uint64) error {
	v, err := skep.New(&object.Object{}, skep.Options{Engine: engine})
	if err != nil {
		return err
	}
	defer v.Close()
	filter, err := v.Filter("filter", kept.Expr, cbpf.CompileOptions{SnapLen: cbpf.DefaultSnapLen})
	if err != nil {
		return err
	}
	_, err = replay.Run(replay.Options{
		Files: []string{file}, Limit: limit, Filters: []replay.Filter{filter}, Target: replay.Target{Machine: v.Machine()},
	})
	return err
}

// printAllocs compares a replay of a hundredth of the packets with one of a fifth.
func printAllocs(out io.Writer, work, engine string, packets int, run func(limit uint64) error) error {
	short, long := uint64(packets/100), uint64(packets/5)
	var before, between, after runtime.MemStats
	if err := run(short); err != nil { // once for what is only made once
		return err
	}
	runtime.ReadMemStats(&before)
	if err := run(short); err != nil {
		return err
	}
	runtime.ReadMemStats(&between)
	if err := run(long); err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	more := float64(after.Mallocs-between.Mallocs) - float64(between.Mallocs-before.Mallocs)
	_, err := fmt.Fprintf(out, "BenchmarkAllocs/work=%s/engine=%s\t%d\t%.4f allocs/packet\n", work, engine, long-short, more/float64(long-short))
	return err
}
