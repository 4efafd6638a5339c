package timeline

import (
	"fmt"
	"strconv"

	"zdl/internal/probe"
)

// degradations turns the spans in which users were served slowly or with old data
// into entries, apart from outages, in which they were not served. Single requests
// have none: on a busy machine one is late now and then.
type degradations struct {
	log     *Log
	subject string
	name    string // at the beginning of a sentence
	closed  int    // highest ID that is done with
	told    int    // ID of the open span that was announced
}

// read records what is new, of a prober that knows.
func (d *degradations) read(p Prober) {
	source, ok := p.(interface {
		Degradations(after int) []probe.Outage
	})
	if !ok {
		return
	}
	for _, span := range source.Degradations(d.closed) {
		fields := map[string]string{"degradation": strconv.Itoa(span.ID)}
		if !span.Open {
			d.closed = span.ID
		}
		switch {
		case span.Failed < worthEntry:
		case span.Open && span.ID != d.told:
			d.told = span.ID
			d.log.Add(KindDegradedBegan, d.subject, d.name+" is degraded: "+Classes(span.ByClass), fields)
		case !span.Open:
			fields["lowerMs"], fields["upperMs"] = fmt.Sprintf("%.1f", span.LowerMS), fmt.Sprintf("%.1f", span.UpperMS)
			fields["requests"] = strconv.Itoa(span.Failed)
			d.log.Add(KindDegradedEnded, d.subject, fmt.Sprintf("%s was degraded for between %.0f and %.0f ms; %d requests were served badly: %s",
				d.name, span.LowerMS, span.UpperMS, span.Failed, Classes(span.ByClass)), fields)
		}
	}
}
