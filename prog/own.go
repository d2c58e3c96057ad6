package prog

import "fmt"

// maxOwnCtx is the most bytes of the ctx of an own type.
const maxOwnCtx = 1 << 16

// Row returns what the program's type is: that of an own type, or the kernel's row.
func (p *Program) Row() *TypeRow {
	if p.Type == Own && p.Own != nil {
		return p.Own
	}
	return p.Type.Row()
}

// TypeName is the name of the program's type.
func (p *Program) TypeName() string {
	if p.Type == Own && p.Own != nil {
		return p.Own.Name
	}
	return p.Type.String()
}

// NewType completes the row of an embedder's own program type, and says what is wrong with it. It must have a Name, which is also that of the
// sections of its programs, a CtxName and a CtxSize; Fields are those that programs may use, by ascending offset, with a Unit of their Size when
// that is 0; Ret is the range of results, Verdicts names some. Calls lists the helpers and kernel functions of the kernel's that its programs may call.
// A ctx with fields that yield PktData and PktEnd, guest addresses of 4 bytes, describes memory that programs reach as packets:
// PktRead and PktWrite say how.
func NewType(r TypeRow) (*TypeRow, error) {
	r.Type, r.Supported = Own, true
	fail := func(format string, args ...any) (*TypeRow, error) {
		return nil, fmt.Errorf("program type %q: %s", r.Name, fmt.Sprintf(format, args...))
	}
	if _, taken := TypeOf(r.Name); taken || r.Name == "" {
		return fail("the name is empty, or one of the kernel's")
	}
	switch {
	case r.CtxName == "" || r.CtxSize <= 0 || r.CtxSize > maxOwnCtx || r.CtxSize%8 != 0:
		return fail("want a CtxName, and a CtxSize of up to %d bytes, a multiple of 8", maxOwnCtx)
	case r.Ret != nil && r.Ret.Min > r.Ret.Max:
		return fail("no result is from %d to %d", r.Ret.Min, r.Ret.Max)
	}
	for t := range NumTypes {
		if t.Row().CtxName == r.CtxName {
			return fail("ctx %s is the kernel's", r.CtxName)
		}
	}
	r.Fields = append([]CtxField(nil), r.Fields...)
	end := 0
	yields := map[Yield]int{}
	for i := range r.Fields {
		f := &r.Fields[i]
		if f.Unit == 0 {
			f.Unit = f.Size
		}
		if reason := f.check(end, r.CtxSize); reason != "" {
			return fail("field %q: %s", f.Name, reason)
		}
		end = f.end()
		yields[f.Yields]++
	}
	r.Packet = yields[PktData] > 0
	switch {
	case yields[PktData] > 1, yields[PktEnd] != yields[PktData], yields[PktMeta] > yields[PktData]:
		return fail("want one field each that yields PktData and PktEnd, at most one PktMeta with them, or none")
	case (r.PktRead || r.PktWrite) && !r.Packet:
		return fail("PktRead and PktWrite want a packet")
	}
	return &r, nil
}

// check says what is wrong with a field of an own type's ctx of size bytes, of which those before at are taken.
func (f *CtxField) check(at, size int) string {
	switch {
	case f.Name == "":
		return "it has no name"
	case f.Off < at || f.Size <= 0 || f.Off+f.Size > size:
		return "it overlaps another, or leaves the ctx"
	case f.Unit != 1 && f.Unit != 2 && f.Unit != 4 && f.Unit != 8, f.Size%f.Unit != 0, f.Off%f.Unit != 0:
		return "its Unit must be 1, 2, 4 or 8 bytes, and Size and Off multiples of it"
	}
	switch f.Yields {
	case Scalar:
		return ""
	case PktData, PktEnd, PktMeta:
		if f.Size != 4 || f.Access != Read {
			return "a pointer to a packet is 4 bytes, and can only be read"
		}
		return ""
	}
	return "an own ctx yields numbers and packets only"
}

// DataOffsets returns where in a packet type's ctx data, data_end and data_meta are; without data_meta that is where data is.
func (r *TypeRow) DataOffsets() (data, end, meta uint32) {
	if r.Type != Own {
		return r.Type.DataOffsets()
	}
	for i := range r.Fields {
		switch f := &r.Fields[i]; f.Yields {
		case PktData:
			data = uint32(f.Off)
		case PktEnd:
			end = uint32(f.Off)
		case PktMeta:
			meta = uint32(f.Off)
		}
	}
	for i := range r.Fields {
		if r.Fields[i].Yields == PktMeta {
			return data, end, meta
		}
	}
	return data, end, data
}

// Verdict names a result of a program of the type.
func (r *TypeRow) Verdict(ret uint32) string {
	for _, v := range r.Verdicts {
		if uint32(v.Value) == ret {
			return v.Name
		}
	}
	return fmt.Sprint(int32(ret))
}
