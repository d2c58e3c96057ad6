package main

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/replay"
)

// maxReportMap is how much of a map a report shows, in bytes of JSON.
const maxReportMap = 64 << 10

// errMapCut says that a map is larger.
var errMapCut = errors.New("map cut off")

// mapText takes so much of a map's JSON as a report shows.
type mapText struct{ bytes.Buffer }

func (t *mapText) Write(b []byte) (int, error) {
	n, _ := t.Buffer.Write(b[:min(len(b), maxReportMap-t.Len())])
	if n < len(b) {
		return n, errMapCut
	}
	return n, nil
}

// addMaps puts the maps that are no data sections into the report, and as text into the page.
func addMaps(v *skep.VM, r *replay.Report, page *replay.Page) error {
	for _, m := range v.Machine().Maps().All() {
		spec := m.Spec()
		if spec.DataSection {
			continue
		}
		var text mapText
		err := maps.DumpJSON(&text, v.Machine().Host(m))
		entry, shown := json.RawMessage(text.Bytes()), text.String()
		if errors.Is(err, errMapCut) {
			shown += "\n… (skep maps prints all)"
			entry, err = json.Marshal(map[string]any{"name": spec.Name, "type": spec.Type.String(), "left_out": "more than 64 KiB: --map-out has it"})
		}
		if err != nil {
			return err
		}
		r.Maps = append(r.Maps, entry)
		page.Maps = append(page.Maps, replay.PageMap{Name: spec.Name, Text: shown})
	}
	return nil
}
