package maps

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/skepvm/skep/mem"
)

// A step is an operation on a map, as in the files of testdata/host: words, of which the first says what is done. Steps can be run on our
// maps and on the kernel's. Keys and values are hexadecimal, or @n for the n-th thing that maps of references refer to: a program,
// a map, a socket. A value of a per-CPU map stands for one of each CPU, whose first byte has the CPU's number added.
//
//	lookup K, update K V F, delete K, push V F, pop, peek       as a program does it
//	host-lookup K F, host-update K V F, host-delete K           bpf(2); for no key: -
//	host-take K F, host-next K, freeze, contains V              lookup and delete, next key, in a bloom filter
//	host-keys                                                   all keys, one after the other
//	lookup-batch N F, take-batch N F                            all elements, N at a time
//	update-batch F K V K V…, delete-batch F K K…
//	output N F, query N, consume                                ring buffers: N bytes
//
// A result is "ok", an error number's name, or what was found.
type step []string

func (s step) String() string { return strings.Join(s, " ") }

// side does steps.
type side interface{ do(s step) string }

// ourSide does steps on a map of this package.
type ourSide struct {
	space  *mem.Space
	m      Map
	h      Host
	things [][]byte // what stands for a reference: as a value, or as a key of storage
}

const thingCount = 4

func newOurSide(t testing.TB, s *mem.Space, spec *Spec, cpus int) *ourSide {
	o := &ourSide{space: s}
	for i := range uint32(thingCount) {
		ref := i + 1
		switch {
		case spec.Type.Row().MapInMap:
			ref = newMap(t, s, &Spec{Type: Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}, 1).Handle()
		case spec.Type.Row().Sockets, needsObject(spec.Type):
			ref = 0x10000 + i*64
		}
		o.things = append(o.things, appendLE32(ref))
	}
	o.m = newMap(t, s, spec, cpus)
	o.h = HostOf(o.m)
	return o
}

// needsObject reports whether a type's keys are objects of the kernel.
func needsObject(t Type) bool {
	return t == SKStorage || t == TaskStorage || t == InodeStorage || t == CgrpStorage
}

// arg is a key or value as bytes, of at least size for a reference.
func arg(word string, things [][]byte, size uint32) []byte {
	if n, ok := strings.CutPrefix(word, "@"); ok {
		i, err := strconv.Atoi(n)
		if err != nil {
			panic(err)
		}
		return append(slices.Clone(things[i]), make([]byte, max(int(size), 4)-4)...)
	}
	if word == "-" {
		return nil
	}
	b, err := hex.DecodeString(word)
	if err != nil {
		panic(err)
	}
	return b
}

// show is a value as text; one that refers to a thing is @n.
func show(b []byte, things [][]byte, refers bool) string {
	if refers {
		for i, ref := range things {
			if bytes.Equal(ref, b[:min(len(b), len(ref))]) {
				return fmt.Sprintf("@%d", i)
			}
		}
	}
	if len(b) == 0 {
		return "-"
	}
	return hex.EncodeToString(b)
}

// refers reports whether values of a type are references to things.
func refers(t Type) bool {
	r := t.Row()
	return r.MapInMap || r.Sockets || t == ProgArray || t == XSKMap || t == CgroupArray
}

func number(word string) uint64 {
	n, err := strconv.ParseUint(word, 0, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// perCPU makes all CPUs' values of one.
func perCPU(value []byte, cpus int) (all []byte) {
	for cpu := range cpus {
		one := make([]byte, (len(value)+7)&^7)
		copy(one, value)
		one[0] += byte(cpu)
		all = append(all, one...)
	}
	return all
}

// showValue is a value as bpf(2) gives it as text: of a per-CPU map all CPUs', joined by slashes.
func showValue(spec *Spec, b []byte, things [][]byte) string {
	if !spec.Type.Row().PerCPU {
		return show(b, things, refers(spec.Type))
	}
	var all []string
	for stride := int(round8(spec.ValueSize)); len(b) >= stride; b = b[stride:] {
		all = append(all, hex.EncodeToString(b[:spec.ValueSize]))
	}
	return strings.Join(all, "/")
}

// ordered reports whether keys come in the same order on both sides.
func ordered(t Type) bool { return !t.Row().Hashed || t == LPMTrie }

// showPairs joins elements and how the walk ended; without an order they are sorted.
func showPairs(typ Type, all []string, end string) string {
	if !ordered(typ) {
		slices.Sort(all)
	}
	return strings.Join(append(all, end), " ")
}

func (o *ourSide) value(word string) []byte {
	spec := o.m.Spec()
	v := arg(word, o.things, spec.ValueSize)
	if spec.Type.Row().PerCPU {
		return perCPU(v, CPUs(o.m))
	}
	return v
}

func (o *ourSide) key(word string) []byte { return arg(word, o.things, o.m.Spec().KeySize) }

func (o *ourSide) do(s step) string {
	if f := ourSteps[s[0]]; f != nil {
		return f(o, s[1:])
	}
	panic("no such step: " + s.String())
}

// outcomeOf is a result with a value.
func (o *ourSide) outcomeOf(b []byte, err error) string {
	if err != nil {
		return outcome(err)
	}
	return showValue(o.m.Spec(), b, o.things)
}

var ourSteps map[string]func(o *ourSide, a step) string

func init() {
	ourSteps = map[string]func(o *ourSide, a step) string{
		"lookup": func(o *ourSide, a step) string {
			addr := o.m.LookupAddr(0, o.key(a[0]))
			if addr == 0 {
				return "none"
			}
			if refers(o.m.Spec().Type) {
				return "ok"
			}
			view, _ := o.space.Bytes(addr, o.m.Spec().ValueSize)
			return hex.EncodeToString(view)
		},
		"update": func(o *ourSide, a step) string {
			return outcome(o.m.Update(0, o.key(a[0]), arg(a[1], o.things, 0), number(a[2])))
		},
		"delete":      func(o *ourSide, a step) string { return outcome(o.m.Delete(o.key(a[0]))) },
		"push":        func(o *ourSide, a step) string { return outcome(o.m.(Pusher).Push(arg(a[0], nil, 0), number(a[1]))) },
		"pop":         func(o *ourSide, a step) string { return o.pop(o.m.(Pusher).Pop) },
		"peek":        func(o *ourSide, a step) string { return o.pop(o.m.(Pusher).Peek) },
		"host-lookup": func(o *ourSide, a step) string { return o.outcomeOf(o.h.Lookup(o.key(a[0]), number(a[1]))) },
		"host-take":   func(o *ourSide, a step) string { return o.outcomeOf(o.h.LookupAndDelete(o.key(a[0]), number(a[1]))) },
		"host-update": func(o *ourSide, a step) string {
			return outcome(o.h.Update(o.key(a[0]), o.value(a[1]), number(a[2])))
		},
		"host-delete": func(o *ourSide, a step) string { return outcome(o.h.Delete(o.key(a[0]))) },
		"host-next":   func(o *ourSide, a step) string { return o.next(a) },
		"freeze":      func(o *ourSide, a step) string { return outcome(o.h.Freeze()) },
		"contains":    func(o *ourSide, a step) string { return outcome(o.h.Contains(arg(a[0], nil, 0))) },
		"host-keys":   func(o *ourSide, a step) string { return walk(o.m.Spec().Type, o.h.Next) },
		"lookup-batch": func(o *ourSide, a step) string {
			return o.batches(int(number(a[0])), func(after []byte, n int) ([]Pair, error) { return o.h.LookupBatch(after, n, number(a[1])) })
		},
		"take-batch": func(o *ourSide, a step) string {
			return o.batches(int(number(a[0])), func(_ []byte, n int) ([]Pair, error) { return o.h.LookupAndDeleteBatch(n, number(a[1])) })
		},
		"update-batch": func(o *ourSide, a step) string {
			var batch []Pair
			for i := 1; i+1 < len(a); i += 2 {
				batch = append(batch, Pair{o.key(a[i]), o.value(a[i+1])})
			}
			done, err := o.h.UpdateBatch(batch, number(a[0]))
			return fmt.Sprint(done, " ", outcome(err))
		},
		"delete-batch": func(o *ourSide, a step) string {
			var keys [][]byte
			for _, k := range a[1:] {
				keys = append(keys, o.key(k))
			}
			done, err := o.h.DeleteBatch(keys, number(a[0]))
			return fmt.Sprint(done, " ", outcome(err))
		},
		"output":  func(o *ourSide, a step) string { return outcome(o.m.(*Ring).Output(ringData(number(a[0])))) },
		"query":   func(o *ourSide, a step) string { return fmt.Sprint(o.m.(*Ring).Query(number(a[0]))) },
		"consume": func(o *ourSide, a step) string { return o.consume() },
	}
}

// ringData is a sample that says how long it is.
func ringData(n uint64) []byte { return bytes.Repeat([]byte{byte(n)}, int(n)) }

func (o *ourSide) pop(f func([]byte) error) string {
	value := make([]byte, o.m.Spec().ValueSize)
	if err := f(value); err != nil {
		return outcome(err)
	}
	return hex.EncodeToString(value)
}

func (o *ourSide) next(a step) string {
	key, err := o.h.Next(o.key(a[0]))
	switch {
	case err != nil:
		return outcome(err)
	case !ordered(o.m.Spec().Type):
		return "a key"
	}
	return show(key, nil, false)
}

// walk asks for all keys. It gives up after many.
func walk(typ Type, next func([]byte) ([]byte, error)) string {
	var all []string
	key, err := next(nil)
	for ; err == nil && len(all) < 1000; key, err = next(key) {
		all = append(all, hex.EncodeToString(key))
	}
	return showPairs(typ, all, outcome(err))
}

func (o *ourSide) batches(n int, get func(after []byte, n int) ([]Pair, error)) string {
	var all []string
	var after []byte
	for len(all) < 1000 {
		pairs, err := get(after, n)
		for _, p := range pairs {
			all = append(all, hex.EncodeToString(p.Key)+"="+showValue(o.m.Spec(), p.Value, o.things))
			after = p.Key
		}
		if err != nil || n == 0 {
			return showPairs(o.m.Spec().Type, all, outcome(err))
		}
	}
	return "endless"
}

// consume reads one record.
func (o *ourSide) consume() string {
	for sample := range o.m.(*Ring).Read() {
		return showSample(sample)
	}
	return "none"
}

func showSample(b []byte) string {
	sum := uint64(0)
	for _, c := range b {
		sum += uint64(c)
	}
	return fmt.Sprintf("%d bytes, sum %d", len(b), sum)
}

// TestHostSteps runs the files of testdata/host, which hold what was once wrong, on our maps; TestLiveSteps on the kernel's.
func TestHostSteps(t *testing.T) {
	eachStepsFile(t, func(t *testing.T, spec *Spec) side { return newOurSide(t, newSpace(t), spec, 2) })
}

// eachStepsFile runs each file's steps on the maps that make gives; what comes after -> is the result. A nil side skips a map.
func eachStepsFile(t *testing.T, make func(t *testing.T, spec *Spec) side) {
	files, err := filepath.Glob("testdata/host/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no test files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			var s side
			lines(t, file, func(at string, f []string) {
				if f[0] == "map" {
					spec, err := parseSpec(f[1:])
					if err != nil {
						t.Fatalf("%s: %v", at, err)
					}
					s = make(t, spec)
					return
				}
				arrow := slices.Index(f, "->")
				if arrow < 0 {
					t.Fatalf("%s: no ->", at)
				}
				if s == nil {
					return
				}
				if got, want := s.do(f[:arrow]), strings.Join(f[arrow+1:], " "); got != want {
					t.Errorf("%s: got %s", at, got)
				}
			})
		})
	}
}

var le = binary.LittleEndian
