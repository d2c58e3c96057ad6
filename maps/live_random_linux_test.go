//go:build amd64 || arm64

package maps

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// recipe says how random operations on a map look.
type recipe struct {
	spec   Spec
	keys   int      // size of the set that keys are from; of things when it is negative
	values []string // what values are from; nil is any bytes
	steps  string   // by weight: a word that stands twice comes twice as often
}

const (
	hashSteps = "lookup lookup update update update delete host-lookup host-update host-update host-delete host-take host-next host-keys " +
		"lookup-batch take-batch update-batch delete-batch"
	arraySteps = "lookup lookup update update delete host-lookup host-lookup host-update host-update host-delete host-take host-next " +
		"host-keys lookup-batch take-batch update-batch delete-batch"
	hostSteps = "host-lookup host-lookup host-update host-update host-update host-delete host-take host-next host-keys " +
		"lookup-batch take-batch update-batch delete-batch"
	queueSteps = "push push push pop peek host-lookup host-update host-update host-take host-delete host-next lookup-batch"
)

// recipes has each type that bpf(2) makes.
func recipes(t testing.TB) map[string]recipe {
	things := []string{"@0", "@1", "@2", "@3"}
	devs := []string{"00000000"}
	for _, d := range devices(t) {
		devs = append(devs, hex.EncodeToString(appendLE32(d)))
	}
	wide := func(all []string) (w []string) {
		for _, v := range all {
			w = append(w, v+"00000000")
		}
		return w
	}
	return map[string]recipe{
		"hash":               {Spec{Type: Hash, KeySize: 4, ValueSize: 8, MaxEntries: 8}, 12, nil, hashSteps},
		"hash_no_prealloc":   {Spec{Type: Hash, KeySize: 7, ValueSize: 3, MaxEntries: 8, Flags: NoPrealloc}, 12, nil, hashSteps},
		"hash_read_only":     {Spec{Type: Hash, KeySize: 16, ValueSize: 8, MaxEntries: 8, Flags: ReadOnly}, 12, nil, hashSteps},
		"hash_write_only":    {Spec{Type: Hash, KeySize: 8, ValueSize: 8, MaxEntries: 8, Flags: WriteOnly}, 12, nil, hashSteps},
		"percpu_hash":        {Spec{Type: PerCPUHash, KeySize: 4, ValueSize: 5, MaxEntries: 8}, 12, nil, hashSteps},
		"percpu_no_prealloc": {Spec{Type: PerCPUHash, KeySize: 4, ValueSize: 8, MaxEntries: 8, Flags: NoPrealloc}, 12, nil, hashSteps},
		"lru_hash":           {Spec{Type: LRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 1024}, 12, nil, hashSteps},
		"lru_own_lists":      {Spec{Type: LRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 1024, Flags: NoCommonLRU}, 12, nil, hashSteps},
		"lru_percpu_hash":    {Spec{Type: LRUPerCPUHash, KeySize: 4, ValueSize: 8, MaxEntries: 1024}, 12, nil, hashSteps},
		"array":              {Spec{Type: Array, KeySize: 4, ValueSize: 5, MaxEntries: 4}, 6, nil, arraySteps},
		"array_mmapable":     {Spec{Type: Array, KeySize: 4, ValueSize: 8, MaxEntries: 4, Flags: Mmapable}, 6, nil, arraySteps},
		"array_read_only":    {Spec{Type: Array, KeySize: 4, ValueSize: 8, MaxEntries: 4, Flags: ReadOnly}, 6, nil, arraySteps},
		"percpu_array":       {Spec{Type: PerCPUArray, KeySize: 4, ValueSize: 12, MaxEntries: 4}, 6, nil, arraySteps},
		"lpm_ipv4":           {Spec{Type: LPMTrie, KeySize: 8, ValueSize: 4, MaxEntries: 8, Flags: NoPrealloc}, 0, nil, hashSteps},
		"lpm_ipv6":           {Spec{Type: LPMTrie, KeySize: 20, ValueSize: 8, MaxEntries: 8, Flags: NoPrealloc}, 0, nil, hashSteps},
		"lpm_one_byte":       {Spec{Type: LPMTrie, KeySize: 5, ValueSize: 1, MaxEntries: 16, Flags: NoPrealloc}, 0, nil, hashSteps},
		"queue":              {Spec{Type: Queue, ValueSize: 6, MaxEntries: 4}, 0, nil, queueSteps},
		"stack":              {Spec{Type: Stack, ValueSize: 8, MaxEntries: 4}, 0, nil, queueSteps},
		"bloom_filter": {Spec{Type: BloomFilter, ValueSize: 4, MaxEntries: 4096}, 0,
			[]string{"00000001", "00000002", "00000003", "00000004", "00000005", "00000006"},
			"push peek-value contains contains contains host-update host-update host-delete host-next host-take lookup-batch"},
		"prog_array":     {Spec{Type: ProgArray, KeySize: 4, ValueSize: 4, MaxEntries: 4}, 6, things, hostSteps},
		"array_of_maps":  {Spec{Type: ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 4}, 6, things, hostSteps + " lookup lookup"},
		"hash_of_maps":   {Spec{Type: HashOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 4}, 8, things, hostSteps + " lookup lookup"},
		"devmap":         {Spec{Type: DevMap, KeySize: 4, ValueSize: 4, MaxEntries: 4}, 6, devs, hostSteps},
		"devmap_progs":   {Spec{Type: DevMap, KeySize: 4, ValueSize: 8, MaxEntries: 4}, 6, wide(devs), hostSteps},
		"devmap_hash":    {Spec{Type: DevMapHash, KeySize: 4, ValueSize: 8, MaxEntries: 4}, 8, wide(devs), hostSteps},
		"cpumap":         {Spec{Type: CPUMap, KeySize: 4, ValueSize: 4, MaxEntries: 1}, 3, []string{"00000000", "c0000000", "00400000", "01400000"}, hostSteps},
		"xskmap":         {Spec{Type: XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 4}, 6, things, hostSteps},
		"sockmap":        {Spec{Type: SockMap, KeySize: 4, ValueSize: 8, MaxEntries: 4}, 6, things, hostSteps},
		"sockmap_narrow": {Spec{Type: SockMap, KeySize: 4, ValueSize: 4, MaxEntries: 4}, 6, things, hostSteps},
		"sockhash":       {Spec{Type: SockHash, KeySize: 4, ValueSize: 8, MaxEntries: 4}, 8, things, hostSteps},
		"reuseport":      {Spec{Type: ReuseportSockArray, KeySize: 4, ValueSize: 8, MaxEntries: 3}, 5, things, hostSteps},
		"sk_storage":     {Spec{Type: SKStorage, KeySize: 4, ValueSize: 8, Flags: NoPrealloc}, -thingCount, nil, hostSteps},
		"task_storage":   {Spec{Type: TaskStorage, KeySize: 4, ValueSize: 8, Flags: NoPrealloc}, -thingCount, nil, hostSteps},
		"cgrp_storage":   {Spec{Type: CgrpStorage, KeySize: 4, ValueSize: 8, Flags: NoPrealloc}, -1, nil, hostSteps},
		"inode_storage":  {Spec{Type: InodeStorage, KeySize: 4, ValueSize: 8, Flags: NoPrealloc}, -thingCount, nil, hostSteps},
		"cgroup_array":   {Spec{Type: CgroupArray, KeySize: 4, ValueSize: 4, MaxEntries: 4}, 6, things[:1], hostSteps},
		"cgroup_storage": {Spec{Type: CgroupStorage, KeySize: 16, ValueSize: 8}, 4, nil, hostSteps}, // without elements
		"cgroup_percpu":  {Spec{Type: PerCPUCgroupStorage, KeySize: 8, ValueSize: 8}, 4, nil, hostSteps},
		"user_ringbuf":   {Spec{Type: UserRingBuf, MaxEntries: 4096}, 0, nil, "host-lookup host-delete host-next lookup-batch host-take"},
		"stack_trace":    {Spec{Type: StackTrace, KeySize: 4, ValueSize: 16, MaxEntries: 4}, 6, nil, hostSteps},
		"perf_event_array": {Spec{Type: PerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 4}, 6, nil,
			"host-lookup host-delete host-take host-next host-keys lookup-batch take-batch"},
		"ringbuf": {Spec{Type: RingBuf, MaxEntries: 4096}, 0, nil,
			"output output output output query query consume consume host-lookup host-delete host-next lookup-batch"},
	}
}

// random makes steps of a recipe.
type random struct {
	recipe
	*rand.Rand
	words []string
}

func (r *random) key() string {
	size := r.spec.KeySize
	switch {
	case r.spec.Type == LPMTrie:
		b := make([]byte, size)
		le.PutUint32(b, r.Uint32N(8*(size-4)+2))
		b[4] = byte(r.UintN(4)) << 6
		if size > 5 {
			b[5], b[size-1] = byte(r.UintN(4))<<6, byte(r.UintN(2))
		}
		return hex.EncodeToString(b)
	case r.keys < 0:
		return fmt.Sprintf("@%d", r.IntN(-r.keys))
	case size == 0:
		return "-"
	}
	b := make([]byte, size)
	b[0] = byte(r.IntN(r.keys))
	if r.Hashed() && size > 4 {
		b[size-1] = b[0] // so that all of the key counts
	}
	return hex.EncodeToString(b)
}

// Hashed reports whether the map's keys are hashed.
func (r *random) Hashed() bool { return r.spec.Type.Row().Hashed }

func (r *random) value() string {
	if r.values != nil {
		return r.values[r.IntN(len(r.values))]
	}
	b := make([]byte, r.spec.ValueSize)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return hex.EncodeToString(b)
}

// flags are those of an update: mostly good ones.
func (r *random) flags() string {
	return []string{"0", "0", "0", "1", "2", "1", "2", "3", "4", "5", "8"}[r.IntN(11)]
}

// rareFlags are those of what takes Lock at most.
func (r *random) rareFlags() string {
	return []string{"0", "0", "0", "0", "0", "0", "1", "4", "8"}[r.IntN(9)]
}

func (r *random) step() step {
	word := r.words[r.IntN(len(r.words))]
	switch word {
	case "lookup", "delete", "host-delete":
		return step{word, r.key()}
	case "host-next":
		switch {
		case r.IntN(4) == 0 || r.spec.KeySize == 0:
			return step{word, "-"}
		case !ordered(r.spec.Type): // what comes after a key differs; after none, it is only whether there is one
			return step{word, strings.Repeat("ff", int(r.spec.KeySize))}
		}
		return step{word, r.key()}
	case "host-lookup", "host-take":
		return step{word, r.key(), r.rareFlags()}
	case "update", "host-update":
		return step{word, r.key(), r.value(), r.flags()}
	case "push":
		return step{word, r.value(), r.flags()}
	case "contains":
		return step{word, r.value()}
	case "peek-value": // a program's look into a bloom filter cannot be told from pop's: contains stands for it
		return step{"contains", r.value()}
	case "pop", "peek", "host-keys", "consume":
		return step{word}
	case "output":
		return step{word, fmt.Sprint(1 + r.IntN(ringStackMax))}
	case "query":
		return step{word, fmt.Sprint(r.IntN(5))}
	case "lookup-batch", "take-batch":
		n := "64" // more than there are: a smaller one may not be enough for a bucket of the kernel's
		if ordered(r.spec.Type) {
			n = fmt.Sprint(r.IntN(6))
		}
		return step{word, n, r.rareFlags()}
	}
	s := step{word, r.rareFlags()}
	for range r.IntN(5) {
		s = append(s, r.key())
		if word == "update-batch" {
			s = append(s, r.value())
		}
	}
	return s
}

const ringStackMax = 504

// runSteps does the steps on both sides, on maps that are new, and says where they differ first.
func runSteps(t *testing.T, spec *Spec, steps []step) (at int, got, want string) {
	at = -1
	t.Run("run", func(t *testing.T) {
		ours := newOurSide(t, newSpace(t), spec, possibleCPUs(t))
		theirs := newKernelSide(t, spec)
		for i, s := range steps {
			if got, want = ours.do(s), theirs.do(s); got != want {
				at = i
				return
			}
		}
	})
	return at, got, want
}

// shrink leaves steps out as long as the sides still differ in the last one.
func shrink(t *testing.T, spec *Spec, steps []step) []step {
	for size := len(steps) / 2; size > 0; size /= 2 {
		for from := 0; from+size < len(steps); {
			fewer := slices.Delete(slices.Clone(steps), from, from+size)
			if at, _, _ := runSteps(t, spec, fewer); at >= 0 {
				steps = fewer[:at+1]
			} else {
				from += size
			}
		}
	}
	return steps
}

// Random operations on our map and on the kernel's have the same results. What fails belongs into testdata/host.
func TestLiveRandom(t *testing.T) {
	needLiveKernel(t)
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	for name, r := range recipes(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time the kernel waits for its own readers
			r.spec.LockOff, r.spec.TimerOff = -1, -1
			for seed := range uint64(rounds) {
				gen := &random{r, rand.New(rand.NewPCG(seed, 77)), strings.Fields(r.steps)}
				steps := make([]step, 400)
				if r.spec.Type.Row().MapInMap {
					steps = steps[:100] // each update waits until no program can see the old map
				}
				for i := range steps {
					steps[i] = gen.step()
					if i == len(steps)-50 && seed == 0 && r.spec.Type != RingBuf { // which cannot be frozen while we have it mapped
						steps[i] = step{"freeze"}
					}
				}
				at, _, _ := runSteps(t, &r.spec, steps)
				if at < 0 {
					continue
				}
				steps = shrink(t, &r.spec, steps[:at+1])
				at, got, want := runSteps(t, &r.spec, steps)
				var text strings.Builder
				for _, s := range steps[:at+1] {
					fmt.Fprintln(&text, s)
				}
				t.Fatalf("seed %d:\n%swe: %s\nthe kernel: %s", seed, text.String(), got, want)
			}
		})
	}
}
