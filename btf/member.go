package btf

// Member finds a member of a struct or union by its name, in those without a name within it too, and where it is, in bits.
func (t *Types) Member(id ID, name string) (m Member, off uint32, ok bool) {
	return t.member(id, name, 0)
}

func (t *Types) member(id ID, name string, depth int) (m Member, off uint32, ok bool) {
	const deepest = 16
	ty := t.At(t.Resolve(id))
	if !ty.Struct() || depth > deepest {
		return m, 0, false
	}
	for _, m := range t.Members(ty) {
		if m.Name == name {
			return m, m.Off, true
		}
		if m.Name != "" {
			continue
		}
		if in, off, ok := t.member(m.Type, name, depth+1); ok {
			return in, m.Off + off, true
		}
	}
	return m, 0, false
}
