package fabric

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asMaker makes this test binary a program that makes the fabric of a lab in
// the given run directory, over and over.
const asMaker = "ZDL_TEST_FABRIC_MAKER"

func TestMain(m *testing.M) {
	dir := os.Getenv(asMaker)
	if dir == "" {
		os.Exit(m.Run())
	}
	topo := profileTopology("small")
	for {
		f := New("fabric-test", topo, dir)
		err := f.Up(context.Background())
		for i := range topo.Machines {
			_, plugErr := f.Plug(context.Background(), &topo.Machines[i])
			err = errors.Join(err, plugErr)
		}
		for i := range topo.Machines {
			err = errors.Join(err, f.Unplug(context.Background(), &topo.Machines[i]))
		}
		if err = errors.Join(err, f.Down(context.Background())); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
	}
}

func TestAMakerMayBeKilledAtAnyMoment(t *testing.T) {
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: makes network namespaces")
	}
	topo := profileTopology("small")
	addr := topo.Machine("worker-2").Addr().String() + ":80"
	left := map[int]int{}
	for round := range 40 {
		dir := t.TempDir()
		f := New("fabric-test", topo, dir)
		maker := exec.Command("/proc/self/exe")
		maker.Env = append(os.Environ(), asMaker+"="+dir)
		var said strings.Builder
		maker.Stderr = &said
		if err := maker.Start(); err != nil {
			t.Fatal(err)
		}
		for { // it has begun
			if entries, err := os.ReadDir(f.dir); err == nil && len(entries) > 0 {
				break
			}
		}
		// Another moment each time; a round of the maker takes some 40 ms.
		<-time.After(time.Duration(round) * 1300 * time.Microsecond)
		maker.Process.Kill()
		maker.Wait()
		if said.Len() > 0 {
			t.Fatal(said.String())
		}
		entries, _ := os.ReadDir(f.dir)
		left[len(entries)]++

		if round%2 == 0 { // the next one goes on
			up(t, f, topo)
			l, err := f.Listen(t.Context(), "worker-2", "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range topo.Machines {
				conn, err := f.Dial(within(t, 5*time.Second), m.Name, "tcp", addr)
				if err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				conn.Close()
			}
			l.Close()
		}
		if err := f.Down(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "netns")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("round %d: not all is gone: %v", round, err)
		}
		mounts, _ := os.ReadFile("/proc/self/mounts")
		if strings.Contains(string(mounts), dir) {
			t.Fatalf("round %d: a namespace is still mounted", round)
		}
	}
	t.Logf("files found after the kill, by number: %v", left)
}
