package web

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"zdl/internal/arena"
)

// arenaTypes are the arena's types by their name in the document. A fault has
// targets, too.
var arenaTypes = map[string]any{
	"State": arena.State{}, "LevelInfo": arena.LevelInfo{}, "Rules": arena.Rules{}, "WinRule": arena.WinRule{}, "Weapon": arena.Weapon{},
	"GameTarget": arena.Target{}, "Player": arena.Player{}, "Strike": arena.Strike{}, "RoundOutage": arena.RoundOutage{}, "End": arena.End{},
	"Score": arena.Score{}, "Fame": arena.Fame{}, "Defence": arena.Defence{}, "Replay": arena.Replay{}, "Preparing": arena.Preparing{}, "Measured": arena.Measured{},
	"HitResult": arena.HitResult{},
}

// arenaMark is where their part of the document begins.
const arenaMark = "    # Below: internal/arena"

func TestTheDocumentHasTheArenaAsItIs(t *testing.T) {
	var want strings.Builder
	for _, name := range slices.Sorted(maps.Keys(arenaTypes)) {
		of := reflect.TypeOf(arenaTypes[name])
		fmt.Fprintf(&want, "    %s:\n      type: object\n      properties:\n", name)
		for i := range of.NumField() {
			if tag, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ","); tag != "" && tag != "-" {
				fmt.Fprintf(&want, "        %s: %s\n", tag, schemaOf(t, of.Field(i).Type))
			}
		}
	}
	text := string(openapi)
	at := strings.Index(text, arenaMark)
	if at < 0 {
		t.Fatalf("the document has no line that begins with %q", arenaMark)
	}
	end := at + strings.IndexByte(text[at:], '\n') + 1
	if text[end:] == want.String() {
		return
	}
	if os.Getenv("ZDL_UPDATE") == "" {
		t.Errorf("the document's part about the arena is out of date: ZDL_UPDATE=1 go test ./internal/web writes it")
		return
	}
	if err := os.WriteFile("openapi.yaml", []byte(text[:end]+want.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// schemaOf describes a Go type as JSON has it.
func schemaOf(t *testing.T, of reflect.Type) string {
	t.Helper()
	switch of {
	case reflect.TypeFor[time.Time]():
		return "{type: string, format: date-time}"
	case reflect.TypeFor[time.Duration]():
		return "{type: integer, description: nanoseconds}"
	}
	switch of.Kind() {
	case reflect.Pointer:
		return schemaOf(t, of.Elem())
	case reflect.Slice:
		return "{type: array, items: " + schemaOf(t, of.Elem()) + "}"
	case reflect.Map:
		return "{type: object, additionalProperties: " + schemaOf(t, of.Elem()) + "}"
	case reflect.String:
		return "{type: string}"
	case reflect.Bool:
		return "{type: boolean}"
	case reflect.Int, reflect.Int64:
		return "{type: integer}"
	case reflect.Float64:
		return "{type: number}"
	case reflect.Struct:
		for name, v := range arenaTypes {
			if reflect.TypeOf(v) == of {
				return fmt.Sprintf(`{$ref: "#/components/schemas/%s"}`, name)
			}
		}
	}
	t.Fatalf("the document cannot describe %v: add it to arenaTypes", of)
	return ""
}
