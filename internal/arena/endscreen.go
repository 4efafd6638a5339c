package arena

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"zdl/internal/cause"
	"zdl/internal/timeline"
)

// served is what was counted of users' requests while a round was played.
type served struct {
	sent, failed int64
}

// maxStory bounds the lines of a story.
const maxStory = 40

// endScreen tells what happened in the round that was just decided. why explains
// the longest outage, where it can be explained.
func (g *game) endScreen(users served, why *cause.Breakdown) *End {
	e := &End{Round: g.number, Level: g.level.Name, Won: g.won(), Score: g.score(), Players: g.ranking(showPlayers), Lesson: g.level.Lesson,
		Outage: g.longest(), Story: g.story(), Why: append(g.rescued(), explain(why)...), Protected: g.protected(users)}
	e.Headline = g.headline(e)
	return e
}

// longest is the longest outage that could win, or nil.
func (g *game) longest() *RoundOutage {
	var best *RoundOutage
	for _, o := range g.roundOutages() {
		if o.LowerMS < 1 {
			continue // nothing of it is sure
		}
		if _, wins := g.level.wins(o.Subject); wins && (best == nil || o.LowerMS > best.LowerMS) {
			best = &o
		}
	}
	return best
}

// rescued tells that the longest outage went on until everything was put right,
// if it did: then the rest of the explanation is about the repair.
func (g *game) rescued() []string {
	best := g.longest()
	if best == nil || g.outcome != endedWon {
		return nil
	}
	o := g.outages[best.Subject][best.ID]
	if o.Open || !o.Ended.After(g.ending) || o.Began.After(g.ending) {
		return nil
	}
	return []string{fmt.Sprintf("Nothing in the cluster ended it: after %.0f ms everything was put right, and %.0f ms later the first request succeeded.",
		sinceMS(o.Began, g.ending), sinceMS(g.ending, o.Ended))}
}

func subjectName(subject string) string {
	switch subject {
	case SubjectAPI:
		return "the Kubernetes API"
	case SubjectDNS:
		return "cluster DNS"
	case SubjectDatabase:
		return "the database"
	}
	return "the service"
}

func (g *game) headline(e *End) string {
	who := crowd(g.ranking(showPlayers), len(g.players))
	with := fmt.Sprintf("%s and %s", plural(e.Score.Hits, "hit", "hits"), plural(e.Score.Strikes, "strike", "strikes"))
	switch {
	case e.Won:
		return fmt.Sprintf("%s brought %s down for %s with %s.", who, subjectName(e.Outage.Subject), seconds(e.Outage.LowerMS), with)
	case e.Outage != nil:
		return fmt.Sprintf("The cluster held: %s was down for no more than %s, after %s.", subjectName(e.Outage.Subject), seconds(e.Outage.UpperMS), with)
	}
	return fmt.Sprintf("The cluster held: not one sure outage of %s, after %s.", subjectName(g.level.Subject), with)
}

func crowd(s []Player, all int) string {
	switch {
	case all == 0 || len(s) == 0:
		return "Somebody"
	case all == 1:
		return s[0].Name
	}
	return fmt.Sprintf("%s and %s", s[0].Name, plural(all-1, "other", "others"))
}

func seconds(ms float64) string {
	if ms < 1000 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2f s", ms/1000)
}

// story tells the round in the order of its events, counted from the first strike.
func (g *game) story() []string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	zero := g.began
	if len(g.strikes) > 0 {
		zero = g.strikes[0].At
	}
	for _, k := range g.strikes {
		lines = append(lines, line{k.At, strikeLine(k)})
	}
	for subject, of := range g.outages {
		for _, o := range of {
			if !o.Open && o.LowerMS < 1 {
				continue // lost requests between others that were answered
			}
			lines = append(lines, line{o.Began, fmt.Sprintf("%s stopped answering.", upper(subjectName(subject)))})
			if !o.Open {
				lines = append(lines, line{o.Ended, fmt.Sprintf("%s answered again. It was down for between %.0f and %.0f ms: %s.",
					upper(subjectName(subject)), o.LowerMS, o.UpperMS, timeline.Classes(o.ByClass))})
			}
		}
	}
	if !g.ending.IsZero() {
		text := map[string]string{endedWon: "The round was won: everything was put right from here on.", endedTime: "Time was up.",
			endedIdle: "Nobody hit any more.", endedOwner: "The owner ended the round."}[g.outcome]
		if g.outcome == endedWon && !g.won() {
			text = "The outage had lasted its time, though not all of it is sure: everything was put right from here on."
		}
		lines = append(lines, line{g.ending, text})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	out := []string{}
	for i, l := range lines {
		if i == maxStory-1 && len(lines) > maxStory {
			out = append(out, fmt.Sprintf("… and %d more, which the timeline has.", len(lines)-i))
			break
		}
		out = append(out, fmt.Sprintf("%+.2f s: %s", l.at.Sub(zero).Seconds(), l.text))
	}
	return out
}

func strikeLine(k *strike) string {
	where := ""
	if k.Node != "" && k.Node != k.seen.name && k.Kind == KindPod {
		where = " on " + k.Node
	}
	text := fmt.Sprintf("%s struck %s%s with %s after %s", k.By, k.Title, where, k.Fault, plural(k.Hits, "hit", "hits"))
	if k.Visitors > 1 {
		text += fmt.Sprintf(" of %d visitors", k.Visitors)
	}
	switch {
	case k.State == StrikeFailed:
		return text + ", which could not be done: " + k.Trouble
	case k.State == StrikeUnderWay:
		return text + "; it was not proven yet."
	}
	text += fmt.Sprintf("; proven after %.0f ms", k.VerifyMS)
	switch {
	case k.Replacement != "" && k.ReadyMS > 0:
		text += fmt.Sprintf("; its replacement %s was ready after %s", k.Replacement, seconds(k.ReadyMS))
	case k.ReadyMS > 0:
		text += fmt.Sprintf("; it worked again after %s", seconds(k.ReadyMS))
	}
	return text + "."
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// explain writes the parts that an outage was made of, and what decides each.
func explain(b *cause.Breakdown) []string {
	if b == nil {
		return []string{}
	}
	out := []string{}
	if b.Fault != nil {
		more := ""
		if b.Fault.More > 0 {
			more = fmt.Sprintf(", and %d more within 2 s", b.Fault.More)
		}
		out = append(out, fmt.Sprintf("It began with: %s%s.", b.Fault.Text, more))
	}
	for _, p := range b.Parts {
		line := fmt.Sprintf("%.0f ms until: %s", p.MS, p.What)
		for i, o := range p.Owners {
			line += map[bool]string{true: ". Decided by ", false: ", "}[i == 0] + fmt.Sprintf("%s = %s (%s)", o.Name, o.Value, o.Where)
		}
		out = append(out, line+".")
	}
	if b.EndedBy != "" {
		out = append(out, b.EndedBy)
	}
	return append(out, b.Notes...)
}

// protected says what held.
func (g *game) protected(users served) []string {
	out := []string{}
	score := g.score()
	if score.Resisted > 0 {
		out = append(out, fmt.Sprintf("Not felt: %d of %s. No outage of a tenth of a second followed within %.0f s.", score.Resisted, plural(score.Strikes, "strike", "strikes"), feltWithin.Seconds()))
	}
	least, most, n := math.Inf(1), 0.0, 0
	for _, k := range g.strikes {
		if k.Replacement != "" && k.ReadyMS > 0 {
			least, most, n = min(least, k.ReadyMS), max(most, k.ReadyMS), n+1
		}
	}
	if n > 0 {
		out = append(out, fmt.Sprintf("Kubernetes replaced %s; ready after %s to %s.", plural(n, "pod", "pods"), seconds(least), seconds(most)))
	}
	if users.sent > 0 {
		if users.failed == 0 {
			out = append(out, fmt.Sprintf("Users noticed nothing: all %d requests of the round were answered.", users.sent))
		} else {
			out = append(out, fmt.Sprintf("Of %d requests of users in the round %d failed (%.2f %%).", users.sent, users.failed, 100*float64(users.failed)/float64(users.sent)))
		}
	}
	return out
}

// fame is a won round as the hall of fame keeps it.
func (g *game) fame(now time.Time, e *End) Fame {
	f := Fame{Level: g.level.Name, At: now.Round(0).UTC(), Names: []string{}, Points: e.Score.Points, DownMS: e.Score.DownMS, Hits: e.Score.Hits, Strikes: e.Score.Strikes}
	for i, p := range g.ranking(showPlayers) {
		if i < fameNames {
			f.Names = append(f.Names, p.Name)
		}
	}
	f.Others = len(g.players) - len(f.Names)
	return f
}
