package helpers

import (
	"bufio"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
)

func TestTableIsIndexedByID(t *testing.T) {
	if got := len(Table) - 1; got != 211 {
		t.Errorf("last id is %d, want 211", got)
	}
	for id := 1; id < len(Table); id++ {
		r := ByID(int32(id))
		if r == nil || r.ID != int32(id) {
			t.Fatalf("row %d: %+v", id, r)
		}
		if byName, ok := ByName(r.Name); !ok || byName != r {
			t.Errorf("%s is not found by its name", r.Name)
		}
	}
	for _, id := range []int32{-1, 0, 212, 1 << 30} {
		if ByID(id) != nil {
			t.Errorf("id %d has a row", id)
		}
	}
}

// TestTableConsistent checks what the verifier relies on in every prototype.
func TestTableConsistent(t *testing.T) {
	for id := 1; id < len(Table); id++ {
		r := &Table[id]
		if r.Since == (kver.Version{}) || r.Types == 0 {
			t.Errorf("%s: since %v, types %#x", r.Name, r.Since, r.Types)
		}
		if r.Fn != nil && r.Engine {
			t.Errorf("%s: both Fn and Engine", r.Name)
		}
		checkProto(t, r)
		covered := TypeSet(0)
		for i := range r.Variants {
			v := &r.Variants[i]
			covered |= v.Types
			if v.Types&^r.Types != 0 {
				t.Errorf("%s: variant %d is for types that may not call it", r.Name, i)
			}
			for typ := prog.Unspec; typ < prog.NumTypes; typ++ {
				if v.Types.Has(typ) {
					checkProto(t, r.For(typ))
				}
			}
		}
		if r.Variants != nil && r.NumArgs() == 0 && r.Ret == 0 && covered != r.Types {
			t.Errorf("%s: has variants, and no prototype for the other types", r.Name)
		}
		for _, o := range r.Opened {
			if o.Types&^r.Types != 0 || o.Since == r.Since {
				t.Errorf("%s: opened %v", r.Name, o)
			}
		}
	}
}

func checkProto(t *testing.T, r *Row) {
	t.Helper()
	n := r.NumArgs()
	for i, a := range r.Args {
		if i >= n && a != ArgNone {
			t.Errorf("%s: gap before argument %d", r.Name, i+1)
		}
		isSize := a.Base() == ArgSize || a.Base() == ArgSizeOrZero
		if isSize && (i == 0 || r.Args[i-1].Base() != ArgMem) {
			t.Errorf("%s: argument %d is the size of nothing", r.Name, i+1)
		}
		if a.Base() == ArgMem && (i == 4 || !isSizeArg(r.Args[i+1])) {
			t.Errorf("%s: argument %d has no size", r.Name, i+1)
		}
		if (a.Base() == ArgFixedMem) != (r.FixedSize[i] != 0) {
			t.Errorf("%s: argument %d: fixed size %d", r.Name, i+1, r.FixedSize[i])
		}
		if a.Base() == ArgMapKey && (i == 0 || r.Args[i-1] != ArgMapPtr) {
			t.Errorf("%s: key without map", r.Name)
		}
	}
	if r.Ret.Base() == RetBTF && r.RetBTF == "" && r.Name != "bpf_kptr_xchg" {
		t.Errorf("%s: returns no known type", r.Name)
	}
}

func isSizeArg(a Arg) bool { return a.Base() == ArgSize || a.Base() == ArgSizeOrZero }

// TestChangesPacket lists what the kernel's bpf_helper_changes_pkt_data says, by pattern of the names.
func TestChangesPacket(t *testing.T) {
	want := map[string]bool{}
	for _, n := range strings.Fields(`clone_redirect l3_csum_replace l4_csum_replace lwt_push_encap lwt_seg6_action
		lwt_seg6_adjust_srh lwt_seg6_store_bytes msg_pop_data msg_pull_data msg_push_data skb_adjust_room skb_change_head
		skb_change_proto skb_change_tail skb_pull_data skb_store_bytes skb_vlan_pop skb_vlan_push store_hdr_opt
		xdp_adjust_head xdp_adjust_meta xdp_adjust_tail tail_call`) {
		want["bpf_"+n] = true
	}
	for id := 1; id < len(Table); id++ {
		if r := &Table[id]; r.ChangesPacket != want[r.Name] {
			t.Errorf("%s: changes packet: %v", r.Name, r.ChangesPacket)
		}
	}
}

// TestIDsAgainstUAPI compares ids and names with the kernel's header, when the machine has one.
func TestIDsAgainstUAPI(t *testing.T) {
	f, err := os.Open("/usr/include/linux/bpf.h")
	if err != nil {
		t.Skip("no kernel headers: ", err)
	}
	defer f.Close()
	plain := regexp.MustCompile(`^\s*FN\((\w+)\),`)
	numbered := regexp.MustCompile(`^\s*FN\((\w+), (\d+), `)
	id := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		name := ""
		if m := numbered.FindStringSubmatch(sc.Text()); m != nil {
			name = m[1]
			id, _ = strconv.Atoi(m[2])
		} else if m := plain.FindStringSubmatch(sc.Text()); m != nil {
			name = m[1]
		} else {
			continue
		}
		if r := ByID(int32(id)); id > 0 && (r == nil || r.Name != "bpf_"+name) {
			t.Errorf("id %d is %s in the header, %v here", id, name, r)
		}
		id++
	}
	if id < 200 {
		t.Skipf("header too old or of another form: %d helpers found", id)
	}
}

func TestAllowed(t *testing.T) {
	tests := []struct {
		helper string
		typ    prog.Type
		kernel kver.Version
		want   bool
	}{
		{"bpf_map_lookup_elem", prog.XDP, kver.V(4, 8), true},
		{"bpf_map_lookup_elem", prog.XDP, kver.V(4, 7), false}, // no XDP yet
		{"bpf_redirect", prog.SchedCLS, kver.V(4, 4), true},
		{"bpf_redirect", prog.XDP, kver.V(4, 13), false},
		{"bpf_redirect", prog.XDP, kver.V(4, 14), true},
		{"bpf_skb_load_bytes", prog.XDP, kver.V(6, 18), false},
		{"bpf_get_current_pid_tgid", prog.XDP, kver.V(6, 9), false},
		{"bpf_get_current_pid_tgid", prog.XDP, kver.V(6, 10), true},
		{"bpf_get_current_pid_tgid", prog.Kprobe, kver.V(4, 2), true},
		{"bpf_xdp_load_bytes", prog.XDP, kver.V(5, 15), false},
		{"bpf_xdp_adjust_head", prog.Ext, kver.V(6, 1), true},
		{"bpf_loop", prog.LircMode2, kver.V(6, 18), false},
	}
	for _, tt := range tests {
		r, ok := ByName(tt.helper)
		if !ok {
			t.Fatalf("%s is unknown", tt.helper)
		}
		if got := Allowed(r, tt.typ, tt.kernel); got != tt.want {
			t.Errorf("%s for %v on %v: %v", tt.helper, tt.typ, tt.kernel, got)
		}
	}
}
