package btf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const fieldTypes = `
struct bpf_spin_lock { u32 v; };
struct bpf_timer { u64 a[2]; };
struct bpf_list_head { u64 a[2]; };
struct bpf_list_node { u64 a[3]; };
struct bpf_rb_root { u64 a[2]; };
struct bpf_rb_node { u64 a[4]; };
struct bpf_refcount { u32 v; };
struct task { int pid; };
struct item { u64 n; struct bpf_list_node at; };
struct both { struct bpf_list_node l; struct bpf_rb_node r; };
typedef struct bpf_timer my_timer;
`

func TestFields(t *testing.T) {
	for _, c := range []struct{ members, want string }{
		{"u64 x;", ""},
		{"u32 x; struct bpf_spin_lock l; struct bpf_timer t;", "bpf_spin_lock@4 bpf_timer@8"},
		{"u64 x; struct { u64 y; struct bpf_timer t; } in;", "bpf_timer@16"},
		{"my_timer t;", ""}, // only by its own name, as in the kernel
		{"struct bpf_timer t[1];", "bpf_timer@0"},
		{"struct bpf_timer t[2];", "error: an array has bpf_timer"},
		{"struct bpf_timer t, u;", "error: there is more than one bpf_timer"},
		{"struct task __kptr *t; struct task __kptr_untrusted *u; struct task __percpu_kptr *p;", "kptr@0 kptr@8 percpu_kptr@16"},
		{"struct task __kptr *t[3]; struct { u64 n; struct task __uptr *u; } in[2];", "kptr@0 kptr@8 kptr@16 uptr@32 uptr@48"},
		{"struct task __kptr *t[12];", "error: there are more than 11 special fields"},
		{"struct task __strange *t;", `error: a pointer has the tag "strange"`},
		{"u64 __kptr *t;", `error: a pointer has the tag "kptr"`},
		{"struct bpf_spin_lock l; struct bpf_list_head h __contains(item, at);", "bpf_spin_lock@0 bpf_list_head@8(item+8)"},
		{"struct bpf_list_head h __contains(item, at);", "error: a list or tree needs a bpf_spin_lock beside it"},
		{"struct bpf_spin_lock l; struct bpf_list_head h;", "error: bpf_list_head has 0 tags that say what it contains"},
		{"struct bpf_spin_lock l; struct bpf_list_head h __contains(nobody, at);", "error: bpf_list_head contains struct nobody, which does not exist"},
		{"struct bpf_spin_lock l; struct bpf_list_head h __contains(item, n);", "error: member n of struct item is no bpf_list_node"},
		{"struct bpf_spin_lock l; struct bpf_rb_root h __contains(item, at);", "error: member at of struct item is no bpf_rb_node"},
		{"struct bpf_spin_lock l; struct bpf_rb_root h __contains(both, r);", "bpf_spin_lock@0 bpf_rb_root@8(both+24)"},
	} {
		types, err := Declare(fieldTypes + "struct value { " + c.members + " };")
		require.NoError(t, err, c.members)
		id, _ := types.Find(Struct, "value")
		require.Equal(t, c.want, fieldText(types, id, MapFields), c.members)
	}
	types := MustDeclare(fieldTypes)
	both, _ := types.Find(Struct, "both")
	require.Equal(t, "error: what is in a list and in a tree needs a bpf_refcount", fieldText(types, both, ObjectFields))
	require.Equal(t, "", fieldText(types, both, MapFields))
}

func fieldText(types *Types, id ID, kinds FieldKinds) string {
	fields, err := Fields(types, id, kinds)
	if err != nil {
		return "error: " + err.Error()
	}
	var list []string
	for _, f := range fields {
		s := fmt.Sprintf("%s@%d", f.Kind, f.Off)
		if f.Kind == ListHead || f.Kind == RBRoot {
			s += fmt.Sprintf("(%s+%d)", types.At(f.Type).Name, f.NodeOff)
		}
		list = append(list, s)
	}
	return strings.Join(list, " ")
}
