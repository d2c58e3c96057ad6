package helpers

import (
	"fmt"
	"reflect"

	"github.com/skepvm/skep/maps"
)

// binding calls a Go function with typed parameters.
type binding struct {
	fn     reflect.Value
	env    bool // it wants the Env first
	params []param
	result bool // it has one beside an error
	err    bool
}

// param makes a parameter of the argument registers. m is the map among the arguments before it.
type param func(e *Env, regs *[5]uint64, m *maps.Map) (reflect.Value, error)

var (
	bytesType  = reflect.TypeFor[[]byte]()
	mapType    = reflect.TypeFor[maps.Map]()
	stringType = reflect.TypeFor[string]()
	errorType  = reflect.TypeFor[error]()
)

func isInteger(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64
}

// bindParam is for argument i, of a parameter of type t.
func bindParam(row *Row, i int, t reflect.Type) (param, error) {
	want := func(what string, want reflect.Type) error {
		if t == want {
			return nil
		}
		return fmt.Errorf("argument %d is %s: the Go function takes %s, want %s", i+1, what, t, want)
	}
	switch arg := row.Args[i]; arg.Base() {
	case ArgMem:
		return memParam(i, func(regs *[5]uint64, _ maps.Map) uint64 { return regs[i+1] }), want("memory with its size", bytesType)
	case ArgFixedMem:
		size := uint64(row.FixedSize[i])
		return memParam(i, func(*[5]uint64, maps.Map) uint64 { return size }), want("memory", bytesType)
	case ArgMapKey:
		return memParam(i, func(_ *[5]uint64, m maps.Map) uint64 { return uint64(m.Spec().KeySize) }), want("a key", bytesType)
	case ArgMapValue:
		return memParam(i, func(_ *[5]uint64, m maps.Map) uint64 { return uint64(m.Spec().ValueSize) }), want("a value", bytesType)
	case ArgMapPtr:
		return func(e *Env, regs *[5]uint64, m *maps.Map) (reflect.Value, error) {
			var err error
			*m, err = e.mapArg(i+1, regs[i])
			return reflect.ValueOf(*m), err
		}, want("a map", mapType)
	case ArgConstStr:
		return func(e *Env, regs *[5]uint64, _ *maps.Map) (reflect.Value, error) {
			s := e.cString(regs[i])
			if n := len(s); n > 0 && s[n-1] == 0 {
				s = s[:n-1]
			}
			return reflect.ValueOf(string(s)), nil
		}, want("a string", stringType)
	}
	if !isInteger(t) {
		return nil, fmt.Errorf("argument %d is a number: the Go function takes %s, want an integer", i+1, t)
	}
	return func(_ *Env, regs *[5]uint64, _ *maps.Map) (reflect.Value, error) {
		return reflect.ValueOf(regs[i]).Convert(t), nil
	}, nil
}

// memParam is guest memory; NULL, and memory of no bytes at it, is nil.
func memParam(i int, size func(regs *[5]uint64, m maps.Map) uint64) param {
	return func(e *Env, regs *[5]uint64, m *maps.Map) (reflect.Value, error) {
		if regs[i] == 0 {
			return reflect.Zero(bytesType), nil
		}
		b, err := e.mem(i+1, regs[i], size(regs, *m))
		return reflect.ValueOf(b), err
	}
}

func (b *binding) bindResult(row *Row, t reflect.Type) error {
	n := t.NumOut()
	if n > 0 && t.Out(n-1) == errorType {
		b.err = true
		n--
	}
	switch {
	case n > 1:
		return fmt.Errorf("the Go function has %d results", n)
	case row.Ret == RetVoid && n == 1:
		return fmt.Errorf("the prototype has no result, the Go function has one of type %s", t.Out(0))
	case row.Ret != RetVoid && (n == 0 || !isInteger(t.Out(0))):
		return fmt.Errorf("the prototype has a result, the Go function must have one of an integer type")
	}
	b.result = n == 1
	return nil
}

// call is the binding's Func.
func (b *binding) call(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	regs := [5]uint64{r1, r2, r3, r4, r5}
	args := make([]reflect.Value, 0, 6)
	if b.env {
		args = append(args, reflect.ValueOf(e))
	}
	var m maps.Map
	for _, p := range b.params {
		v, err := p(e, &regs, &m)
		if err != nil {
			return 0, err
		}
		args = append(args, v)
	}
	out := b.fn.Call(args)
	if b.err {
		if err, _ := out[len(out)-1].Interface().(error); err != nil {
			return 0, err
		}
	}
	switch {
	case !b.result:
		return 0, nil
	case out[0].CanInt():
		return uint64(out[0].Int()), nil
	}
	return out[0].Uint(), nil
}
