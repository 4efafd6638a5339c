package probe

import (
	"testing"
	"time"
)

func TestARequestIsCompletedOrRefused(t *testing.T) {
	for _, subject := range Subjects {
		r := Request{Subject: subject}
		if err := r.Defaults(); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
		if again := r; again.Defaults() != nil || again != r {
			t.Errorf("%s: %+v is completed to %+v", subject, r, again)
		}
	}
	for _, r := range []Request{
		{Subject: "moon"}, {Lanes: "h2", HTTPS: true}, {Subject: SubjectAPI, HTTPS: true}, {Lanes: "h3"}, {Rate: 0.5}, {Rate: 1001}, {Rate: -1}, {Lanes: "all", Rate: 600},
		{Subject: SubjectAPI, Rate: 51}, {Subject: SubjectAPI, Lanes: "h2"}, {Subject: SubjectDNS, Lanes: "new"}, {Subject: SubjectPath, Lanes: "new"},
		{For: time.Millisecond}, {For: 11 * time.Minute}, {For: -time.Second}, {Timeout: time.Millisecond}, {Timeout: time.Minute},
	} {
		if err := r.Defaults(); err == nil {
			t.Errorf("%+v was accepted", r)
		}
	}
}
