package probe

import (
	"slices"
	"strings"
	"testing"
)

func TestLaneNames(t *testing.T) {
	for _, c := range []struct {
		list string
		want string // as named by themselves
	}{
		{"new", "new"},
		{"new,reused", "new,reused"},
		{"h2, write", "new+h2,new+write"},
		{"write+h2+reused,reused", "reused+h2+write,reused"},
		{"h1,new,read", "new"},
		{"all", "new,reused,new+h2,reused+h2,new+write,reused+write,new+h2+write,reused+h2+write"},
		{"reused,all", "reused,new,new+h2,reused+h2,new+write,reused+write,new+h2+write,reused+h2+write"},
	} {
		lanes, err := ParseLanes(c.list)
		if err != nil {
			t.Errorf("%q: %v", c.list, err)
			continue
		}
		var got []string
		for _, l := range lanes {
			got = append(got, l.String())
		}
		if strings.Join(got, ",") != c.want {
			t.Errorf("%q: %v, want %s", c.list, got, c.want)
		}
	}
	for _, bad := range []string{"", "fast", "new+reused", "h1+h2", "new,", "read+write"} {
		if lanes, err := ParseLanes(bad); err == nil {
			t.Errorf("%q was taken for %v", bad, lanes)
		}
	}
	for _, l := range Lanes() {
		if back, err := ParseLanes(l.String()); err != nil || !slices.Equal(back, []Lane{l}) {
			t.Errorf("%v is read back as %v, %v", l, back, err)
		}
	}
}
